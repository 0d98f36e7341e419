"""Reverse-mode gradients by JAX, in a compiled loop over steps.

JAX is imported when a loop is prepared, and not before: a sweep whose runs are all finished does not need it.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from descent_lab.derivatives.base import Backend, Derivatives, Descent
from descent_lab.loops.base import Loop, Workload
from descent_lab.loops.memory import activation_bytes
from descent_lab.loops.xla import device_runs
from descent_lab.nn.layers.base import Params
from descent_lab.nn.network import Network
from descent_lab.problems.objective import Objective

if TYPE_CHECKING:
    import jax

# Both numbers were chosen by measurement.
CACHED = 40_000  # activations of a block of samples at most: so many stay in the cache
FEWEST = 512  # samples of a block at least: with fewer, products of wider layers lose more time than the cache saves


@dataclass(frozen=True, kw_only=True)
class Jax(Backend):
    """Gradients by jax.value_and_grad.

    loop: `compiled` is the only choice.
    """

    kind = "jax"

    loop: Literal["compiled"] = "compiled"

    order = 2

    @property
    def stack_runs(self) -> int:
        """The number of runs that train together at most on this process's device."""
        return device_runs()

    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes of the activations of n samples and of their derivatives."""
        return activation_bytes(objective, n, itemsize)

    def cost(self, objective: Objective, n: int, order: int) -> float:
        """A step costs one gradient. The Hessian adds n_params tangents, each carried through the gradient."""
        network = objective.network
        if order < 2:
            return 1.0
        return 1.0 + network.n_params * network.gradient_tangent_products / network.gradient_products

    def prepare(self, workload: Workload) -> Loop:
        """A compiled loop over steps of the optimizer."""
        from descent_lab.loops.compiled import CompiledLoop

        objective = workload.program.objective

        def gradient(theta: Any, x: Any, y: Any) -> Any:
            return reverse_mode(objective, 1, theta, x, y).g

        return CompiledLoop(
            workload,
            lambda optimizer: Descent(partial(reverse_mode, objective, optimizer.order), optimizer, gradient),
        )


def reverse_mode(objective: Objective, order: int, theta: "jax.Array", x: "jax.Array", y: "jax.Array") -> Derivatives:
    """Loss and derivatives of one run with theta (n_params,). For order 2, forward over reverse mode adds the Hessian.

    The gradient is taken layer by layer and then put together: JAX's gradient of a slice of theta would be as long as
    theta, and mostly zeros.
    """
    import jax
    import jax.numpy as jnp

    params = objective.network.params(theta)
    value_and_grad = jax.value_and_grad(objective.value_of, has_aux=True)
    n_blocks = _blocks(objective.network, len(x))
    whole = value_and_grad if n_blocks == 1 else partial(_in_blocks, value_and_grad, n_blocks)
    (loss, batch_stats), pieces = whole(params, x, y)
    g = jnp.concatenate([piece.ravel() for of_layer in objective.network.in_order(pieces) for piece in of_layer])
    H = jax.hessian(lambda theta: objective.value(theta, x, y)[0])(theta) if order == 2 else None
    return Derivatives(loss, g, H, batch_stats)


def _blocks(network: Network, n: int) -> int:
    """The number of blocks in which n samples are differentiated: 1, or on a CPU so many that each fits the cache."""
    import jax

    size = CACHED // network.units
    if n < 2 * size or size < FEWEST or network.n_batch_stats or jax.default_backend() != "cpu":
        return 1
    least = -(-n // size)
    return next((count for count in range(least, 2 * least) if n % count == 0), least)


def _in_blocks(
    value_and_grad: Callable[..., Any], n_blocks: int, params: list[Params], x: "jax.Array", y: "jax.Array"
) -> Any:
    """The result of `value_and_grad` for a whole batch: the mean over blocks, weighted by their numbers of samples."""
    import jax

    n, size = len(x), -(-len(x) // n_blocks)

    def part(first: Any, size: int) -> Any:
        block = (jax.lax.dynamic_slice_in_dim(array, first, size) for array in (x, y))
        return jax.tree.map(lambda value: value * (size / n), value_and_grad(params, *block))

    def add(k: Any, total: Any) -> Any:
        return jax.tree.map(operator.add, total, part(k * size, size))

    whole = n // size
    nothing = (jax.numpy.zeros((), x.dtype), None), jax.tree.map(jax.numpy.zeros_like, params)
    return jax.lax.fori_loop(0, whole, add, part(whole * size, n % size) if n % size else nothing)
