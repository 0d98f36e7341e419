"""Gradients by backpropagation in NumPy."""

from dataclasses import dataclass
from functools import partial

from descent_lab.derivatives.backprop import backprop, with_ones
from descent_lab.loops.base import CPU_RUNS, Backend, Descent, Machine, Task, activation_bytes
from descent_lab.loops.recorded import HostMachine, bound_rule
from descent_lab.problems.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Numpy(Backend):
    """Reverse accumulation, written by hand."""

    kind = "numpy"

    order = 1
    stack_runs = CPU_RUNS

    def working_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """What a step of one run on n samples keeps, and once more while metrics are computed."""
        return (3 if objective.network.batch_norm else 2) * activation_bytes(objective, n, itemsize)

    def machine(self, task: Task) -> Machine:
        objective = task.program.objective
        descent = Descent(partial(backprop, objective), bound_rule(task))
        return HostMachine(task, descent, with_ones(objective.network, task.x_train))
