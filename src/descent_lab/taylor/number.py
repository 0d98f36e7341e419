"""Taylor numbers: the operators, and how numbers start."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from descent_lab.taylor import functions
from descent_lab.taylor.expansion import Expansion, Space


def _compared(name):
    def compare(self, other):
        return getattr(self.value, name)(other.value if isinstance(other, Expansion) else other)

    compare.__name__ = name
    return compare


class Taylor(Expansion):
    """A number that carries its partial derivatives; made by `variables` or `seed`.

    Behaves as its value does: operators, indexing, comparisons (of values) and `xp` functions, mixed with
    Python numbers and arrays of NumPy. Attributes: value (S), gradient (*S, m), hessian (*S, m, m), symbols.
    """

    __slots__ = ()
    __array_ufunc__ = None  # ndarray + Taylor is Taylor.__radd__

    def __array_namespace__(self, api_version=None):
        return functions

    def __array__(self, dtype=None, copy=None):
        raise TypeError("an ndarray cannot hold a Taylor number's derivatives: use .value or .gradient")

    def __add__(self, other):
        return functions.add(self, other)

    def __sub__(self, other):
        return functions.subtract(self, other)

    def __mul__(self, other):
        return functions.multiply(self, other)

    def __truediv__(self, other):
        return functions.divide(self, other)

    def __pow__(self, other):
        return functions.power(self, other)

    def __matmul__(self, other):
        return functions.matmul(self, other)

    def __radd__(self, other):
        return functions.add(other, self)

    def __rsub__(self, other):
        return functions.subtract(other, self)

    def __rmul__(self, other):
        return functions.multiply(other, self)

    def __rtruediv__(self, other):
        return functions.divide(other, self)

    def __rpow__(self, other):
        return functions.power(other, self)

    def __rmatmul__(self, other):
        return functions.matmul(other, self)

    def __neg__(self):
        return functions.negative(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return functions.abs(self)

    __lt__, __le__, __gt__, __ge__ = map(_compared, ("__lt__", "__le__", "__gt__", "__ge__"))
    __eq__, __ne__ = map(_compared, ("__eq__", "__ne__"))

    def __bool__(self):
        return bool(self.value)

    def __len__(self):
        return len(self.value)

    def __getitem__(self, key):
        return functions.getitem(self, key)

    @property
    def mT(self):
        return functions.matrix_transpose(self)

    @property
    def T(self):
        return functions.permute_dims(self, tuple(range(self.ndim))[::-1])

    def reshape(self, *shape):
        return functions.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis=None, keepdims=False):
        return functions.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis=None, keepdims=False):
        return functions.mean(self, axis=axis, keepdims=keepdims)


def variables(values: Mapping, order: int) -> tuple[Taylor, ...]:
    """Independent variables by name, {"x": 1.0, "y": 2.0}: one number each, which share their symbols.

    An array stands for that many points at once: derivatives are taken entry by entry.
    Raises ValueError for an order other than 1 or 2.
    """
    space = Space(order, len(values), tuple(values))
    arrays = [_floating(value) for value in values.values()]
    return tuple(Taylor(space, a, k, np.ones((*a.shape, 1), a.dtype)) for k, a in enumerate(arrays))


def seed(theta, order: int, symbols=None) -> Taylor:
    """theta of shape (..., m) as independent variables: direction k is d/d theta[..., k].

    symbols: m names, or None for directions known by position, which seeds of equal m then share.
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
    """Bytes of an array of n_values numbers: values, gradients, and for order 2 Hessians.

    A dense network's largest array has n samples * widest hidden layer numbers; several such arrays are held at once.
    """
    per_value = 1 + n_directions + (n_directions**2 if order == 2 else 0)
    return n_values * per_value * itemsize


def _floating(value):
    array = value if hasattr(value, "__array_namespace__") else np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(float)


@lru_cache(maxsize=4)
def _identity(m, dtype):
    identity = np.eye(m, dtype=dtype)
    identity.flags.writeable = False
    return identity
