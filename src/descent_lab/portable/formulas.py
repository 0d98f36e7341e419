"""The functions of which a network's predictions are made, written once for any array namespace.

Training uses them as well: nn/activations.py, nn/losses.py and nn/network.py add the derivatives.
"""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

Array = Any  # numpy.ndarray, jax.Array or a Taylor number: anything with __array_namespace__
Function = Callable[[Array], Array]

BN_EPS = 1e-5  # as in torch.nn.BatchNorm1d
SLOPE = 0.01  # of leaky_relu below 0, as in torch.nn.LeakyReLU
CUBIC = 0.044715  # of gelu_tanh (Hendrycks & Gimpel 2016)
ERF = {"numpy": "scipy.special", "jax.numpy": "jax.scipy.special"}  # where namespaces without erf have it


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


def leaky_relu(z: Array) -> Array:
    """z where z > 0, and 0.01 z elsewhere (Maas et al. 2013)."""
    positive = relu(z)
    return positive + SLOPE * (z - positive)


def elu(z: Array) -> Array:
    """z where z > 0, and e^z - 1 elsewhere (Clevert et al. 2016, alpha = 1)."""
    return relu(z) + z.__array_namespace__().expm1(z * (z <= 0))


def softplus(z: Array) -> Array:
    """log(1 + e^z) (Dugas et al. 2001)."""
    return z.__array_namespace__().logaddexp(z, 0.0)  # which cannot overflow


def silu(z: Array) -> Array:
    """z sigmoid(z) (Elfwing et al. 2018); also known as swish."""
    return z * sigmoid(z)


def gelu(z: Array) -> Array:
    """z Phi(z), Phi being the distribution function of N(0, 1) (Hendrycks & Gimpel 2016): PyTorch's default."""
    return z * normal_cdf(z)


def gelu_tanh(z: Array) -> Array:
    """The approximation of gelu by tanh (Hendrycks & Gimpel 2016), within 5e-4 of it."""
    return 0.5 * z * (1 + tanh(gelu_argument(z)))


def gelu_argument(z: Array) -> Array:
    """sqrt(2 / pi) (z + 0.044715 z^3), of which gelu_tanh takes the hyperbolic tangent."""
    return math.sqrt(2 / math.pi) * (z + CUBIC * (z * z * z))


def normal_cdf(z: Array) -> Array:
    """Phi(z) = (1 + erf(z / sqrt(2))) / 2, the distribution function of N(0, 1)."""
    return 0.5 * erf(math.sqrt(0.5) * z) + 0.5


def erf(z: Array) -> Array:
    """The error function 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to z."""
    xp = z.__array_namespace__()
    return import_module(ERF.get(xp.__name__, xp.__name__)).erf(z)


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
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "softplus": softplus,
    "softmax": softmax,
}
REQUIRED = {"gelu": "scipy"}  # by functions, besides NumPy
