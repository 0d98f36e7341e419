"""The training loop of backends that compute with NumPy arrays."""

from functools import partial
from platform import machine
from typing import Any

import numpy as np

from src.backends.backprop import backprop
from src.backends.base import Carry, Rows, Task, first_statistics


class HostMachine:
    """Trains all runs of a task at once, by broadcasting along the run axis."""

    device = f"cpu {machine()}"

    def __init__(self, task: Task, method: Any, x: np.ndarray | None = None):
        """`x` (n_runs, n, ...): what the method takes in place of the training inputs."""
        self.task, self.method = task, method
        self.x = task.x_train if x is None else x
        self.program = task.program
        self.lr = _column(task, task.lr)
        self.schedule = task.schedule.build(partial(_column, task))

    def compile(self) -> None:
        """Nothing to compile."""

    def start(self) -> Carry:
        return first_carry(self.task, self.method, self.task.order)

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, noise: Rows | None) -> Carry:
        with np.errstate(all="ignore"):  # a diverging run overflows; it is noticed by its loss
            for t in range(start, stop):
                x, y = batch_of(self.task, self.x, t, order)
                direction = None if noise is None else noise.values[:, t - noise.first]
                lr = self.lr * self.schedule.factor(t // self.program.batches.per_epoch, self.program.epochs)
                after, loss = self.method.step(carry, x, y, lr, direction)
                carry = after if np.isfinite(loss).all() else noted(after, loss, t)
        return carry

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


def first_carry(task: Task, method: Any, order: Rows | None) -> Carry:
    """The untouched start of a task, as NumPy arrays; `order` begins with the first epoch's."""
    x, y = batch_of(task, task.x_train, 0, order)
    with np.errstate(all="ignore"):
        inner = method.start(task.theta, x, y)
    never = np.full(task.n_runs, -1, dtype=np.int32)
    return Carry(task.theta, inner, first_statistics(task.program.objective, task.theta), never)


def batch_of(task: Task, x: np.ndarray, t: int, order: Rows | None) -> tuple[np.ndarray, np.ndarray]:
    """The samples of step t, of x (n_runs, n, ...) and of the targets (n_runs, n, n_outputs)."""
    if task.program.batches.per_epoch == 1:
        return x, task.y_train
    epoch, first, last = task.program.batches.place(t)
    if order is None:
        return x[:, first:last], task.y_train[:, first:last]
    rows = order.values[:, epoch - order.first, first:last]
    runs = np.arange(task.n_runs)[:, None]
    return x[runs, rows], task.y_train[runs, rows]


def bound_rule(task: Task) -> Any:
    """The task's optimizer with its numbers as columns, one row a run."""
    assert task.rule is not None
    return task.rule.build(partial(_column, task))


def _column(task: Task, values: np.ndarray) -> Any:
    """(n_runs,) -> (n_runs, 1) in the dtype of theta, to broadcast against (n_runs, n_params); of one run a scalar,
    which saves a small step of adam a tenth of its time."""
    columns = values.astype(task.theta.dtype)[:, None]
    return columns[0, 0] if len(columns) == 1 else columns


def noted(carry: Carry, loss: np.ndarray, t: int) -> Carry:
    """The runs whose loss (n_runs,) is not finite at step t are marked, if it is their first."""
    new = ~np.isfinite(loss) & (carry.diverged_at < 0)
    return carry._replace(diverged_at=np.where(new, t, carry.diverged_at))
