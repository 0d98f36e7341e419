"""The dense layer: every unit sees every unit of the layer before."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

from annotated_types import Ge

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.affine import JOINS, affine, affine_back
from descent_lab.nn.layers.base import Layer, Parameter, Params, Shape


@dataclass(frozen=True, kw_only=True)
class Dense(Layer):
    """s = W^T h + b, at every place of a sample with the same weights. W is (fan_in, width)."""

    kind = "dense"
    joins = JOINS
    tried = (3,), {"width": 2}
    main = "width"

    width: Annotated[int, Ge(1)]
    bias: bool = True

    @property
    def shape_out(self) -> Shape:
        return (self.width, *self.shape_in[1:])

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        bias = {"b": Parameter((self.width, 1), "bias")} if self.bias else {}
        return {"W": Parameter((self.shape_in[0], self.width)), **bias}

    def forward(self, params: Params, h: Array) -> tuple[Array, Array]:
        return affine(params, h)

    def backward(self, params: Params, cache: Array, d_out: Array, into: Params, wanted: bool) -> Any:
        return affine_back(params, cache, d_out, into, wanted, self.shape_in[0])

    @property
    def products(self) -> int:
        return prod(self.shape_in) * self.width
