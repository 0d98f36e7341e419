"""An activation function: `model.activation=swish`."""

from descent_lab.nn.activations import ACTIVATIONS, Activation, Array


def _sigmoid(z: Array) -> Array:
    return 0.5 * z.__array_namespace__().tanh(0.5 * z) + 0.5


# Ramachandran et al. 2017, with beta = 1
# a = z sigmoid(z),  da/dz = sigmoid(z) + a (1 - sigmoid(z))
ACTIVATIONS.add(
    "swish", Activation(lambda z: z * _sigmoid(z), lambda z, a: _sigmoid(z) + a * (1 - _sigmoid(z)), gain=2**0.5)
)
