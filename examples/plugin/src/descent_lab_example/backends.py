"""A backend: conf/backend/forward_mode.yaml makes `backend=forward_mode`."""

from dataclasses import dataclass
from functools import partial

from descent_lab.loops.base import CPU_RUNS, Array, Backend, Derivatives, Descent, Machine, Task, activation_bytes
from descent_lab.problems.objective import Objective


@dataclass(frozen=True, kw_only=True)
class ForwardMode(Backend):
    """Gradients by JAX in forward mode: exact, one directional derivative for each parameter."""

    order = 1
    stack_runs = CPU_RUNS

    def working_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        return objective.network.n_params * activation_bytes(objective, n, itemsize)

    def machine(self, task: Task) -> Machine:
        from descent_lab.loops.compiled import CompiledMachine  # imports JAX, which takes a second

        differentiate = partial(forward_mode, task.program.objective)
        return CompiledMachine(task, lambda optimizer: Descent(differentiate, optimizer))


def forward_mode(objective: Objective, theta: Array, x: Array, y: Array) -> Derivatives:
    """Loss and gradient of one run, theta (n_params,)."""
    import jax

    g, _ = jax.jacfwd(objective.value, has_aux=True)(theta, x, y)
    loss, statistics = objective.value(theta, x, y)
    return Derivatives(loss, g, None, statistics)
