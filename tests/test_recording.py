"""Recorded steps: the same numbers as the step itself, for everything that it may compute; and what it may not."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from harness import backends_for, choices, make_run, workload_of

from descent_lab.loops.eager import EagerLoop
from descent_lab.loops.host import HostLoop
from descent_lab.loops.recorded import RecordedLoop
from descent_lab.loops.recording import Number, Recorded, Recording
from descent_lab.optim.first_order import SGD

NO_DECAY: dict[str, Any] = {"weight_decay": 0.0, "clip_value": None, "clip_norm": None}
SMALL = ["dataset=wine", "epochs=3", "batching=minibatch", "batching.size=50"]


def loop_of(*runs: Any) -> HostLoop:
    """The loop of runs that are trained as one stack, ready."""
    loop = runs[0].backend.prepare(workload_of(*runs))
    assert isinstance(loop, HostLoop)
    loop.compile()
    return loop


def eager(recorded: HostLoop) -> EagerLoop:
    """The eager loop over the same workload, with the same update and inputs."""
    assert isinstance(recorded, RecordedLoop)
    return EagerLoop(recorded.workload, lambda optimizer: recorded.update, recorded.inputs)


def assert_same(values: Any, expected: Any, tolerance: float = 1e-13) -> None:
    if isinstance(expected, tuple):
        for a, b in zip(values, expected, strict=True):
            assert_same(a, b, tolerance)
    elif expected is not None:
        assert np.asarray(values).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(values, expected, rtol=tolerance, atol=tolerance)


def assert_repeats(*overrides: str, n_runs: int = 1, tolerance: float = 1e-13) -> None:
    """All steps of a training, in two calls, end where the eager loop does."""
    loop = loop_of(*(make_run(*overrides, f"seed={seed}", f"lr=0.0{seed + 1}") for seed in range(n_runs)))
    order, directions, n = loop.workload.order, loop.workload.directions, loop.program.n_steps
    plain = eager(loop)
    expected = plain.advance(plain.start(), 0, n, order, directions)
    half = loop.advance(loop.start(), 0, n // 2, order, directions)
    kept = half.theta.copy()
    end = loop.advance(half, n // 2, n, order, directions)
    assert_same(tuple(end)[:3], tuple(expected)[:3], tolerance)
    np.testing.assert_array_equal(half.theta, kept)  # what was given out is not written into
    assert not np.array_equal(end.theta, half.theta)


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-5)])
@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_every_optimizer(optimizer, dtype, tolerance, n_runs):
    if backends_for(optimizer)[0] != ("backend=numpy",):
        pytest.skip("not for the numpy backend")
    given = [f"optimizer={optimizer}", "optimizer.clip_norm=1.0", "optimizer.weight_decay=0.01", f"dtype={dtype}"]
    assert_repeats(*SMALL, *given, "schedule=cosine", n_runs=n_runs, tolerance=tolerance)


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("shuffle", ["true", "false"])
@pytest.mark.parametrize(
    "given",
    [
        ["dataset=gaussian", "model.hidden=[6,5]"],
        ["dataset=gaussian", "model.activation=tanh", "model.bias=true", "batching.size=7"],
        ["dataset=product", "model.activation=identity", "batching.size=1"],
        ["dataset=wine", "model.batch_norm=true", "model.hidden=[6,5]", "batching.size=50"],
        ["dataset=wine", "model.batch_norm=true", "batching=full"],
        ["dataset=sign", "model.activation=relu", "batching.size=3"],
        ["dataset=iris", "model.hidden=[]", "batching=full"],
        ["dataset=iris", "model.loss=mse", "model.output=sigmoid"],
        ["dataset=wine", "backend=random_search", "backend.arrays=numpy"],
        ["dataset=wine", "backend=random_search", "backend.arrays=numpy", "model.batch_norm=true"],
        ["dataset=product", "backend=taylor", "model.activation=tanh", "batching.size=4"],
        ["dataset=iris", "backend=taylor", "model.hidden=[4]", "optimizer=adam"],
        ["dataset=iris", "backend=taylor", "model.hidden=[4,4]", "model.batch_norm=true", "batching.size=50"],
        ["dataset=product", "backend=taylor", "backend.order=2", "optimizer=newton", "batching=full"],
    ],
    ids=" ".join,
)
def test_every_kind_of_step(given, shuffle, n_runs):
    mini = [] if "batching=full" in given else ["batching=minibatch", f"batching.shuffle={shuffle}"]
    assert_repeats("backend=numpy", *mini, *given, "epochs=4", n_runs=n_runs)


@dataclass(frozen=True, kw_only=True)
class Swapping(SGD):
    """Keeps the gradients of two steps, the younger one first, and the Fibonacci numbers of t - 1 and t."""

    def init(self, theta):
        return 0 * theta, 0 * theta + 1, 0, 1

    def update(self, g, state, theta, lr):
        young, old, fibonacci, following = state
        return -lr * (young - old) / following, (g, young, following, fibonacci + following)


class Named(NamedTuple):
    t: Any
    m: Any


@dataclass(frozen=True, kw_only=True)
class WithNames(SGD):
    """A state whose parts have names."""

    def init(self, theta):
        return Named(0, 0 * theta)

    def update(self, g, state, theta, lr):
        return -lr * state.m / (1 + state.t), Named(state.t + 1, state.m + g)


@dataclass(frozen=True, kw_only=True)
class Growing(SGD):
    """A number that becomes an array, and a state that is no tuple: what a recorded step cannot hold."""

    begin: Any

    def init(self, theta):
        return self.begin

    def update(self, g, state, theta, lr):
        return -lr * g, ((g * g).sum(-1, keepdims=True),)


@pytest.mark.parametrize(("optimizer", "numbers"), [(WithNames, [20]), (Swapping, [6765, 10946])])
def test_states_of_other_kinds(optimizer, numbers):
    run = make_run("dataset=gaussian", "backend=numpy", "epochs=20")
    loop = loop_of(replace(run, optimizer=optimizer(**NO_DECAY)))
    ends = [each.advance(each.start(), 0, 20, None, None) for each in (loop, eager(loop))]
    assert_same(*(tuple(end)[:3] for end in ends))
    assert type(ends[0].opt_state) is type(ends[1].opt_state)
    assert [part for part in ends[0].opt_state if np.ndim(part) == 0] == numbers


@pytest.mark.parametrize(("begin", "message"), [((0.0,), "cannot become an array of shape"), ([0.0], "is a tuple")])
def test_a_state_that_cannot_be_held_is_refused(begin, message):
    run = make_run("dataset=gaussian", "backend=numpy", "epochs=2")
    with pytest.raises(TypeError, match=message):
        loop_of(replace(run, optimizer=Growing(begin=begin, **NO_DECAY)))


def test_the_step_with_a_non_finite_loss_is_noticed():
    runs = [
        make_run("dataset=product", "backend=numpy", "epochs=400", "model.activation=identity", f"lr={lr}")
        for lr in (0.01, 5)
    ]
    loop = loop_of(*runs)
    carry, losses = loop.start(), []
    with np.errstate(all="ignore"):
        for _ in range(400):
            carry, loss = loop.update.step(carry, loop.inputs, loop.workload.y_train, loop.rates.at(0, None), None)
            losses.append(loss)
    first = int(np.flatnonzero(~np.isfinite(np.array(losses)[:, 1]))[0])
    for each in (loop, eager(loop)):
        assert each.advance(each.start(), 0, 400, None, None).diverged_at.tolist() == [-1, first] and first > 0


# The recording itself: `f` on recorded operands, then again on other values in the same memory.

A, B = np.arange(6.0).reshape(2, 3) + 1, np.linspace(-1, 1, 6).reshape(2, 3)
FUNCTIONS = {
    "ufuncs": lambda a, b, t: np.tanh(a) * b - 2 / a,
    "a number": lambda a, b, t: (0.9**t) * a + b / (1 - 0.5 ** (t + 1)),
    "the root of a number": lambda a, b, t: a * np.sqrt(t),
    "an array to the power of a number": lambda a, b, t: a**t,
    "truth values": lambda a, b, t: (b > 0) * a + (a == b),
    "where": lambda a, b, t: np.where(b > 0, a, t),
    "clip": lambda a, b, t: np.clip(a, -t, t) + a.clip(1, 2),
    "reductions": lambda a, b, t: a.sum(0) + np.max(b) + b.mean(axis=1, keepdims=True) + a.min() + a.prod(),
    "functions": lambda a, b, t: np.concatenate([a, np.linalg.norm(b, axis=0, keepdims=True)]) + np.var(a, 0),
    "products": lambda a, b, t: a @ b.T + np.dot(a, b.mT),
    "views": lambda a, b, t: a[:, None, 1:].reshape(2, 2) + b.T[1:, ...].mT + b[..., 0, 0] + b[1, 2],
    "a copy to reshape": lambda a, b, t: a.T.reshape(6) + np.reshape(b.T, 6),
    "in place": lambda a, b, t: _in_place(a, b),
    "memory of its own": lambda a, b, t: np.add(a, b, out=np.empty_like(a)) + np.zeros_like(b) + np.ones_like(a),
    "functions in place": lambda a, b, t: _functions_in_place(a, b),
    "where of a function": lambda a, b, t: np.sum(a, axis=1, where=b > 0) + a.sum(1, np.float64, None, False),
    "divided where": lambda a, b, t: np.divide(a, b, out=np.zeros_like(a), where=b > 0),
    "functions of numbers": lambda a, b, t: a * np.where(t < 3, 0.1 * t, t) + np.broadcast_to(t, b.shape),
    "whole numbers": lambda a, b, t: (t // 2) * a + (t % 2) * b + abs(t - 2),
    "named results": lambda a, b, t: np.linalg.eigh(a @ a.T).eigenvalues + np.split(b, 3, axis=1)[1].flatten(),
    "turned": lambda a, b, t: a.transpose(1, 0) + np.transpose(b).copy(),
    "integers": lambda a, b, t: np.argmax(b, axis=1) * t,
    "another type": lambda a, b, t: a.astype(np.float32) * t,
}


def _in_place(a: Any, b: Any) -> Any:
    c = a + b
    d = c[:, 1:]
    d *= 3
    c[:, 0] = b[:, 2]
    c[1] += 1
    return c


def _functions_in_place(a: Any, b: Any) -> Any:
    c, d = a + b, np.zeros_like(a)
    np.clip(c, 2, 4, c)
    np.copyto(d, b)
    return np.nan_to_num(c / (c - 4), copy=False, posinf=0.0) + d


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_repetition_computes_what_numpy_does(name):
    f, recording = FUNCTIONS[name], Recording()
    a, b, t = A.copy(), B.copy(), [3]
    with np.errstate(all="ignore"):
        result = f(Recorded(recording, a), Recorded(recording, b), Number(recording, t))
    for k in (3, 1, 2):
        a[...], b[...], t[0] = A + k, k * B[::-1], k
        with np.errstate(all="ignore"):
            recording.repeat()
            expected = f(a.copy(), b.copy(), k)
        assert result.dtype == np.asarray(expected).dtype and result.shape == np.shape(expected)
        np.testing.assert_allclose(result.array, expected, rtol=1e-15)


def test_numbers_do_not_widen_single_precision():
    recording, x = Recording(), np.ones(3, np.float32)
    a, t, lr = Recorded(recording, x), Number(recording, [2]), Number(recording, [np.float32(0.1)])
    scaled = (1 - np.float32(0.9) ** t) * a, (t % 2) * a, abs(t // 2) * a
    for result in (a * t, a * 0.5, lr * a, *scaled, np.where(a > 0, 0.5, a), np.clip(a, 0, lr)):
        assert result.dtype == np.float32


def test_memory_is_used_again_and_inputs_are_not():
    recording, x = Recording(), np.zeros(1000)
    a = Recorded(recording, x)
    for _ in range(50):
        a = 1 - (a + 1) * 2
    assert len({call.keywords["out"].ctypes.data for call in recording._calls}) <= 4
    assert not x.any()


REFUSED = {
    "if": lambda a: 1 if a.sum() > 0 else 0,
    "float": lambda a: float(a.sum()),
    "a plain array": lambda a: np.zeros(3).__setitem__(slice(None), a),
    "in place into a plain array": lambda a: np.add(a, 1, out=np.zeros(3)),
    "an index by value": lambda a: a[np.array([0, 2])],
    "a truth value as index": lambda a: a[True],
    "text": lambda a: np.array2string(a),
    "several results": lambda a: np.modf(a),
    "no function of numpy": lambda a: a.tobytes(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_depends_on_values_is_refused(name):
    with pytest.raises((TypeError, AttributeError), match="record"):
        REFUSED[name](Recorded(Recording(), np.ones(3)))
