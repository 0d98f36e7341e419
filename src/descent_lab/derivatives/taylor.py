"""Gradients, and Hessians, by a truncated Taylor algebra: one forward evaluation, no reverse pass.

The algebra itself can be used on its own: see src/backends/taylor_algebra.py, whose names are here too. Its cost
grows with the number of parameters: every number of the forward pass carries a derivative for each.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from descent_lab.loops.base import CPU_RUNS, Backend, Derivatives, Descent, Machine, Task
from descent_lab.loops.recorded import HostMachine, bound_rule
from descent_lab.problems.objective import Objective
from descent_lab.taylor import *  # noqa: F403
from descent_lab.taylor import seed, tangent_bytes


@dataclass(frozen=True, kw_only=True)
class TaylorAlgebra(Backend):
    """Forward-mode derivatives up to `order`."""

    kind = "taylor"

    order: Literal[1, 2] = 1

    stack_runs = CPU_RUNS

    def working_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """What a step of one run on n samples takes: so many times the tangents of the widest layer (measured)."""
        network = objective.network
        held = 3 + (5 if network.batch_norm else 2) * (len(network.sizes) - 2)
        return held * tangent_bytes(n * max(network.sizes[1:]), network.n_params, self.order, itemsize)

    def machine(self, task: Task) -> Machine:
        differentiate = partial(forward_mode, task.program.objective, self.order)
        return HostMachine(task, Descent(differentiate, bound_rule(task)))


def forward_mode(objective: Objective, order: int, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> Derivatives:
    """Loss and derivatives for theta (n_runs, n_params): direction k of the algebra is theta_k."""
    loss, seen = objective.value(seed(theta, order), x, y)
    H = loss.hessian if order == 2 else None
    return Derivatives(loss.value, loss.gradient, H, None if seen is None else seen.value)
