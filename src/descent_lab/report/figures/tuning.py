"""What the learning rate does: final loss against lr, and what the best of k trials comes to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from descent_lab.report.figures.style import Span, Style, line_handles, log_span, log_x, log_y, panels

DIVERGED: dict[str, dict[str, Any]] = {
    "diverged (half or more)": {"marker": "X", "linestyle": "none", "color": "#555555"},
    "some diverged": {
        "marker": "X",
        "linestyle": "none",
        "color": "#555555",
        "markerfacecolor": "none",
    },
}


def loss_against_lr(cells: pd.DataFrame, y_label: str, found: Mapping[str, Style], note: str = "") -> Figure:
    """A panel per data set. cells: `dataset, entrant, lr, estimate, low, high, diverged`.

    Cells with diverged runs are marked at the top edge: filled where the median diverged, hollow where some did.
    """

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for name, cell in group.groupby("entrant", sort=True):
            _draw_cells(ax, cell.sort_values("lr"), found[str(name)])
        log_x(ax, group["lr"].to_numpy(dtype=float))
        log_y(ax, span_of(group))

    legend = line_handles(found, cells["entrant"], marker=True)
    median = ~np.isfinite(cells["estimate"].astype(float))
    if median.any():
        legend["diverged (half or more)"] = Line2D([], [], **DIVERGED["diverged (half or more)"])
    if (~median & (cells["diverged"] > 0)).any():
        legend["some diverged"] = Line2D([], [], **DIVERGED["some diverged"])
    return panels(cells, "dataset", draw, "lr", y_label, legend, note)


def span_of(cells: pd.DataFrame) -> Span | None:
    """Of y: medians, but for those that all but diverged, which would leave no room for the others."""
    y = cells["estimate"].to_numpy(dtype=float)
    positive = y[np.isfinite(y) & (y > 0)]
    return log_span(y, 1e3 * np.median(positive) if len(positive) else np.inf)


def _draw_cells(ax: Axes, cells: pd.DataFrame, style: Style) -> None:
    x, y = cells["lr"].to_numpy(dtype=float), cells["estimate"].to_numpy(dtype=float)
    low, high = cells["low"].to_numpy(dtype=float), cells["high"].to_numpy(dtype=float)
    ok = np.isfinite(y)
    ax.plot(x, np.where(ok, y, np.nan), marker=style.marker, **style.line)
    known = ok & np.isfinite(low) & np.isfinite(high)
    ax.vlines(x[known], low[known], high[known], color=style.colour, linewidth=1, alpha=0.7)
    some = ok & (cells["diverged"].to_numpy() > 0)
    for where, face in ((~ok, style.colour), (some, "none")):
        if where.any():
            edge: dict[str, Any] = {"markeredgecolor": style.colour, "markerfacecolor": face, "linestyle": "none"}
            at_top = ax.get_xaxis_transform()
            ax.plot(x[where], np.full(where.sum(), 0.98), marker="X", transform=at_top, clip_on=False, **edge)


def best_of_k(table: pd.DataFrame, y_label: str, found: Mapping[str, Style], note: str = "") -> Figure:
    """A panel per data set: the median outcome of the best of k lr tried. table: `dataset, entrant, k, median`."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for name, line in group.groupby("entrant", sort=True):
            style = found[str(name)]
            y = line["median"].to_numpy(dtype=float)
            ax.plot(line["k"], np.where(np.isfinite(y), y, np.nan), marker=style.marker, **style.line)
        log_y(ax, log_span(group["median"].to_numpy(dtype=float)))
        ax.set_xticks(range(1, int(group["k"].max()) + 1, max(1, int(group["k"].max()) // 6)))

    legend = line_handles(found, table["entrant"], marker=True)
    return panels(table, "dataset", draw, "number of lr tried, k", y_label, legend, note)
