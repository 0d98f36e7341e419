"""The multilayer perceptron."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

from annotated_types import Ge

from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.layers.base import Layer, Shape
from descent_lab.nn.models.base import Model
from descent_lab.nn.network import Network, mlp_layers


@dataclass(frozen=True, kw_only=True)
class MLP(Model):
    """Dense layers, each of which but the last is followed by an activation.

    hidden: the widths of the hidden layers. activation: of the hidden layers. bias: whether layers have one.
    batch_norm: normalise the hidden layers over the batch.
    """

    kind = ""  # perceptrons were the only model when the first runs were stored, and their identities name none

    hidden: tuple[Annotated[int, Ge(1)], ...] = ()
    activation: Annotated[str, ACTIVATIONS] = "identity"
    bias: bool = True
    batch_norm: bool = False

    def chain(self, shape: Shape, n_outputs: int) -> Sequence[Layer]:
        return mlp_layers((*self.hidden, n_outputs), self.activation, self.bias, self.batch_norm)

    def network(self, shape: Shape, n_outputs: int) -> Network:
        """The network, which takes a sample of any shape as one vector."""
        return super().network((prod(shape),), n_outputs)
