"""Activation functions, written once for any array namespace, each with the derivative backprop needs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any  # numpy.ndarray, jax.Array or a Taylor number: anything with __array_namespace__


@dataclass(frozen=True)
class Activation:
    """a = f(z) elementwise, its derivative df(z, a), like z or 1, and the gain that keeps the variance through a layer.

    The gains are those of He et al. 2015 (relu) and of `torch.nn.init.calculate_gain` (the others).
    """

    f: Callable[[Array], Array]
    df: Callable[[Array, Array], Array | float]
    gain: float = 1.0


def _relu(z: Array) -> Array:
    # Not maximum: automatic differentiation splits the tie at z = 0, backprop takes 0 there. Not where: NumPy's
    # branches, which on signs that no processor can foresee takes three times as long.
    return z * (z > 0)


def _sigmoid(z: Array) -> Array:
    # 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2: cannot overflow, and XLA's tanh is 3 times cheaper than its logistic
    return 0.5 * z.__array_namespace__().tanh(0.5 * z) + 0.5


def _tanh(z: Array) -> Array:
    return z.__array_namespace__().tanh(z)


ACTIVATIONS = {
    "identity": Activation(lambda z: z, lambda z, a: 1.0),
    "relu": Activation(_relu, lambda z, a: z.__array_namespace__().sign(a), gain=math.sqrt(2)),
    "sigmoid": Activation(_sigmoid, lambda z, a: a * (1 - a)),
    "tanh": Activation(_tanh, lambda z, a: 1 - a * a, gain=5 / 3),
}
