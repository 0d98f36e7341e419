"""Normalisation by the root mean square (Zhang & Sennrich 2019)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Parameter, Params
from descent_lab.portable.formulas import BN_EPS


class Cache(NamedTuple):
    """u: the input over its root mean square, (..., width, n); rate: 1 / root mean square, (..., 1, n)."""

    u: Array
    rate: Array


@dataclass(frozen=True, kw_only=True)
class RmsNorm(Layer):
    """z = gamma u with u = h / sqrt(mean(h^2) + 1e-5), the mean over the units of one sample, at each of its places."""

    kind = "rms_norm"

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return {"gamma": Parameter((self.shape_in[0], 1), 1.0)}

    def forward(self, params: Params, h: Array) -> tuple[Array, Cache]:
        cache = over_rms(h)
        return params["gamma"] * cache.u, cache

    def backward(self, params: Params, cache: Cache, d_out: Array, into: Params, wanted: bool) -> Array | None:
        into["gamma"][...] = (d_out * cache.u).sum(-1, keepdims=True)
        return over_rms_back(cache, params["gamma"] * d_out) if wanted else None


def over_rms(h: Array) -> Cache:
    """h over its root mean square over axis -2, and what `over_rms_back` needs again."""
    rate = 1 / h.__array_namespace__().sqrt(mean(h * h) + BN_EPS)
    return Cache(h * rate, rate)


def over_rms_back(cache: Cache, du: Array) -> Array:
    """dL/dh = (du - u mean(du u)) / root mean square."""
    return (du - cache.u * mean(du * cache.u)) * cache.rate


def mean(h: Array) -> Array:
    """The mean over the units, (..., 1, n)."""
    return h.sum(axis=-2, keepdims=True) / h.shape[-2]
