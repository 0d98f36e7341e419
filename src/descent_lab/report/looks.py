"""The looks of entrants in all figures, and the ranges of logarithmic axes. Nothing is drawn here."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

# Okabe & Ito (2008) first, for the optimizers met most; then Paul Tol's muted set, all darker than the page by 3 : 1
# or drawn with a marker. The colour of a name never depends on which others are drawn.
COLOURS = {
    "sgd": "#0072B2",
    "momentum": "#56B4E9",
    "nesterov": "#009E73",
    "adagrad": "#E69F00",
    "rmsprop": "#CC79A7",
    "adam": "#D55E00",
    "random_search": "#000000",
    "adadelta": "#999933",
    "adamw": "#882255",
    "amsgrad": "#AA4499",
    "nadam": "#661100",
    "lion": "#44AA99",
    "newton": "#332288",
}
SPARE = ("#117733", "#88734D", "#5D7FA3", "#A0522D", "#6A5ACD", "#7A7A7A")
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "h", "*", "d", "8")  # all filled: see DIVERGED and BEYOND
DIVERGED = "x"  # two strokes; pale where only some runs diverged
BEYOND = {"x": ("<", ">"), "y": ("v", "^")}  # hollow, at the two edges of an axis beyond which a value goes on
Dash = tuple[float, ...]
DASHES: tuple[Dash, ...] = (  # lengths of strokes and gaps in units of the line's width; empty: solid
    (), (5, 2), (1, 1.5), (6, 2, 1, 2), (3, 1, 1, 1, 1, 1), (7, 1.5), (7, 1.5, 2, 1.5),
)  # fmt: skip
DECADES = 12  # that an axis has above 0: what is smaller than that beside the largest is as good as 0
LEAST, MOST = 1e-280, 1e300  # ends of any logarithmic axis: matplotlib takes less for 0, and more for infinite


@dataclass(frozen=True)
class Style:
    """The look of one entrant, the same in all figures."""

    colour: str
    dash: int = 0  # index into DASHES
    marker: str = "o"


Looks = Mapping[str, Style]


def styles(optimizers: Mapping[str, str]) -> dict[str, Style]:
    """A style by entrant, from each entrant's optimizer.

    The optimizer sets the colour, and the first dashes and marker: optimizers whose curves coincide can all be seen.
    Entrants that share a colour differ in their dashes and in their markers.
    """
    shared: dict[str, int] = {}
    looks = {}
    for entrant, optimizer in sorted(optimizers.items(), key=lambda item: natural(item[0])):
        shared[optimizer] = shared.get(optimizer, -1) + 1
        place = _place(optimizer) + shared[optimizer]
        looks[entrant] = Style(colour(optimizer), place % len(DASHES), MARKERS[place % len(MARKERS)])
    return looks


def styles_in_order(entrants: Iterable[str]) -> dict[str, Style]:
    """A style for entrants that are no optimizers; along one scale where numbers tell them apart: size=1, size=16."""
    ordered = sorted(set(entrants), key=natural)
    shades = [*COLOURS.values(), *SPARE]
    if len({tuple(natural(name)[::2]) for name in ordered}) == 1:
        shades = _scale(len(ordered))
    n = len(shades)
    return {
        name: Style(shades[i % n], (i + i // n) % len(DASHES), MARKERS[i % len(MARKERS)])
        for i, name in enumerate(ordered)
    }


def along_scale(names: Sequence[str]) -> dict[str, Style]:
    """A style for values of one quantity, in their order: from dark to light."""
    shades = _scale(len(names))
    return {name: Style(shades[i], i % len(DASHES), MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def _scale(n: int) -> list[str]:
    """n colours from dark to light."""
    from seaborn import color_palette  # takes a second to import, and few reports need it here

    return list(color_palette("viridis", n).as_hex())


def natural(name: str) -> list[Any]:
    """A key that sorts size=4 before size=16: words and numbers in turn, beginning with a word."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", name)
    return [float(part) if i % 2 else part for i, part in enumerate(parts)]


def colour(name: str) -> str:
    """The colour of an optimizer."""
    return COLOURS.get(name) or SPARE[_digest(name) % len(SPARE)]


def _place(name: str) -> int:
    return list(COLOURS).index(name) if name in COLOURS else _digest(name)


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


class Span(NamedTuple):
    """The range of a logarithmic axis: low to high, both positive, and also 0 if some value is 0."""

    low: float
    high: float
    zero: bool = False

    @property
    def margin(self) -> float:
        """The factor by which the axis goes on at either end."""
        return float(10 ** (0.06 * max(np.log10(self.high) - np.log10(self.low), np.log10(1.2))))

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the axis, where 0 is not among its values."""
        low, high = float(self.low), float(self.high)  # float32 would overflow
        return max(low / self.margin, LEAST), min(max(high, 2 * LEAST) * self.margin, MOST)


def log_span(values: np.ndarray, top: float = np.inf) -> Span | None:
    """All finite values up to `top`; with 0 among them at most DECADES. None: no logarithmic axis can show them."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not len(positive) or finite.min() < 0:
        return None
    low, high, zero = positive.min(), positive.max(), bool(finite.min() == 0)
    high = max(low, min(high, top))
    return Span(float(max(low, high / 10**DECADES) if zero else low), float(high), zero)


def span_with_intervals(rows: pd.DataFrame, top: float = np.inf, reach: float = 1e2) -> Span | None:
    """A span of the column `estimate` up to `top`, wide enough for the intervals `low` to `high`.

    The part of an interval that lies more than `reach` times above or below all estimates is cut off.
    """
    estimates = rows["estimate"].to_numpy(dtype=float)
    span = log_span(estimates, top)
    if span is None:
        return None
    ends = rows[["low", "high"]].to_numpy(dtype=float).ravel()
    ends = ends[np.isfinite(ends) & (ends >= span.low / reach) & (ends / reach <= span.high)]
    ends = np.append(ends, [span.low, span.high])
    return Span(float(ends.min()), float(ends.max()), span.zero)


def leaves(rows: pd.DataFrame, span: Span | None) -> bool:
    """Whether an estimate or an interval of the rows goes on beyond the ends of an axis; 0 has its place on it."""
    if span is None:
        return False
    values = rows[["estimate", "low", "high"]].to_numpy(dtype=float).ravel()
    values = values[~np.isnan(values) & (values != 0)]
    return bool(((values < span.limits[0]) | (values > span.limits[1])).any())


def layers(names: Iterable[str], looks: Looks) -> dict[str, float]:
    """The width of each entrant's line, between 1 and 0, in the order of drawing: the widest lie below.

    Solid lines come first, so that of lines that coincide each can be seen between the dashes of the next.
    """
    ordered = sorted(set(names), key=lambda name: (looks[name].dash != 0, natural(name)))
    last = max(len(ordered) - 1, 1)
    return {name: (len(ordered) - 1 - i) / last for i, name in enumerate(ordered)}


def limits_of(span: Span | None) -> tuple[float, float] | None:
    """The ends of an interactive plot's logarithmic axis; None: the axis is linear."""
    return None if span is None else span.limits
