"""Backpropagation written out by hand from the chain rule, vectorised over samples and runs. No autodiff.

Each layer has its own backward pass (nn/layers); this module goes through them from the last to the first.
"""

from dataclasses import dataclass

import numpy as np

from descent_lab.derivatives.base import Derivatives, NumpyBackend
from descent_lab.loops.memory import activation_bytes
from descent_lab.nn.layers.affine import JOINED, over_ones
from descent_lab.nn.network import Network
from descent_lab.problems.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Numpy(NumpyBackend):
    """Gradients by backpropagation in NumPy."""

    kind = "numpy"

    order = 1

    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes that a step of one run on n samples takes, and its metrics, data and parameters apart."""
        return (3 if objective.network.n_batch_stats else 2) * activation_bytes(objective, n, itemsize)

    def cost(self, objective: Objective, n: int, order: int) -> float:
        """A step costs one gradient, which is the unit."""
        return 1.0

    def inputs(self, objective: Objective, x: np.ndarray) -> np.ndarray:
        """The training inputs x (n_runs, n, n_features), with a column of ones if the first layer has a bias."""
        return with_ones(objective.network, x)

    def differentiate(self, objective: Objective, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> Derivatives:
        """The loss and the gradient by `backprop`."""
        return backprop(objective, theta, x, y)


def backprop(objective: Objective, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> Derivatives:
    """Loss and gradient for theta (..., n_params), x (..., n, n_features) and y (..., n, n_outputs).

    x may have its column of ones already, (..., n, n_features + 1), if the first layer has a bias.
    Rumelhart, Hinton & Williams 1986.
    """
    if theta.shape[:-1] == (1,):  # NumPy multiplies faster without the axis of runs
        loss, g, _, batch_stats = backprop(objective, theta[0], x[0], y[0])
        return Derivatives(loss[None], g[None], None, None if batch_stats is None else batch_stats[None])
    network = objective.network
    params = network.joined(theta)
    z, caches = network.through(params, x)
    loss, delta = objective.loss.differential(z, y.mT)
    g = np.empty_like(theta)
    network.backward(params, caches, delta, network.joined(g))
    return Derivatives(loss, g, None, network.batch_stats(caches))


def with_ones(network: Network, x: np.ndarray) -> np.ndarray:
    """x (..., n, n_features) with a column of ones, if the first layer takes one in place of a bias.

    A layer of samples with places has its row of ones over all places, and gets it only in the forward pass.
    """
    if len(network.shape) > 1:
        return x
    _, (rows, _) = network.joined_places[0].get(JOINED, (None, (0, 0)))
    return np.ascontiguousarray(over_ones(x.mT).mT) if rows == x.shape[-1] + 1 else x
