"""Indexing, shapes, reductions and products of Taylor numbers and of plain arrays.

Most of these functions are linear, so that the same function applies to the value, the tangent and the curvature.
"""
# ruff: noqa: A001 - names are those of NumPy; the maps share one signature

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from descent_lab.taylor import chain
from descent_lab.taylor.arithmetic import argmax, negative, plain_too, square
from descent_lab.taylor.chain import Operand, value_of
from descent_lab.taylor.expansion import Expansion

Map = Callable[[Any, int], Any]  # of an array whose last t axes are directions, and t


def _mapped(x: Expansion, op: Map) -> Any:
    """op applied to the value, the tangent and the curvature. It must leave the axes of directions in place."""
    curvature = None if x.curvature is None else op(x.curvature, 2)
    return x.new(op(x.value, 0), x.lo, op(x.tangent, 1), curvature)


def _moved(x: Expansion, op: Map) -> Any:
    """`_mapped` for an op that only moves or selects entries, so that independent variables stay independent."""
    moved = _mapped(x, op)
    moved.directions = None if x.directions is None else op(x.directions, 0)
    return moved


def _axes(x: Any, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """Axes of the value, counted from 0. axis: one, several, or None for all."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(np.lib.array_utils.normalize_axis_tuple(axes, x.ndim))


def getitem(x: Expansion, key: Any) -> Any:
    """x[key] on the axes of the value. A slice of a seed has a window of only the directions of its entries."""
    key = key if isinstance(key, tuple) else (key,)
    tail = slice(None) if any(k is Ellipsis for k in key) else None
    picked = _moved(x, lambda a, t: a[key + (tail,) * t] if tail else a[key])
    at = picked.directions
    if at is None or at.size == 0:
        return picked
    lo, hi = (int(f.reduce(at, axis=None)) for f in (np.minimum, np.maximum))
    return x.new(picked.value, lo, picked.tangent[..., lo - x.lo : hi + 1 - x.lo], directions=at)


@plain_too
def reshape(x: Any, shape: Any) -> Any:
    shape = x.value.reshape(shape).shape  # an axis of -1 gets its length
    return _moved(x, lambda a, t: a.reshape(shape + a.shape[a.ndim - t :]))


@plain_too
def permute_dims(x: Any, axes: Any) -> Any:
    axes = _axes(x, axes)
    return _moved(x, lambda a, t: a.transpose(axes + tuple(range(x.ndim, x.ndim + t))))


@plain_too
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    i, j = (k + x.ndim if k < 0 else k for k in (axis1, axis2))
    return _moved(x, lambda a, t: np.swapaxes(a, i, j))


@plain_too
def matrix_transpose(x: Any) -> Any:
    return swapaxes(x, -2, -1)


@plain_too
def moveaxis(x: Any, source: int, destination: int) -> Any:
    (i,), (j,) = _axes(x, source), _axes(x, destination)
    return _moved(x, lambda a, t: np.moveaxis(a, i, j))


@plain_too
def expand_dims(x: Any, axis: Any = 0) -> Any:
    shape = np.expand_dims(x.value, axis).shape
    return reshape(x, shape)


@plain_too
def squeeze(x: Any, axis: Any = None) -> Any:
    return reshape(x, np.squeeze(x.value, axis).shape)


@plain_too
def broadcast_to(x: Any, shape: Any) -> Any:
    return x.new(np.broadcast_to(x.value, shape), x.lo, x.tangent, x.curvature)


@plain_too
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axes = _axes(x, axis)
    return _mapped(x, lambda a, t: a.sum(axis=axes, keepdims=keepdims))


@plain_too
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return sum(x, axis=axis, keepdims=keepdims) / math.prod(x.shape[k] for k in _axes(x, axis))


@plain_too
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance: the mean squared deviation from the mean, divided by n."""
    return mean(square(x - mean(x, axis=axis, keepdims=True)), axis=axis, keepdims=keepdims)


@plain_too
def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    (axis,) = _axes(x, axis)
    return _mapped(x, lambda a, t: np.take_along_axis(a, indices[(..., *(None,) * t)], axis))


@plain_too
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest value and its derivatives; at a tie those of the first."""
    axes = _axes(x, axis)
    others = tuple(k for k in range(x.ndim) if k not in axes)
    rows = reshape(permute_dims(x, others + axes), (*(x.shape[k] for k in others), -1))
    largest = getitem(take_along_axis(rows, argmax(rows, axis=-1, keepdims=True)), (..., 0))
    return expand_dims(largest, axes) if keepdims else largest


@plain_too
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest value and its derivatives; at a tie those of the first."""
    return negative(max(negative(x), axis=axis, keepdims=keepdims))


def concat(arrays: Sequence[Operand], axis: int = 0) -> Any:
    """Arrays joined along an axis; some or all of them may be plain."""
    value = np.concatenate([value_of(x) for x in arrays], axis=axis)
    if not any(isinstance(x, Expansion) for x in arrays):
        return value
    operands, numbers = chain.unified_among(arrays)
    lo, hi = chain.union(numbers)
    (axis,) = _axes(value, axis)

    def joined(over: Callable[[Operand, int, int], Any], t: int) -> Any:
        parts = (np.broadcast_to(over(x, lo, hi), np.shape(x) + (hi - lo,) * t) for x in operands)
        return np.concatenate(tuple(parts), axis=axis)

    curved = any(x.curvature is not None for x in numbers)
    return numbers[0].new(value, lo, joined(chain.tangent_over, 1), joined(chain.curvature_over, 2) if curved else None)


def stack(arrays: Sequence[Operand], axis: int = 0) -> Any:
    """Arrays of the same shape joined along a new axis; some or all of them may be plain."""
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis)


@plain_too
def matmul(u: Operand, v: Operand) -> Any:
    if value_of(v).ndim == 1:
        return squeeze(matmul(u, expand_dims(v, axis=1)), axis=-1)
    if value_of(u).ndim == 1:
        return squeeze(matmul(expand_dims(u, axis=0), v), axis=-2)
    return chain.matmul(u, v)
