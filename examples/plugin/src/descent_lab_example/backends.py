"""A backend: conf/backend/forward_mode.yaml makes `backend=forward_mode`."""

from dataclasses import dataclass
from functools import partial

from descent_lab.derivatives.base import Backend, Derivatives, Descent
from descent_lab.loops.base import Loop, Workload
from descent_lab.loops.memory import CPU_RUNS, activation_bytes
from descent_lab.nn.activations import Array
from descent_lab.problems.objective import Objective


@dataclass(frozen=True, kw_only=True)
class ForwardMode(Backend):
    """Gradients by JAX in forward mode: exact, one directional derivative for each parameter."""

    order = 1
    stack_runs = CPU_RUNS

    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        return objective.network.n_params * activation_bytes(objective, n, itemsize)

    def cost(self, objective: Objective, n: int, order: int) -> float:
        """A forward pass; and for each parameter a tangent, at two products for each one of the pass."""
        network = objective.network
        return (1 + 2 * network.n_params) * network.forward_products / network.gradient_products

    def prepare(self, workload: Workload) -> Loop:
        from descent_lab.loops.compiled import CompiledLoop  # imports JAX, which takes a second

        differentiate = partial(forward_mode, workload.program.objective)
        return CompiledLoop(workload, lambda optimizer: Descent(differentiate, optimizer))


def forward_mode(objective: Objective, theta: Array, x: Array, y: Array) -> Derivatives:
    """Loss and gradient of one run, theta (n_params,)."""
    import jax

    g, _ = jax.jacfwd(objective.value, has_aux=True)(theta, x, y)
    loss, batch_stats = objective.value(theta, x, y)
    return Derivatives(loss, g, None, batch_stats)
