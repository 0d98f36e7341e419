"""Gradients and Hessians by a truncated Taylor algebra, in one forward evaluation without a reverse pass.

The algebra itself can be used on its own: see `descent_lab.taylor`. The cost grows with the number of parameters: every
number of the forward pass carries a derivative for each parameter that it depends on.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from descent_lab.derivatives.base import Derivatives, NumpyBackend
from descent_lab.derivatives.counting import Count, counted
from descent_lab.loops.memory import activation_bytes
from descent_lab.problems.objective import Objective
from descent_lab.taylor import seed, tangent_bytes

BLOCK_BYTES = 2**22  # bytes of a block of samples at most, in the gradient of the whole training set


@dataclass(frozen=True, kw_only=True)
class TaylorAlgebra(NumpyBackend):
    """Forward-mode derivatives up to `order`."""

    kind = "taylor"

    order: Literal[1, 2] = 1

    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes that a step of one run on n samples takes: a multiple (measured) of the widest layer's tangents."""
        return _tangent_bytes(objective, n, self.order, itemsize)

    def evaluation_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes of the activations of n samples, and of the tangents of a block of them."""
        in_block = _tangent_bytes(objective, _block_size(objective, n, itemsize), 1, itemsize)
        return max(activation_bytes(objective, n, itemsize), in_block)

    def cost(self, objective: Objective, n: int, order: int) -> float:
        """The cost in gradients, from the multiplications that the algebra makes, counted for a few samples."""
        return _multiplications(objective, self.order, n) / (n * objective.network.gradient_products)

    def differentiate(self, objective: Objective, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> Derivatives:
        """The loss and its derivatives by `forward_mode`."""
        return forward_mode(objective, self.order, theta, x, y)

    def gradient(self, objective: Objective, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The gradient (n_runs, n_params) of the whole training set.

        It is the mean over blocks of samples, weighted by their numbers of samples, so that tangents fit in memory.
        """
        n = x.shape[-2]
        size = _block_size(objective, n, theta.itemsize)
        if size == n:
            g: np.ndarray = forward_mode(objective, 1, theta, x, y).g
            return g
        total = np.zeros_like(theta)
        for first in range(0, n, size):
            block = x[..., first : first + size, :], y[..., first : first + size, :]
            total += forward_mode(objective, 1, theta, *block).g * (block[0].shape[-2] / n)
        return total


def forward_mode(objective: Objective, order: int, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> Derivatives:
    """Loss and derivatives for theta (n_runs, n_params). Direction k of the algebra is theta_k."""
    loss, batch_stats = objective.value(seed(theta, order), x, y)
    H = loss.hessian if order == 2 else None
    stats = getattr(batch_stats, "value", batch_stats)  # those of the data alone depend on no direction
    return Derivatives(loss.value, loss.gradient, H, stats)


def _tangent_bytes(objective: Objective, n: int, order: int, itemsize: int) -> int:
    network = objective.network
    held = 3 + (5 if network.n_batch_stats else 2) * (network.depth - 1)
    return held * tangent_bytes(n * network.widest, network.n_params, order, itemsize)


def _block_size(objective: Objective, n: int, itemsize: int) -> int:
    """The number of samples of a block. A network that normalises over the batch needs all n samples at once."""
    if objective.network.n_batch_stats:
        return n
    return max(1, min(n, BLOCK_BYTES // _tangent_bytes(objective, 1, 1, itemsize)))


def _multiplications(objective: Objective, order: int, n: int) -> float:
    """The number of multiplications that the algebra makes for n samples: a constant, and a number for each sample."""
    of_two, of_three = _counts(objective, order)
    return of_two + (n - 2) * (of_three - of_two)


@lru_cache(maxsize=64)
def _counts(objective: Objective, order: int) -> tuple[int, int]:
    """The numbers of multiplications for 2 and for 3 samples, counted while they are made.

    Counted are those within matrix products, and those of tangents by the derivatives of elementwise functions.
    """
    counts = Count(), Count()
    for n, count in zip((2, 3), counts, strict=True):
        shapes = (objective.network.n_params,), (n, objective.network.n_features), (n, objective.network.n_outputs)
        with np.errstate(all="ignore"):
            forward_mode(objective, order, *(counted(np.ones((1, *shape)), count) for shape in shapes))
    return counts[0].multiplications, counts[1].multiplications
