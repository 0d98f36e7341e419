"""Activation functions, written once for any array namespace, each with the derivative that backprop needs.

A plug-in adds one of its own by

    ACTIVATIONS.add("cube", Activation(lambda z: z * z * z, lambda z, a: 3 * z * z))

and `model.activation=cube` then names it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from descent_lab.components import Registry
from descent_lab.portable.formulas import (
    CUBIC,
    SLOPE,
    Array,
    Function,
    elu,
    gelu,
    gelu_argument,
    gelu_tanh,
    identity,
    leaky_relu,
    normal_cdf,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)

__all__ = ["ACTIVATIONS", "Activation", "Array"]


@dataclass(frozen=True)
class Activation:
    """An elementwise function a = f(z) of any shape.

    df: the derivative da/dz as a function of z and a: an array shaped like z, or a number.
    gain: the factor on initial weights that keeps the size of activations from layer to layer. It is that of
    `torch.nn.init.calculate_gain` where PyTorch has one. For elu, gelu, gelu_tanh, silu and softplus it is
    1 / sqrt(E f(z)^2), z being N(0, 1): the condition of He et al. 2015, from which sqrt(2) follows for relu.
    class_targets: where this is the output function of a classification, what stands for "not this class" and "this
    class" among the targets.
    """

    f: Function
    df: Callable[[Array, Array], Array | float]
    gain: float = 1.0
    class_targets: tuple[float, float] = (0.0, 1.0)


def _leaky_relu_slope(z: Array, a: Array) -> Array:
    # da/dz = 1 where z > 0, and 0.01 elsewhere, also at 0, as in PyTorch
    xp = z.__array_namespace__()
    return xp.maximum(xp.sign(z), SLOPE)


def _elu_slope(z: Array, a: Array) -> Array:
    # da/dz = 1 where z > 0, and e^z = a + 1 elsewhere
    return z.__array_namespace__().minimum(a, 0) + 1


def _silu_slope(z: Array, a: Array) -> Array:
    # a = z s,   s' = s (1 - s),   da/dz = s + z s (1 - s) = s + a (1 - s)
    s = sigmoid(z)
    return s + a * (1 - s)


def _gelu_slope(z: Array, a: Array) -> Array:
    # a = z Phi,   da/dz = Phi + z phi,   phi = Phi' = e^(-z^2 / 2) / sqrt(2 pi)
    phi = z.__array_namespace__().exp(-0.5 * (z * z)) / math.sqrt(2 * math.pi)
    return normal_cdf(z) + z * phi


def _gelu_tanh_slope(z: Array, a: Array) -> Array:
    # a = z (1 + t) / 2,   t = tanh u,   u = c (z + k z^3),   da/dz = (1 + t) / 2 + z (1 - t^2) u' / 2
    t = tanh(gelu_argument(z))
    du = math.sqrt(2 / math.pi) * (1 + 3 * CUBIC * (z * z))
    return 0.5 * (1 + t) + 0.5 * z * ((1 - t * t) * du)


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "identity": Activation(identity, lambda z, a: 1.0),
        "relu": Activation(relu, lambda z, a: z.__array_namespace__().sign(a), gain=math.sqrt(2)),
        "sigmoid": Activation(sigmoid, lambda z, a: a * (1 - a)),
        "tanh": Activation(tanh, lambda z, a: 1 - a * a, gain=5 / 3, class_targets=(-1.0, 1.0)),  # LeCun et al. 1998
        "leaky_relu": Activation(leaky_relu, _leaky_relu_slope, gain=math.sqrt(2 / (1 + SLOPE * SLOPE))),
        "elu": Activation(elu, _elu_slope, gain=1.2451983007007066),
        "gelu": Activation(gelu, _gelu_slope, gain=1.533530441195535),
        "gelu_tanh": Activation(gelu_tanh, _gelu_tanh_slope, gain=1.533580521666147),
        "silu": Activation(silu, _silu_slope, gain=1.676532470331091),
        "softplus": Activation(softplus, lambda z, a: sigmoid(z), gain=1.0418668355353016),
    },
)
