"""The training loop of NumPy backends whose steps are recorded."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

from src.backends.base import Carry, Rows
from src.backends.host import HostMachine, noted
from src.backends.recording import Number, Operand, Recorded, Recording


class RecordedMachine(HostMachine):
    """A machine that records its step, one for each size of batch, and repeats it."""

    def compile(self) -> None:
        """Record the steps."""
        batches = self.program.batches
        self.state = _mapped(_held, _moving(self.start()))
        with np.errstate(all="ignore"):
            sizes = {batches.size, batches.last_size} if self.program.n_steps else ()
            self.steps = {size: RecordedStep(self, size) for size in sizes}

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, noise: Rows | None) -> Carry:
        batches = self.program.batches
        _mapped(_load, self.state, _moving(carry))
        with np.errstate(all="ignore"):
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
                    carry = noted(carry, step.loss, t)
        theta, inner, statistics = _mapped(_taken, self.state)
        return Carry(theta, inner, statistics, carry.diverged_at)


class RecordedStep:
    """One step of a machine on batches of one size: where it finds batch, lr and direction, and leaves the loss."""

    def __init__(self, machine: RecordedMachine, size: int):
        task, self.recording = machine.task, Recording()
        self.x, self.y = machine.x[:, :size], task.y_train[:, :size]
        if size < task.program.batches.n:
            self.x, self.y = self.x.copy(), self.y.copy()
        self.noise = None if task.noise is None else task.noise.values[:, 0].copy()
        self.lr = _held(machine.lr)
        state, *given = _mapped(self._operand, (machine.state, self.x, self.y, self.lr, self.noise))
        theta, inner, statistics = state
        after, loss = machine.method.step(Carry(theta, inner, statistics, None), *given)
        self.loss = loss.array
        _mapped(_put, state, _mapped(_apart, state, _moving(after)))

    def _operand(self, held: Any) -> Operand:
        return Number(self.recording, held) if isinstance(held, list) else Recorded(self.recording, held)


def _apart(before: Operand, after: Any) -> Any:
    """A part of the next state, as it will still be when other parts of the state have been overwritten."""
    return after.copy() if isinstance(after, Number | Recorded) and after is not before and after.is_input else after


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
        return tuple(_mapped(f, *parts) for parts in zip(tree, *others, strict=True))
    return None if tree is None else f(tree, *others)


def _held(leaf: Any) -> Any:
    """Memory for a leaf: an array, or for a number a list of one."""
    return [leaf] if np.ndim(leaf) == 0 else leaf.copy()


def _load(held: Any, leaf: Any) -> None:
    held[0 if isinstance(held, list) else ...] = leaf


def _taken(held: Any) -> Any:
    return held[0] if isinstance(held, list) else held.copy()
