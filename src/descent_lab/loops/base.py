"""The input and the output of a training loop, and the state that it carries from step to step.

A loop repeats an update. It does not know where the derivatives of the update come from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from descent_lab.data.batching import Batches
from descent_lab.errors import ComponentError
from descent_lab.loops.stacking import Stacked
from descent_lab.nn.activations import Array
from descent_lab.nn.layers.batch_norm import MOMENTUM
from descent_lab.optim.schedules import Schedule
from descent_lab.problems.objective import Objective


@dataclass(frozen=True)
class Program:
    """Everything that shapes the computation of a run; runs that share it are trained as one stack.

    backend: the component that makes the loop. optimizer, schedule: their shapes (`stacking.shape`); optimizer is None
    where the backend takes none. n_test, n_validation: the numbers of these samples.
    """

    backend: object
    objective: Objective
    batches: Batches
    n_test: int
    n_validation: int
    epochs: int
    dtype: str
    optimizer: tuple[Any, ...] | None
    schedule: tuple[Any, ...]

    @property
    def n_steps(self) -> int:
        """The number of steps of a run that is not stopped early."""
        return self.epochs * self.batches.per_epoch


class Rows(NamedTuple):
    """Rows first, first + 1, ... of a sequence that the host draws; values have the shape (n_runs, n_rows, width)."""

    first: int
    values: np.ndarray


@dataclass(frozen=True)
class Workload:
    """A stack of runs to train: one program, and the numbers of each run along the leading axis of every array."""

    program: Program
    theta: np.ndarray  # (n_runs, n_params)
    x_train: np.ndarray  # (n_runs, n, n_features)
    y_train: np.ndarray  # (n_runs, n, n_outputs)
    x_validation: np.ndarray  # of no samples if there is no validation set
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    lr: np.ndarray  # (n_runs,)
    optimizer: Stacked | None
    schedule: Stacked
    order: Rows | None  # the first sample orders, if batches are shuffled
    directions: Rows | None  # the first search directions, if the backend draws some

    @property
    def n_runs(self) -> int:
        """The number of runs in the stack."""
        return len(self.theta)

    @property
    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """x and y of "train", of "validation" if there is such a set, and of "test"."""
        held = {"validation": (self.x_validation, self.y_validation)} if self.program.n_validation else {}
        return {"train": (self.x_train, self.y_train), **held, "test": (self.x_test, self.y_test)}

    def column(self, values: np.ndarray) -> Any:
        """(n_runs,) -> (n_runs, 1) in the dtype of theta, to broadcast against (n_runs, n_params).

        Of one run a number: Python computes with numbers faster than NumPy with arrays of one.
        """
        columns = values.astype(self.theta.dtype)[:, None]
        return columns[0, 0] if len(columns) == 1 else columns

    def with_columns(self, stacked: Stacked | None) -> Any:
        """A stacked component whose numbers are columns, one row a run; None stays None."""
        return None if stacked is None else stacked.build(self.column)

    @property
    def schedules(self) -> Schedule:
        """The schedule whose numbers are arrays (n_runs,), to go with arrays of one number a run."""
        schedule: Schedule = self.schedule.build(lambda values: values.astype(self.theta.dtype))
        return schedule


class Watched(NamedTuple):
    """The losses of a run as its schedule looks at them."""

    total: Array  # (...), the sum of the batch losses since the last look
    state: Any  # of the schedule: a tuple of arrays (...)


class Carry(NamedTuple):
    """The state of training between two steps."""

    theta: Array  # (..., n_params)
    opt_state: Any  # the state of the update: that of the optimizer, or the lowest loss so far
    batch_stats: Array | None  # running means and variances (..., n_batch_stats), if the network normalises
    diverged_at: Array  # (...), the first step whose batch loss is beyond the limit; -1 where there is none
    limit: Array  # (...), finite: a larger loss, or one that is no number, ends the run
    watched: Watched | None = None  # if the schedule looks at losses


class Update(Protocol):
    """Says how one step changes theta. Arrays have leading axes of runs, or none in a compiled loop."""

    def start(self, theta: Array, x: Array, y: Array) -> Any:
        """The opt_state before the first step, whose batch is x and y."""

    def step(self, carry: Carry, x: Array, y: Array, lr: Array, direction: Array | None) -> tuple[Carry, Array]:
        """The state after one step on a batch, and the batch loss (...) before it.

        direction: a search direction (..., n_params), for updates that need one.
        """

    def gradient(self, theta: Array, x: Array, y: Array) -> Array | None:
        """The gradient (..., n_params) of the loss on x and y; None for an update that computes none."""

    def metrics(self, opt_state: Any) -> dict[str, Array]:
        """Further metrics to record, by name, each of shape (...)."""


MakeUpdate = Callable[[Any], Update]  # from the optimizer with the numbers of its runs; None where there is none


class Loop(Protocol):
    """A workload made ready to train. Every call returns when its work is done, so its wall time is the work's time."""

    @property
    def device(self) -> str:
        """The name of the device that computes."""

    def compile(self) -> None:
        """Do now whatever has to be done once. Its seconds are counted apart from those of the steps."""

    def start(self) -> Carry:
        """The state before the first step."""

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, directions: Rows | None) -> Carry:
        """Make steps start, ..., stop - 1.

        order: the sample orders by epoch. directions: the search directions by step.
        """

    def measure(self, carry: Carry) -> dict[str, np.ndarray]:
        """Metrics of the whole training, validation and test set by name, each (n_runs,)."""


def measured(
    objective: Objective, update: Update, carry: Carry, parts: dict[str, tuple[Array, Array]]
) -> dict[str, Array]:
    """The metrics of each part, the norm of the training gradient, and the metrics that the update adds.

    parts: x and y by "train", "validation" (if there is such a set) and "test".
    """
    metrics: dict[str, Array] = {}
    for part, (x, y) in parts.items():
        of_part = objective.metrics(carry.theta, x, y, carry.batch_stats)
        metrics |= {f"{part}/{name}": value for name, value in of_part.items()}
    g = update.gradient(carry.theta, *parts["train"])
    if g is not None:
        xp = g.__array_namespace__()
        metrics["train/grad_norm"] = xp.sqrt((g * g).sum(-1))
    return metrics | {f"train/{name}": value for name, value in update.metrics(carry.opt_state).items()}


def running(batch_stats: Array | None, of_batch: Array | None) -> Array | None:
    """The running means and variances after a batch whose own are `of_batch`, as in torch.nn.BatchNorm1d."""
    if batch_stats is None or of_batch is None:
        return None
    return (1 - MOMENTUM) * batch_stats + MOMENTUM * of_batch


def first_carry(workload: Workload, update: Update) -> Carry:
    """The state of a workload before the first step, as NumPy arrays."""
    size, order = workload.program.batches.size, workload.order
    rows = np.arange(size)[None] if order is None else order.values[:, 0, :size]
    runs = np.arange(workload.n_runs)[:, None]
    with np.errstate(all="ignore"):
        opt_state = update.start(workload.theta, workload.x_train[runs, rows], workload.y_train[runs, rows])
    never = np.full(workload.n_runs, -1, dtype=np.int32)
    limit = np.full(workload.n_runs, np.finfo(workload.theta.dtype).max)  # until the loss of the start is known
    batch_stats = _first_stats(workload.program.objective, workload.theta)
    return Carry(workload.theta, opt_state, batch_stats, never, limit, _first_watched(workload))


def _first_watched(workload: Workload) -> Watched | None:
    """The state of a schedule that looks at losses, before the first step; None for any other."""
    none = np.zeros(workload.n_runs, workload.theta.dtype)
    schedule = workload.schedules
    state = schedule.init(none)
    if not isinstance(state, tuple) or any(np.shape(part) != none.shape for part in state):
        raise ComponentError(f"{type(schedule).__name__}.init: must give a tuple of arrays, one number a run in each")
    return Watched(none, state) if state else None


def _first_stats(objective: Objective, theta: np.ndarray) -> np.ndarray | None:
    """The running statistics before the first step, (n_runs, n_batch_stats); None for a network without any."""
    first = objective.network.first_batch_stats
    return np.tile(np.array(first, theta.dtype), (len(theta), 1)) if first else None
