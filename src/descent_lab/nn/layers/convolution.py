"""What convolutions of any number of axes share: a convolution is a dense layer that sees one window at a time.

The windows of all places and samples are laid side by side (im2col: Chellapilla, Puri & Simard 2006), so that one
matrix product gives the output at all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from annotated_types import Ge

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.affine import JOINED, JOINS, affine, affine_back
from descent_lab.nn.layers.base import Layer, Parameter, Params, Shape
from descent_lab.nn.layers.windows import Windows, check_fit, check_places


@dataclass(frozen=True, kw_only=True)
class Convolution(Layer, ABC):
    """s = W^T h + b of the window h (channels_in taps) around every place, with the same weights for all places.

    channels: those of the output. W is (channels_in taps, channels), the taps of a channel one below the other. In
    signal processing this is a correlation: taps are counted in the direction of the places, as in torch.nn.Conv1d.
    padding: zeros at each end of an axis; valid: none; same: so many that there are ceil(places / stride) windows.
    """

    joins = JOINS
    main = "channels"
    n_axes: ClassVar[int]

    channels: Annotated[int, Ge(1)]
    padding: Literal["same", "valid"] | Annotated[int, Ge(0)] = "valid"
    bias: bool = True

    @property
    @abstractmethod
    def window(self) -> tuple[int, ...]:
        """The places of a window along each axis."""

    @property
    @abstractmethod
    def steps(self) -> tuple[int, ...]:
        """The places from a window to the next one along each axis."""

    def at(self, shape: Shape) -> Self:
        check_places(self, shape, [self.n_axes])
        layer = super().at(shape)
        check_fit(layer, layer.windows)
        return layer

    @cached_property
    def windows(self) -> Windows:
        """The windows over a sample."""
        return Windows.of(self.shape_in, self.window, self.steps, self.padding)

    @property
    def shape_out(self) -> Shape:
        return (self.channels, *self.windows.places_out)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        taps = self.windows.taps
        fans = (self.shape_in[0] * taps, self.channels * taps)
        bias = {"b": Parameter((self.channels, 1), "bias")} if self.bias else {}
        return {"W": Parameter((self._rows, self.channels), fans=fans), **bias}

    def forward(self, params: Params, h: Array) -> tuple[Array, Array]:
        return affine(params, self._columns(h, JOINED in params and self.bias))

    def backward(self, params: Params, cache: Array, d_out: Array, into: Params, wanted: bool) -> Any:
        d_columns = affine_back(params, cache, d_out, into, wanted, self._rows)
        if d_columns is None:
            return None
        *lead, _, columns = d_columns.shape
        places_out, taps = self.windows.places_out, self.windows.taps
        d_columns = d_columns.reshape(*lead, self.shape_in[0], taps, *places_out, columns // self.windows.n_out)
        axes = (slice(None),) * (len(places_out) + 1)
        return self.windows.summed([d_columns[(..., tap, *axes)] for tap in range(taps)])

    @property
    def products(self) -> int:
        return self._rows * prod(self.shape_out)

    @property
    def units(self) -> int:
        return prod(self.shape_out) + self._rows * self.windows.n_out

    @property
    def _rows(self) -> int:
        """The numbers that a window sees."""
        return self.shape_in[0] * self.windows.taps

    def _columns(self, h: Array, over_ones: bool) -> Array:
        """The windows side by side, (..., channels_in taps, places_out n), with a row of ones below if wanted."""
        views = self.windows.views(h)
        *lead, n = views[0].shape
        lead, places = lead[: -self.n_axes], self.windows.n_out
        axis = -self.n_axes - 2
        if not over_ones:
            stacked = h.__array_namespace__().stack(views, axis=axis)
            return stacked.reshape(*lead[:-1], self._rows, places * n)
        columns = np.empty_like(h, shape=(*lead[:-1], self._rows + 1, places * n))
        columns[..., -1, :] = 1
        above = columns[..., :-1, :].reshape(*lead, self.windows.taps, *self.windows.places_out, n)
        np.stack(views, axis=axis, out=above)
        return columns
