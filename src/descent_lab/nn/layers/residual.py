"""Residual connections (He, Zhang, Ren & Sun 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from descent_lab.errors import ConfigError
from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Params, Shape
from descent_lab.nn.layers.chain import Chain
from descent_lab.nn.layers.written import LAYERS, WrittenLayers


@dataclass(frozen=True, kw_only=True)
class Residual(Chain):
    """h + f(h), where f is a chain of `layers` whose output has the shape of its input."""

    kind = "residual"
    tried = (3,), {"layers": [{"dense": 2}, "tanh", {"dense": 3}]}
    main = "layers"

    layers: WrittenLayers

    def at(self, shape: Shape) -> Self:
        if not self.layers:
            raise ConfigError("layer residual: layers=[]: must hold at least one layer")
        layer = super().at(shape)
        if layer.shape_out != shape:
            raise ConfigError(
                f"layer residual: its layers make {layer.shape_out} of samples of shape {shape}: must keep the shape"
            )
        return layer

    def held(self) -> Mapping[str, Layer]:
        return {str(k): layer for k, layer in enumerate(self.layers)}

    def forward(self, params: Params, h: Array) -> tuple[Array, Any]:
        f, caches = super().forward(params, h)
        return h + f, caches

    def backward(self, params: Params, cache: Any, d_out: Array, into: Params, wanted: bool) -> Array | None:
        d_f = super().backward(params, cache, d_out, into, wanted)
        return d_out + d_f if wanted else None


LAYERS.add(Residual.kind, Residual)  # here, because the layers that it holds are read by the same registry
