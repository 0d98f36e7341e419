"""Taylor numbers: their operators, and the functions that make them."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Self

import numpy as np

from descent_lab.taylor import functions
from descent_lab.taylor.expansion import Expansion, Space


def _compared(name: str) -> Callable[[Any, Any], Any]:
    """The comparison operator of that name, which compares values."""

    def compare(self: Expansion, other: Any) -> Any:
        return getattr(self.value, name)(other.value if isinstance(other, Expansion) else other)

    compare.__name__ = name
    return compare


class Taylor(Expansion):
    """A number that carries its partial derivatives. `variables` and `seed` make such numbers.

    It behaves as its value does: it has operators, indexing, comparisons (of values) and the functions of its
    namespace, and mixes with Python numbers and NumPy arrays. Attributes: value (S), gradient (*S, m), hessian
    (*S, m, m), symbols.
    """

    __slots__ = ()
    __array_ufunc__ = None  # ndarray + Taylor is Taylor.__radd__

    def __array_namespace__(self, api_version: str | None = None) -> ModuleType:
        return functions

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("an ndarray cannot hold a Taylor number's derivatives: use .value or .gradient")

    def __add__(self, other: Any) -> Any:
        return functions.add(self, other)

    def __sub__(self, other: Any) -> Any:
        return functions.subtract(self, other)

    def __mul__(self, other: Any) -> Any:
        return functions.multiply(self, other)

    def __truediv__(self, other: Any) -> Any:
        return functions.divide(self, other)

    def __pow__(self, other: Any) -> Any:
        return functions.power(self, other)

    def __matmul__(self, other: Any) -> Any:
        return functions.matmul(self, other)

    def __radd__(self, other: Any) -> Any:
        return functions.add(other, self)

    def __rsub__(self, other: Any) -> Any:
        return functions.subtract(other, self)

    def __rmul__(self, other: Any) -> Any:
        return functions.multiply(other, self)

    def __rtruediv__(self, other: Any) -> Any:
        return functions.divide(other, self)

    def __rpow__(self, other: Any) -> Any:
        return functions.power(other, self)

    def __rmatmul__(self, other: Any) -> Any:
        return functions.matmul(other, self)

    def __neg__(self) -> Any:
        return functions.negative(self)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Any:
        return functions.abs(self)

    __lt__, __le__, __gt__, __ge__ = map(_compared, ("__lt__", "__le__", "__gt__", "__ge__"))
    __eq__, __ne__ = map(_compared, ("__eq__", "__ne__"))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, key: Any) -> Any:
        return functions.getitem(self, key)

    @property
    def mT(self) -> Any:
        return functions.matrix_transpose(self)

    @property
    def T(self) -> Any:
        return functions.permute_dims(self, tuple(range(self.ndim))[::-1])

    def reshape(self, *shape: Any) -> Any:
        return functions.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return functions.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        return functions.mean(self, axis=axis, keepdims=keepdims)


def variables(values: Mapping[str, Any], order: int) -> tuple[Taylor, ...]:
    """Independent variables from values by name, {"x": 1.0, "y": 2.0}: one number for each, in one space.

    An array as a value holds several points, and derivatives are taken for each entry.
    Raises ValueError for an order other than 1 or 2.
    """
    space = Space(order, len(values), tuple(values))
    arrays = [_floating(value) for value in values.values()]
    return tuple(Taylor(space, a, k, np.ones((*a.shape, 1), a.dtype)) for k, a in enumerate(arrays))


def seed(theta: Any, order: int, symbols: Sequence[str] | None = None) -> Taylor:
    """theta of shape (..., m) as independent variables: direction k is d/d theta[..., k].

    symbols: m names; None: directions are known by their position, and seeds of equal m share them.
    Raises ValueError for an order other than 1 or 2, a theta without axes, and symbols that do not name each
    direction once.
    """
    theta = _floating(theta)
    if theta.ndim == 0:
        raise ValueError("theta of shape (): must have at least one axis, the last one over the directions")
    m = theta.shape[-1]
    space = Space(order, m, None if symbols is None else tuple(symbols))
    identity = np.broadcast_to(_identity(m, theta.dtype.str), (*theta.shape, m))
    return Taylor(space, theta, 0, identity, directions=np.broadcast_to(np.arange(m), theta.shape))


def tangent_bytes(n_values: int, n_directions: int, order: int, itemsize: int = 8) -> int:
    """The bytes of an array of n_values numbers: values, gradients and, for order 2, Hessians.

    The largest array of a dense network has (samples x units of the widest hidden layer) numbers. Several such arrays
    are held at once.
    """
    per_value = 1 + n_directions + (n_directions**2 if order == 2 else 0)
    return n_values * per_value * itemsize


def _floating(value: Any) -> Any:
    array = value if hasattr(value, "__array_namespace__") else np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(float)


@lru_cache(maxsize=4)
def _identity(m: int, dtype: str) -> np.ndarray:
    identity = np.eye(m, dtype=dtype)
    identity.flags.writeable = False
    return identity
