"""Activation functions, written once for any array namespace, each with the derivative that backprop needs.

A plug-in adds one of its own by

    ACTIVATIONS.add("cube", Activation(lambda z: z * z * z, lambda z, a: 3 * z * z))

and `model.activation=cube` then names it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from descent_lab.components import Registry

Array = Any  # numpy.ndarray, jax.Array or a Taylor number: anything with __array_namespace__


@dataclass(frozen=True)
class Activation:
    """An elementwise function a = f(z) of any shape.

    df: the derivative da/dz as a function of z and a: an array shaped like z, or a number.
    gain: the factor on initial weights that keeps the variance of activations from layer to layer: that of He et al.
    2015 for relu, and that of `torch.nn.init.calculate_gain` for the others.
    class_targets: where this is the output function of a classification, what stands for "not this class" and "this
    class" among the targets.
    """

    f: Callable[[Array], Array]
    df: Callable[[Array, Array], Array | float]
    gain: float = 1.0
    class_targets: tuple[float, float] = (0.0, 1.0)


def _relu(z: Array) -> Array:
    # maximum(z, 0) will not do: at z = 0 automatic differentiation gives the derivative 1/2, and backprop gives 0.
    # NumPy's where is 3 times slower, because it branches on signs that a processor cannot predict.
    return z * (z > 0)


def _sigmoid(z: Array) -> Array:
    # 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2: tanh cannot overflow, and in XLA it is 3 times quicker than logistic
    return 0.5 * z.__array_namespace__().tanh(0.5 * z) + 0.5


def _tanh(z: Array) -> Array:
    return z.__array_namespace__().tanh(z)


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "identity": Activation(lambda z: z, lambda z, a: 1.0),
        "relu": Activation(_relu, lambda z, a: z.__array_namespace__().sign(a), gain=math.sqrt(2)),
        "sigmoid": Activation(_sigmoid, lambda z, a: a * (1 - a)),
        "tanh": Activation(_tanh, lambda z, a: 1 - a * a, gain=5 / 3, class_targets=(-1.0, 1.0)),  # LeCun et al. 1998
    },
)
