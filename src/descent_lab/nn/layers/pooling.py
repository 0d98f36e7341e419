"""Pooling: one number for each window of a channel. It has no parameters."""

from abc import ABC
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Self

from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Params, Shape
from descent_lab.nn.layers.windows import OneOrTwo, Windows, by_axis, check_fit, check_places


@dataclass(frozen=True, kw_only=True)
class Pooling(Layer, ABC):
    """Base class of pooling over sequences and pictures, whichever the samples are.

    size: the places of a window, for pictures a number or one of rows and one of columns. None: all places of a
    sample, which leaves a vector of one number a channel. stride: from a window to the next one; None: size, so that
    windows do not overlap. Places at the end that fill no window are left out.
    """

    main = "size"

    size: OneOrTwo | None = None
    stride: OneOrTwo | None = None

    def at(self, shape: Shape) -> Self:
        pairs = isinstance(self.size, tuple) or isinstance(self.stride, tuple)
        check_places(self, shape, [2] if pairs else [1, 2])
        layer = super().at(shape)
        check_fit(layer, layer.windows)
        return layer

    @cached_property
    def windows(self) -> Windows:
        """The windows over a sample."""
        n_axes = len(self.shape_in) - 1
        size = self.shape_in[1:] if self.size is None else by_axis(self.size, n_axes)
        return Windows.of(self.shape_in, size, size if self.stride is None else by_axis(self.stride, n_axes), "valid")

    @property
    def shape_out(self) -> Shape:
        return self.shape_in[:1] if self.size is None else (self.shape_in[0], *self.windows.places_out)


@dataclass(frozen=True, kw_only=True)
class MaxPool(Pooling):
    """The largest number of each window. Of equal ones the first counts, as in PyTorch."""

    kind = "max_pool"
    tried = (2, 4), {"size": 2}

    def forward(self, params: Params, h: Array) -> tuple[Array, list[Array]]:
        """The maxima, and for each tap but the first whether the largest number before it stays."""
        largest, *others = self.windows.views(h)
        where, stays = h.__array_namespace__().where, []
        for seen in others:
            stays.append(largest >= seen)
            largest = where(stays[-1], largest, seen)
        return as_columns(largest, self.windows), stays

    def backward(self, params: Params, cache: list[Array], d_out: Array, into: Params, wanted: bool) -> Array:
        left, parts = as_places(d_out, self.windows), []
        for stays in reversed(cache):
            before = left * stays
            parts.append(left - before)
            left = before
        return self.windows.summed([left, *reversed(parts)])


@dataclass(frozen=True, kw_only=True)
class MeanPool(Pooling):
    """The mean of each window."""

    kind = "mean_pool"
    tried = (2, 3, 4), {"size": 2}

    def forward(self, params: Params, h: Array) -> tuple[Array, None]:
        total = reduce(lambda sum_before, seen: sum_before + seen, self.windows.views(h))
        return as_columns(total / self.windows.taps, self.windows), None

    def backward(self, params: Params, cache: None, d_out: Array, into: Params, wanted: bool) -> Array:
        share = as_places(d_out, self.windows) / self.windows.taps
        return self.windows.summed([share] * self.windows.taps)


def as_columns(h: Array, windows: Windows) -> Array:
    """h (..., channels, *places_out, n) as (..., channels, places_out n)."""
    *lead, n = h.shape
    return h.reshape(*lead[: -len(windows.places_out)], windows.n_out * n)


def as_places(h: Array, windows: Windows) -> Array:
    """h (..., channels, places_out n) as (..., channels, *places_out, n)."""
    *lead, columns = h.shape
    return h.reshape(*lead, *windows.places_out, columns // windows.n_out)
