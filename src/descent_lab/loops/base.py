"""What every backend shares: the task it is given, the two kinds of step, and the machine it answers with."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from descent_lab.components import Component
from descent_lab.data.batching import Batches
from descent_lab.loops.stacking import Stacked
from descent_lab.nn.activations import Array
from descent_lab.nn.network import BN_MOMENTUM
from descent_lab.problems.objective import Objective


@dataclass(frozen=True)
class Program:
    """Everything that shapes the computation of a run; runs that share it are trained as one stack."""

    backend: Any
    objective: Objective
    batches: Batches
    n_test: int
    epochs: int
    dtype: str
    rule: tuple[Any, ...] | None  # shape of the optimizer
    schedule: tuple[Any, ...]  # shape of the schedule

    @property
    def n_steps(self) -> int:
        return self.epochs * self.batches.per_epoch


class Rows(NamedTuple):
    """Rows first, first + 1, ... of a sequence that the host draws: (n_runs, n_rows, width)."""

    first: int
    values: np.ndarray


@dataclass(frozen=True)
class Task:
    """A stack of runs to train: one program, and the numbers of each run along the leading axis of every array."""

    program: Program
    theta: np.ndarray  # (n_runs, n_params)
    x_train: np.ndarray  # (n_runs, n, n_features)
    y_train: np.ndarray  # (n_runs, n, n_outputs)
    x_test: np.ndarray
    y_test: np.ndarray
    lr: np.ndarray  # (n_runs,)
    rule: Stacked | None
    schedule: Stacked
    order: Rows | None  # the first sample orders, if batches are shuffled
    noise: Rows | None  # the first search directions, if the backend searches

    @property
    def n_runs(self) -> int:
        return len(self.theta)


class Carry(NamedTuple):
    """The state of training between two steps."""

    theta: Array  # (..., n_params)
    inner: Any  # the method's own: the optimizer's state, or the lowest loss so far
    statistics: Array | None  # running statistics (..., n_statistics), if the network keeps any
    diverged_at: Array  # (...) first step with a non-finite loss; -1: none


class Derivatives(NamedTuple):
    """The loss of a batch (...) and its derivatives."""

    loss: Array
    g: Array  # (..., n_params)
    H: Array | None  # (..., n_params, n_params), where it was asked for
    seen: Array | None  # batch statistics (..., n_statistics), if the network normalises


Differentiate = Callable[[Array, Array, Array], Derivatives]  # of theta, x, y


@dataclass(frozen=True)
class Descent:
    """theta_{t+1} = theta_t + step(g_t): the gradient from the backend, the step from the optimizer."""

    differentiate: Differentiate
    rule: Any

    def start(self, theta: Array, x: Array, y: Array) -> Any:
        """The optimizer's state before the first step."""
        return self.rule.init(theta)

    def metrics(self, inner: Any) -> dict[str, Array]:
        """What the optimizer has to tell."""
        return self.rule.metrics(inner)

    def step(self, carry: Carry, x: Array, y: Array, lr: Array, noise: Array | None) -> tuple[Carry, Array]:
        """One update, and the batch loss before it."""
        theta = carry.theta
        loss, g, H, seen = self.differentiate(theta, x, y)
        step, inner = self.rule.step(g, carry.inner, theta, lr, H)
        return carry._replace(theta=theta + step, inner=inner, statistics=running(carry.statistics, seen)), loss


@dataclass(frozen=True)
class HillClimb:
    """Random search: theta' = theta + lr N(0, 1), kept if its batch loss is lower than the lowest so far."""

    objective: Objective

    def start(self, theta: Array, x: Array, y: Array) -> Any:
        """The loss to be beaten: that of the first batch."""
        return self.objective.value(theta, x, y)[0]

    def metrics(self, inner: Any) -> dict[str, Array]:
        """Nothing beside the curves."""
        return {}

    def step(self, carry: Carry, x: Array, y: Array, lr: Array, noise: Array) -> tuple[Carry, Array]:
        """One proposal, and the lowest batch loss before it."""
        theta, lowest = carry.theta, carry.inner
        xp = theta.__array_namespace__()
        proposal = theta + lr * noise
        loss, seen = self.objective.value(proposal, x, y)
        better = loss < lowest
        kept = carry._replace(
            theta=xp.where(better[..., None], proposal, theta),
            inner=xp.where(better, loss, lowest),
            statistics=_where(better, running(carry.statistics, seen), carry.statistics),
        )
        return kept, lowest


CPU_RUNS = 32  # measured: what a processor gains from runs that train together, it gains from so many


def activation_bytes(objective: Objective, n: int, itemsize: int) -> int:
    """Activations of n samples and their derivatives, twice."""
    return 4 * n * sum(objective.network.sizes) * itemsize


def _where(better: Array, new: Array | None, old: Array | None) -> Array | None:
    return None if new is None else new.__array_namespace__().where(better[..., None], new, old)


def running(statistics: Array | None, seen: Array | None) -> Array | None:
    """Running statistics after a batch, as torch.nn.BatchNorm1d keeps them."""
    if statistics is None or seen is None:
        return None
    return (1 - BN_MOMENTUM) * statistics + BN_MOMENTUM * seen


def first_statistics(objective: Objective, theta: np.ndarray) -> np.ndarray | None:
    """Means 0 and variances 1 for every normalised unit, (n_runs, n_statistics)."""
    network = objective.network
    if not network.n_statistics:
        return None
    means_and_variances = [part for width in network.sizes[1:-1] for part in (np.zeros(width), np.ones(width))]
    return np.tile(np.concatenate(means_and_variances).astype(theta.dtype), (len(theta), 1))


class Machine(Protocol):
    """A task made ready by a backend. Calls return when the work is done: their wall time is the work's time."""

    @property
    def device(self) -> str:
        """What computes."""

    def compile(self) -> None:
        """Do now whatever has to be done once; counted apart from the steps."""

    def start(self) -> Carry:
        """The untouched start."""

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, noise: Rows | None) -> Carry:
        """Steps start, ..., stop - 1. `order` holds sample orders by epoch, `noise` search directions by step."""

    def measure(self, carry: Carry) -> dict[str, np.ndarray]:
        """Metrics of the whole training and test set by name, each (n_runs,)."""


class Backend(Component, ABC):
    """Where the step comes from. Every backend is a frozen dataclass of its options.

    suggested_lr: the learning rate where none is given, of a backend that takes no optimizer.
    """

    group = "backend"
    suggested_lr: ClassVar[float | None] = None
    order: int  # of the highest derivative it gives; 0: none, and no optimizer

    @property
    @abstractmethod
    def stack_runs(self) -> int:
        """The number of runs of a full stack: more runs together are not faster."""

    @abstractmethod
    def working_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """What a step of one run on n samples takes, data and parameters apart."""

    @abstractmethod
    def machine(self, task: Task) -> Machine:
        """Make a task ready to train."""
