"""Hill climbing by random search: no gradient, hence no optimizer."""

from dataclasses import dataclass
from typing import Literal

from descent_lab.derivatives.reverse import device_runs
from descent_lab.loops.base import CPU_RUNS, Backend, HillClimb, Machine, Task, activation_bytes
from descent_lab.loops.recorded import HostMachine


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Backend):
    """Proposals theta + lr N(0, 1), the same on either array library; `arrays: jax` compiles the search."""

    kind = "random_search"

    suggested_lr = 0.01

    arrays: Literal["jax", "numpy"] = "jax"

    order = 0
    working_bytes = staticmethod(activation_bytes)

    @property
    def stack_runs(self) -> int:
        return CPU_RUNS if self.arrays == "numpy" else device_runs()

    def machine(self, task: Task) -> Machine:
        objective = task.program.objective
        if self.arrays == "numpy":
            return HostMachine(task, HillClimb(objective))
        from descent_lab.loops.compiled import CompiledMachine  # only when asked for: importing jax takes a second
        from descent_lab.loops.rowwise import rowwise

        return CompiledMachine(task, lambda rule: HillClimb(rowwise(objective, task.program.batches)))
