"""The functions of which a network's predictions are made, written once for any array namespace.

Training uses them as well: nn/activations.py, nn/losses.py and nn/network.py add the derivatives.
"""

from collections.abc import Callable
from typing import Any

Array = Any  # numpy.ndarray, jax.Array or a Taylor number: anything with __array_namespace__
Function = Callable[[Array], Array]

BN_EPS = 1e-5  # as in torch.nn.BatchNorm1d


def identity(z: Array) -> Array:
    """z itself."""
    return z


def relu(z: Array) -> Array:
    """The larger of z and 0."""
    # maximum(z, 0) will not do: at z = 0 automatic differentiation gives the derivative 1/2, and backprop gives 0.
    # NumPy's where is 3 times slower, because it branches on signs that a processor cannot predict.
    return z * (z > 0)


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z)."""
    # It equals (1 + tanh(z / 2)) / 2: tanh cannot overflow, and in XLA it is 3 times quicker than logistic.
    return 0.5 * z.__array_namespace__().tanh(0.5 * z) + 0.5


def tanh(z: Array) -> Array:
    """The hyperbolic tangent."""
    return z.__array_namespace__().tanh(z)


def softmax(z: Array) -> Array:
    """The probabilities e^z_k / sum_k e^z_k of classes k, which are axis -2."""
    e = z.__array_namespace__().exp(lowered(z))
    return e / e.sum(axis=-2, keepdims=True)


def lowered(z: Array) -> Array:
    """z minus the largest logit of each sample: no probability changes, and exp cannot overflow."""
    return z - z.__array_namespace__().max(z, axis=-2, keepdims=True)


def normalised(s: Array, mean: Array, variance: Array) -> tuple[Array, Array]:
    """u = (s - mean) / sigma, and sigma = sqrt(variance + eps) (Ioffe & Szegedy 2015)."""
    sigma = s.__array_namespace__().sqrt(variance + BN_EPS)
    return (s - mean) / sigma, sigma


FUNCTIONS: dict[str, Function] = {
    "identity": identity,
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "softmax": softmax,
}
