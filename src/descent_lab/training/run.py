"""A run: what is trained, when it is recorded, why it may stop, and what it leaves behind."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from descent_lab.components import neutral
from descent_lab.data.base import Outline
from descent_lab.derivatives.base import Backend
from descent_lab.loops.base import Program
from descent_lab.loops.stacking import shape
from descent_lab.optim.base import Optimizer
from descent_lab.optim.schedules import Schedule
from descent_lab.problems.supervised import Problem

Dtype = Literal["float64", "float32"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """When metrics are recorded: at `points` log-spaced steps, or, if `every` is given, every so many steps.

    The first and the last step are recorded always.
    """

    points: Annotated[int, Ge(2)] = 100
    every: Annotated[int, Ge(1)] | None = None

    def steps(self, n_steps: int) -> list[int]:
        """The steps to record at, increasing, from 0 to n_steps."""
        if self.every is not None:
            return sorted({*range(0, n_steps + 1, self.every), n_steps})
        spaced = np.geomspace(1, max(n_steps, 1), self.points - 1)
        return sorted({0, *(min(n_steps, round(t)) for t in spaced), n_steps})


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Reasons to end a run before its epochs are over. A reason that is None does not apply.

    target: end when train/loss is at or below it. min_delta: end when train/loss changes by less between two records.
    patience: end after so many records without a new lowest validation/loss (train/loss, where there is no validation
    set); min_delta is then the least by which a new lowest loss must be lower, and no reason of its own.
    max_seconds: end when so many seconds have been spent on steps.
    explode: end the run as diverged at the first step with a loss of more than so many times train/loss at the start,
    or with a loss that is not finite; None: only the latter. At a step the loss of its batch counts. The default is
    large, because losses come back: a network of ReLUs fell below its start again after 8e25 times its loss (measured).
    """

    target: float | None = None
    min_delta: Annotated[float, Ge(0)] | None = None
    patience: Annotated[int, Ge(1)] | None = neutral(None)
    max_seconds: Annotated[float, Gt(0)] | None = None
    explode: Annotated[float, Gt(1)] | None = neutral(1e30)


@dataclass(frozen=True)
class Run:
    """One run, ready to train; the defaults are those of the command line too."""

    problem: Problem
    backend: Backend
    optimizer: Optimizer | None
    schedule: Schedule
    lr: float
    epochs: int = 200
    dtype: Dtype = "float64"
    record: Record = Record()
    stop: Stop = Stop()

    @property
    def program(self) -> Program:
        """The part of this run that another must share, so that both can be trained in one stack."""
        return Program(
            backend=self.backend,
            objective=self.problem.objective,
            batches=self.problem.batches,
            n_test=len(self.problem.data.x_test),
            n_validation=len(self.problem.data.x_validation),
            epochs=self.epochs,
            dtype=self.dtype,
            optimizer=None if self.optimizer is None else shape(self.optimizer),
            schedule=shape(self.schedule),
        )

    def gradient_equivalents(self, n_steps: int) -> float:
        """The cost of the first n_steps steps in gradients of the whole training set, without that of the metrics.

        The unit is one gradient by backpropagation, counted in the multiplications that this network takes for it.
        """
        batches, objective = self.problem.batches, self.problem.objective
        order = 0 if self.optimizer is None else self.optimizer.order
        epochs = n_steps // batches.per_epoch  # each ends with a batch of last_size
        cost = 0.0
        for n_batches, size in ((n_steps - epochs, batches.size), (epochs, batches.last_size)):
            if n_batches:
                cost += n_batches * size / batches.n * self.backend.cost(objective, size, order)
        own = 0.0 if self.optimizer is None else self.optimizer.multiplications(objective.network.n_params)
        return cost + n_steps * own / (objective.network.gradient_products * batches.n)

    def bytes(self) -> int:
        """Bytes of the arrays of this run: its data, theta with the optimizer's state, and the working memory.

        The working memory is that of a step or of the metrics, whichever takes more.
        """
        parts, objective, itemsize = self.problem.data.parts, self.problem.objective, np.dtype(self.dtype).itemsize
        numbers = sum(x.size + y.size for x, y in parts.values()) + 6 * objective.network.n_params
        evaluation = self.backend.evaluation_bytes(objective, max(len(x) for x, _ in parts.values()), itemsize)
        step = self.backend.step_bytes(objective, self.problem.batches.size, itemsize)
        return numbers * itemsize + max(evaluation, step)


@dataclass
class Outcome:
    """The results of a run."""

    curves: dict[str, np.ndarray]  # step, epoch, time/step_seconds and the metrics, each (n_records,)
    theta: dict[str, np.ndarray]  # init, best, final (n_params,); with batch normalisation also statistics_init, ...
    predictions: dict[str, np.ndarray]  # of the final theta on the test set, and the truth: (n_test, n_outputs)
    ledger: dict[str, float]  # seconds by purpose
    ended: str  # epochs, target, min_delta, patience, max_seconds, diverged
    timing: str  # isolated, or shared with the runs that it was stacked with
    device: str
    diverged_at: int | None = None
    gradient_equivalents: float = np.nan  # what its steps cost, up to the last record
    data: Outline | None = None  # what it was trained and tested on

    @property
    def status(self) -> str:
        """diverged or finished."""
        return "diverged" if self.ended == "diverged" else "finished"
