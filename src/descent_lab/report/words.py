"""Numbers and lists as words."""

from collections.abc import Sequence

import numpy as np


def number(x: float, infinite: str = "diverged") -> str:
    """Three digits."""
    if x is None or np.isnan(x):
        return "–"
    if np.isinf(x):
        return infinite
    return f"{x:.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}"


def interval(estimate: float, low: float, high: float, infinite: str = "diverged") -> str:
    """estimate [low, high]; without limits where there are none."""
    if np.isnan(low) or np.isnan(high):
        return number(estimate, infinite)
    return f"{number(estimate, infinite)} [{number(low, '∞')}, {number(high, '∞')}]"


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def p_value(p: float, least: float = 0.0) -> str:
    """`= 0.03`; `≤ 0.0001` at the least p that is told, such as the smallest that a test by permutations can give."""
    return f"≤ {least:.2g}" if p <= least * (1 + 1e-9) else f"= {p:.2g}"
