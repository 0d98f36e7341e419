"""Backpropagation written out by hand from the chain rule, vectorised over samples and runs. No autodiff.

A bias is the weight of an input that is always 1: with A = [W; b], W over b as they lie in theta, and a row of ones
under h, one product A^T h gives W^T h + b, and one product h delta^T gives the derivatives of both. This takes NumPy a
quarter less time than separate sums for the bias, which it makes row by row.
"""

from dataclasses import dataclass

import numpy as np

from descent_lab.derivatives.base import Derivatives, NumpyBackend
from descent_lab.loops.memory import activation_bytes
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.network import Layer, Network, Trace
from descent_lab.problems.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Numpy(NumpyBackend):
    """Gradients by backpropagation in NumPy."""

    kind = "numpy"

    order = 1

    def step_bytes(self, objective: Objective, n: int, itemsize: int) -> int:
        """Bytes that a step of one run on n samples takes, and its metrics, data and parameters apart."""
        return (3 if objective.network.batch_norm else 2) * activation_bytes(objective, n, itemsize)

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

    x may have its column of ones already, (..., n, n_features + 1).

    Rumelhart, Hinton & Williams 1986. With delta = dL/ds of a layer:
        dL/dA = h delta^T,  dL/dh = W delta  (before W changes),  delta' = dL/dh * f'(z').
    """
    if theta.shape[:-1] == (1,):  # NumPy multiplies faster without the axis of runs
        loss, g, _, batch_stats = backprop(objective, theta[0], x[0], y[0])
        return Derivatives(loss[None], g[None], None, None if batch_stats is None else batch_stats[None])
    network = objective.network
    A, layers = network.affine(theta), network.layers(theta)
    traces = _forward(network, A, layers, x)
    loss, delta = objective.loss.differential(traces[-1].a, y.mT)
    g = np.empty_like(theta)
    dA, slopes = network.affine(g), network.layers(g)
    for k in reversed(range(len(layers))):
        ds = _through_normalisation(layers[k], traces[k], delta, slopes[k])
        _product(traces[k].h, ds.mT, out=dA[k])
        if k:
            before = traces[k - 1]
            delta = _product(layers[k].W, ds) * ACTIVATIONS[network.activation].df(before.z, before.a)
    return Derivatives(loss, g, None, network.batch_stats(traces))


def _forward(network: Network, A: list[np.ndarray], layers: list[Layer], x: np.ndarray) -> list[Trace]:
    """The traces of all layers. h has a row of ones in layers that have a bias."""
    a, traces = x.mT, []
    for k, (A_k, layer) in enumerate(zip(A, layers, strict=True)):
        h = a if A_k.shape[-2] == a.shape[-2] else _over_ones(a)
        traces.append(network.trace(k, h, _product(A_k.mT, h), layer))
        a = traces[-1].a
    return traces


def with_ones(network: Network, x: np.ndarray) -> np.ndarray:
    """x (..., n, n_features) with a column of ones, if the first layer has a bias."""
    (_, (rows, _)), *_ = network.affine_pieces
    return x if rows == x.shape[-1] else np.ascontiguousarray(_over_ones(x.mT).mT)


def _over_ones(a: np.ndarray) -> np.ndarray:
    """a (..., width, n) with a row of ones below it: (..., width + 1, n)."""
    *lead, width, n = a.shape
    h = np.empty_like(a, shape=(*lead, width + 1, n))
    h[..., :-1, :] = a
    h[..., -1, :] = 1
    return h


def _product(A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The matrix product A B. Outer products use np.multiply: np.matmul makes them without BLAS, 5 times as slowly."""
    if A.ndim == 2:
        return np.dot(A, B, out=out)
    return np.multiply(A, B, out=out) if A.shape[-1] == 1 else np.matmul(A, B, out=out)


def _through_normalisation(layer: Layer, trace: Trace, delta: np.ndarray, slope: Layer) -> np.ndarray:
    """dL/ds from delta = dL/dz. It writes dL/dgamma and dL/dbeta into `slope`.

    Ioffe & Szegedy 2015, section 3. With du = gamma delta: ds = (du - mean(du) - u mean(du u)) / sigma.
    """
    if slope.gamma is None or slope.beta is None or trace.u is None:
        return delta
    u, du = trace.u, layer.gamma * delta
    slope.gamma[...] = (delta * u).sum(-1, keepdims=True)
    slope.beta[...] = delta.sum(-1, keepdims=True)
    ds: np.ndarray = (du - du.mean(-1, keepdims=True) - u * (du * u).mean(-1, keepdims=True)) / trace.sigma
    return ds
