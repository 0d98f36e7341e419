"""A network of convolutions over pictures."""

from dataclasses import dataclass
from typing import Literal

from descent_lab.nn.layers.base import Layer
from descent_lab.nn.layers.conv2d import Conv2d
from descent_lab.nn.layers.windows import OneOrTwo
from descent_lab.nn.models.convolutional import Channels, Convolutional


@dataclass(frozen=True, kw_only=True)
class CNN(Convolutional):
    """Convolutions over samples of shape (channels, rows, columns), or (rows, columns).

    size: the places of a window. stride: the places from a window to the next one. Each is a number, or one of rows and
    one of columns.
    """

    kind = "cnn"
    n_axes = 2

    channels: Channels = (16, 32)
    size: OneOrTwo = 3
    stride: OneOrTwo = 1
    pooling: Literal["none", "max", "mean"] = "max"

    def convolution(self, channels: int) -> Layer:
        return Conv2d(
            channels=channels, size=self.size, stride=self.stride, padding=self.padding, bias=not self.batch_norm
        )
