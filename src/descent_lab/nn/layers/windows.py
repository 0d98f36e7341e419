"""Windows of neighbouring places, through which convolution and pooling look at a sequence or a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Annotated, Literal, Self

import numpy as np
from annotated_types import Ge

from descent_lab.errors import ConfigError
from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Layer, Shape

Size = Annotated[int, Ge(1)]
OneOrTwo = Size | tuple[Size, Size]  # a number for both axes of a picture, or one of rows and one of columns
Padding = Literal["same", "valid"] | int
AXES = {1: "(channels, length)", 2: "(channels, rows, columns)"}  # shapes of samples by their number of axes of places


@dataclass(frozen=True)
class Windows:
    """Windows of `size` places, `stride` places apart, over `places` with zeros around them. All are given by axis.

    padding: the zeros before and after the places of each axis. A tap is a place within a window; taps are counted in
    C order.
    """

    places: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, shape: Shape, size: tuple[int, ...], stride: tuple[int, ...], padding: Padding) -> Self:
        """Windows over samples of that shape. same: ceil(places / stride) windows; valid: no zeros; a number: so many.

        With `same`, an odd number of zeros has the one more at the end, as in TensorFlow.
        """
        around = zip(shape[1:], size, stride, strict=True)
        return cls(shape[1:], size, stride, tuple(_zeros(*axis, padding) for axis in around))

    @cached_property
    def places_out(self) -> tuple[int, ...]:
        """The number of windows along each axis."""
        axes = zip(self._padded, self.size, self.stride, strict=True)
        return tuple((places - size) // stride + 1 for places, size, stride in axes)

    @property
    def taps(self) -> int:
        """The number of places of a window."""
        return prod(self.size)

    @property
    def n_out(self) -> int:
        """The number of windows."""
        return prod(self.places_out)

    def views(self, h: Array) -> list[Array]:
        """What each tap sees of h (..., channels, places n): (..., channels, *places_out, n)."""
        *lead, channels, columns = h.shape
        h = h.reshape(*lead, channels, *self.places, columns // prod(self.places))
        for axis, zeros in enumerate(self.padding):
            h = _between_zeros(h, axis - len(self.places) - 1, *zeros)
        return [h[(..., *seen, slice(None))] for seen in self._seen]

    def summed(self, parts: Sequence[Array]) -> Array:
        """The derivative by h, (..., channels, places n), from the derivatives by its `views`. For NumPy."""
        *lead, n = parts[0].shape
        lead = lead[: -len(self.places)]
        d_h: Array = np.zeros_like(parts[0], shape=(*lead, *self._padded, n))
        for seen, part in zip(self._seen, parts, strict=True):
            view = d_h[(..., *seen, slice(None))]
            np.add(view, part, out=view)
        within = (slice(first, first + n) for (first, _), n in zip(self.padding, self.places, strict=True))
        return d_h[(..., *within, slice(None))].reshape(*lead, prod(self.places) * n)

    @cached_property
    def _padded(self) -> tuple[int, ...]:
        return tuple(places + sum(zeros) for places, zeros in zip(self.places, self.padding, strict=True))

    @cached_property
    def _seen(self) -> list[tuple[slice, ...]]:
        """The places that each tap sees."""
        axes = list(zip(self.stride, self.places_out, strict=True))
        return [
            tuple(slice(k, k + stride * (n - 1) + 1, stride) for k, (stride, n) in zip(tap, axes, strict=True))
            for tap in product(*map(range, self.size))
        ]


def by_axis(numbers: OneOrTwo, n_axes: int) -> tuple[int, ...]:
    """A number of each axis."""
    return numbers if isinstance(numbers, tuple) else (numbers,) * n_axes


def check_places(layer: Layer, shape: Shape, n_axes: Sequence[int]) -> None:
    """Raise ConfigError unless samples of that shape have one of these numbers of axes of places."""
    if len(shape) - 1 not in n_axes:
        allowed = " or ".join(AXES[n] for n in n_axes)
        raise ConfigError(f"layer {layer.kind}: samples of shape {shape}: must be {allowed}")


def check_fit(layer: Layer, windows: Windows) -> None:
    """Raise ConfigError unless a window fits between the places and their zeros."""
    if min(windows.places_out) < 1:
        raise ConfigError(
            f"layer {layer.kind}: a window of {_by(windows.size)} on {_by(windows.places)} places with "
            f"{_by(tuple(map(sum, windows.padding)))} zeros around them: must not be larger than both together"
        )


def _by(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))


def _zeros(places: int, size: int, stride: int, padding: Padding) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max(0, (-(-places // stride) - 1) * stride + size - places)
        return total // 2, total - total // 2
    return padding, padding


def _between_zeros(h: Array, axis: int, before: int, after: int) -> Array:
    """h with so many zeros before and after it along an axis."""
    if before == after == 0:
        return h
    xp = h.__array_namespace__()
    zero = xp.zeros_like(h[(..., slice(0, 1), *[slice(None)] * (-axis - 1))])
    return xp.concat([zero] * before + [h] + [zero] * after, axis=axis)
