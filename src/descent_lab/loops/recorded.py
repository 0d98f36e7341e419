"""The quick loop over steps in NumPy: a step is recorded once, and its calls are repeated for every further step.

The numbers are those of the eager loop, up to the rounding of sums over arrays that lie in memory in another order.
"""

from collections.abc import Callable
from functools import partial
from operator import le
from typing import Any

import numpy as np

from descent_lab.loops.base import Carry, Rows
from descent_lab.loops.host import HostLoop, noted, pick
from descent_lab.loops.recording import Free, Number, Operand, Recorded, Recording


class RecordedLoop(HostLoop):
    """Records a step for each size of batch, and repeats it."""

    def compile(self) -> None:
        """Record the steps."""
        batches = self.program.batches
        self.state = _mapped(_held, _moving(self.start()))
        with np.errstate(all="ignore"):
            sizes = dict.fromkeys((batches.size, batches.last_size)) if self.program.n_steps else ()
            free: Free = {}
            self.steps = {size: Step(self, size, free) for size in sizes}

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, directions: Rows | None) -> Carry:
        """Make steps start, ..., stop - 1."""
        batches = self.program.batches
        _mapped(_load, self.state, _moving(carry))
        watched, limits = carry.watched, carry.limit.tolist()
        with np.errstate(all="ignore"):  # a diverging run overflows; it is noticed by its loss
            for t in range(start, stop):
                epoch, first, last = batches.place(t)
                step = self.steps[last - first]
                if batches.per_epoch > 1:
                    rows = None if order is None else order.values[:, epoch - order.first, first:last]
                    pick(self.inputs, slice(first, last), rows, step.x)
                    pick(self.workload.y_train, slice(first, last), rows, step.y)
                if directions is not None and step.direction is not None:
                    step.direction[...] = directions.values[:, t - directions.first]
                _load(step.lr, self.rates.at(t, watched))
                step.recording.repeat()
                if watched is not None:
                    watched = self.rates.after(t, watched, step.loss)
                if not all(map(le, step.loss.tolist(), limits)):
                    carry = noted(carry, step.loss, t)
        theta, opt_state, batch_stats = _mapped(_taken, self.state)
        return carry._replace(theta=theta, opt_state=opt_state, batch_stats=batch_stats, watched=watched)


class Step:
    """One recorded step on batches of one size. It reads x, y, lr and direction, and writes the loss, (n_runs,)."""

    def __init__(self, loop: RecordedLoop, size: int, free: Free) -> None:
        """free: memory that the steps for other sizes may use too."""
        workload, self.recording = loop.workload, Recording(free)
        self.x, self.y = loop.inputs[:, :size], workload.y_train[:, :size]
        if size < workload.program.batches.n:
            self.x, self.y = self.x.copy(), self.y.copy()
        self.direction = None if workload.directions is None else workload.directions.values[:, 0].copy()
        self.lr = _held(loop.rates.lr)
        state, *batch = _mapped(self._operand, (loop.state, self.x, self.y, self.lr, self.direction))
        theta, opt_state, batch_stats = state
        after, loss = loop.update.step(Carry(theta, opt_state, batch_stats, None, None), *batch)
        self.loss = np.empty_like(loss.array)
        self.recording.keep(partial(np.copyto, self.loss, loss.array))
        _mapped(_put, state, _mapped(_apart, state, _moving(after)))

    def _operand(self, held: Any) -> Operand:
        return Number(self.recording, held) if isinstance(held, list) else Recorded(self.recording, held)


def _apart(before: Operand, after: Any) -> Any:
    """A part of the next state, copied where overwriting another part of the state would change it."""
    moves = isinstance(after, Number) or (isinstance(after, Recorded) and after.is_input)
    return after.copy() if moves and after is not before else after


def _put(before: Any, after: Any) -> None:
    """Write a part of the next state where that of the present one lies."""
    if after is not before:
        before[...] = after


def _moving(carry: Carry) -> tuple[Any, ...]:
    """The part of the state that a step computes."""
    return carry.theta, carry.opt_state, carry.batch_stats


def _mapped(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """f applied to the leaves of nested tuples. None stays None."""
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
    """Write a leaf into the memory that is held for it."""
    held[0 if isinstance(held, list) else ...] = leaf


def _taken(held: Any) -> Any:
    """A copy of what the memory of a leaf holds."""
    return held[0] if isinstance(held, list) else held.copy()
