"""Batch normalisation (Ioffe & Szegedy 2015)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import MOMENTS, Layer, Parameter, Params
from descent_lab.portable.formulas import normalised

MOMENTUM = 0.1  # as in torch.nn.BatchNorm1d


class Cache(NamedTuple):
    """s: the input and u: the input normalised, each (..., width, n); sigma: (..., width, 1)."""

    s: Array
    u: Array
    sigma: Array


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Layer):
    """z = gamma u + beta with u = (s - mean) / sigma, over the samples of a batch and their places.

    A trained network uses running means and variances in place of those of the batch. They follow the batches as in
    torch.nn.BatchNorm1d.
    """

    kind = "batch_norm"

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        shape = (self.shape_in[0], 1)
        return {"gamma": Parameter(shape, 1.0), "beta": Parameter(shape, 0.0)}

    def forward(self, params: Params, h: Array) -> tuple[Array, Cache]:
        xp = h.__array_namespace__()
        moments, width = params.get(MOMENTS), self.shape_in[0]
        if moments is None:
            mean, variance = xp.mean(h, axis=-1, keepdims=True), xp.var(h, axis=-1, keepdims=True)
        else:
            mean, variance = moments[..., :width, None], moments[..., width:, None]
        u, sigma = normalised(h, mean, variance)
        return params["gamma"] * u + params["beta"], Cache(h, u, sigma)

    def backward(self, params: Params, cache: Cache, d_out: Array, into: Params, wanted: bool) -> Array:
        """Section 3 of the paper. With du = gamma delta: ds = (du - mean(du) - u mean(du u)) / sigma."""
        u, du = cache.u, params["gamma"] * d_out
        into["gamma"][...] = (d_out * u).sum(-1, keepdims=True)
        into["beta"][...] = d_out.sum(-1, keepdims=True)
        return (du - du.mean(-1, keepdims=True) - u * (du * u).mean(-1, keepdims=True)) / cache.sigma

    @property
    def n_stats(self) -> int:
        return 2 * self.shape_in[0]

    def stats(self, cache: Cache) -> Array:
        """The mean and the unbiased variance of every unit over the batch, (..., 2 width)."""
        xp, n = cache.s.__array_namespace__(), cache.s.shape[-1]
        return xp.concat([xp.mean(cache.s, axis=-1), xp.var(cache.s, axis=-1) * (n / (n - 1))], axis=-1)

    @property
    def first_stats(self) -> list[float]:
        width = self.shape_in[0]
        return [0.0] * width + [1.0] * width

    @property
    def units(self) -> int:
        return 0  # counted with those of the layer before (Numpy.step_bytes)
