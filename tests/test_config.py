"""Configurations: what is refused and how, what is in a run's identity, what it is called."""

from dataclasses import dataclass

import pytest
from harness import choices, choosing, make_config, values_of

from descent_lab.errors import ConfigError
from descent_lab.sweeps.config import parse, refuse_optimizer
from descent_lab.sweeps.identity import flat
from descent_lab.validation import typed

REFUSED = {  # override: the beginning of the one line that refuses it
    "lr=-1": "lr=-1: must be greater than 0",
    "lr=0": "lr=0: must be greater than 0",
    "lr=abc": "lr=abc: must be a valid number",
    "lr=nan": "lr=nan: must be a finite number",
    "lr=inf": "lr=inf: must be a finite number",
    "lr=null": "lr=None: must be a valid number",
    "lr=[1]": r"lr=\[1\]: must be a valid number",
    "epochs=-3": "epochs=-3: must be greater than or equal to 0",
    "epochs=2.5": "epochs=2.5: must be a valid integer",
    "seed=-1": "seed=-1: must be greater than or equal to 0",
    "dtype=float16": "dtype=float16: must be 'float64' or 'float32'",
    "stream=old": "stream=old: must be 'independent' or 'legacy'",
    "timing=slow": "timing=slow: must be 'shared' or 'isolated'",
    "force=perhaps": "force=perhaps: must be a valid boolean",
    "batching.size=0": "batching.size=0: must be greater than or equal to 1",
    "record.points=1": "record.points=1: must be greater than or equal to 2",
    "record.every=0": "record.every=0: must be greater than or equal to 1",
    "stop.target=nan": "stop.target=nan: must be a finite number",
    "stop.min_delta=-1": "stop.min_delta=-1: must be greater than or equal to 0",
    "stop.explode=1": "stop.explode=1: must be greater than 1",
    "stop.patience=0": "stop.patience=0: must be greater than or equal to 1",
    "stop.max_seconds=0": "stop.max_seconds=0: must be greater than 0",
    "model.hidden=[0]": "model.hidden.0=0: must be greater than or equal to 1",
    "model.hidden=5": "model.hidden=5: must be a valid tuple",
    "model.activation=maxout": "model.activation=maxout: must be one of elu, gelu, gelu_tanh, identity, leaky_relu,",
    "model.loss=hinge": "model.loss=hinge: must be",
    "init.gain=0": "init.gain=0: must be greater than 0",
    "init.bias=nan": "init.bias=nan: must be a finite number",
    "optimizer.weight_decay=-1": "optimizer.weight_decay=-1: must be greater than or equal to 0",
    "optimizer.clip_norm=0": "optimizer.clip_norm=0: must be greater than 0",
    "dataset.n_samples=0": "dataset.n_samples=0: must be greater than or equal to 2",
    "dataset.test_fraction=1": "dataset.test_fraction=1: must be less than 1",
    "+colour=red": "colour: no such field; there are",
    "+model.depth=3": "model.depth: no such field; there are activation, batch_norm",
    "+optimizer.beta1=0.9": "optimizer.beta1: no such field; there are clip_norm",
    "stop=null": "stop=None: must be a group",
    "record=5": "record=5: must be a group",
    "backend._target_=descent_lab.abacus.Abacus": "backend._target_=descent_lab.abacus.Abacus: no such class",
    "~seed": "seed: missing",
    "~optimizer": "optimizer: missing",
    "~backend": "backend: missing",
}
OUTSIDE = [
    "tracking.experiment=other",
    "tracking.save_theta=false",
    "tracking.uri=sqlite:///x.db",
    "force=true",
    "engine=processes",
    "dry_run=true",
]
INSIDE = [
    *("lr=0.5", "seed=1", "epochs=3", "dtype=float32", "stream=legacy", "record.points=7", "record.every=2"),
    *("stop.target=0.1", "backend=jax", "dataset=line", "dataset.n_samples=20", "model.hidden=[3]", "model=linear"),
    *("init=normal", "init.bias=1", "batching=minibatch", "schedule=cosine", "optimizer=momentum"),
    *("optimizer.weight_decay=0.1", "model.batch_norm=true"),
]


@pytest.mark.parametrize("override", REFUSED)
def test_bad_values_are_refused_in_one_line(override):
    with pytest.raises(ConfigError, match=f"^{REFUSED[override]}") as refusal:
        make_config(override)
    assert "\n" not in str(refusal.value)


def test_the_refusal_names_every_bad_field_of_a_group():
    with pytest.raises(ConfigError, match=r"record.points=0: .*; record.every=-1: "):
        make_config("record.points=0", "record.every=-1")


def test_a_password_is_used_and_not_shown():
    config = make_config("tracking.uri='postgresql://me:secret@host/db'")
    assert config.tracking.uri == "postgresql://me:secret@host/db"
    assert config.params["tracking.uri"] == "postgresql://me:***@host/db"


@pytest.mark.parametrize("override", OUTSIDE)
def test_what_cannot_change_a_curve_is_outside_the_identity(override):
    assert make_config(override).identity == make_config().identity


@pytest.mark.parametrize("override", INSIDE)
def test_what_can_change_a_curve_is_inside_the_identity(override):
    assert make_config(override).identity != make_config().identity


@pytest.mark.parametrize(
    "same", ["lr=1e-3", "lr='0.001'", "epochs=200", "model.hidden=[25,25]", "init=fan_in", "optimizer=sgd"]
)
def test_the_same_values_written_otherwise_are_the_same_run(same):
    assert make_config(same).identity == make_config().identity


def test_the_contents_of_a_file_are_inside_the_identity_and_its_name_is_not_enough(tmp_path):
    def identity(text):
        (tmp_path / "own.csv").write_text(text)
        make_config.cache_clear()
        return make_config("dataset=csv", f"dataset.path={tmp_path}/own.csv", "dataset.target=y").identity

    first = identity("a,y\n1,2\n2,3\n3,5\n4,8\n5,9\n")
    assert first == identity("a,y\n1,2\n2,3\n3,5\n4,8\n5,9\n") != identity("a,y\n1,2\n2,3\n3,5\n4,8\n5,10\n")


@pytest.mark.parametrize("group", ["backend", "dataset", "init", "batching", "schedule", "optimizer", "model"])
def test_params_are_every_leaf_and_every_choice(group):
    for choice in choices(group):
        config = make_config(*choosing(group, choice))
        assert config.params[group] == choice
        written = {f"{group}.{leaf}" for leaf in flat(values_of(group, choice))}
        assert written <= set(config.params)
        assert float(config.params["lr"]) == config.lr and config.params["seed"] == "0"


def test_the_name_is_readable():
    assert make_config("backend=jax", "optimizer=adam", "lr=0.01").name.startswith("jax adam gaussian lr=0.01 s0")
    assert make_config("backend=random_search", "seed=4").name.startswith("random_search gaussian lr=0.01 s4")


@pytest.mark.parametrize("asked", ["optimizer=adam", "+optimizer=adam", "optimizer.weight_decay=0.1"])
def test_an_optimizer_asked_for_where_there_is_none_is_refused(asked):
    with pytest.raises(ConfigError, match="random_search takes no optimizer"):
        refuse_optimizer(make_config("backend=random_search"), ["backend=random_search", asked])
    refuse_optimizer(make_config("backend=numpy"), [asked])


def test_what_was_parsed_can_be_parsed_again():
    for backend in choices("backend"):
        config = make_config(f"backend={backend}")
        assert parse(config.values, config.choices) == config


def test_no_complaint_shows_a_password():
    from descent_lab.errors import StoreError
    from descent_lab.tracking.stores import Stores

    with pytest.raises(ConfigError, match=r"tracking.uri=http://me:\*\*\*@127.0.0.1:1: cannot be opened"):
        Stores().at("http://me:secret@127.0.0.1:1", "optimizers")
    assert "secret" not in str(StoreError("uri=postgresql://me:secret@host/db: cannot be read"))


@pytest.mark.parametrize("kind", ["floot", type("Thing", (), {})])
def test_a_type_that_nothing_can_be_checked_by_is_named(kind):
    @dataclass(frozen=True)
    class Options:
        beta: kind = 1.0

    with pytest.raises(ConfigError, match=r"^optimizer: values cannot be checked by the types of Options \(beta: "):
        typed("optimizer", Options, {})
