"""Schedules have values worked out by hand or made by PyTorch, equal for Python, NumPy and traced JAX numbers.

Every YAML is tested, also in training: all loops agree, each run of a stack follows its own losses, and lr is recorded.
"""

import dataclasses
import math
from dataclasses import replace
from importlib import import_module
from itertools import accumulate

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import choices, double_precision, make_config, make_run, trained, values_of
from pydantic import TypeAdapter, ValidationError

from descent_lab.errors import ComponentError
from descent_lab.optim.schedules import Constant, Linear, ReduceOnPlateau, Schedule
from descent_lab.training.trainer import train

NAMES = choices("schedule")
N = 40

every_name = pytest.mark.parametrize("name", NAMES)


def read(name):
    values = values_of("schedule", name)
    module, _, kind = values.pop("_target_").rpartition(".")
    return getattr(import_module(module), kind), values


def build(name, **changes):
    kind, values = read(name)
    return kind(**values | changes)


def numbers_of(name):
    """The class of a choice and those of its values that are numbers; `by` is a word."""
    kind, values = read(name)
    return kind, {f: v for f, v in values.items() if not isinstance(v, str)}


GOLDEN = [
    ("constant", {}, 10, {0: 1.0, 9: 1.0}),
    # a tenth after every 30
    ("step", {}, 100, {0: 1.0, 29: 1.0, 30: 0.1, 59: 0.1, 60: 0.01, 99: 0.001}),
    ("exponential", {"gamma": 0.5}, 10, {0: 1.0, 1: 0.5, 3: 0.125}),
    # (1 + cos 0) / 2, (1 + cos(pi/3)) / 2 = 3/4, (1 + cos(pi/2)) / 2, (1 + cos(2 pi/3)) / 2 = 1/4
    ("cosine", {}, 6, {0: 1.0, 2: 0.75, 3: 0.5, 4: 0.25}),
    # 0.2 + 0.8 * the above
    ("cosine", {"final": 0.2}, 6, {0: 1.0, 2: 0.8, 3: 0.6, 4: 0.4}),
    # 1/3 + 2/3 * k/5
    ("warmup", {}, 10, {0: 1 / 3, 1: 7 / 15, 4: 13 / 15, 5: 1.0, 9: 1.0}),
    # 0.5 + 0.5 * k/4, then the cosine over the 6 epochs left
    (
        "warmup_cosine",
        {"start": 0.5, "warmup_epochs": 4},
        10,
        {0: 0.5, 1: 0.625, 3: 0.875, 4: 1.0, 6: 0.75, 7: 0.5, 8: 0.25},
    ),
    # a run that ends with its warm-up, or before
    ("warmup_cosine", {"start": 0.5, "warmup_epochs": 4}, 4, {0: 0.5, 1: 0.625, 3: 0.875}),
    ("warmup_cosine", {"start": 0.5, "warmup_epochs": 4}, 1, {0: 0.5}),
    # the same as a share of the run: from 0.5 over the first 4 of 10, then the cosine
    ("cosine", {"start": 0.5, "warmup": 0.4}, 10, {0: 0.5, 1: 0.625, 3: 0.875, 4: 1.0, 6: 0.75, 7: 0.5, 8: 0.25}),
    ("linear", {}, 10, {0: 1.0, 1: 0.9, 9: 0.1, 10: 0.0}),
    # from 0.1 over the first 2 of 10, then along a line to 0.2
    ("linear", {"warmup": 0.2, "final": 0.2}, 10, {0: 0.1, 1: 0.55, 2: 1.0, 6: 0.6, 9: 0.3, 10: 0.2}),
    # (1 - k/10)^2, which PyTorch gives too; between two epochs
    ("polynomial", {}, 10, {0: 1.0, 1: 0.81, 2.5: 0.5625, 5: 0.25, 9: 0.01, 10: 0.0}),
    # PyTorch: OneCycleLR(max_lr=1, total_steps=11, pct_start=4/11)
    (
        "one_cycle",
        {},
        10,
        {0: 0.04, 1: 0.28, 2: 0.76, 3: 1.0, 4: 0.9504846320134737, 7: 0.38874197806371075, 10: 4e-6},
    ),
    # PyTorch: SequentialLR of LinearLR(0.1, total_iters=2), ConstantLR(1), LinearLR(1, 0.2, total_iters=4)
    (
        "warmup_stable_decay",
        {"warmup": 0.2, "decay": 0.4, "final": 0.2},
        10,
        {0: 0.1, 1: 0.55, 2: 1.0, 5: 1.0, 6: 1.0, 7: 0.8, 8: 0.6, 9: 0.4, 10: 0.2},
    ),
    # a decay that would begin during the warm-up takes what that leaves
    ("warmup_stable_decay", {"warmup": 0.5, "decay": 0.9}, 10, {0: 0.1, 4: 0.82, 5: 1.0, 6: 0.8, 9: 0.2}),
    # PyTorch: CosineAnnealingWarmRestarts(T_0=2, T_mult=2, eta_min=0.1), and between epochs (1 + cos(pi/4)) / 2
    (
        "warm_restarts",
        {"cycle_epochs": 2, "growth": 2, "final": 0.1},
        20,
        {
            0: 1.0,
            1: 0.55,
            2: 1.0,
            3: 0.8681980515339464,
            5: 0.23180194846605365,
            6: 1.0,
            13: 0.13425421036992097,
            14: 1.0,
        },
    ),
    (
        "warm_restarts",
        {"cycle_epochs": 4},
        12,
        {0: 1.0, 1: (2 + 2**0.5) / 4, 2: 0.5, 4: 1.0, 8.0: 1.0, 10: 0.5, 12: 1.0},
    ),
]


@pytest.mark.parametrize(("name", "changes", "n", "expected"), GOLDEN)
def test_golden_values(name, changes, n, expected):
    schedule = build(name, **changes)
    factors_of = {k: schedule.factor(k, n) for k in expected}
    assert factors_of == pytest.approx(expected, rel=1e-13, abs=1e-15)


@every_name
def test_factors_are_positive_and_finite(name):
    factors = [build(name).factor(k, N) for k in range(N)]
    assert all(0 < factor < math.inf for factor in factors)


PLACES = [k / 4 for k in range(4 * N)]  # four steps an epoch


@every_name
def test_stacked_runs_have_their_own(name):
    kind, numbers = numbers_of(name)
    rows = [{f: max(type(v)(v * scale), int(type(v) is int)) for f, v in numbers.items()} for scale in (1.0, 0.6, 0.3)]
    rows = [{**row, "growth": growth} if "growth" in row else row for row, growth in zip(rows, (1, 2, 3), strict=True)]
    stacked = kind(**{f: np.array([[float(row[f])] for row in rows]) for f in numbers})
    for k in (*range(N), *PLACES):
        stacked_factors = np.broadcast_to(stacked.factor(k, N), (3, 1))
        expected = [kind(**row).factor(k, N) for row in rows]
        np.testing.assert_allclose(stacked_factors[:, 0], expected, rtol=1e-13, atol=1e-15)


@every_name
def test_python_equals_traced(name):
    kind, values = numbers_of(name)
    with double_precision():
        numbers = {f: jnp.float64(v) for f, v in values.items()}
        factors = jax.jit(lambda numbers, ks, n: jax.vmap(lambda k: kind(**numbers).factor(k, n))(ks))
        for places in (range(N), PLACES):
            compiled_factors = np.broadcast_to(factors(numbers, jnp.array(places), N), len(places))
            expected = [build(name).factor(k, N) for k in places]
            np.testing.assert_allclose(compiled_factors, expected, rtol=1e-12, atol=1e-15)


def test_restarts_are_exact_whatever_a_library_makes_of_powers():
    """At every restart up to 10^6 epochs the factor is 1, and a step before it nearly 0."""
    kind, _ = read("warm_restarts")
    for c, g in ((1, 2), (3, 3), (10, 7), (7, 10), (1, 97)):
        lengths = [c * g**i for i in range(20) if c * g**i < 1_000_000]
        ends = np.array([*accumulate(lengths)], dtype=float)
        with double_precision():
            schedule = kind(cycle_epochs=jnp.float64(c), growth=jnp.float64(g))
            compiled = jax.jit(lambda k, schedule=schedule: schedule.factor(k, 10**7))
            assert np.asarray(compiled(ends)).min() == 1
            assert np.asarray(compiled(ends - 1e-3)).max() < 1e-5
        assert kind(cycle_epochs=np.float64(c), growth=np.float64(g)).factor(ends, 10**7).min() == 1


@pytest.mark.parametrize("k", [3, 3.25, np.float32(3), np.array(3, "float32")], ids=["int", "float", "scalar", "array"])
@every_name
def test_float32_stays_float32_in_numpy(name, k):
    kind, values = numbers_of(name)
    numbers = {f: np.full((2, 1), v, "float32") for f, v in values.items()}
    lr = np.ones((2, 1), "float32")
    assert (lr * kind(**numbers).factor(k, N)).dtype == np.float32


@pytest.mark.parametrize("counter", ["int32", "int64", "float32"])
@every_name
def test_float32_stays_float32_in_jax(name, counter):
    kind, values = numbers_of(name)
    with double_precision():
        numbers = {f: jnp.float32(v) for f, v in values.items()}
        count = jnp.zeros((), counter)
        lr = jax.eval_shape(lambda numbers, k, n: jnp.float32(1) * kind(**numbers).factor(k, n), numbers, count, count)
    assert lr.dtype == jnp.float32


@every_name
def test_yaml_validates_and_names_every_field(name):
    kind, values = read(name)
    assert TypeAdapter(kind).validate_python(values) == kind(**values)
    assert set(values) == {f.name for f in dataclasses.fields(kind)}


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf])
@every_name
def test_numbers_out_of_range_are_refused(name, bad):
    kind, values = read(name)
    for field in values:
        with pytest.raises(ValidationError, match=field):
            TypeAdapter(kind).validate_python(values | {field: bad})


@every_name
def test_every_schedule_goes_by_epoch_or_by_step(name):
    for by in ("epoch", "step"):
        assert make_config(f"schedule={name}", f"schedule.by={by}").schedule.by == by


def test_warmup_of_no_epochs_is_refused():
    kind, values = read("warmup")
    with pytest.raises(ValidationError, match="warmup_epochs"):
        TypeAdapter(kind).validate_python(values | {"warmup_epochs": 0})


# PyTorch: ReduceLROnPlateau(factor=0.5, patience=2, threshold=1e-4, cooldown=1, min_lr=0.2, eps=0) from lr 1
LOSSES = [1.0, 0.9, 0.9, 0.95, 0.89995, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
REDUCED = [*[1.0] * 5, *[0.5] * 4, *[0.25] * 7, *[0.2] * 4]  # before each of these losses


def test_reduce_on_plateau_has_the_rates_of_pytorch():
    """For three runs at once, of which the second sees its losses later and the third only improves."""
    schedule = ReduceOnPlateau(gamma=0.5, patience=2, cooldown=1, final=0.2)
    losses = np.array([LOSSES, [2.0, 1.5, *LOSSES[:-2]], 0.9 ** np.arange(20)])
    state, factors = schedule.init(losses[:, 0]), []
    for loss in losses.T:
        factors.append(schedule.feedback(state))
        state = schedule.observe(loss, state)
    np.testing.assert_allclose(np.transpose(factors), [REDUCED, [1.0, 1.0, *REDUCED[:-2]], [1.0] * 20], rtol=1e-15)


LOOPS = [("backend=numpy",), ("backend=numpy", "backend.loop=eager"), ("backend=jax",), ("backend=taylor",)]
PLATEAU = [
    "schedule=reduce_on_plateau",
    "schedule.gamma=0.5",
    "schedule.patience=0",
    "schedule.threshold=0.2",
    "schedule.final=0.01",
]
WORDS = ["dataset=wine", "model.hidden=[4]", "batching=minibatch", "batching.size=50", "epochs=12", "record.every=1"]


@pytest.mark.parametrize("by", ["epoch", "step"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reduce_on_plateau_is_the_same_in_every_loop(by, dtype):
    """With batches of two sizes; every run of a stack goes by its own losses, as it does alone."""
    words = [*PLATEAU, *WORDS, f"schedule.by={by}", f"dtype={dtype}"]
    lrs = (0.3, 1.0, 3.0)
    alone = [trained(*words, f"lr={lr}").curves for lr in lrs]
    factors = {tuple(curves["lr"] / curves["lr"][0]) for curves in alone}
    assert len(factors) == 3 and min(len(set(path)) for path in factors) > 2
    tolerance = 1e-10 if dtype == "float64" else 1e-3
    for loop in LOOPS:
        runs = [make_run(*words, *loop, f"lr={lr}") for lr in lrs]
        for mine, outcome in zip(alone, train(runs), strict=True):
            for name in ("lr", "train/loss"):
                np.testing.assert_allclose(outcome.curves[name], mine[name], rtol=tolerance, err_msg=f"{loop} {name}")


OWN = [
    ["schedule=warm_restarts", "schedule.cycle_epochs={}", "3", "5"],
    ["schedule=cosine", "schedule.by=step", "schedule.warmup={}", "0.2", "0.6"],
    [*PLATEAU, "schedule.patience={}", "0", "2"],
]


@pytest.mark.parametrize("words", OWN, ids=lambda words: words[0])
def test_runs_of_a_stack_have_schedules_of_their_own(words):
    """Here one call makes many steps."""
    *words, option, one, other = words
    given = [[*WORDS, "record.every=25", "lr=1", *words, option.format(value)] for value in (one, other)]
    alone = [trained(*each).curves for each in given]
    assert not np.allclose(alone[0]["lr"], alone[1]["lr"])
    for loop in LOOPS[:3]:
        outcomes = train([make_run(*each, *loop) for each in given])
        for mine, outcome in zip(alone, outcomes, strict=True):
            np.testing.assert_allclose(outcome.curves["lr"], mine["lr"], rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(outcome.curves["train/loss"], mine["train/loss"], rtol=1e-10)


def test_reduce_on_plateau_goes_by_the_mean_batch_loss_of_an_epoch():
    """With one batch an epoch, that is the training loss before the step."""
    words = [*PLATEAU, "dataset=wine", "model.hidden=[4]", "epochs=40", "record.every=1", "lr=3"]
    curves = trained(*words).curves
    schedule, expected = make_config(*words).schedule, []
    state = schedule.init(np.zeros(1))
    for loss in curves["train/loss"]:
        expected.append(3 * schedule.feedback(state)[0])
        state = schedule.observe(np.array([loss]), state)
    np.testing.assert_allclose(curves["lr"], expected, rtol=1e-12)
    assert curves["lr"][-1] < 1


@pytest.mark.parametrize(
    ("backend", "name"),
    [("numpy", "linear"), ("numpy", "cosine"), ("numpy", "constant"), ("jax", "linear"), ("random_search", "linear")],
)
def test_lr_is_recorded_as_that_of_the_next_step(backend, name):
    schedule = make_config(f"schedule={name}").schedule
    curves = trained(f"backend={backend}", *WORDS, "lr=0.5", f"schedule={name}").curves
    k = curves["step"] / 3 if schedule.by == "step" else curves["step"] // 3
    expected = [0.5 * schedule.factor(float(place), 12) for place in k]
    np.testing.assert_allclose(curves["lr"], expected, rtol=1e-12, atol=1e-16)
    assert (curves["lr"][-1] == 0) == (name != "constant")


def test_a_step_takes_the_rate_that_was_recorded_before_it():
    """Of plain descent: theta moves by lr times the gradient, whose norm is recorded too."""
    run = make_run("schedule=linear", "dataset=wine", "model.hidden=[4]", "epochs=10", "record.every=1", "lr=0.1")
    thetas = []
    (outcome,) = train([run], lambda recorder: thetas.append(recorder.last[0].copy()))
    moved = np.linalg.norm(np.diff([outcome.theta["init"], *thetas], axis=0), axis=1)
    curves = outcome.curves
    np.testing.assert_allclose(moved, (curves["lr"] * curves["train/grad_norm"])[:-1], rtol=1e-9)


def test_a_run_of_no_epochs_records_the_first_rate():
    for name in NAMES:
        curves = trained(f"schedule={name}", "epochs=0", "lr=0.5").curves
        assert curves["lr"].tolist() == [0.5 * build(name).factor(0, 1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Careless(Constant):
    """A schedule of somebody's own, whose state has no number for each run."""

    def init(self, loss):
        return (0.0,)


def test_a_state_of_the_wrong_shape_is_refused():
    run = replace(make_run("epochs=2"), schedule=Careless())
    with pytest.raises(ComponentError, match="Careless.init: must give a tuple of arrays, one number a run in each"):
        train([run])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Halving(Schedule):
    """A schedule that falls with the place in the run, and is halved whenever the loss has grown."""

    by: str = "step"

    def factor(self, k, n):
        return 1 - k / n

    def init(self, loss):
        xp = loss.__array_namespace__()
        return xp.full_like(loss, math.inf), xp.ones_like(loss)

    def observe(self, loss, state):
        xp = loss.__array_namespace__()
        before, factor = state
        return loss, xp.where(loss > before, factor / 2, factor)

    def feedback(self, state):
        return state[1]


def test_a_schedule_of_ones_own_may_look_at_losses():
    runs = [replace(make_run(*WORDS, *loop, "lr=1.5"), schedule=Halving()) for loop in LOOPS]
    first, *others = [train([run])[0].curves for run in runs]
    for curves in others:
        np.testing.assert_allclose(curves["lr"], first["lr"], rtol=1e-12)
        np.testing.assert_allclose(curves["train/loss"], first["train/loss"], rtol=1e-10)
    assert first["lr"][1] == pytest.approx(1.5 * (1 - 1 / 36)) and first["lr"][-2] < 1.5 / 36


def test_identities_of_present_schedules_do_not_know_the_later_options():
    for name in ("constant", "step", "exponential", "cosine", "warmup", "warmup_cosine"):
        identity = make_config(f"schedule={name}").identity
        assert make_config(f"schedule={name}", "schedule.by=epoch").identity == identity
        assert make_config(f"schedule={name}", "schedule.by=step").identity != identity
    assert make_config("schedule=linear", "schedule.by=epoch").identity != make_config("schedule=linear").identity


def test_comparisons_let_the_learning_rate_fall_and_published_experiments_keep_it():
    for name in choices("experiment"):
        schedule = make_config(f"+experiment={name}").schedule
        falls = schedule == Linear(by="step", warmup=0.05)
        assert falls if name in ("compare", "demo") else schedule == Constant(), name
    assert make_config("+experiment=compare", "schedule=constant").schedule == Constant()
