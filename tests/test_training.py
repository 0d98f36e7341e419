"""Curves, stopping, divergence, stacks and the ledger of the training loop."""

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from harness import backends_for, choices, every_backend, make_run, trained
from hypothesis import given
from hypothesis import strategies as st

from descent_lab.training.run import Record
from descent_lab.training.trainer import train

BACKENDS = every_backend()
EXPLODING = ["dataset=line", "model=linear", "lr=1e6", "init=normal"]  # x up to 9, targets up to 32


def run_of(backend, *overrides):
    """That run on a backend; the optimizer's overrides only where there is one."""
    searching = "backend=random_search" in backend
    return make_run(*backend, *(o for o in overrides if not (searching and o.startswith("optimizer"))))


# When it records


@given(st.integers(0, 10**7), st.integers(2, 300))
def test_points_are_log_spaced_from_first_to_last(n_steps, points):
    steps = Record(points=points, every=None).steps(n_steps)
    assert steps[0] == 0 and steps[-1] == n_steps and len(steps) <= points + 1
    assert (np.diff(steps) > 0).all()
    gaps = np.diff(np.log(steps[1:])) if n_steps else []
    wide = [gap for gap, step in zip(gaps, steps[1:], strict=False) if step > 10 * points]
    assert not wide or max(wide) < 1.3 * min(wide) + 0.1


@given(st.integers(0, 5000), st.integers(1, 300))
def test_every_k_steps_and_the_last(n_steps, every):
    steps = Record(points=2, every=every).steps(n_steps)
    assert set(steps) == {0, n_steps, *range(0, n_steps + 1, every)} and steps == sorted(steps)


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
def test_zero_epochs_record_the_untouched_start(backend):
    run = run_of(backend, "epochs=0")
    (outcome,) = train([run])
    assert outcome.curves["step"].tolist() == [0] and outcome.status == "finished"
    for name in ("init", "best", "final"):
        np.testing.assert_array_equal(outcome.theta[name], run.problem.theta)
    data, objective = run.problem.data, run.problem.objective
    loss = objective.value(run.problem.theta, data.x_train, data.y_train)[0]
    assert outcome.curves["train/loss"][0] == pytest.approx(loss, rel=1e-14)


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
@pytest.mark.parametrize(("batching", "validation"), [("full", 0.1), ("minibatch", 0), ("minibatch", 0.1)])
def test_curves_are_of_the_whole_sets(batching, validation, backend):
    """Also after mini-batches: the last record is the loss of theta.npz's final on all samples."""
    held = f"dataset.validation_fraction={validation}"
    run = run_of(backend, f"batching={batching}", "epochs=4", "record.every=3", held)
    (outcome,) = train([run])
    per_epoch = 1 if batching == "full" else 6 if validation else 7
    assert outcome.curves["step"].tolist() == sorted({*range(0, 4 * per_epoch, 3), 4 * per_epoch})
    np.testing.assert_array_equal(outcome.curves["epoch"], outcome.curves["step"] / per_epoch)
    parts, objective, theta = run.problem.data.parts, run.problem.objective, outcome.theta["final"]
    assert set(parts) == {name.partition("/")[0] for name in outcome.curves if name.endswith("/loss")}
    for part, (x, y) in parts.items():
        loss = objective.value(theta, x, y)[0]
        assert outcome.curves[f"{part}/loss"][-1] == pytest.approx(loss, rel=1e-12)
        assert outcome.curves[f"{part}/rmse"][-1] == pytest.approx(np.sqrt(loss), rel=1e-12)


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_when_it_records_changes_nothing_it_records(every):
    base = trained("backend=jax", "epochs=20", "record.every=1")
    other = trained("backend=jax", "epochs=20", f"record.every={every}")
    places = np.searchsorted(base.curves["step"], other.curves["step"])
    np.testing.assert_array_equal(base.curves["train/loss"][places], other.curves["train/loss"])
    np.testing.assert_array_equal(base.theta["final"], other.theta["final"])


def test_best_is_the_record_with_the_lowest_loss():
    run = make_run("dataset=polynomials", "optimizer=momentum", "lr=2", "epochs=4", "record.every=1")
    (outcome,) = train([run])
    losses, data = outcome.curves["train/loss"], run.problem.data
    assert losses.min() < losses[-1]  # it went up again
    best = run.problem.objective.value(outcome.theta["best"], data.x_train, data.y_train)[0]
    assert best == pytest.approx(losses.min(), rel=1e-13)


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
def test_best_is_the_record_with_the_lowest_validation_loss_if_there_is_one(backend):
    held = ["dataset=polynomials", "dataset.n_samples=5", "dataset.validation_fraction=0.4"]
    run = run_of(backend, *held, "optimizer=adam", "lr=0.3", "epochs=40", "record.every=1")
    (outcome,) = train([run])
    losses = outcome.curves["validation/loss"]
    assert losses.argmin() not in (0, len(losses) - 1, outcome.curves["train/loss"].argmin())
    x, y = run.problem.data.parts["validation"]
    best = run.problem.objective.value(outcome.theta["best"], x, y)[0]
    assert best == pytest.approx(losses.min(), rel=1e-12)


def test_a_validation_set_takes_memory():
    """Rows that move from the test to the validation set change no estimate."""
    shares = [(0.4, 0), (0.2, 0.2), (0.2, 0)]
    fractions = [(f"dataset.test_fraction={a}", f"dataset.validation_fraction={b}") for a, b in shares]
    tested, validated, trained_on = (make_run("dataset=gaussian", *given).bytes() for given in fractions)
    assert tested == validated != trained_on


# The published start of the which-polynomial tutorial


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
def test_published_untrained_loss(backend):
    outcome = trained(
        *("dataset=polynomials", "stream=legacy", "seed=0", "init=normal", "init.std=0.1", "epochs=0"), *backend
    )
    assert outcome.curves["train/loss"][0] == pytest.approx(2.4942046014713335, rel=1e-14)


# Why it stops


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
def test_target(backend):
    given = ["dataset=product", "optimizer=adam", "lr=0.05", "epochs=300", "record.every=1"]
    target = 0.5 * run_loss(run_of(backend, *given))
    (outcome,) = train([run_of(backend, *given, f"stop.target={target}")])
    losses = outcome.curves["train/loss"]
    assert outcome.ended == "target" and outcome.status == "finished"
    assert losses[-1] <= target < losses[-2] and outcome.curves["step"][-1] < 300


def run_loss(run):
    """The loss a run starts from."""
    data = run.problem.data
    return run.problem.objective.value(run.problem.theta, data.x_train, data.y_train)[0]


@pytest.mark.parametrize("backend", backends_for(), ids=" ".join)
def test_min_delta(backend):
    given = [*backend, "init=normal", "lr=0.01", "epochs=100", "record.every=1"]
    outcome = trained(*given, "stop.min_delta=1e-2")
    changes = np.abs(np.diff(outcome.curves["train/loss"]))
    assert outcome.ended == "min_delta" and len(changes) < 100
    assert changes[-1] < 1e-2 <= changes[:-1].min()


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_max_seconds(backend):
    begin = perf_counter()
    outcome = trained(f"backend={backend}", "epochs=100000000", "stop.max_seconds=0.3", "record.points=10")
    assert outcome.ended == "max_seconds" and outcome.status == "finished"
    assert 0.3 <= outcome.curves["time/step_seconds"][-1] < 0.6
    assert outcome.curves["step"][-1] > 10 and perf_counter() - begin < 30


def test_a_target_that_the_start_has_reached_takes_no_step():
    outcome = trained("epochs=10", "stop.target=1e9")
    assert outcome.ended == "target" and outcome.curves["step"].tolist() == [0]


OVERFITTING = ["dataset=polynomials", "dataset.n_samples=5", "optimizer=adam", "lr=0.1", "epochs=80", "record.every=1"]


def waits(losses, patience, least=0.0):
    """The record at which patience ends, by hand: the first with `patience` records since the last improvement."""
    lowest, since = np.inf, 0
    for k, loss in enumerate(losses):
        since = 0 if loss < lowest - least else since + 1
        lowest = loss if since == 0 else lowest
        if since == patience:
            return k
    return None


@pytest.mark.parametrize("backend", backends_for("adam"), ids=" ".join)
@pytest.mark.parametrize(
    ("watched", "given"),
    [("train/loss", ["stop.min_delta=0.05"]), ("validation/loss", ["dataset.validation_fraction=0.4"])],
)
def test_patience(watched, given, backend):
    """Alone and in a stack a run ends after so many records without a new lowest loss, of validation where there is."""
    given = [*OVERFITTING, *given, *backend]
    whole = make_run(*given, "stop.min_delta=null", "seed=1")
    run, (full,) = make_run(*given, "stop.patience=4"), train([make_run(*given, "stop.min_delta=null")])
    (alone,), (stacked, mate) = train([run]), train([run, whole])
    k = waits(full.curves[watched], 4, run.stop.min_delta or 0.0)
    assert alone.ended == stacked.ended == "patience" and alone.status == "finished" and mate.ended == "epochs"
    assert 4 < k < 80 and alone.curves["step"][-1] == stacked.curves["step"][-1] == k
    np.testing.assert_allclose(alone.curves[watched], full.curves[watched][: k + 1], rtol=1e-9)


# Divergence

GROWING = ["dataset=line", "model=linear", "lr=0.1", "epochs=300"]  # each step multiplies the loss


@pytest.mark.parametrize("backend", backends_for(), ids=" ".join)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_exploding_loss_ends_a_run_at_the_very_step(dtype, backend):
    """A step's own batch tells, whenever metrics are recorded, in a stack as well."""
    given = [*GROWING, *backend, f"dtype={dtype}", "record.every=1"]
    finite, early = (trained(*given, f"stop.explode={limit}") for limit in ("null", "1e4"))
    losses = finite.curves["train/loss"]
    k = int(np.argmax(losses > 1e4 * losses[0]))
    assert finite.status == early.status == "diverged" and 1 < k == early.diverged_at < finite.diverged_at
    np.testing.assert_allclose(early.curves["train/loss"], losses[:k], rtol=1e-4)
    rarely = [make_run(*given, "record.every=100", f"stop.explode={limit}") for limit in ("1e4", "1e8", "null")]
    seldom = train(rarely)
    assert [outcome.status for outcome in seldom] == ["diverged"] * 3
    assert seldom[0].diverged_at == k < seldom[1].diverged_at < seldom[2].diverged_at == finite.diverged_at
    assert seldom[0].curves["step"].tolist() == [0] and np.isfinite(seldom[0].theta["final"]).all()


class Solved:
    """Starts at the solution of the data set line."""

    def theta(self, network, stream):
        return np.array([3.0, 5.0])


@pytest.mark.parametrize("limit", ["null", "2"])
@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_no_loss_is_too_large_for_a_start_without_loss(backend, limit):
    given = ["dataset=line", "model=linear", f"backend={backend}", "optimizer.weight_decay=0.1", "epochs=5"]
    run = make_run(*given, f"stop.explode={limit}")
    (outcome,) = train([replace(run, problem=replace(run.problem, init=Solved()))])
    losses = outcome.curves["train/loss"]
    assert losses[0] == 0 < losses[-1] and outcome.status == "finished"


@pytest.mark.parametrize("backend", backends_for(), ids=" ".join)
@pytest.mark.parametrize("batching", ["full", "online"])
def test_divergence_ends_a_run_at_its_last_finite_record(batching, backend):
    outcome = trained(*EXPLODING, *backend, f"batching={batching}", "epochs=300", "record.every=1")
    assert outcome.status == outcome.ended == "diverged"
    losses, steps = outcome.curves["train/loss"], outcome.curves["step"]
    assert np.isfinite(losses).all() and len(losses) == len(steps) > 1
    assert all(np.isfinite(theta).all() for theta in outcome.theta.values())
    assert steps[-1] < outcome.diverged_at <= steps[-1] + 2
    assert outcome.diverged_at < 300 * (1 if batching == "full" else 9)


@pytest.mark.parametrize("batching", ["full", "minibatch"])
def test_backends_diverge_at_the_same_step(batching):
    steps = [
        trained(*EXPLODING, *backend, f"batching={batching}", "epochs=300", *size).diverged_at
        for backend in backends_for()
        for size in [["batching.size=4"] if batching == "minibatch" else []]
    ]
    assert len(set(steps)) == 1 and steps[0] is not None


# Stacks

PAIRS = [
    ["dataset=polynomials", "dataset.n_samples=4", "optimizer=adam"],
    ["dataset=gaussian", "batching=minibatch", "optimizer=momentum", "optimizer.clip_norm=1"],
    ["dataset=product", "batching=online", "optimizer=nadam", "schedule=cosine"],
    ["dataset=iris", "batching=minibatch", "batching.shuffle=false", "model.batch_norm=true", "optimizer=lion"],
    ["dataset=product", "batching=minibatch", "batching.size=4", "stream=legacy"],
    ["dataset=wine", "dataset.validation_fraction=0.2", "optimizer=adam"],
]
MATES = [["seed=0", "lr=0.01"], ["seed=1", "lr=0.1"], ["seed=2", "lr=0.001"]]


def assert_same_curves(one, other, tolerance=1e-10):
    for name in (name for name in one.curves if "seconds" not in name):
        np.testing.assert_allclose(one.curves[name], other.curves[name], rtol=tolerance, atol=1e-13, err_msg=name)
    for name in one.theta:
        np.testing.assert_allclose(one.theta[name], other.theta[name], rtol=tolerance, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
@pytest.mark.parametrize("overrides", PAIRS, ids=" ".join)
def test_a_run_is_the_same_alone_and_in_a_stack(overrides, backend):
    def runs():
        return [run_of(backend, *overrides, "model.hidden=[4]", "epochs=8", *mate) for mate in MATES]

    stacked = train(runs())
    for mate, other in zip(runs(), stacked, strict=True):
        (alone,) = train([mate])
        assert alone.timing == "isolated" and other.timing == "shared"
        assert_same_curves(alone, other)


@pytest.mark.parametrize("backend", backends_for(), ids=" ".join)
def test_a_diverging_mate_leaves_the_others_untouched(backend):
    given = ["dataset=line", "model=linear", *backend, "epochs=300", "record.every=10"]
    calm, wild = [*given, "lr=0.001"], [*given, "lr=1e6"]
    first, bad, second = train([make_run(*calm), make_run(*wild), make_run(*calm, "seed=1")])
    assert [first.status, bad.status, second.status] == ["finished", "diverged", "finished"]
    assert_same_curves(trained(*calm), first)
    assert_same_curves(trained(*calm, "seed=1"), second)


def test_runs_of_a_stack_stop_each_for_itself():
    given = ["dataset=product", "optimizer=adam", "lr=0.05", "epochs=200", "record.every=1"]
    early, late = train([make_run(*given, "stop.target=1"), make_run(*given, "stop.target=null")])
    assert early.ended == "target" and late.ended == "epochs"
    assert len(early.curves["step"]) < len(late.curves["step"]) == 201
    n = len(early.curves["step"])
    np.testing.assert_array_equal(early.curves["train/loss"], late.curves["train/loss"][:n])


# Precision


PRECISE = [(name, backend) for name in choices("optimizer") for backend in backends_for(name)]
PRECISE += [("sgd", backend) for backend in BACKENDS if "backend=random_search" in backend]


@pytest.mark.parametrize(("optimizer", "backend"), PRECISE, ids=lambda value: "".join(value))
def test_float32_stays_float32(optimizer, backend):
    given = ["dataset=iris", "batching=minibatch", "schedule=warmup_cosine", "epochs=3", "model.batch_norm=true"]
    given = [*given, f"optimizer={optimizer}", "model.hidden=[4]"]
    (double,), (single,) = (train([run_of(backend, *given, f"dtype={dtype}")]) for dtype in ("float64", "float32"))
    dtypes = {name: values.dtype for name, values in single.theta.items()}
    assert set(dtypes.values()) == {np.dtype(np.float32)}, dtypes
    metrics = {name: v.dtype for name, v in single.curves.items() if name.endswith(("loss", "norm"))}
    assert set(metrics.values()) == {np.dtype(np.float32)}, metrics
    np.testing.assert_allclose(single.curves["train/loss"], double.curves["train/loss"], rtol=2e-3)
    assert not np.array_equal(single.curves["train/loss"], double.curves["train/loss"])


# Time


@pytest.mark.parametrize("backend", BACKENDS, ids=" ".join)
def test_the_ledger_adds_up(backend):
    """Within 5 %, in the best of three: what the machine gives to others meanwhile may fall between two entries."""
    assert max(booked(backend) for _ in range(3)) > 0.95


def booked(backend):
    """The part of the wall time of a stack that its runs' ledgers account for; no more than all of it."""
    runs = [run_of(backend, "epochs=30", "batching=minibatch", "model.hidden=[9]", f"seed={seed}") for seed in (0, 1)]
    begin = perf_counter()
    outcomes = train(runs)
    wall = perf_counter() - begin
    for outcome in outcomes:
        seconds = outcome.curves["time/step_seconds"]
        assert seconds[0] == 0 and (np.diff(seconds) >= 0).all()
        assert seconds[-1] == pytest.approx(outcome.ledger["step"])
    share = sum(sum(outcome.ledger.values()) for outcome in outcomes) / wall
    assert share <= 1
    return share
