"""Hill climbing by random search. It needs no derivative and takes no optimizer."""

from dataclasses import dataclass
from typing import Any, Literal

from descent_lab.derivatives.base import Backend, HostLoopName, numpy_loop
from descent_lab.errors import ConfigError
from descent_lab.loops.base import Carry, Loop, Workload, running
from descent_lab.loops.memory import CPU_RUNS, activation_bytes
from descent_lab.loops.xla import device_runs
from descent_lab.nn.activations import Array
from descent_lab.problems.objective import Objective


@dataclass(frozen=True)
class HillClimb:
    """theta' = theta + lr N(0, 1) is kept if its batch loss is lower than the lowest so far, which is the opt_state."""

    objective: Objective

    def start(self, theta: Array, x: Array, y: Array) -> Array:
        """The loss (...) that a proposal has to beat: that of the first batch."""
        return self.objective.value(theta, x, y)[0]

    def step(self, carry: Carry, x: Array, y: Array, lr: Array, direction: Array | None) -> tuple[Carry, Array]:
        """The state after one proposal, and the lowest batch loss before it."""
        theta, lowest = carry.theta, carry.opt_state
        xp = theta.__array_namespace__()
        proposal = theta + lr * direction
        loss, of_batch = self.objective.value(proposal, x, y)
        better = loss < lowest
        after = carry._replace(
            theta=xp.where(better[..., None], proposal, theta),
            opt_state=xp.where(better, loss, lowest),
            batch_stats=_where(better, running(carry.batch_stats, of_batch), carry.batch_stats),
        )
        return after, lowest

    def gradient(self, theta: Array, x: Array, y: Array) -> None:
        """None, because random search computes no gradient."""

    def metrics(self, opt_state: Any) -> dict[str, Array]:
        """No metrics: random search adds none."""
        return {}


def _where(better: Array, new: Array | None, old: Array | None) -> Array | None:
    return None if new is None else new.__array_namespace__().where(better[..., None], new, old)


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Backend):
    """Random search with proposals theta + lr N(0, 1), which are the same with either array library.

    arrays: the library; `jax` compiles the search. loop: the loop over numpy arrays (see `NumpyBackend`).
    """

    kind = "random_search"

    suggested_lr = 0.01
    draws_directions = True

    arrays: Literal["jax", "numpy"] = "jax"
    loop: HostLoopName = "recorded"

    order = 0

    def __post_init__(self) -> None:
        if self.arrays == "jax" and self.loop == "eager":
            raise ConfigError(
                "loop=eager: is for numpy arrays, those of jax have a compiled loop; give arrays=numpy too"
            )

    @property
    def stack_runs(self) -> int:
        """The number of runs that train together at most."""
        return CPU_RUNS if self.arrays == "numpy" else device_runs()

    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes of the activations of n samples."""
        return activation_bytes(objective, n, itemsize)

    def cost(self, objective: Objective, n: int, order: int) -> float:
        """A step costs one forward pass."""
        return objective.network.forward_products / objective.network.gradient_products

    def prepare(self, workload: Workload) -> Loop:
        """A loop over proposals."""
        objective = workload.program.objective
        if self.arrays == "numpy":
            return numpy_loop(self.loop, workload, lambda _: HillClimb(objective))
        from descent_lab.loops.compiled import CompiledLoop  # imports JAX, which takes a second
        from descent_lab.loops.rowwise import rowwise

        values = rowwise(objective, workload.program.batches)
        return CompiledLoop(workload, lambda _: HillClimb(values))
