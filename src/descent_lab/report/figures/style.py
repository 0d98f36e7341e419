"""How everything looks: one colour per optimizer, panels in a grid with one legend, files without a date."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

# Okabe & Ito (2008) first, for the rules met most; then Paul Tol's muted set, all darker than the page by 3 : 1
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
MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">", "h", "p", "*", "d")  # X is for what diverged
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

RC = {
    "svg.hashsalt": "descent-lab",
    "svg.fonttype": "path",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}
DECADES = 12  # that an axis has above 0: what is smaller than that beside the largest is as good as 0
PANEL = (3.1, 2.35)  # inches
COLUMNS = 3
METADATA: dict[str, dict[str, str | None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Style:
    """How one entrant is drawn, everywhere."""

    colour: str
    dash: int = 0  # index into DASHES
    marker: str = "o"

    @property
    def line(self) -> dict:
        """Keyword arguments of a line."""
        return {"color": self.colour, "linestyle": DASHES[self.dash]}


def styles(optimizers: Mapping[str, str]) -> dict[str, Style]:
    """A style by entrant, from each entrant's optimizer: its colour; entrants that share one differ in dashes."""
    seen: dict[str, int] = {}
    found = {}
    for entrant, optimizer in sorted(optimizers.items(), key=lambda item: natural(item[0])):
        place = seen[optimizer] = seen.get(optimizer, -1) + 1
        found[entrant] = Style(colour(optimizer), place % len(DASHES), _marker(optimizer))
    return found


def styles_in_order(entrants: Iterable[str]) -> dict[str, Style]:
    """A style for entrants that are no optimizers; along one scale where numbers tell them apart: size=1, size=16."""
    ordered = sorted(entrants, key=natural)
    shades = [*COLOURS.values(), *SPARE]
    if len({tuple(natural(name)[::2]) for name in ordered}) == 1:
        shades = [to_hex(shade) for shade in colormaps["viridis"](np.linspace(0, 0.9, len(ordered)))]
    n = len(shades)
    return {
        name: Style(shades[i % n], i // n % len(DASHES), MARKERS[i % len(MARKERS)]) for i, name in enumerate(ordered)
    }


def natural(name: str) -> list[Any]:
    """A key that sorts size=4 before size=16: words and numbers in turn, beginning with a word."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", name)
    return [float(part) if i % 2 else part for i, part in enumerate(parts)]


def colour(name: str) -> str:
    """The colour of an optimizer."""
    return COLOURS.get(name) or SPARE[_digest(name) % len(SPARE)]


def _marker(name: str) -> str:
    return MARKERS[(list(COLOURS).index(name) if name in COLOURS else _digest(name)) % len(MARKERS)]


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def panels(
    frame: pd.DataFrame,
    by: str,
    draw: Callable[[Axes, pd.DataFrame], None],
    x_label: str,
    y_label: str,
    legend: Mapping[str, Line2D],
    note: str = "",
) -> Figure:
    """One panel for each value of a column, in a grid, with one legend below for all and a note under it."""
    with rc_context(RC):
        groups = sorted(frame.groupby(by), key=lambda group: natural(str(group[0])))
        columns = min(COLUMNS, len(groups))
        rows = ceil(len(groups) / columns)
        titles = [wrap(str(name), 36)[:3] for name, _ in groups]
        head = 0.14 * (max(map(len, titles), default=1) - 1)
        figure, foot = _sheet(rows, columns, legend, note, head)
        for i, (_, group) in enumerate(groups):
            ax = figure.add_subplot(rows, columns, i + 1)
            draw(ax, group)
            ax.set_title("\n".join(titles[i]), loc="left", y=1.02)
            ax.set_xlabel(x_label if i + columns >= len(groups) else "")
            ax.set_ylabel(y_label if i % columns == 0 else "")
        _arrange(figure, rows, columns, foot, head)
        return figure


def _sheet(rows: int, columns: int, legend: Mapping[str, Line2D], note: str, head: float) -> tuple[Figure, float]:
    """An empty figure with its legend and note, and the height in inches that they take."""
    width = max(columns * PANEL[0], 4.2)
    note = "\n".join(wrap(note, int(width * 17)))
    per_row = max(1, int(width / (0.6 + 0.063 * max(map(len, legend), default=1))))
    foot = 0.17 * ceil(len(legend) / per_row) + 0.14 * len(note.splitlines()) + 0.1
    figure = Figure(figsize=(width, rows * (PANEL[1] + head) + foot))
    FigureCanvasAgg(figure)
    height = figure.get_figheight()
    if legend:
        below = (0.14 * len(note.splitlines()) + 0.02) / height
        handles, labels = list(legend.values()), list(legend)
        figure.legend(handles, labels, loc="lower center", ncols=per_row, bbox_to_anchor=(0.5, below))
    if note:
        figure.text(0.02, 0.03 / height, note, fontsize=7, color="#555555", va="bottom")
    return figure, foot


def _arrange(figure: Figure, rows: int, columns: int, foot: float, head: float) -> None:
    """Panels and labels at fixed places: to look for free ones takes most of the time that drawing takes."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.68 / width,
        right=1 - 0.1 / width,
        bottom=(foot + 0.42) / height,
        top=1 - (0.3 + head) / height,
        wspace=0.42 * columns / (width - 0.4 * columns),
        hspace=(0.56 + head) * rows / (height - foot - (0.5 + head) * rows),
    )
    for ax in figure.axes:
        place = ax.get_position()
        ax.xaxis.set_label_coords(0.5, -0.26 / (place.height * height))
        ax.yaxis.set_label_coords(-0.5 / (place.width * width), 0.5)


def line_handles(found: Mapping[str, Style], names: pd.Series, marker: bool = False) -> dict[str, Line2D]:
    """Legend entries of those entrants that are drawn."""
    drawn = [name for name in found if name in set(names)]
    return {name: Line2D([], [], **found[name].line, marker=found[name].marker if marker else None) for name in drawn}


def log_x(ax: Axes, x: np.ndarray) -> None:
    """A logarithmic axis that also shows 0, where training begins."""
    positive = x[np.isfinite(x) & (x > 0)]
    if not len(positive):
        return
    low, high = positive.min(), positive.max()
    if (x == 0).any():
        ax.set_xscale("symlog", linthresh=low, linscale=0.4)
        ax.set_xlim(0, high if high > low else 2 * low)
    else:
        ax.set_xscale("log")
    zero = [0.0] if (x == 0).any() else []
    _ticks(ax.xaxis, [*zero, *log_ticks(low, high, 4)])


class Span(NamedTuple):
    """What a logarithmic axis shows: low to high, both positive, and 0 too where a value is 0."""

    low: float
    high: float
    zero: bool = False

    @property
    def margin(self) -> float:
        """The factor by which the axis goes on at either end."""
        return max(self.high / self.low, 1.2) ** 0.06


def log_span(values: np.ndarray, top: float = np.inf) -> Span | None:
    """All finite values up to `top`; with 0 among them at most DECADES. None: no logarithmic axis can show them."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not len(positive) or finite.min() < 0:
        return None
    low, high, zero = positive.min(), positive.max(), bool(finite.min() == 0)
    high = max(low, min(high, top))
    return Span(float(max(low, high / 10**DECADES) if zero else low), float(high), zero)


def log_y(ax: Axes, span: Span | None) -> None:
    """A logarithmic axis, below which 0 has a place of its own; without a span the axis stays as it is."""
    if span is None:
        return
    bottom, top = span.low / span.margin, span.high * span.margin
    ax.set_ylim(0 if span.zero else bottom, top)  # before the scale: it would look for limits of its own
    if span.zero:
        ax.set_yscale("symlog", linthresh=bottom, linscale=0.4)
    else:
        ax.set_yscale("log")
    _ticks(ax.yaxis, [0.0] * span.zero + log_ticks(bottom, top, 5))


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Whole decades between two numbers, thinned; where these are too few, 1, 2 and 5 times them, or round numbers."""
    first, last = ceil(np.log10(low) - 1e-9), floor(np.log10(high) + 1e-9)
    decades = list(range(first, last + 1))
    if len(decades) >= 2:
        return [10.0**d for d in decades[:: ceil(len(decades) / most)]]
    fine = [m * 10.0**d for d in range(first - 1, last + 2) for m in (1, 2, 5)]
    inside = [tick for tick in fine if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    if len(inside) >= 2:
        return inside
    even = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.6g}") for tick in even if low <= tick <= high]


def _ticks(axis: Axis, ticks: list[float]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([tick_label(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def tick_label(tick: float) -> str:
    """Plain from 0.01 to 1000, else powers of ten, written without mathematics mode, which is slow."""
    if tick == 0 or 0.01 <= abs(tick) <= 1000:
        return f"{tick:g}"
    mantissa, _, exponent = f"{tick:.1e}".partition("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa == "1.0" else f"{float(mantissa):g}·{power}"


def save(figure: Figure, path: Path) -> list[Path]:
    """Write path.svg and path.png, without a date or a version in them."""
    written = []
    with rc_context(RC):
        for kind, metadata in METADATA.items():
            file = path.with_name(f"{path.name}.{kind}")
            quick: dict[str, Any] = {"pil_kwargs": {"compress_level": 2}} if kind == "png" else {}
            figure.savefig(file, format=kind, dpi=150, metadata=metadata, **quick)
            written.append(file)
    return written
