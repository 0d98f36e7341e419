"""What trained models say: prediction against truth, and confusion matrices."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from descent_lab.report.figures.style import Style, line_handles, panels


def prediction_against_truth(points: pd.DataFrame, found: Mapping[str, Style], note: str = "") -> Figure:
    """A panel per data set; on the diagonal is right. points: `dataset, entrant, truth, prediction`."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        ends = [group["truth"].min(), group["truth"].max()]
        ax.plot(ends, ends, color="#888888", linewidth=0.8, zorder=1)
        for name, part in group.groupby("entrant", sort=True):
            style = found[str(name)]
            dots: dict[str, Any] = {"marker": style.marker, "markersize": 2.6, "linestyle": "none", "alpha": 0.6}
            ax.plot(part["truth"], part["prediction"], color=style.colour, markeredgewidth=0, **dots)
        _limit(ax, group)

    legend = line_handles(found, points["entrant"], marker=True)
    for handle in legend.values():
        handle.set_linestyle("none")
    return panels(points, "dataset", draw, "truth", "prediction", legend, note)


def _limit(ax: Axes, group: pd.DataFrame) -> None:
    """Keep y to three times the span of the truth: one wild prediction must not flatten the rest."""
    low, high = group["truth"].min(), group["truth"].max()
    span = max(high - low, 1e-12)
    y = group["prediction"].clip(low - span, high + span)
    ax.set_ylim(min(y.min(), low) - 0.05 * span, max(y.max(), high) + 0.05 * span)


def confusion(counts: pd.DataFrame, note: str = "") -> Figure:
    """A panel per data set, named with its entrant. counts: `dataset, entrant, truth, prediction, count`."""

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        table = group.pivot(index="truth", columns="prediction", values="count").fillna(0).to_numpy()
        share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        size = 7 if len(table) <= 4 else 5
        for (i, j), count in np.ndenumerate(table):
            if count:
                shade = "white" if share[i, j] > 0.55 else "#222222"
                ax.text(j, i, f"{count:g}", ha="center", va="center", fontsize=size, color=shade)
        ax.set_xticks(range(table.shape[1]))
        ax.set_yticks(range(len(table)))
        ax.grid(visible=False)

    named = counts.assign(panel=counts["dataset"] + ": " + counts["entrant"])
    return panels(named, "panel", draw, "predicted class", "true class", {}, note)
