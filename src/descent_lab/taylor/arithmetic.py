"""Elementwise functions of Taylor numbers and of plain arrays: elementary functions, arithmetic and selection."""
# ruff: noqa: A001 - names are those of NumPy; derivatives share one signature

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from descent_lab.taylor.chain import Operand, combine, compose, select, value_of
from descent_lab.taylor.expansion import Expansion

# Elementary functions, each given by f(u), f'(u) as a function of u and f, and f''(u) as a function of u, f and f'.

Function = Callable[..., Any]


def _elementary(f: Function, f1: Function, f2: Function | None = None) -> Function:
    """The function f of plain arrays, extended to Taylor numbers. f2 None: the second derivative is zero."""

    def function(x: Operand) -> Any:
        if not isinstance(x, Expansion):
            return f(x)
        u, value = x.value, f(x.value)
        d1 = f1(u, value)
        return compose(x, value, d1, f2 and (lambda: f2(u, value, d1)))

    function.__name__ = function.__qualname__ = f.__name__.lstrip("_")
    function.__doc__ = f"{function.__name__} of each entry, with its derivatives."
    return function


def _sigmoid(x: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(0.5 * x)  # tanh cannot overflow


def _erf(x: Any) -> Any:
    from scipy.special import erf  # only here, because importing it takes a fifth of a second

    return erf(x)


exp = _elementary(np.exp, lambda u, f: f, lambda u, f, f1: f)
expm1 = _elementary(np.expm1, lambda u, f: f + 1, lambda u, f, f1: f1)
log = _elementary(np.log, lambda u, f: 1 / u, lambda u, f, f1: -f1 * f1)
log1p = _elementary(np.log1p, lambda u, f: 1 / (1 + u), lambda u, f, f1: -f1 * f1)
sqrt = _elementary(np.sqrt, lambda u, f: 0.5 / f, lambda u, f, f1: -0.5 * f1 / u)
square = _elementary(np.square, lambda u, f: 2 * u, lambda u, f, f1: 2)
reciprocal = _elementary(np.reciprocal, lambda u, f: -f * f, lambda u, f, f1: -2 * f * f1)
sin = _elementary(np.sin, lambda u, f: np.cos(u), lambda u, f, f1: -f)
cos = _elementary(np.cos, lambda u, f: -np.sin(u), lambda u, f, f1: -f)
tan = _elementary(np.tan, lambda u, f: 1 + f * f, lambda u, f, f1: 2 * f * f1)
sinh = _elementary(np.sinh, lambda u, f: np.cosh(u), lambda u, f, f1: f)
cosh = _elementary(np.cosh, lambda u, f: np.sinh(u), lambda u, f, f1: f)
tanh = _elementary(np.tanh, lambda u, f: 1 - f * f, lambda u, f, f1: -2 * f * f1)
sigmoid = _elementary(_sigmoid, lambda u, f: f * (1 - f), lambda u, f, f1: (1 - 2 * f) * f1)
erf = _elementary(_erf, lambda u, f: 2 / math.sqrt(math.pi) * np.exp(-u * u), lambda u, f, f1: -2 * u * f1)
abs = _elementary(np.abs, lambda u, f: np.sign(u))  # slope 0 at 0
negative = _elementary(np.negative, lambda u, f: -1)


def plain_too(function: Function) -> Function:
    """A decorator: where no argument is a Taylor number, NumPy's function of the same name is called."""
    plain = getattr(np, function.__name__)

    @wraps(function)
    def either(x: Operand, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, Expansion) or any(isinstance(a, Expansion) for a in args):
            return function(x, *args, **kwargs)
        return plain(x, *args, **kwargs)

    return either


# Arithmetic


@plain_too
def add(u: Operand, v: Operand) -> Any:
    return combine(u, v, value_of(u) + value_of(v), 1, 1)


@plain_too
def subtract(u: Operand, v: Operand) -> Any:
    return combine(u, v, value_of(u) - value_of(v), 1, -1)


@plain_too
def multiply(u: Operand, v: Operand) -> Any:
    a, b = value_of(u), value_of(v)
    return combine(u, v, a * b, b, a, lambda: (None, 1, None))


@plain_too
def divide(u: Operand, v: Operand) -> Any:
    a, b = value_of(u), value_of(v)
    q, r = a / b, 1 / b
    # q = u / v:   q_u = 1 / v,   q_v = -q / v,   q_uu = 0,   q_uv = -1 / v^2,   q_vv = 2 q / v^2
    if not isinstance(v, Expansion):
        return compose(u, q, r)
    return combine(u, v, q, r, -q * r, lambda: (None, -r * r, 2 * q * r * r))


@plain_too
def power(u: Operand, p: Operand) -> Any:
    """u ** p. A constant p may be any number or array; for an exponent that is a Taylor number u must be positive."""
    if isinstance(p, Expansion):
        # u^p = e^(p log u), with the value computed directly
        f = exp(multiply(p, log(u)))
        return f.new(value_of(u) ** p.value, f.lo, f.tangent, f.curvature)
    p, a = value_of(p), u.value
    # (u^p)' = p u^(p-1),   (u^p)'' = p (p-1) u^(p-2)
    return compose(u, a**p, _monomial(p, a, p - 1), lambda: _monomial(p * (p - 1), a, p - 2))


def _monomial(c: Any, a: Any, p: Any) -> Any:
    """c a^p; it is 0 where c = 0, also at a = 0."""
    return c * a ** np.where(c == 0, 0, p) if np.ndim(c) else c * a ** (p if c else 0)


@plain_too
def logaddexp(u: Operand, v: Operand) -> Any:
    a, b = value_of(u), value_of(v)
    s, r = _sigmoid(a - b), _sigmoid(b - a)
    # f = log(e^u + e^v):   f_u = s(u - v),   f_v = s(v - u),   f_uu = f_vv = -f_uv = f_u f_v
    return combine(u, v, np.logaddexp(a, b), s, r, lambda: (s * r, -s * r, s * r))


# Selection


def where(condition: Any, u: Operand, v: Operand) -> Any:
    """u where the condition, a plain array, holds, and v elsewhere."""
    condition = value_of(condition)
    if isinstance(u, Expansion) or isinstance(v, Expansion):
        return select(condition, u, v)
    return np.where(condition, u, v)


@plain_too
def maximum(u: Operand, v: Operand) -> Any:
    """The larger of u and v. At a tie a constant counts (so that relu'(0) = 0), and of two numbers the second."""
    if not isinstance(u, Expansion):
        return maximum(v, u)
    return where((u.value > value_of(v)) | np.isnan(u.value), u, v)


@plain_too
def minimum(u: Operand, v: Operand) -> Any:
    """The smaller of u and v. At a tie a constant counts, and of two numbers the second."""
    return negative(maximum(negative(u), negative(v)))


@plain_too
def clip(x: Operand, low: Operand, high: Operand) -> Any:
    return minimum(maximum(x, low), high)


def sign(x: Operand) -> Any:
    """The sign of the value, a plain array: its derivative is zero."""
    return np.sign(value_of(x))


def isfinite(x: Operand) -> Any:
    """Whether each entry of the value is finite, a plain boolean array."""
    return np.isfinite(value_of(x))


def isnan(x: Operand) -> Any:
    """Whether each entry of the value is NaN, a plain boolean array."""
    return np.isnan(value_of(x))


def argmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the largest value, a plain array."""
    return np.argmax(value_of(x), axis=axis, keepdims=keepdims)


def zeros_like(x: Operand, dtype: Any = None) -> Any:
    """Zeros of the shape and dtype of x, a plain array."""
    return np.zeros_like(value_of(x), dtype=dtype)


def ones_like(x: Operand, dtype: Any = None) -> Any:
    """Ones of the shape and dtype of x, a plain array."""
    return np.ones_like(value_of(x), dtype=dtype)
