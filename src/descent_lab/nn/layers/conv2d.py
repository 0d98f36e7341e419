"""The convolution of pictures."""

from dataclasses import dataclass

from descent_lab.nn.layers.convolution import Convolution
from descent_lab.nn.layers.windows import OneOrTwo, by_axis


@dataclass(frozen=True, kw_only=True)
class Conv2d(Convolution):
    """A convolution of samples of shape (channels, rows, columns).

    size: the places of a window; stride: from a window to the next one; each a number, or one of rows and one of
    columns.
    """

    kind = "conv2d"
    n_axes = 2
    tried = (2, 3, 4), {"channels": 2, "size": (2, 3), "padding": 1}

    size: OneOrTwo = 3
    stride: OneOrTwo = 1

    @property
    def window(self) -> tuple[int, ...]:
        return by_axis(self.size, 2)

    @property
    def steps(self) -> tuple[int, ...]:
        return by_axis(self.stride, 2)
