"""Gradients by backpropagation in NumPy."""

from dataclasses import dataclass
from functools import partial

from src.backends.backprop import backprop
from src.backends.base import CPU_RUNS, Descent, Machine, Task, activation_bytes
from src.backends.host import HostMachine, bound_rule


@dataclass(frozen=True, kw_only=True)
class Numpy:
    """Reverse accumulation, written by hand."""

    order = 1
    stack_runs = CPU_RUNS
    working_bytes = staticmethod(activation_bytes)

    def machine(self, task: Task) -> Machine:
        return HostMachine(task, Descent(partial(backprop, task.program.objective), bound_rule(task)))
