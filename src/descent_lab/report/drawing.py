"""Static figures: the theme, panels with one legend and a note, axes that a reader can use, and files without a date.

What is drawn in the panels is up to the sections. The same frame gives the same bytes. Text is literal: names from
outside may hold $, _, % or braces.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, floor
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from descent_lab.report.looks import BEYOND, DASHES, DIVERGED, MOST, Looks, Span, Style, layers, natural
from descent_lab.report.renderer import write

INK = ".15"  # of text
RC = {
    "svg.hashsalt": "descent-lab",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
    "font.family": "sans-serif",
    "font.size": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 0.7,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "grid.linestyle": "-",
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "white",
    "patch.force_edgecolor": True,
    "patch.linewidth": 0.8,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 1.0,
    "ytick.major.width": 1.0,
}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PANEL = (3.1, 2.35)  # inches
COLUMNS = 3
LARGEST = 1e100  # that a linear axis shows: the places of larger numbers would be infinite
MUTED = "#555555"  # of notes, and of marks that stand for no entrant
Draw = Callable[[Axes, pd.DataFrame], None]


@contextmanager
def theme() -> Iterator[None]:
    """A white grid at the size of a paper, for what is made within the block alone."""
    with rc_context(RC):
        yield


def panels(
    frame: pd.DataFrame,
    by: str,
    draw: Draw,
    x_label: str,
    y_label: str,
    legend: Mapping[str, Line2D],
    note: str = "",
    panel: tuple[float, float] = PANEL,
    left: float | None = None,
) -> Figure:
    """One panel for each value of a column, in a grid, with one legend below for all and a note under it.

    panel: width and height of each, in inches. left: inches for the tick labels of every panel's y axis.
    """
    with theme():
        groups = sorted(frame.groupby(by), key=lambda group: natural(str(group[0])))
        columns = min(max(1, int(COLUMNS * PANEL[0] / panel[0])), len(groups))
        rows = ceil(len(groups) / columns)
        titles = [_wrapped(str(name), int(panel[0] * 11.5))[:3] for name, _ in groups]
        head = 0.14 * (max(map(len, titles), default=1) - 1)
        figure, foot = _sheet(rows, columns, legend, note, head, panel)
        for i, (_, group) in enumerate(groups):
            ax = figure.add_subplot(rows, columns, i + 1)
            ax.set(xlabel=" ", ylabel=" ")  # or seaborn looks through all ticks to label an axis
            draw(ax, group)
            ax.set_title("\n".join(titles[i]), loc="left", y=1.02)
            ax.set_xlabel(x_label if i + columns >= len(groups) else "")
            ax.set_ylabel(y_label if i % columns == 0 else "")
        _arrange(figure, rows, columns, foot, head, left)
        return figure


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width) or [text]


def _sheet(
    rows: int, columns: int, legend: Mapping[str, Line2D], note: str, head: float, panel: tuple[float, float]
) -> tuple[Figure, float]:
    """An empty figure with its legend and note, and the height in inches that they take."""
    width = max(columns * panel[0], 4.2)
    lines = wrap(note, int(width * 17))
    per_row = max(1, int(width / (0.6 + 0.063 * max(map(len, legend), default=1))))
    foot = 0.17 * ceil(len(legend) / per_row) + 0.14 * len(lines) + 0.1
    figure = Figure(figsize=(width, rows * (panel[1] + head) + foot))
    FigureCanvasAgg(figure)
    height = figure.get_figheight()
    if legend:
        below = (0.14 * len(lines) + 0.02) / height
        place: dict[str, Any] = {"loc": "lower center", "ncols": per_row, "bbox_to_anchor": (0.5, below)}
        box = figure.legend(list(legend.values()), [" "] * len(legend), **place)
        for text, name in zip(box.get_texts(), legend, strict=True):
            text.set_text(name)  # after it was made: matplotlib leaves names out that begin with an underscore
    if lines:
        figure.text(0.02, 0.03 / height, "\n".join(lines), fontsize=7, color=MUTED, va="bottom")
    return figure, foot


def _arrange(figure: Figure, rows: int, columns: int, foot: float, head: float, left: float | None) -> None:
    """Panels and labels at fixed places: to look for free ones takes most of the time that drawing takes."""
    width, height = figure.get_size_inches()
    gap_x, gap_y = 0.42 if left is None else left + 0.1, 0.56 + head  # inches between panels
    left = 0.68 if left is None else left
    panel_width = (width - left - 0.1 - (columns - 1) * gap_x) / columns
    panel_height = (height - foot - 0.42 - 0.3 - head - (rows - 1) * gap_y) / rows
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.1 / width,
        bottom=(foot + 0.42) / height,
        top=1 - (0.3 + head) / height,
        wspace=gap_x / panel_width,
        hspace=gap_y / panel_height,
    )
    for ax in figure.axes:
        place = ax.get_position()
        ax.xaxis.set_label_coords(0.5, -0.26 / (place.height * height))
        ax.yaxis.set_label_coords(-0.5 / (place.width * width), 0.5)


def lines(ax: Axes, rows: pd.DataFrame, x: str, y: str, looks: Looks, every: bool = True, **more: Any) -> None:
    """A line per entrant. every: whether each point has a marker; else a few have, at different places for each.

    Where lines coincide, the wider one lies below, and the dashes above leave gaps, so that each can be seen.
    """
    position, value = rows[x].to_numpy(dtype=float), rows[y].to_numpy(dtype=float)
    entrant, known = rows["entrant"].to_numpy(dtype=str), np.isfinite(value)
    value = value.clip(*_around(*ax.get_ylim()))
    widths = layers(entrant[known], looks)
    for i, name in enumerate(widths):
        look, mine = looks[name], np.flatnonzero(known & (entrant == name))
        mine = mine[np.argsort(position[mine], kind="stable")]
        (line,) = ax.plot(
            position[mine], value[mine], color=look.colour, linestyle=_dashes(look), linewidth=1.2 + 0.8 * widths[name],
            marker=look.marker, markersize=4.5, markeredgewidth=0,
            markevery=None if every else (0.02 + 0.22 * i / len(widths), 0.22), **more,
        )  # fmt: skip
        if any(looks[other].colour == look.colour for other in list(widths)[:i]):  # seen on a line of the same colour
            line.set_path_effects([withStroke(linewidth=line.get_linewidth() + 1.2, foreground="white")])


def _around(low: float, high: float) -> tuple[float, float]:
    """Far beyond the ends of an axis, and near enough for the places of points to be numbers."""
    reach = 1e30 * min(max(abs(low), abs(high)), 1e270)
    return max(low - reach, -MOST), min(high + reach, MOST)


def _dashes(style: Style) -> Any:
    return (0, DASHES[style.dash]) if style.dash else "-"


def bands(ax: Axes, rows: pd.DataFrame, x: str, looks: Looks, step: Literal["post"] | None = None) -> None:
    """The given interval `low` to `high` of each entrant as a shade, as far as the y axis goes."""
    limits = ax.get_ylim()
    for name, band in rows.groupby("entrant", sort=True):
        low, high = (band[column].to_numpy(dtype=float).clip(*limits) for column in ("low", "high"))
        if (known := high > low).any():
            shade: dict[str, Any] = {"color": looks[str(name)].colour, "alpha": 0.14, "linewidth": 0}
            ax.fill_between(band[x].to_numpy(dtype=float), low, high, where=known, step=step, **shade)


def bars(ax: Axes, x: np.ndarray, rows: pd.DataFrame, colour: Any) -> None:
    """The given intervals `low` to `high` at x, (n_rows,), as upright lines, as far as the y axis goes."""
    low, high = (rows[column].to_numpy(dtype=float).clip(*ax.get_ylim()) for column in ("low", "high"))
    known = ~np.isnan(low) & ~np.isnan(high)
    ax.vlines(x[known], low[known], high[known], color=colour, linewidth=1, alpha=0.8)


def edges(
    ax: Axes, place: np.ndarray, rows: pd.DataFrame, colour: Any, along: Literal["x", "y"] = "y", inset: float = 0
) -> None:
    """A mark at the edge of the value axis, beside each place where an estimate or its interval goes on beyond it.

    place: (n_rows,) on the other axis. inset: how far from the edge, as a share of the axis.
    """
    low, high = ax.get_ylim() if along == "y" else ax.get_xlim()
    values = rows[["estimate", "low", "high"]].to_numpy(dtype=float)
    for edge, goes_on in enumerate(((values < low) & (values != 0), values > high)):
        there = place[goes_on.any(axis=1)]
        at = np.full(len(there), abs(edge - inset))
        if not len(there):
            continue
        if along == "y":
            ax.plot(there, at, transform=ax.get_xaxis_transform(), **beyond(colour, edge, along))
        else:
            ax.plot(at, there, transform=ax.get_yaxis_transform(), **beyond(colour, edge, along))


def beyond(colour: Any, edge: int = 1, along: Literal["x", "y"] = "y") -> dict[str, Any]:
    """The look of a mark at the lower (0) or upper (1) edge of an axis, beyond which something goes on."""
    hollow = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 0.9, "markersize": 4.5}
    return {"marker": BEYOND[along][edge], "linestyle": "none", "clip_on": False, "zorder": 5, **hollow}


def diverged(colour: Any, some: bool = False) -> dict[str, Any]:
    """The look of the mark of diverged runs: pale where only some of a cell's runs diverged."""
    strokes = {"markersize": 5.5, "markeredgewidth": 1.5, "alpha": 0.45 if some else 1.0}
    return {"marker": DIVERGED, "color": colour, "linestyle": "none", "clip_on": False, "zorder": 6, **strokes}


def heatmap(ax: Axes, shade: pd.DataFrame, words: np.ndarray, **more: Any) -> None:
    """A matrix of coloured cells with words in them."""
    import seaborn as sns  # imported here because it takes half a second, and few figures need it

    size = 7 if max(shade.shape) <= 7 else 5
    sns.heatmap(
        shade, ax=ax, annot=words, fmt="", annot_kws={"fontsize": size}, linewidths=0.5, linecolor="white", cbar=False,
        **more,
    )  # fmt: skip
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelrotation=0)


def handles(looks: Looks, names: Iterable[str], line: bool = True) -> dict[str, Line2D]:
    """Legend entries of those entrants that are drawn, as lines or as markers alone."""
    drawn = set(names)
    return {name: _handle(style, line) for name, style in looks.items() if name in drawn}


def _handle(style: Style, line: bool) -> Line2D:
    dashes = _dashes(style) if line else "none"
    return Line2D([], [], color=style.colour, linestyle=dashes, marker=style.marker, markeredgewidth=0)


def log_x(ax: Axes, x: np.ndarray) -> None:
    """A logarithmic axis that also shows 0, where training begins."""
    positive = x[np.isfinite(x) & (x > 0)]
    if not len(positive):
        return
    low, high = positive.min(), positive.max()
    if (x == 0).any():
        ax.set_xscale("symlog", linthresh=low, linscale=0.4)
        ax.set_xlim(0, 1.06 * high if high > low else 2 * low)
    else:
        ax.set_xscale("log")
        ax.set_xlim(*Span(low, high).limits)
    zero = [0.0] if (x == 0).any() else []
    _ticks(ax.xaxis, [*zero, *log_ticks(low, high, 4)])


def value_axis(ax: Axes, span: Span | None, values: Any = (), along: Literal["x", "y"] = "y") -> None:
    """The axis of a measured value, with limits that nothing drawn later changes.

    Logarithmic over a span, below which 0 has a place of its own; linear over the finite values without one.
    """
    axis, set_limits = (ax.xaxis, ax.set_xlim) if along == "x" else (ax.yaxis, ax.set_ylim)
    if span is None:
        if limits := _linear_limits(np.asarray(values, dtype=float)):
            set_limits(*limits)
        return
    bottom, top = span.limits
    set_limits(0 if span.zero else bottom, top)  # before the scale: it would look for limits of its own
    set_scale = ax.set_xscale if along == "x" else ax.set_yscale
    if span.zero:
        set_scale("symlog", linthresh=bottom, linscale=0.4)
    else:
        set_scale("log")
    _ticks(axis, [0.0] * span.zero + log_ticks(bottom, top, 4 if along == "x" else 5))


def _linear_limits(values: np.ndarray) -> tuple[float, float] | None:
    """The range of the finite values, with a margin; None: there are none."""
    finite = values[np.isfinite(values)].clip(-LARGEST, LARGEST)
    if not len(finite):
        return None
    low, high = float(finite.min()), float(finite.max())
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 0.5
    return low - margin, high + margin


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
    """Plain from 0.01 to 1000, else powers of ten."""
    if tick == 0 or 0.01 <= abs(tick) <= 1000:
        return f"{tick:g}"
    mantissa, _, exponent = f"{tick:.1e}".partition("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa == "1.0" else f"{float(mantissa):g}·{power}"


def save(figure: Figure, path: Path, kinds: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Write path.svg, path.png, or both, without a date or a version in them."""
    files = {kind: path.with_name(f"{path.name}.{kind}") for kind in kinds}
    with theme():
        write(figure, **files)
    return list(files.values())
