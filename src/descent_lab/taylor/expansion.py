"""The data of a truncated Taylor expansion: a value and its partial derivatives in m directions.

Derivatives are stored only for a window of directions, [lo, lo + k); outside of it they are zero. The weights of a
layer depend only on their own directions, so that the arrays of early layers stay small. Directions are the last axis,
so that the shape of the value broadcasts and multiplies as it does in NumPy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Self

import numpy as np

SHOWN = 12  # the most terms or symbols that a repr or a message lists


@dataclass(frozen=True)
class Space:
    """The structure that numbers must share to be combined: order (1 or 2), number of directions, and symbols.

    symbols: one name per direction, or None where directions are known by position only.
    Raises ValueError for an order other than 1 or 2, and for symbols that do not name each direction once.
    """

    order: int
    size: int
    symbols: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ValueError(f"order {self.order}: must be 1 or 2")
        if self.symbols is None:
            return
        if len(self.symbols) != self.size:
            raise ValueError(f"{len(self.symbols)} symbols for {self.size} directions: must be one each")
        if len(set(self.symbols)) != self.size:
            repeated = sorted({s for s in self.symbols if self.symbols.count(s) > 1})
            raise ValueError(f"symbols {_listed(repeated)} appear more than once: names must differ")

    def label(self, direction: int) -> str:
        """The symbol of a direction, or its position where directions have no names."""
        return self.symbols[direction] if self.symbols else str(direction)

    def describe(self) -> str:
        """The directions in words, for messages."""
        if self.symbols is None:
            return f"{self.size} unnamed directions (0 to {self.size - 1})"
        return f"symbols {_listed(self.symbols)}"

    def position(self, symbol: Any) -> int:
        """The direction of a symbol, or of a position where directions have no names. Raises ValueError."""
        names: Sequence[Any] = range(self.size) if self.symbols is None else self.symbols
        if symbol not in names:
            raise ValueError(f"symbol {symbol!r} unknown: this number has {self.describe()}")
        return names.index(symbol)


class Expansion:
    """value + gradient (+ hessian): f(x + d) = value + gradient . d + d . hessian . d / 2.

    value: array of shape S.
    lo: the first direction of the window.
    tangent: the first derivatives in the window, shape (*S, k).
    curvature: the second derivatives in the window, shape (*S, k, k); None where they are all zero.
    directions: the direction of each entry, shape S, if the entries are independent variables; else None.
    """

    __slots__ = ("curvature", "directions", "lo", "space", "tangent", "value")

    def __init__(
        self,
        space: Space,
        value: np.ndarray,
        lo: int,
        tangent: np.ndarray,
        curvature: np.ndarray | None = None,
        directions: np.ndarray | None = None,
    ) -> None:
        self.space, self.value, self.lo, self.directions = space, value, lo, directions
        self.tangent = _conform(tangent, value, 1)
        self.curvature = None if curvature is None else _conform(curvature, value, 2)

    def new(
        self,
        value: np.ndarray,
        lo: int,
        tangent: np.ndarray,
        curvature: np.ndarray | None = None,
        directions: np.ndarray | None = None,
    ) -> Self:
        """A number of the same class in the same space. Its derivatives get the shape and dtype of the value."""
        return type(self)(self.space, value, lo, tangent, curvature, directions)

    @property
    def order(self) -> int:
        """The highest order of the derivatives: 1 or 2."""
        return self.space.order

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """The names of the m directions; None where they have none."""
        return self.space.symbols

    @property
    def window(self) -> slice:
        """The directions whose derivatives may differ from zero, as a slice."""
        return slice(self.lo, self.lo + self.tangent.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def gradient(self) -> np.ndarray:
        """The first derivatives in all m directions, shape (*S, m)."""
        full = np.zeros_like(self.value, shape=(*self.shape, self.space.size))
        full[..., self.window] = self.tangent
        return full

    @property
    def hessian(self) -> np.ndarray:
        """The second derivatives, shape (*S, m, m). Raises ValueError for a number of order 1."""
        if self.order < 2:
            raise ValueError("hessian of a number of order 1: make the number with order=2")
        full = np.zeros_like(self.value, shape=(*self.shape, self.space.size, self.space.size))
        if self.curvature is not None:
            full[..., self.window, self.window] = self.curvature
        return full

    def get_derivative(self, index: Mapping[Any, int] | Sequence[int]) -> Any:
        """The partial derivative of a multi-index, shape S.

        index: {symbol: count}, or one count per direction; {"x": 1, "y": 1} and (1, 1) are d2/dxdy.
        Raises ValueError for an unknown symbol, a negative or fractional count, and a total above the order.
        """
        counts = self._counts(index)
        directions = [k for k, count in counts.items() for _ in range(count)]
        if len(directions) > self.order:
            raise ValueError(
                f"derivative {index!r} has order {len(directions)}: this number carries orders 0 to {self.order}"
            )
        return self._partial(directions)

    def _counts(self, index: Mapping[Any, int] | Sequence[int]) -> dict[int, int]:
        """How often each direction occurs in a multi-index."""
        if not isinstance(index, Mapping):
            if len(index) != self.space.size:
                raise ValueError(
                    f"multi-index {index!r} has {len(index)} counts: this number has {self.space.describe()}"
                )
            index = dict(zip(self.symbols or range(self.space.size), index, strict=True))
        for symbol, count in index.items():
            if not isinstance(count, int | np.integer) or count < 0:
                raise ValueError(f"count {count!r} for symbol {symbol!r}: must be 0, 1, ..., {self.order}")
        return {self.space.position(symbol): count for symbol, count in index.items()}

    def _partial(self, directions: Sequence[int]) -> Any:
        """The derivative in these directions: none, one or two of them."""
        stored = (self.value, self.tangent, self.curvature)[len(directions)]
        inside: tuple[Any, ...] = tuple(k - self.lo for k in directions)
        if stored is None or any(not 0 <= k < self.tangent.shape[-1] for k in inside):
            return np.zeros(self.shape, self.dtype)[()]
        index: tuple[Any, ...] = (..., *inside)
        return stored[index][()]

    def __repr__(self) -> str:
        if self.shape == ():
            return self._polynomial()
        return f"{type(self).__name__}(shape={self.shape}, order={self.order}, {self.space.describe()})"

    def _polynomial(self) -> str:
        terms = [f"{self.value:.6g}"]
        inside = range(*self.window.indices(self.space.size))
        for degree in range(1, self.order + 1):
            for index in combinations_with_replacement(inside, degree):
                terms += self._term(index)
        shown = terms if len(terms) <= SHOWN else [*terms[: SHOWN - 1], "..."]
        return " + ".join(shown).replace("+ -", "- ")

    def _term(self, index: Sequence[int]) -> list[str]:
        """The term of the polynomial with this index: `0.5*dx^2` for (x, x). The list is empty where the term is 0."""
        repeated = len(index) == 2 and index[0] == index[1]
        c = self._partial(index) / (2 if repeated else 1)
        names = [f"d{self.space.label(k)}" for k in index]
        factors = f"{names[0]}^2" if repeated else "*".join(names)
        return [f"{c:.6g}*{factors}"] if c != 0 else []


def _conform(array: np.ndarray, value: np.ndarray, trailing: int) -> np.ndarray:
    """An array of derivatives in the shape and dtype of the value; no copy is made where it has them."""
    shape = value.shape + array.shape[array.ndim - trailing :]
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    return array if array.dtype == value.dtype else array.astype(value.dtype)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
