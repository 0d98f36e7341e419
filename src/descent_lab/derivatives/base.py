"""Base classes of backends. A backend is a source of derivatives, and the loop that repeats steps with them.

A backend that computes with NumPy arrays derives from `NumpyBackend` and says how to differentiate; any other derives
from `Backend` and makes its loop itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from descent_lab.components import Component
from descent_lab.loops.base import Carry, Loop, MakeUpdate, Workload, running
from descent_lab.loops.eager import EagerLoop
from descent_lab.loops.memory import CPU_RUNS, activation_bytes
from descent_lab.loops.recorded import RecordedLoop
from descent_lab.nn.activations import Array
from descent_lab.optim.base import as_step, named, wrong
from descent_lab.problems.objective import Objective

HostLoopName = Literal["recorded", "eager"]


class Derivatives(NamedTuple):
    """The loss of a batch (...) and its derivatives."""

    loss: Array
    g: Array  # (..., n_params)
    H: Array | None  # (..., n_params, n_params); None unless the second order was asked for
    batch_stats: Array | None  # means and variances of this batch, (..., n_batch_stats), if the network normalises


Differentiate = Callable[[Array, Array, Array], Derivatives]  # a function of theta, x and y
Gradient = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Descent:
    """theta_{t+1} = theta_t + step(g_t), with the gradient from a backend and the step from an optimizer.

    whole_gradient: computes the gradient of the whole training set, whose norm is recorded. If it is None,
    `differentiate` does so.
    """

    differentiate: Differentiate
    optimizer: Any
    whole_gradient: Gradient | None = None

    def start(self, theta: Array, x: Array, y: Array) -> Any:
        """The optimizer's state before the first step."""
        state = self.optimizer.init(theta)
        if not isinstance(state, tuple):
            raise wrong(self.optimizer, "init", f"gives {named(state)}; a state is a tuple of arrays and numbers")
        return state

    def step(self, carry: Carry, x: Array, y: Array, lr: Array, direction: Array | None) -> tuple[Carry, Array]:
        """The state after one step, and the batch loss before it."""
        theta = carry.theta
        loss, g, H, of_batch = self.differentiate(theta, x, y)
        given = self.optimizer.step(g, carry.opt_state, theta, lr, H)
        step, opt_state = as_step(self.optimizer, given, carry.opt_state, theta)
        batch_stats = running(carry.batch_stats, of_batch)
        return carry._replace(theta=theta + step, opt_state=opt_state, batch_stats=batch_stats), loss

    def gradient(self, theta: Array, x: Array, y: Array) -> Array:
        """The gradient (..., n_params) of the loss on x and y."""
        return self.whole_gradient(theta, x, y) if self.whole_gradient else self.differentiate(theta, x, y).g

    def metrics(self, opt_state: Any) -> dict[str, Array]:
        """The metrics that the optimizer adds, by name."""
        metrics: dict[str, Array] = self.optimizer.metrics(opt_state)
        return metrics


class Backend(Component, ABC):
    """The source of the steps of a run. Every backend is a frozen dataclass of its options.

    order: the order of the highest derivative that it gives. A backend of order 0 takes no optimizer.
    suggested_lr: the learning rate of a backend that takes no optimizer, where the user gives none.
    draws_directions: whether every step needs a search direction (n_params,), which the host draws.
    """

    group = "backend"
    suggested_lr: ClassVar[float | None] = None
    draws_directions: ClassVar[bool] = False
    order: int

    @property
    @abstractmethod
    def stack_runs(self) -> int:
        """The number of runs that train together at most: more of them together are not faster."""

    @abstractmethod
    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes that a step of one run on n samples takes, data and parameters apart."""

    def evaluation_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes that the metrics of one run take, data and parameters apart; n: the samples of the largest set."""
        return activation_bytes(objective, n, itemsize)

    @abstractmethod
    def cost(self, objective: Objective, n: int, order: int) -> float:
        """The cost of a step on n samples in gradients: 1 is one gradient of n samples by backpropagation.

        Costs are counted in multiplications of matrix products, of which a gradient of one sample takes
        `Network.gradient_products`. The cost of the optimizer is counted apart (`Optimizer.multiplications`).
        order: the order of the highest derivative that the optimizer needs; 0 where there is no optimizer.
        """

    @abstractmethod
    def prepare(self, workload: Workload) -> Loop:
        """Make a workload ready to train."""


@dataclass(frozen=True, kw_only=True)
class NumpyBackend(Backend):
    """A backend that computes with NumPy arrays. A subclass says how to differentiate.

    loop: `recorded` repeats the calls of the first step, which is quick. `eager` makes every step as it is written, so
    that `print`, `breakpoint()` and `if` on values work in an optimizer.
    """

    loop: HostLoopName = "recorded"

    @property
    def stack_runs(self) -> int:
        """The number of runs that train together at most."""
        return CPU_RUNS

    @abstractmethod
    def differentiate(self, objective: Objective, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> Derivatives:
        """Loss and derivatives for theta (n_runs, n_params), x (n_runs, n, n_features) and y (n_runs, n, n_outputs)."""

    def gradient(self, objective: Objective, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The gradient (n_runs, n_params) of the whole training set, for the metrics."""
        g: np.ndarray = self.differentiate(objective, theta, x, y).g
        return g

    def inputs(self, objective: Objective, x: np.ndarray) -> np.ndarray:
        """The array that steps pass to `differentiate` in place of the training inputs x (n_runs, n, n_features)."""
        return x

    def prepare(self, workload: Workload) -> Loop:
        """The loop that was chosen, over steps of the optimizer."""
        objective = workload.program.objective
        differentiate, gradient = partial(self.differentiate, objective), partial(self.gradient, objective)
        return numpy_loop(
            self.loop,
            workload,
            lambda optimizer: Descent(differentiate, optimizer, gradient),
            self.inputs(objective, workload.x_train),
        )


def numpy_loop(
    name: HostLoopName, workload: Workload, make_update: MakeUpdate, inputs: np.ndarray | None = None
) -> Loop:
    """The loop of that name.

    inputs: the array that the update takes in place of the training inputs. If it is None, the update takes these.
    """
    return {"eager": EagerLoop, "recorded": RecordedLoop}[name](workload, make_update, inputs)
