"""Curves: median and interval along training, by entrant or by lr."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from descent_lab.report.figures.style import Span, Style, line_handles, log_span, log_x, log_y, panels

AXIS_LABELS = {
    "step": "step",
    "epoch": "epoch",
    "gradients": "gradient-equivalents",
    "step_seconds": "step seconds",
}


def by_entrant(bands: pd.DataFrame, axis: str, y_label: str, found: Mapping[str, Style], note: str = "") -> Figure:
    """A panel per data set, a band per entrant. bands: `dataset, entrant, <axis>, estimate, low, high`."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for name, band in group.groupby("entrant", sort=True):
            draw_band(ax, band, axis, **found[str(name)].line)
        scale(ax, group, axis)

    return panels(bands, "dataset", draw, AXIS_LABELS[axis], y_label, line_handles(found, bands["entrant"]), note)


def by_lr(bands: pd.DataFrame, axis: str, y_label: str, note: str = "") -> Figure:
    """A panel per entrant, a band per lr, from dark (small) to light (large). bands: of one data set."""
    rates = sorted(bands["lr"].unique())
    shades = colormaps["viridis"](np.linspace(0, 0.9, len(rates)))
    lines = {lr: {"color": shades[i], "linestyle": ("-", "--")[i % 2]} for i, lr in enumerate(rates)}

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for lr, band in group.groupby("lr", sort=True):
            draw_band(ax, band, axis, **lines[lr])
        scale(ax, group, axis)

    legend = {f"lr {lr:g}": Line2D([], [], **line) for lr, line in lines.items()}
    return panels(bands, "entrant", draw, AXIS_LABELS[axis], y_label, legend, note)


def draw_band(ax: Axes, band: pd.DataFrame, axis: str, **line) -> None:
    """The median as a line, the interval as a shade; both end where they are no longer finite."""
    x = band[axis].to_numpy()
    estimate, low, high = (band[name].to_numpy(dtype=float) for name in ("estimate", "low", "high"))
    ax.plot(x, np.where(np.isfinite(estimate), estimate, np.nan), **line)
    shown = np.isfinite(low) & np.isfinite(high) & (high > low)
    if shown.any():
        ax.fill_between(x, low, high, where=shown, color=line["color"], alpha=0.15, linewidth=0)


def scale(ax: Axes, group: pd.DataFrame, axis: str) -> None:
    """Logarithmic axes."""
    log_x(ax, group[axis].to_numpy(dtype=float))
    log_y(ax, span_of(group, axis))


def span_of(group: pd.DataFrame, axis: str) -> Span | None:
    """Of y: at most ten times the start, so that a band that diverges does not flatten the rest."""
    start = group.loc[group[axis] == group[axis].min(), "estimate"].to_numpy(dtype=float)
    start = start[np.isfinite(start)]
    return log_span(group["estimate"].to_numpy(dtype=float), 10 * start.max() if len(start) else np.inf)
