"""Activation functions, written once for any array namespace, each with the derivative that backprop needs.

A plug-in adds one of its own by

    ACTIVATIONS.add("cube", Activation(lambda z: z * z * z, lambda z, a: 3 * z * z))

and `model.activation=cube` then names it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from descent_lab.components import Registry
from descent_lab.portable.formulas import Array, Function, identity, relu, sigmoid, tanh

__all__ = ["ACTIVATIONS", "Activation", "Array"]


@dataclass(frozen=True)
class Activation:
    """An elementwise function a = f(z) of any shape.

    df: the derivative da/dz as a function of z and a: an array shaped like z, or a number.
    gain: the factor on initial weights that keeps the variance of activations from layer to layer: that of He et al.
    2015 for relu, and that of `torch.nn.init.calculate_gain` for the others.
    class_targets: where this is the output function of a classification, what stands for "not this class" and "this
    class" among the targets.
    """

    f: Function
    df: Callable[[Array, Array], Array | float]
    gain: float = 1.0
    class_targets: tuple[float, float] = (0.0, 1.0)


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "identity": Activation(identity, lambda z, a: 1.0),
        "relu": Activation(relu, lambda z, a: z.__array_namespace__().sign(a), gain=math.sqrt(2)),
        "sigmoid": Activation(sigmoid, lambda z, a: a * (1 - a)),
        "tanh": Activation(tanh, lambda z, a: 1 - a * a, gain=5 / 3, class_targets=(-1.0, 1.0)),  # LeCun et al. 1998
    },
)
