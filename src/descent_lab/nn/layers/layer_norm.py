"""Layer normalisation (Ba, Kiros & Hinton 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Parameter, Params
from descent_lab.nn.layers.rms_norm import Cache, mean, over_rms, over_rms_back


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Layer):
    """z = gamma u + beta with u = (h - mean) / sqrt(variance + 1e-5), over the units of one sample, at each place."""

    kind = "layer_norm"

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        shape = (self.shape_in[0], 1)
        return {"gamma": Parameter(shape, 1.0), "beta": Parameter(shape, 0.0)}

    def forward(self, params: Params, h: Array) -> tuple[Array, Cache]:
        cache = over_rms(h - mean(h))
        return params["gamma"] * cache.u + params["beta"], cache

    def backward(self, params: Params, cache: Cache, d_out: Array, into: Params, wanted: bool) -> Array | None:
        into["gamma"][...] = (d_out * cache.u).sum(-1, keepdims=True)
        into["beta"][...] = d_out.sum(-1, keepdims=True)
        if not wanted:
            return None
        d_centred = over_rms_back(cache, params["gamma"] * d_out)
        return d_centred - mean(d_centred)
