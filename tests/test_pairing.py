"""Contract 2: backend, optimizer and lr change neither data, split, init, batch order nor search directions."""

import numpy as np
import pytest
from harness import backends_for, choices, every_backend, make_config, make_run, workload_of

import descent_lab as dl
from descent_lab.errors import ConfigError
from descent_lab.training.trainer import train

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
BASE = ["dataset=gaussian", "batching=minibatch", "epochs=3", "seed=5"]
RANDOM = ["dataset=product", "batching.size=3"]  # its samples are drawn as well
CHANGES = [
    *every_backend(),
    *([f"optimizer={name}", *backends_for(name)[0]] for name in choices("optimizer")),
    *([f"schedule={name}"] for name in choices("schedule")),
    ["lr=0.5"],
    ["dtype=float32"],
    ["epochs=7"],
    ["record.every=1"],
    ["stop.target=0.1"],
]


def drawn(*overrides, seeds=(5,)):
    """What the host drew, by name: data, split, initial theta, and the sample orders of the first three epochs."""
    runs = [make_run(*BASE, *overrides, f"seed={seed}") for seed in seeds]
    data = runs[0].problem.data
    arrays = {name: getattr(data, name) for name in ARRAYS} | {"theta": runs[0].problem.theta}
    return arrays | {"order": workload_of(*runs).order.values[0, :3]}


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_nothing_drawn_depends_on(change):
    base, other = drawn(), drawn(*change)
    for name, values in base.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
        assert values.dtype == other[name].dtype


def test_nothing_drawn_depends_on_the_stack():
    base, stacked = drawn(), drawn(seeds=(5, 6, 7))
    for name, values in base.items():
        np.testing.assert_array_equal(values, stacked[name], err_msg=name)


def test_another_seed_draws_everything_anew():
    base, other = drawn(*RANDOM), drawn(*RANDOM, seeds=(6,))
    for name in ("x_train", "theta", "order"):
        assert not np.array_equal(base[name], other[name]), name
    base, other = drawn(), drawn(seeds=(6,))
    assert not np.array_equal(np.sort(base["x_train"], axis=0), np.sort(other["x_train"], axis=0))  # the split


@pytest.mark.parametrize("model", [[], ["model.hidden=[7]"], ["init=normal"]], ids=" ".join)
def test_streams_do_not_disturb_each_other(model):
    """A larger network or another initialiser draws more numbers, but data, split and order stay the same."""
    base, other = drawn(), drawn(*model)
    for name in (*ARRAYS, "order"):
        np.testing.assert_array_equal(base[name], other[name], err_msg=name)


@pytest.mark.parametrize("arrays", ["jax", "numpy"])
def test_search_directions_depend_on_the_seed_alone(arrays):
    def directions(*overrides):
        run = make_run("backend=random_search", "dataset=product", "epochs=20", *overrides)
        return workload_of(run).directions.values[0]

    base = directions()
    np.testing.assert_array_equal(base, directions(f"backend.arrays={arrays}", "lr=3", "init=normal"))
    assert not np.array_equal(base, directions("seed=1"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_backends_record_the_same_untouched_start(dtype):
    overrides = ["dataset=polynomials", "dataset.validation_fraction=0.2", "epochs=0", f"dtype={dtype}"]
    outcomes = [train([make_run(*overrides, *backend)])[0] for backend in every_backend()]
    tolerance = {"float64": 1e-14, "float32": 1e-6}[dtype]
    for other in outcomes:
        np.testing.assert_array_equal(other.theta["init"], outcomes[0].theta["init"])
        np.testing.assert_array_equal(other.theta["final"], outcomes[0].theta["init"])
        for name in ("train/loss", "validation/loss", "test/loss", "train/accuracy"):
            np.testing.assert_allclose(other.curves[name], outcomes[0].curves[name], rtol=tolerance)


def test_the_five_streams_are_different():
    streams = make_run("epochs=0").problem.streams
    firsts = [stream.bit_generator.seed_seq.spawn_key for stream in vars(streams).values()]
    assert len(set(firsts)) == 5


def test_legacy_streams_are_one():
    assert len({id(stream) for stream in vars(make_config("stream=legacy").problem().streams).values()}) == 1


OF_STREAM = {"data": {"x_train", "y_train"}, "split": {"x_train", "y_train"}, "init": {"theta"}, "order": {"order"}}


@pytest.mark.parametrize("stream", OF_STREAM)
def test_a_seed_of_its_own_changes_its_stream_alone(stream):
    """And gives what a run of that seed draws, so that sources of variance can be told apart."""
    options = RANDOM if stream == "data" else ["optimizer=adam"]
    base, own = drawn(*options), drawn(*options, f"seeds.{stream}=6")
    whole = drawn(*options, seeds=(6,))
    changed = {name for name in base if not np.array_equal(base[name], own[name])}
    assert OF_STREAM[stream] <= changed <= OF_STREAM[stream] | {"x_test", "y_test"}
    for name in changed:
        np.testing.assert_array_equal(own[name], whole[name], err_msg=name)


def test_search_may_have_a_seed_of_its_own():
    searching = ["backend=random_search", "dataset=product", "epochs=20"]
    own, base, whole = (
        workload_of(make_run(*searching, *given)) for given in (["seeds.search=1"], ["seed=0"], ["seed=1"])
    )
    np.testing.assert_array_equal(own.directions.values, whole.directions.values)
    np.testing.assert_array_equal(own.theta, base.theta)


def test_seeds_of_streams_are_part_of_the_run_from_every_side():
    own = make_config("seeds.split=3", "seeds.init=0")
    assert own.identity != make_config().identity == make_config("seeds.split=null").identity
    assert own.params["seeds.split"] == "3" and own.name.endswith("s0 split=3 init=0")
    problem = dl.problem("gaussian", seeds={"split": 3})
    np.testing.assert_array_equal(problem.data.x_train, own.problem().data.x_train)
    np.testing.assert_array_equal(problem.theta, own.problem().theta)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": {"splt": 1}}, "seeds.splt: no such field; there are data, init, order, search, split"),
        ({"seeds": {"split": -1}}, "seeds.split=-1: must be greater than or equal to 0"),
        ({"seeds": 3}, "seeds=3: must be"),
        ({"seeds": dl.Seeds(split=1), "stream": "legacy"}, "seeds.split=1: must be left out with stream=legacy"),
    ],
)
def test_bad_seeds_of_streams_are_refused_in_one_line(given, message):
    with pytest.raises(ConfigError, match=message):
        dl.problem("gaussian", **given)
