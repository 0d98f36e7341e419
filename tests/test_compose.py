"""The quick composer gives what Hydra gives, for any list of overrides, and Hydra's own complaints."""

import pytest
from harness import CONF, choices, composed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from descent_lab.cli.compose import Base, Composer, plain

GROUPS = ["backend=jax", "backend=random_search", "optimizer=adam", "dataset=product", "model=linear"]
PLAIN = [
    *("lr=0.5", "lr=1e-3", "seed=3", "epochs=7", "dtype=float32", "model.hidden=[3,4]", "model.hidden=[]"),
    *("batching.size=5", "optimizer.weight_decay=0.1", "stop.target=null", "tracking.experiment='a b'"),
    *("record.every=2", "suggested.activation=relu", "model.activation=${suggested.activation}", "epochs=${seed}"),
    *("+note=1", "++lr=2", "~stop.target", "dataset.n_samples=20", "seeds.split=4", "seeds={split: 3}"),
    *("seed=-0", "epochs=1E2", "lr=2.50e-03", "epochs=007", "lr=1.", "lr=.5", "seed=1_000", "lr=inf", "dtype=1e400"),
    *("stop=null", "record={points: 9}", "record.points=5", "dtype=${tracking.experiment}"),
]
BAD = ["lrr=1", "lr.x=1", "optimizer.beta9=1", "dataset.path=x", "backend=numyp", "lr=${nowhere}", "model.hidden.0.x=1"]


def quick():
    """A composer of its own: nothing composed before."""
    return Composer(lambda overrides: composed(*overrides), lambda name: (CONF / name).is_dir())


KEPT = quick()


def outcome(compose, overrides):
    """What was composed, or the type and text of the complaint."""
    try:
        return compose(overrides)
    except Exception as error:
        return type(error), str(error)


LISTS = st.tuples(
    st.lists(st.sampled_from(GROUPS), max_size=2, unique_by=lambda o: o.partition("=")[0]),
    st.lists(st.sampled_from(PLAIN), max_size=4, unique_by=lambda o: o.lstrip("+~").partition("=")[0]),
).flatmap(lambda parts: st.permutations(parts[0] + parts[1]))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(LISTS)
def test_equal_to_hydra(overrides):
    assert outcome(KEPT, overrides) == outcome(lambda o: plain(composed(*o)), overrides)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(LISTS)
def test_equal_to_hydra_many_times(overrides):
    assert outcome(KEPT, overrides) == outcome(lambda o: plain(composed(*o)), overrides)


@pytest.mark.parametrize("bad", BAD)
def test_complaints_are_hydras(bad):
    kind, text = outcome(KEPT, ["lr=0.1", bad])
    assert (kind, text) == outcome(lambda o: plain(composed(*o)), ["lr=0.1", bad])
    assert issubclass(kind, Exception) and text


def test_each_combination_of_choices_is_composed_once():
    made = []
    compose = Composer(lambda o: made.append(o) or composed(*o), lambda name: (CONF / name).is_dir())
    for seed in range(5):
        values, chosen = compose(["optimizer=adam", f"seed={seed}", "lr=0.5"])
        assert values["seed"] == seed and values["lr"] == 0.5 and chosen["optimizer"] == "adam"
    assert made == [["optimizer=adam"]]


def test_one_composition_leaves_no_trace_in_the_next():
    compose = quick()
    first, _ = compose(["model.hidden=[1]", "lr=9"])
    second, _ = compose([])
    assert first["model"]["hidden"] == [1] and second["model"]["hidden"] == [25, 25] and second["lr"] != 9


def test_an_optimizers_own_lr_gives_way_to_the_one_that_was_asked_for():
    for name in choices("optimizer"):
        assert KEPT([f"optimizer={name}", "lr=0.123"])[0]["lr"] == 0.123
        assert KEPT(["lr=0.123", f"optimizer={name}"])[0]["lr"] == 0.123


REFERRING = {
    "to a value": ({"a": 1, "b": {"c": 2, "d": "${a}"}}, {"b.c"}),
    "to a group": ({"a": {"x": 1, "y": 2}, "b": "${a}", "c": 3}, {"c"}),
    "within a text": ({"a": 1, "b": "at ${a} of ${c.d}", "c": {"d": 2, "e": 3}}, {"c.e"}),
    "in a list": ({"a": 1, "b": ["${a}", 2], "c": 3}, {"c"}),
    "relative": ({"a": {"x": 1, "y": "${.x}"}, "c": 3}, set()),
    "by a resolver": ({"a": 1, "b": "${oc.select:a}"}, set()),
    "to a name that is given": ({"a": 1, "b": "${${c}}", "c": "a"}, set()),
    "to what must be given": ({"a": "???", "b": "${a}", "c": 3}, {"c"}),
}


@pytest.mark.parametrize("kind", REFERRING)
def test_only_values_that_nothing_refers_to_are_put_in_place_without_omegaconf(kind):
    values, leaves = REFERRING[kind]
    composed_ = OmegaConf.create(values | {"hydra": {"runtime": {"choices": {}}}})
    base = Base(composed_)
    assert base.leaves == leaves
    given_ = {"a": 7} if values["a"] in (1, "???") else {"a.x": 7}
    given_ |= {"c": 5} if values.get("c") == 3 else {}
    expected = OmegaConf.create(values)
    for key, value in given_.items():
        OmegaConf.update(expected, key, value)
    assert base.given(given_)[0] == OmegaConf.to_container(expected, resolve=True)
