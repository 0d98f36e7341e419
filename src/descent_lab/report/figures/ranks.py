"""Average ranks over data sets, and bars that join those who cannot be told apart (Demsar 2006)."""

from collections.abc import Mapping
from math import ceil

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from descent_lab.report.figures.style import RC, Style

ROW = 0.22  # inches between names


def critical_difference_diagram(
    ranks: pd.DataFrame, groups: pd.DataFrame, found: Mapping[str, Style], note: str = ""
) -> Figure:
    """ranks: `entrant, rank`, best first; groups: `group, entrant`, as `indistinguishable` gives them."""
    n = len(ranks)
    half = ceil(n / 2)
    bars = groups["group"].nunique()
    depth = 0.3 + 0.13 * bars
    with rc_context(RC | {"axes.grid": False}):
        figure = Figure(figsize=(5.2, 0.75 + depth + ROW * half + 0.25))
        FigureCanvasAgg(figure)
        ax = figure.add_axes((0.27, 0, 0.46, 1 - 0.4 / figure.get_figheight()))
        _axis(ax, n, depth + ROW * half + 0.35)
        for i, row in enumerate(ranks.itertuples()):
            _name(ax, row, i, half, n, depth, found)
        _bars(ax, groups, ranks.set_index("entrant")["rank"])
        figure.text(0.02, 0.02, note, fontsize=7, color="#555555")
    return figure


def _axis(ax: Axes, n: int, depth: float) -> None:
    """Ranks along the top, 1 at the left; y in inches, downwards."""
    ax.set_xlim(1, max(n, 2))
    ax.set_ylim(depth, 0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.spines["top"].set_visible(True)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xticks(np.arange(1, max(n, 2) + 1))
    ax.set_yticks([])
    ax.set_xlabel("average rank (1 is best)")


def _name(ax: Axes, row, i: int, half: int, n: int, depth: float, found: Mapping[str, Style]) -> None:
    """A line from the rank down and out to the name: the better half to the left."""
    left = i < half
    y = depth + ROW * (i if left else n - 1 - i)
    edge = 1 - 0.04 * max(n - 1, 1) if left else max(n, 2) + 0.04 * max(n - 1, 1)
    line = found[row.entrant].line
    ax.plot([row.rank, row.rank, edge], [0, y, y], clip_on=False, linewidth=1.2, **line)
    ax.plot(row.rank, 0, marker=found[row.entrant].marker, color=line["color"], clip_on=False)
    label = f"{row.entrant}  {row.rank:.2f} " if left else f" {row.rank:.2f}  {row.entrant}"
    ax.text(edge, y, label, ha="right" if left else "left", va="center")


def _bars(ax: Axes, groups: pd.DataFrame, rank: pd.Series) -> None:
    for i, (_, group) in enumerate(groups.groupby("group", sort=True)):
        x = rank[group["entrant"]]
        ax.plot([x.min() - 0.04, x.max() + 0.04], [0.16 + 0.13 * i] * 2, color="#222222", linewidth=3)
