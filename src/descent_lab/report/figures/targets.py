"""When targets were reached: shares of runs by time, and performance profiles."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from descent_lab.report.figures.curves import AXIS_LABELS
from descent_lab.report.figures.style import Style, line_handles, log_span, log_x, log_y, panels


def reached(table: pd.DataFrame, found: Mapping[str, Style], note: str = "") -> Figure:
    """A panel per clock: share of (run, target) pairs reached by then. table: `clock, entrant, time, share`."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        _steps(ax, group, "time", "share", found)

    named = table.assign(clock=table["clock"].map(AXIS_LABELS))
    legend = line_handles(found, table["entrant"])
    return panels(named, "clock", draw, "time, in units of the title", "share of targets reached", legend, note)


def surviving(table: pd.DataFrame, axis: str, found: Mapping[str, Style], note: str = "") -> Figure:
    """A panel per data set: Kaplan-Meier share of runs still short of the target, with its interval."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        _steps(ax, group, "time", "share", found)
        for name, line in group.groupby("entrant", sort=True):
            low, high = line["low"].to_numpy(dtype=float), line["high"].to_numpy(dtype=float)
            known = np.isfinite(low) & np.isfinite(high)
            shade: dict[str, Any] = {"color": found[str(name)].colour, "alpha": 0.12, "linewidth": 0}
            ax.fill_between(line["time"], low, high, where=known, step="post", **shade)

    legend = line_handles(found, table["entrant"])
    return panels(table, "dataset", draw, AXIS_LABELS[axis], "share short of the target", legend, note)


def against_batch_size(table: pd.DataFrame, note: str = "") -> Figure:
    """A panel per data set and clock, a line per target: median time to it against batch size.

    Dotted is perfect scaling: half the steps for twice the batch, in the same epochs (Shallue et al. 2019, fig. 1).
    table: `clock, dataset, level, size, median, low, high`.
    """
    levels = sorted(table["level"].unique())
    shades = dict(zip(levels, colormaps["viridis"](np.linspace(0, 0.85, len(levels))), strict=True))

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for level, line in group[np.isfinite(group["median"])].groupby("level", sort=True):
            x, y = line["size"].to_numpy(dtype=float), line["median"].to_numpy(dtype=float)
            ax.plot(x, y, marker="o", color=shades[level])
            low, high = (line[name].to_numpy(dtype=float) for name in ("low", "high"))
            ax.vlines(x, low, np.where(np.isfinite(high), high, y), color=shades[level], linewidth=1, alpha=0.7)
            ideal = y[0] * x[0] / x if group["clock"].iloc[0] == "step" else np.full_like(y, y[0])
            ax.plot(x, ideal, color=shades[level], linewidth=0.8, linestyle=":")
        sizes = sorted(group["size"].unique())
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(b) if b >= 2 * a else "" for a, b in zip([0, *sizes[:-1]], sizes, strict=True)])
        ax.xaxis.set_minor_locator(NullLocator())
        log_y(ax, log_span(group["median"].to_numpy(dtype=float)))

    legend = {f"target level {level:g}": Line2D([], [], color=shades[level], marker="o") for level in levels}
    legend["perfect scaling"] = Line2D([], [], color="#555555", linewidth=0.8, linestyle=":")
    named = table.assign(title=table["dataset"] + ": " + table["clock"].map({"step": "steps", "epoch": "epochs"}))
    return panels(named, "title", draw, "batch size", "median to reach the target", legend, note)


def profiles(table: pd.DataFrame, found: Mapping[str, Style], note: str = "") -> Figure:
    """Share of problems solved within tau times the quickest. table: `entrant, tau, share`."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        _steps(ax, group, "tau", "share", found)

    label = "tau: time over that of the quickest"
    legend = line_handles(found, table["entrant"])
    named = table.assign(title="Performance profile")
    return panels(named, "title", draw, label, "share of problems solved", legend, note)


def _steps(ax: Axes, group: pd.DataFrame, x: str, y: str, found: Mapping[str, Style]) -> None:
    end = group[x].max()
    for name, line in group.groupby("entrant", sort=True):
        times, shares = np.append(line[x], end), np.append(line[y], line[y].iloc[-1])
        ax.plot(times, shares, drawstyle="steps-post", **found[str(name)].line)
    log_x(ax, group[x].to_numpy(dtype=float))
    ax.set_ylim(-0.02, 1.02)
