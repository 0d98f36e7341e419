"""What networks of convolutions share, over sequences or over pictures."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, MinLen

from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.base import Layer, Shape
from descent_lab.nn.layers.batch_norm import BatchNorm
from descent_lab.nn.layers.dense import Dense
from descent_lab.nn.layers.flatten import Flatten
from descent_lab.nn.layers.pooling import MaxPool, MeanPool
from descent_lab.nn.models.base import Model
from descent_lab.nn.network import Network

Channels = Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)]  # of each convolution
POOLING = {"none": (), "max": (MaxPool(size=2),), "mean": (MeanPool(size=2),)}


@dataclass(frozen=True, kw_only=True)
class Convolutional(Model, ABC):
    """Convolutions, each followed by an activation and by pooling, and a dense layer over all places of the last one.

    channels: the channels of each convolution. padding: zeros around the places of each convolution: a number, `same`
    or `valid` (none). pooling: over windows of 2 places after each activation; none, max or mean. batch_norm: normalise
    each convolution over the batch and its places; it then has no bias.
    """

    n_axes: ClassVar[int]

    channels: Channels
    padding: Literal["same", "valid"] | Annotated[int, Ge(0)] = "same"
    activation: Annotated[str, ACTIVATIONS] = "relu"
    pooling: Literal["none", "max", "mean"] = "none"
    batch_norm: bool = False

    @abstractmethod
    def convolution(self, channels: int) -> Layer:
        """A convolution with so many channels."""

    def chain(self, shape: Shape, n_outputs: int) -> Sequence[Layer]:
        layers: list[Layer] = []
        for channels in self.channels:
            normalised = [BatchNorm()] if self.batch_norm else []
            layers += [self.convolution(channels), *normalised, Activate(f=self.activation), *POOLING[self.pooling]]
        return [*layers, Flatten(), Dense(width=n_outputs)]

    def network(self, shape: Shape, n_outputs: int) -> Network:
        """The network. Samples without an axis of channels have one channel."""
        return super().network((1, *shape) if len(shape) == self.n_axes else shape, n_outputs)
