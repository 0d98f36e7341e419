"""The chain rule to second order, and the windows of directions in which it works.

Every other function of the algebra calls one of four: `compose` for f(u), `combine` for f(u, v), `select`, `matmul`.
Griewank & Walther, Evaluating Derivatives, 2nd ed. 2008, ch. 13; Berz, Modern Map Methods, 1999, ch. 2.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from descent_lab.taylor.expansion import Expansion, Space

SMALL = 4096  # for fewer derivatives than this, multiplying is quicker than `_placed`

Operand = Any  # a Taylor number, an array or a Python number
Block = tuple[Any, ...]  # the first direction on each axis of directions, and then the array
Second = Callable[[], Any]  # a function, so that second derivatives are computed only when they are needed


def value_of(x: Operand) -> Any:
    """The value of a Taylor number; Python numbers and arrays as they are; anything else as an array."""
    if isinstance(x, Expansion):
        return x.value
    return x if isinstance(x, int | float) or hasattr(x, "__array_namespace__") else np.asarray(x)


def compose(u: Expansion, value: Any, f1: Any, f2: Second | None = None) -> Any:
    """f(u) of one number, from the value of f, f1 = f'(u) and f2, a function that gives f''(u); None stands for 0."""
    # d f(u) = f' du;   d2 f(u) = f' d2u + f'' du du^T
    tangent = _scaled(f1, u.tangent, 1)
    if u.order == 1 or f2 is None or (second := f2()) is None:
        curvature = None if u.curvature is None else _scaled(f1, u.curvature, 2)
        return u.new(value, u.lo, tangent, curvature)
    curvature = _outer(_scaled(second, u.tangent, 1), u.tangent)
    if u.curvature is not None:
        curvature += _scaled(f1, u.curvature, 2)
    return u.new(value, u.lo, tangent, curvature)


def combine(u: Operand, v: Operand, value: Any, fu: Any, fv: Any, second: Second | None = None) -> Any:
    """f(u, v) of two numbers, or of a number and a constant.

    fu, fv: the first partial derivatives. second: a function that gives (fuu, fuv, fvv). None stands for 0.
    """
    if not isinstance(v, Expansion):
        return compose(u, value, fu, second and (lambda: second()[0]))
    if not isinstance(u, Expansion):
        return compose(v, value, fv, second and (lambda: second()[2]))
    u, v = unified([u, v])
    lo, hi = union([u, v])
    # df = fu du + fv dv
    tangents = [(u.lo, _scaled(fu, u.tangent, 1)), (v.lo, _scaled(fv, v.tangent, 1))]
    tangent = _summed(tangents, value, lo, hi)
    # d2f = fu d2u + fv d2v + fuu du du^T + fvv dv dv^T + fuv (du dv^T + dv du^T)
    pairs = ((u, fu), (v, fv))
    blocks = [(x.lo, x.lo, _scaled(f, x.curvature, 2)) for x, f in pairs if x.curvature is not None]
    if second is not None and u.order == 2:
        blocks += _products(u, v, *second())
    return u.new(value, lo, tangent, _summed(blocks, value, lo, hi) if blocks else None)


def _products(u: Expansion, v: Expansion, fuu: Any, fuv: Any, fvv: Any) -> Iterator[Block]:
    """The blocks fuu du du^T, fvv dv dv^T and fuv (du dv^T + dv du^T)."""
    for x, f in ((u, fuu), (v, fvv)):
        if f is not None:
            yield x.lo, x.lo, _outer(_scaled(f, x.tangent, 1), x.tangent)
    cross = _outer(_scaled(fuv, u.tangent, 1), v.tangent)
    yield u.lo, v.lo, cross
    yield v.lo, u.lo, cross.mT


def select(condition: Any, u: Operand, v: Operand) -> Any:
    """u where the condition holds and v elsewhere, with their derivatives; u or v may be a constant."""
    value = np.where(condition, value_of(u), value_of(v))
    (u, v), numbers = unified_among([u, v])
    lo, hi = union(numbers)
    tangent = np.where(column(condition, 1), tangent_over(u, lo, hi), tangent_over(v, lo, hi))
    if all(x.curvature is None for x in numbers):
        return numbers[0].new(value, lo, tangent)
    curvature = np.where(column(condition, 2), curvature_over(u, lo, hi), curvature_over(v, lo, hi))
    return numbers[0].new(value, lo, tangent, curvature)


def matmul(u: Operand, v: Operand) -> Any:
    """The matrix product of two numbers, or of a number and an array, over the last 2 axes; others broadcast."""
    value = value_of(u) @ value_of(v)
    # d(UV) = dU V + U dV;   d2(UV) = d2U V + U d2V + dU dV + (dU dV)^T
    if not isinstance(u, Expansion):
        curvature = None if v.curvature is None else _left(u, v.curvature, 2)
        return v.new(value, v.lo, _left(u, v.tangent, 1), curvature)
    if not isinstance(v, Expansion):
        curvature = None if u.curvature is None else _right(u.curvature, v, 2)
        tangent = _placed(u, v, value, *union([u])) if _independent(u) else _right(u.tangent, v, 1)
        return u.new(value, u.lo, tangent, curvature)
    u, v = unified([u, v])
    lo, hi = union([u, v])
    blocks = [(v.lo, _left(u.value, v.tangent, 1))]
    if _independent(u):
        tangent = _added(_placed(u, v.value, value, lo, hi), blocks, lo)
    else:
        tangent = _summed([(u.lo, _right(u.tangent, v.value, 1)), *blocks], value, lo, hi)
    seconds = list(_matrix_seconds(u, v)) if u.order == 2 else []
    return u.new(value, lo, tangent, _summed(seconds, value, lo, hi) if seconds else None)


def _independent(u: Expansion) -> bool:
    """Whether each row of u holds different independent variables, as weights do that are parts of a seed."""
    if u.directions is None or u.tangent.size < SMALL:
        return False
    return bool((np.diff(np.sort(u.directions, axis=-1)) > 0).all())


def _placed(u: Expansion, b: Any, value: Any, lo: int, hi: int) -> Any:
    """dU B over the window [lo, hi), for independent entries of U: the rows of B, each placed at a direction."""
    assert u.directions is not None
    # dU_pqk = 1 where k is the direction of U_pq, so (dU B)_prk = B_qr there
    total = np.zeros_like(value, shape=(*value.shape, hi - lo))
    at = np.broadcast_to(u.directions, (*value.shape[:-1], u.shape[-1])) - lo
    np.put_along_axis(total, at[..., :, None, :], b.mT[..., None, :, :], axis=-1)
    return total


def _matrix_seconds(u: Expansion, v: Expansion) -> Iterator[Block]:
    """The blocks of the second derivatives of U V."""
    if u.curvature is not None:
        yield u.lo, u.lo, _right(u.curvature, v.value, 2)
    if v.curvature is not None:
        yield v.lo, v.lo, _left(u.value, v.curvature, 2)
    # (dU dV)_prkl = sum_q dU_pqk dV_qrl, one (k, q) by (q, l) product for each p, r
    cross = u.tangent.mT[..., :, None, :, :] @ np.swapaxes(v.tangent, -3, -2)[..., None, :, :, :]
    yield u.lo, v.lo, cross
    yield v.lo, u.lo, cross.mT


def _left(a: Any, t: Any, trailing: int) -> Any:
    """A dV for A (..., p, q) and tangents (..., q, r, k): one product of A with a (q, r k) matrix."""
    kept = t.shape[t.ndim - trailing - 1 :]  # (r, k) or (r, k, k)
    product = a @ t.reshape(*t.shape[: -len(kept)], -1 if t.size else 0)
    return product.reshape(*product.shape[:-1], *kept)


def _right(t: Any, b: Any, trailing: int) -> Any:
    """dU B for tangents (..., p, q, k) and B (..., q, r): for each p, B^T with a (q, k) matrix."""
    kept = t.shape[t.ndim - trailing :]  # (k,) or (k, k)
    product = b.mT[..., None, :, :] @ t.reshape(*t.shape[:-trailing], int(np.prod(kept)))
    return product.reshape(*product.shape[:-1], *kept)


def unified(numbers: Sequence[Expansion]) -> list[Expansion]:
    """The numbers in one space, that of all their symbols in order of appearance.

    Raises ValueError where their orders differ, and where their spaces differ and directions have no names.
    """
    spaces = [x.space for x in numbers]
    if all(space is spaces[0] or space == spaces[0] for space in spaces):
        return list(numbers)
    orders = sorted({space.order for space in spaces})
    if len(orders) > 1:
        raise ValueError(f"orders {orders[0]} and {orders[1]} do not combine: make both numbers with one order")
    if any(space.symbols is None for space in spaces):
        described = " and ".join(space.describe() for space in spaces)
        raise ValueError(f"numbers with {described} do not combine: make them together, or name all directions")
    symbols = tuple(dict.fromkeys(s for space in spaces for s in space.symbols or ()))
    space = Space(orders[0], len(symbols), symbols)
    return [_embedded(x, space) for x in numbers]


def unified_among(items: Iterable[Operand]) -> tuple[list[Operand], list[Expansion]]:
    """The items with their Taylor numbers unified and plain arrays left as they are; and the Taylor numbers alone."""
    numbers = unified([x for x in items if isinstance(x, Expansion)])
    following = iter(numbers)
    return [next(following) if isinstance(x, Expansion) else x for x in items], numbers


def _embedded(x: Expansion, space: Space) -> Expansion:
    """The number in a larger space that has all its symbols."""
    at = np.array([space.position(s) for s in x.symbols or ()], int)
    tangent = np.zeros((*x.shape, space.size), x.dtype)
    tangent[..., at] = x.gradient
    if x.curvature is None:
        return type(x)(space, x.value, 0, tangent)
    curvature = np.zeros((*x.shape, space.size, space.size), x.dtype)
    curvature[..., at[:, None], at] = x.hessian
    return type(x)(space, x.value, 0, tangent, curvature)


def union(numbers: Sequence[Expansion]) -> tuple[int, int]:
    """The smallest window [lo, hi) that covers those of all numbers."""
    return min(x.window.start for x in numbers), max(x.window.stop for x in numbers)


def tangent_over(x: Operand, lo: int, hi: int) -> Any:
    """The tangent of x in the window [lo, hi), shape (*S, hi - lo); 0 for a constant."""
    if not isinstance(x, Expansion):
        return 0
    return _summed([(x.lo, x.tangent)], x.value, lo, hi)


def curvature_over(x: Operand, lo: int, hi: int) -> Any:
    """The curvature of x in the window [lo, hi), shape (*S, hi - lo, hi - lo); the number 0 where it is zero."""
    if not isinstance(x, Expansion) or x.curvature is None:
        return 0
    return _summed([(x.lo, x.lo, x.curvature)], x.value, lo, hi)


def column(f: Any, trailing: int) -> Any:
    """f with `trailing` more axes of length 1, so that it multiplies derivatives; a Python number is unchanged."""
    return f if isinstance(f, int | float) else f[(..., *(None,) * trailing)]


def _scaled(f: Any, t: Any, trailing: int) -> Any:
    return t if isinstance(f, int) and f == 1 else column(f, trailing) * t


def _outer(a: Any, b: Any) -> Any:
    return a[..., :, None] * b[..., None, :]


def _summed(blocks: Sequence[Block], value: Any, lo: int, hi: int) -> Any:
    """The sum of blocks as an array over the window [lo, hi)."""
    k = hi - lo
    if all(t.shape[-len(starts) :] == (k,) * len(starts) for *starts, t in blocks):
        return reduce(add, (t for *_, t in blocks))
    return _added(np.zeros_like(value, shape=value.shape + (k,) * (len(blocks[0]) - 1)), blocks, lo)


def _added(total: Any, blocks: Sequence[Block], lo: int) -> Any:
    """Add blocks to their windows of `total`, which starts at direction lo, and return it."""
    for *starts, t in blocks:
        sizes = t.shape[-len(starts) :]
        total[(..., *(slice(a - lo, a - lo + n) for a, n in zip(starts, sizes, strict=True)))] += t
    return total
