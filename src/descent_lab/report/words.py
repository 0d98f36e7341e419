"""Numbers and lists as words."""

from collections.abc import Sequence

import numpy as np

ERROR = 0.05  # the probability of an error at which verdicts are given


def number(x: float, infinite: str = "diverged") -> str:
    """Three digits."""
    if x is None or np.isnan(x):
        return "–"
    if np.isinf(x):
        return infinite
    return f"{x:.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}"


def apart(x: float, other: float, digits: int = 3) -> str:
    """A number in these digits, or in as few more as tell it from another: 1.0004 beside 1."""
    near = x != other and float(f"{x:.{digits}g}") == other
    return apart(x, other, digits + 1) if near else f"{x:.{digits}g}"


def interval(estimate: float, low: float, high: float, infinite: str = "diverged", neutral: float | None = None) -> str:
    """estimate [low, high]; without limits where there are none.

    neutral: what stands for no difference, such as the ratio 1: no other limit is rounded onto it.
    """
    if np.isnan(low) or np.isnan(high):
        return number(estimate, infinite)
    ends = [number(limit, "∞") for limit in (low, high)]
    if neutral is not None:
        at_neutral = number(neutral)
        pairs = zip((low, high), ends, strict=True)
        ends = [apart(limit, neutral) if text == at_neutral else text for limit, text in pairs]
    return f"{number(estimate, infinite)} [{', '.join(ends)}]"


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def p_value(p: float, least: float = 0.0) -> str:
    """`= 0.03`; `≤ 0.0001` at the least p that is told, such as the smallest that a test by permutations can give.

    A p that is nearly 0.05 has the digits that tell on which side of it it lies.
    """
    return f"≤ {least:.2g}" if p <= least * (1 + 1e-9) else f"= {apart(p, ERROR, 2)}"
