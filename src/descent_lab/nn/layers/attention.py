"""Attention over the places of a sequence (Vaswani et al. 2017)."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Annotated, NamedTuple, Self

import numpy as np
from annotated_types import Ge

from descent_lab.errors import ConfigError
from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Params, Shape
from descent_lab.nn.layers.chain import Chain
from descent_lab.nn.layers.dense import Dense
from descent_lab.nn.layers.windows import check_places
from descent_lab.portable.formulas import softmax


@dataclass(frozen=True, kw_only=True)
class Attention(Chain):
    """Multi-head attention of samples of shape (channels, length) to themselves.

    A dense layer, `qkv`, makes the queries, the keys and the values of all heads, in this order, and another, `out`,
    mixes what the heads found. causal: a place sees itself and the places before it, and else all. bias: of both.
    """

    kind = "attention"
    tried = (4, 3), {"heads": 2, "causal": True}
    main = "heads"

    heads: Annotated[int, Ge(1)] = 1
    causal: bool = False
    bias: bool = True

    def at(self, shape: Shape) -> Self:
        check_places(self, shape, [1])
        if shape[0] % self.heads:
            raise ConfigError(f"layer attention: heads={self.heads}: must divide the {shape[0]} channels")
        return super().at(shape)

    def held(self) -> Mapping[str, Layer]:
        channels = self.shape_in[0]
        return {
            "qkv": Dense(width=3 * channels, bias=self.bias),
            "heads": Heads(heads=self.heads, causal=self.causal),
            "out": Dense(width=channels, bias=self.bias),
        }


class Cache(NamedTuple):
    """q, divided by the root of `size`, the numbers of a head; k and v: each (..., heads, n, size, length).

    p: how much each query sees of each key, (..., heads, n, length, length): keys along axis -2, queries along -1.
    """

    q: Array
    k: Array
    v: Array
    p: Array


@dataclass(frozen=True, kw_only=True)
class Heads(Layer):
    """v p with p = softmax(k^T q / sqrt(size)), for each head, of `size` numbers, and sample. It has no parameters.

    The input has the channels of all queries, then those of keys and of values: (3 channels, length).
    """

    heads: int
    causal: bool

    @property
    def shape_out(self) -> Shape:
        return (self.shape_in[0] // 3, *self.shape_in[1:])

    def forward(self, params: Params, h: Array) -> tuple[Array, Cache]:
        q, k, v = _thirds(self._by_sample(h))
        q = q * self._scale
        scores = k.mT @ q
        if self.causal:
            scores = scores + self._mask(h)
        p = softmax(scores)
        return self._by_place(v @ p), Cache(q, k, v, p)

    def backward(self, params: Params, cache: Cache, d_out: Array, into: Params, wanted: bool) -> Array:
        q, k, v, p = cache
        d = self._by_sample(d_out)
        d_p = v.mT @ d
        d_scores = p * (d_p - (p * d_p).sum(axis=-2, keepdims=True))
        *lead, heads, n, size, length = q.shape
        d_qkv = np.empty_like(q, shape=(*lead, 3 * heads, n, size, length))
        d_q, d_k, d_v = _thirds(d_qkv)
        np.matmul(k * self._scale, d_scores, out=d_q)
        np.matmul(q, d_scores.mT, out=d_k)
        np.matmul(d, p.mT, out=d_v)
        return self._by_place(d_qkv)

    @property
    def products(self) -> int:
        return 2 * self.n_places * prod(self.shape_out)

    @property
    def units(self) -> int:
        return prod(self.shape_in) + prod(self.shape_out) + self.heads * self.n_places**2

    @property
    def _size(self) -> int:
        """The numbers of a head."""
        return self.shape_out[0] // self.heads

    @property
    def _scale(self) -> float:
        return 1 / sqrt(self._size)

    def _mask(self, like: Array) -> np.ndarray:
        """0 where a query (axis 1) sees a key (axis 0), which must not come after it, and minus infinity elsewhere."""
        hidden = np.tri(self.n_places, k=-1, dtype=bool)
        return np.where(hidden, np.array(-np.inf, like.dtype), np.array(0, like.dtype))

    def _by_sample(self, h: Array) -> Array:
        """h (..., heads size, length n) as (..., heads, n, size, length).

        NumPy gets a copy in this order in memory, because it would multiply the view without BLAS.
        """
        xp = h.__array_namespace__()
        *lead, rows, columns = h.shape
        split = h.reshape(*lead, rows // self._size, self._size, self.n_places, columns // self.n_places)
        by_sample = xp.moveaxis(split, -1, -3)
        return by_sample.copy() if xp is np else by_sample

    def _by_place(self, h: Array) -> Array:
        """h (..., heads, n, size, length) as (..., heads size, length n)."""
        *lead, heads, n, size, length = h.shape
        return h.__array_namespace__().moveaxis(h, -3, -1).reshape(*lead, heads * size, length * n)


def _thirds(h: Array) -> list[Array]:
    """The parts of h (..., 3 heads, n, size, length) that belong to queries, keys and values."""
    heads = h.shape[-4] // 3
    return [h[..., part * heads : (part + 1) * heads, :, :, :] for part in range(3)]
