"""The quick composer gives what Hydra gives, for any list of overrides, and Hydra's own complaints."""

import pytest
from harness import CONF, choices, composed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from descent_lab.cli.compose import Composer, plain

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
