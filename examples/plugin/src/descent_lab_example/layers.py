"""A layer: `model=layers model.layers=[{dense: 8}, rescale, tanh, {dense: 1}]`."""

from collections.abc import Mapping
from dataclasses import dataclass

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Parameter, Params
from descent_lab.nn.layers.written import LAYERS


@dataclass(frozen=True, kw_only=True)
class Rescale(Layer):
    """out = gain h, with a gain for each unit. start: the gain of all units before the first step."""

    start: float = 1.0

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return {"gain": Parameter((self.shape_in[0], 1), self.start)}

    def forward(self, params: Params, h: Array) -> tuple[Array, Array]:
        return params["gain"] * h, h

    # d out / d gain = h,  d out / d h = gain
    def backward(self, params: Params, cache: Array, d_out: Array, into: Params, wanted: bool) -> Array:
        into["gain"][...] = (d_out * cache).sum(-1, keepdims=True)
        return params["gain"] * d_out


LAYERS.add("rescale", Rescale)
