"""Gradients by backpropagation in NumPy."""

from dataclasses import dataclass
from functools import partial

from src.backends.backprop import backprop, with_ones
from src.backends.base import CPU_RUNS, Descent, Machine, Task, activation_bytes
from src.backends.host import bound_rule
from src.backends.recorded import RecordedMachine


@dataclass(frozen=True, kw_only=True)
class Numpy:
    """Reverse accumulation, written by hand."""

    order = 1
    stack_runs = CPU_RUNS
    working_bytes = staticmethod(activation_bytes)

    def machine(self, task: Task) -> Machine:
        objective = task.program.objective
        descent = Descent(partial(backprop, objective), bound_rule(task))
        return RecordedMachine(task, descent, with_ones(objective.network, task.x_train))
