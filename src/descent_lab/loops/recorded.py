"""The training loop of backends that compute with NumPy arrays."""

from collections.abc import Callable
from functools import partial
from math import isfinite
from platform import machine
from typing import Any

import numpy as np

from descent_lab.derivatives.backprop import backprop
from descent_lab.loops.base import Carry, Rows, Task, first_statistics
from descent_lab.loops.recording import Free, Number, Operand, Recorded, Recording


class HostMachine:
    """Trains all runs of a task at once, by broadcasting along the run axis; its step is recorded and repeated."""

    device = f"cpu {machine()}"

    def __init__(self, task: Task, method: Any, x: np.ndarray | None = None):
        """`x` (n_runs, n, ...): what the method takes in place of the training inputs."""
        self.task, self.method = task, method
        self.x = task.x_train if x is None else x
        self.program = task.program
        self.lr = _column(task, task.lr)
        self.schedule = task.schedule.build(partial(_column, task))

    def compile(self) -> None:
        """Record the steps."""
        batches = self.program.batches
        self.state = _mapped(_held, _moving(self.start()))
        with np.errstate(all="ignore"):
            sizes = dict.fromkeys((batches.size, batches.last_size)) if self.program.n_steps else ()
            free: Free = {}
            self.steps = {size: Step(self, size, free) for size in sizes}

    def start(self) -> Carry:
        return first_carry(self.task, self.method, self.task.order)

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, noise: Rows | None) -> Carry:
        batches = self.program.batches
        _mapped(_load, self.state, _moving(carry))
        with np.errstate(all="ignore"):  # a diverging run overflows; it is noticed by its loss
            for t in range(start, stop):
                epoch, first, last = batches.place(t)
                step = self.steps[last - first]
                if batches.per_epoch > 1:
                    rows = None if order is None else order.values[:, epoch - order.first, first:last]
                    _pick(self.x, slice(first, last), rows, step.x)
                    _pick(self.task.y_train, slice(first, last), rows, step.y)
                if noise is not None and step.noise is not None:
                    step.noise[...] = noise.values[:, t - noise.first]
                _load(step.lr, self.lr * self.schedule.factor(epoch, self.program.epochs))
                step.recording.repeat()
                if not all(map(isfinite, step.loss.tolist())):
                    carry = _noted(carry, step.loss, t)
        theta, inner, statistics = _mapped(_taken, self.state)
        return Carry(theta, inner, statistics, carry.diverged_at)

    def measure(self, carry: Carry) -> dict[str, np.ndarray]:
        task, objective = self.task, self.program.objective
        found: dict[str, np.ndarray] = {}
        with np.errstate(all="ignore"):
            for part, x, y in (("train", task.x_train, task.y_train), ("test", task.x_test, task.y_test)):
                metrics = objective.metrics(carry.theta, x, y, carry.statistics)
                found |= {f"{part}/{name}": value for name, value in metrics.items()}
            if self.program.backend.order:
                g = backprop(objective, carry.theta, task.x_train, task.y_train).g
                found["train/grad_norm"] = np.sqrt((g * g).sum(-1))
        return found | {f"train/{name}": value for name, value in self.method.metrics(carry.inner).items()}


class Step:
    """One step of a machine on batches of one size: where it finds batch, lr and direction, and leaves the loss."""

    def __init__(self, machine: HostMachine, size: int, free: Free):
        task, self.recording = machine.task, Recording(free)
        self.x, self.y = machine.x[:, :size], task.y_train[:, :size]
        if size < task.program.batches.n:
            self.x, self.y = self.x.copy(), self.y.copy()
        self.noise = None if task.noise is None else task.noise.values[:, 0].copy()
        self.lr = _held(machine.lr)
        state, *given = _mapped(self._operand, (machine.state, self.x, self.y, self.lr, self.noise))
        theta, inner, statistics = state
        after, loss = machine.method.step(Carry(theta, inner, statistics, None), *given)
        self.loss = np.empty_like(loss.array)
        self.recording.keep(partial(np.copyto, self.loss, loss.array))
        _mapped(_put, state, _mapped(_apart, state, _moving(after)))

    def _operand(self, held: Any) -> Operand:
        return Number(self.recording, held) if isinstance(held, list) else Recorded(self.recording, held)


def _apart(before: Operand, after: Any) -> Any:
    """A part of the next state, as it will still be when other parts of the state have been overwritten."""
    moves = isinstance(after, Number) or (isinstance(after, Recorded) and after.is_input)
    return after.copy() if moves and after is not before else after


def _put(before: Any, after: Any) -> None:
    if after is not before:
        before[...] = after


def _pick(given: np.ndarray, place: slice, rows: np.ndarray | None, into: np.ndarray) -> None:
    """The samples of a batch, by their place or by their rows (n_runs, size)."""
    if rows is None:
        into[...] = given[:, place]
    else:
        for r, chosen in enumerate(rows):
            given[r].take(chosen, axis=0, out=into[r], mode="clip")  # the mode alone saves it a buffer


def _moving(carry: Carry) -> tuple[Any, ...]:
    """The part of the state that a step computes."""
    return carry.theta, carry.inner, carry.statistics


def _mapped(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """f of the leaves of nested tuples; None stays."""
    if isinstance(tree, tuple):
        parts = tuple(_mapped(f, *leaves) for leaves in zip(tree, *others, strict=True))
        return type(tree)(*parts) if hasattr(tree, "_fields") else parts
    return None if tree is None else f(tree, *others)


def _held(leaf: Any) -> Any:
    """Memory for a leaf: an array, or for a number a list of one."""
    if isinstance(leaf, list | dict):
        raise TypeError(f"a state is a tuple of arrays and numbers (or of such tuples): {type(leaf).__name__}")
    return [leaf] if np.ndim(leaf) == 0 else leaf.copy()


def _load(held: Any, leaf: Any) -> None:
    held[0 if isinstance(held, list) else ...] = leaf


def _taken(held: Any) -> Any:
    return held[0] if isinstance(held, list) else held.copy()


def first_carry(task: Task, method: Any, order: Rows | None) -> Carry:
    """The untouched start of a task, as NumPy arrays; `order` begins with the first epoch's."""
    size = task.program.batches.size
    rows = np.arange(size)[None] if order is None else order.values[:, 0, :size]
    runs = np.arange(task.n_runs)[:, None]
    with np.errstate(all="ignore"):
        inner = method.start(task.theta, task.x_train[runs, rows], task.y_train[runs, rows])
    never = np.full(task.n_runs, -1, dtype=np.int32)
    return Carry(task.theta, inner, first_statistics(task.program.objective, task.theta), never)


def bound_rule(task: Task) -> Any:
    """The task's optimizer with its numbers as columns, one row a run."""
    assert task.rule is not None
    return task.rule.build(partial(_column, task))


def _column(task: Task, values: np.ndarray) -> Any:
    """(n_runs,) -> (n_runs, 1) in the dtype of theta, to broadcast against (n_runs, n_params); of one run a number:
    Python computes with numbers faster than NumPy with arrays of one."""
    columns = values.astype(task.theta.dtype)[:, None]
    return columns[0, 0] if len(columns) == 1 else columns


def _noted(carry: Carry, loss: np.ndarray, t: int) -> Carry:
    """The runs whose loss (n_runs,) is not finite at step t are marked, if it is their first."""
    new = ~np.isfinite(loss) & (carry.diverged_at < 0)
    return carry._replace(diverged_at=np.where(new, t, carry.diverged_at))
