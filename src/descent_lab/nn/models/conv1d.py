"""A network of convolutions over sequences."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from descent_lab.nn.layers.base import Layer
from descent_lab.nn.layers.conv1d import Conv1d
from descent_lab.nn.models.convolutional import Channels, Convolutional


@dataclass(frozen=True, kw_only=True)
class ConvNet1d(Convolutional):
    """Convolutions over samples of shape (channels, length), or (length,).

    width: the places of a window. stride: the places from a window to the next one. The defaults are for mnist1d.
    """

    kind = "conv1d"
    n_axes = 1

    channels: Channels = (25, 25, 25)
    width: Annotated[int, Ge(1)] = 5
    stride: Annotated[int, Ge(1)] = 2

    def convolution(self, channels: int) -> Layer:
        return Conv1d(
            channels=channels, width=self.width, stride=self.stride, padding=self.padding, bias=not self.batch_norm
        )
