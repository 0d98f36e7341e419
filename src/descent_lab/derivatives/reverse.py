"""Reverse-mode gradients by JAX, in a compiled loop over steps.

JAX is imported when a machine is built, not before: a sweep that is finished already does without it.
"""

import operator
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from descent_lab.loops.base import CPU_RUNS, Backend, Derivatives, Descent, Machine, Task, activation_bytes
from descent_lab.nn.network import Layer, Network
from descent_lab.problems.objective import Objective

if TYPE_CHECKING:
    import jax

ACCELERATOR_RUNS = 1024
CACHED = 40_000  # activations of a block; measured, as is the next
FEWEST = 512  # samples of a block: smaller products of wider layers take longer than the cache saves

if "jax" in sys.modules:  # double precision, from here on or from when it is imported
    sys.modules["jax"].config.update("jax_enable_x64", True)
else:
    os.environ["JAX_ENABLE_X64"] = "true"

# A loop over small steps becomes one kernel of one thread, where XLA would call each part of each step and wake threads
# for some. Measured: 1.3 to 3 times faster where a step takes a few microseconds; one of 20 us may take a fifth longer
# than on two idle cores, but takes one. Read when JAX first compiles; XLA passes over loops that hold what such a
# kernel cannot, such as matrix products.
if "xla_backend_extra_options" not in (flags := os.environ.get("XLA_FLAGS", "")):
    small = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1048576"
    os.environ["XLA_FLAGS"] = f"{flags} {small}".strip()


@dataclass(frozen=True, kw_only=True)
class Jax(Backend):
    """Gradients by jax.value_and_grad."""

    kind = "jax"

    order = 2
    working_bytes = staticmethod(activation_bytes)

    @property
    def stack_runs(self) -> int:
        return device_runs()

    def machine(self, task: Task) -> Machine:
        from descent_lab.loops.compiled import CompiledMachine

        assert task.rule is not None
        differentiate = partial(reverse_mode, task.program.objective, task.rule.kind.order)
        return CompiledMachine(task, lambda rule: Descent(differentiate, rule))


def device_runs() -> int:
    """Backend.stack_runs of what is compiled: an accelerator takes all that there are."""
    import jax

    return CPU_RUNS if jax.default_backend() == "cpu" else ACCELERATOR_RUNS


def reverse_mode(objective: Objective, order: int, theta: "jax.Array", x: "jax.Array", y: "jax.Array") -> Derivatives:
    """Loss and derivatives of one run, theta (n_params,); the Hessian forward over reverse.

    The gradient is taken by layers and put together: that of a slice of theta is as long as theta, mostly zeros.
    """
    import jax
    import jax.numpy as jnp

    layers = objective.network.layers(theta)
    slope = jax.value_and_grad(objective.value_of, has_aux=True)
    n_blocks = _blocks(objective.network, len(x))
    (loss, seen), pieces = slope(layers, x, y) if n_blocks == 1 else _in_blocks(slope, n_blocks, layers, x, y)
    g = jnp.concatenate([piece.ravel() for piece in jax.tree.leaves(pieces)])
    H = jax.hessian(lambda theta: objective.value(theta, x, y)[0])(theta) if order == 2 else None
    return Derivatives(loss, g, H, seen)


def _blocks(network: Network, n: int) -> int:
    """In how many parts a batch of n samples is differentiated: 1, or on a CPU so many that each stays in the cache."""
    import jax

    size = CACHED // sum(network.sizes)
    if n < 2 * size or size < FEWEST or network.batch_norm or jax.default_backend() != "cpu":
        return 1
    least = -(-n // size)
    return next((count for count in range(least, 2 * least) if n % count == 0), least)


def _in_blocks(slope: Callable[..., Any], n_blocks: int, layers: list[Layer], x: "jax.Array", y: "jax.Array") -> Any:
    """What `slope` gives for a whole batch: the mean over blocks, each weighted by its samples."""
    import jax

    n, size = len(x), -(-len(x) // n_blocks)

    def part(first: Any, size: int) -> Any:
        given = (jax.lax.dynamic_slice_in_dim(array, first, size) for array in (x, y))
        return jax.tree.map(lambda value: value * (size / n), slope(layers, *given))

    def add(k: Any, total: Any) -> Any:
        return jax.tree.map(operator.add, total, part(k * size, size))

    whole = n // size
    nothing = (jax.numpy.zeros((), x.dtype), None), jax.tree.map(jax.numpy.zeros_like, layers)
    return jax.lax.fori_loop(0, whole, add, part(whole * size, n % size) if n % size else nothing)
