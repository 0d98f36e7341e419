"""The learning rate of every step, and the losses that a schedule looks at between steps."""

from typing import Any

import numpy as np

from descent_lab.loops.base import Program, Watched, Workload
from descent_lab.nn.activations import Array
from descent_lab.optim.schedules import Schedule


def factor_at(schedule: Schedule, t: Any, per_epoch: int, epochs: int) -> Any:
    """The schedule's factor in step t, an integer or traced, of a run with so many steps an epoch."""
    k = t // per_epoch
    if schedule.by == "step":
        k = k + t % per_epoch / per_epoch  # t / per_epoch, but exactly a whole number between two epochs
    return schedule.factor(k, epochs or 1)


def steps_between_changes(schedule: Schedule, program: Program) -> int:
    """The number of steps with one learning rate, after which a schedule looks at their mean batch loss."""
    return 1 if schedule.by == "step" else program.batches.per_epoch


class Rates:
    """The learning rates of a stack of runs, for NumPy."""

    def __init__(self, workload: Workload) -> None:
        program = workload.program
        self.workload, self.per_epoch, self.epochs = workload, program.batches.per_epoch, program.epochs
        self.lr = workload.column(workload.lr)
        self.schedule = workload.schedule.build(self._shared)
        self.schedules = workload.schedules
        self.between = steps_between_changes(self.schedule, program)
        self.known: tuple[int, Any] = -1, None  # the number of changes before the latest step, and its rate

    def at(self, t: int, watched: Watched | None) -> Any:
        """The learning rate of step t: a number of one run, or a column (n_runs, 1)."""
        changes, rate = t // self.between, self.known[1]
        if changes != self.known[0]:
            rate = self.lr * factor_at(self.schedule, t, self.per_epoch, self.epochs)
            self.known = changes, rate
        if watched is None:
            return rate
        return rate * self.workload.column(np.asarray(self.schedules.feedback(watched.state)))

    def after(self, t: int, watched: Watched, loss: Array) -> Watched:
        """What is watched after step t, whose batch losses were `loss` (n_runs,)."""
        total = watched.total + loss
        if (t + 1) % self.between:
            return watched._replace(total=total)
        return Watched(np.zeros_like(total), self.schedules.observe(total / self.between, watched.state))

    def _shared(self, values: np.ndarray) -> Any:
        """A hyperparameter (n_runs,) as a number of Python, with which it is quick to compute, if all runs share it."""
        return float(values[0]) if (values == values[0]).all() else self.workload.column(values)

    def of_runs(self, t: int, watched: Watched | None) -> np.ndarray:
        """The learning rate of step t of each run, (n_runs,)."""
        return np.broadcast_to(np.ravel(self.at(t, watched)), self.workload.n_runs)
