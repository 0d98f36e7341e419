"""The convolution of sequences."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from descent_lab.nn.layers.convolution import Convolution


@dataclass(frozen=True, kw_only=True)
class Conv1d(Convolution):
    """A convolution of samples of shape (channels, length). width: the places of a window; stride: between windows."""

    kind = "conv1d"
    n_axes = 1
    tried = (2, 5), {"channels": 3, "width": 2, "padding": "same"}

    width: Annotated[int, Ge(1)] = 3
    stride: Annotated[int, Ge(1)] = 1

    @property
    def window(self) -> tuple[int, ...]:
        return (self.width,)

    @property
    def steps(self) -> tuple[int, ...]:
        return (self.stride,)
