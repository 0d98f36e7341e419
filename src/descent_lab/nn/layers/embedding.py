"""Vectors for tokens, such as the characters of a text, and for their places."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from annotated_types import Ge

from descent_lab.errors import ConfigError
from descent_lab.nn.activations import Activation, Array
from descent_lab.nn.layers.affine import product
from descent_lab.nn.layers.base import Layer, Parameter, Params, Shape


@dataclass(frozen=True, kw_only=True)
class Embedding(Layer):
    """W[token] + P[place] for sequences of tokens, which are the whole numbers 0, ..., vocabulary - 1 in x.

    Samples have the shape (length,) or (1, length), and the output (width, length). W is (vocabulary, width), and P
    (length, width); positions=false leaves P out. What is no token has the vector 0 in place of one of W.
    """

    kind = "embedding"
    tried = (1, 3), {"vocabulary": 4, "width": 2}

    vocabulary: Annotated[int, Ge(1)]
    width: Annotated[int, Ge(1)]
    positions: bool = True

    def at(self, shape: Shape) -> Self:
        if len(shape) > 2 or (len(shape) == 2 and shape[0] != 1):
            raise ConfigError(f"layer embedding: samples of shape {shape}: must be (length,) or (1, length)")
        return super().at(shape)

    def check(self, x: np.ndarray) -> None:
        strange = x[(x != np.round(x)) | (x < 0) | (x >= self.vocabulary)]
        if strange.size:
            raise ConfigError(
                f"layer embedding: a sample holds {strange[0]:g}: must be whole numbers from 0 to "
                f"{self.vocabulary - 1}; dataset.standardise=false leaves those of a file as they are"
            )

    @property
    def shape_out(self) -> Shape:
        return (self.width, self._length)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        fans = (1, self.width)  # each vector is that of one unit which is 1
        places = {"P": Parameter((self._length, self.width), fans=fans)} if self.positions else {}
        return {"W": Parameter((self.vocabulary, self.width), fans=fans), **places}

    def forward(self, params: Params, h: Array) -> tuple[Array, Array]:
        """The vectors, and which token each place holds: 0 or 1, (..., vocabulary, length n)."""
        *lead, rows, columns = h.shape
        tokens = h.reshape(*lead, 1, rows * columns)
        # A product with 0s and 1s: for vocabularies as small as that of characters, NumPy takes longer to choose rows
        # and to add to them.
        classes = np.arange(self.vocabulary, dtype=h.dtype)[:, None]
        held = (tokens == classes) * h.__array_namespace__().ones_like(tokens)
        out = params["W"].mT @ held
        if not self.positions:
            return out, held
        *lead, width, columns = out.shape
        at_places = out.reshape(*lead, width, self._length, columns // self._length)
        return (at_places + params["P"].mT[..., None]).reshape(*lead, width, columns), held

    def backward(self, params: Params, cache: Array, d_out: Array, into: Params, wanted: bool) -> Array | None:
        product(cache, d_out.mT, out=into["W"])
        *lead, width, columns = d_out.shape
        n = columns // self._length
        if self.positions:
            into["P"][...] = d_out.reshape(*lead, width, self._length, n).sum(-1).mT
        # which token a place holds does not change with a small step
        return np.zeros_like(d_out, shape=(*lead, *self._rows_of(n))) if wanted else None

    def following(self, name: str, after: Activation | None) -> Activation | None:
        return None  # the vectors are a layer's input, whatever comes after

    @property
    def products(self) -> int:
        return self.vocabulary * self.width * self._length

    @property
    def units(self) -> int:
        return (self.vocabulary + self.width) * self._length

    @property
    def _length(self) -> int:
        return self.shape_in[-1]

    def _rows_of(self, n: int) -> tuple[int, int]:
        """The rows and columns of n samples."""
        return (self._length, n) if len(self.shape_in) == 1 else (1, self._length * n)
