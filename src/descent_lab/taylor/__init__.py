"""Truncated multivariate Taylor (differential) algebra: numbers that carry their partial derivatives.

A number holds its value and all its first (order 1) or all its first and second (order 2) partial derivatives. When a
formula is evaluated with such numbers, the result holds the derivatives of the formula, exact up to rounding. Nothing
is recorded, and there is no reverse pass. Berz, Modern Map Methods in Particle Beam Physics, 1999, ch. 2.

>>> x, y = variables({"x": 1.0, "y": 2.0}, order=2)
>>> x * y**2
4 + 4*dx + 4*dy + 4*dx*dy + 1*dy^2
>>> f = exp(x) * y**2 + sin(x * y)
>>> print(f"{f.value:.6f}")  # e * 4 + sin 2
11.782425
>>> print(f"{f.get_derivative({'x': 1}):.6f}")  # y^2 e^x + y cos(x y)
10.040834
>>> print(f"{f.get_derivative({'x': 1, 'y': 1}):.6f}")  # 2 y e^x + cos(x y) - x y sin(x y)
8.638386
>>> f.get_derivative({"x": 3})
Traceback (most recent call last):
ValueError: derivative {'x': 3} has order 3: this number carries orders 0 to 2

The parameters of a network are seeded together: direction k is d/d theta_k, for all runs (rows) at once. The formula
may be written for any array namespace.

>>> import numpy as np
>>> theta = seed(np.array([[0.5, -1.0, 2.0]]), order=1)  # shape (n_runs, n_params)
>>> xp = theta.__array_namespace__()
>>> W, b = theta[..., 0:2].reshape(1, 2, 1), theta[..., 2:3]
>>> z = W.mT @ np.array([[1.0], [3.0]]) + b[..., None]  # shape (n_runs, fan_out, n)
>>> loss = xp.mean(xp.square(z), axis=(1, 2))
>>> loss.value, loss.gradient  # z^2 and 2 z (x1, x2, 1) at z = -0.5
(array([0.25]), array([[-1., -3., -1.]]))

Numbers with different symbols combine by name; numbers of different orders raise ValueError. The derivative of
maximum(x, 0) at 0 is 0. Derivatives are stored only for a window of directions; outside of it they are zero.
"""

from descent_lab.taylor.functions import (
    abs,  # noqa: A004
    clip,
    concat,
    cos,
    cosh,
    erf,
    exp,
    expm1,
    log,
    log1p,
    logaddexp,
    matmul,
    maximum,
    minimum,
    reciprocal,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    stack,
    tan,
    tanh,
    where,
)
from descent_lab.taylor.number import Taylor, seed, tangent_bytes, variables

__all__ = [
    "Taylor",
    "abs",
    "clip",
    "concat",
    "cos",
    "cosh",
    "erf",
    "exp",
    "expm1",
    "log",
    "log1p",
    "logaddexp",
    "matmul",
    "maximum",
    "minimum",
    "reciprocal",
    "seed",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "stack",
    "tan",
    "tangent_bytes",
    "tanh",
    "variables",
    "where",
]
