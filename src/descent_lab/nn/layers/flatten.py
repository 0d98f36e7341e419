"""All places of a sample as one vector."""

from dataclasses import dataclass
from math import prod

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Params, Shape


@dataclass(frozen=True, kw_only=True)
class Flatten(Layer):
    """The numbers of a sample in C order: channel by channel, and in each place by place."""

    kind = "flatten"
    tried = (2, 3), {}

    @property
    def shape_out(self) -> Shape:
        return (prod(self.shape_in),)

    def forward(self, params: Params, h: Array) -> tuple[Array, None]:
        *lead, channels, columns = h.shape
        return h.reshape(*lead, channels * self.n_places, columns // self.n_places), None

    def backward(self, params: Params, cache: None, d_out: Array, into: Params, wanted: bool) -> Array:
        *lead, rows, n = d_out.shape
        return d_out.reshape(*lead, rows // self.n_places, self.n_places * n)

    @property
    def units(self) -> int:
        return 0  # those of the layer before
