"""The learning rate of every step, and the losses that a schedule looks at between steps."""

from typing import Any

import numpy as np

from descent_lab.loops.base import Program, Watched, Workload
from descent_lab.nn.activations import Array
from descent_lab.optim.schedules import Schedule


def factor_at(schedule: Schedule, program: Program, t: Any) -> Any:
    """The schedule's factor in step t, which is an integer or traced."""
    per_epoch = program.batches.per_epoch
    epoch, done = t // per_epoch, t % per_epoch
    # t / per_epoch, but exactly a whole number between two epochs
    k = epoch + done / per_epoch if schedule.by == "step" else epoch
    return schedule.factor(k, max(1, program.epochs))


def steps_between_looks(schedule: Schedule, program: Program) -> int:
    """The number of steps whose mean batch loss a schedule looks at."""
    return 1 if schedule.by == "step" else program.batches.per_epoch


class Rates:
    """The learning rates of a stack of runs, for NumPy."""

    def __init__(self, workload: Workload) -> None:
        self.workload, self.program = workload, workload.program
        self.lr = workload.column(workload.lr)
        self.schedule = workload.schedule.build(self._shared)
        self.schedules = workload.schedules
        self.between = steps_between_looks(self.schedule, self.program)

    def at(self, t: int, watched: Watched | None) -> Any:
        """The learning rate of step t: a number of one run, or a column (n_runs, 1)."""
        rate = self.lr * factor_at(self.schedule, self.program, t)
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
