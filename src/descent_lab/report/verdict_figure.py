"""The verdicts as a picture: the effect of every pair with its interval, beside the margin."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.verdicts import ALL
from descent_lab.report.looks import Looks, Span, leaves, span_with_intervals
from descent_lab.report.report import Report
from descent_lab.report.section import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST = " over all problems"  # the blank puts it before the names of problems
MOST_PAIRS = 28  # in a panel: those of 8 entrants
LONGEST = 34  # letters of a pair
NOTE = (
    "a / b with its interval, as tested; grey: within the margin; coloured: the better entrant; hollow: none is shown "
    "to be better; small: not tested, 95 % interval"
)


def drawings(report: Report) -> Iterator[Drawing]:
    """The figure, where there are pairs and these are not too many to be told apart."""
    if not report.given("pairs"):
        return
    pairs = report.table("pairs")
    if pairs.groupby("dataset").size().max() <= MOST_PAIRS:
        what = "ratio" if report.measure.scale == "log" else "difference"
        arguments = (pairs, report.looks, f"{what} of {report.measure.label}", report.asked.distance, what == "ratio")
        yield Drawing("verdicts", effects, arguments)


def effects(pairs: pd.DataFrame, looks: Looks, label: str, distance: float, log: bool = True) -> "Figure":
    """A panel per problem and, with several, one over all; a line for each pair.

    pairs: as `statistics.verdicts` gives them. distance: the margin as a difference of levels. log: whether effects are
    ratios.
    """
    from descent_lab.report import drawing

    shown = {"effect": "estimate", "effect_low": "low", "effect_high": "high"}
    rows = pairs.rename(columns=shown).assign(dataset=pairs["dataset"].mask(pairs["dataset"] == ALL, FIRST))

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.value_axis(ax, _span(group) if log else None, group[[*shown.values()]], along="x")
        ends = np.exp([-distance, distance]) if log else np.array([-distance, distance])
        ax.axvspan(*ends, color="#DDDDDD", linewidth=0, zorder=0)
        ax.axvline(1.0 if log else 0.0, color="#888888", linewidth=0.8, zorder=1)
        ax.grid(visible=False, axis="y")
        low, high = ax.get_xlim()
        for place, row in enumerate(group.itertuples()):
            colour = looks[row.winner].colour if row.winner else drawing.MUTED
            if not np.isnan([row.low, row.high]).any():
                ax.hlines(place, max(row.low, low), min(row.high, high), color=colour, linewidth=1.3)
            face, size = (colour if row.winner else "white"), (5 if row.corrected else 3)
            if low <= row.estimate <= high:
                ax.plot(row.estimate, place, "o", color=colour, markerfacecolor=face, markersize=size, zorder=3)
            drawing.edges(ax, np.array([place]), group.iloc[[place]], colour, along="x")
        ax.set_ylim(len(group) - 0.4, -0.6)
        ax.set_yticks(range(len(group)), _named(group))

    names = _named(rows)
    cut = bool(np.isinf(rows[[*shown.values()]].to_numpy(dtype=float)).any())
    cut |= log and any(leaves(group, _span(group)) for _, group in rows.groupby("dataset"))
    note = NOTE + "; hollow triangle: goes on beyond the axis" * cut
    height = max(1.2, 0.17 * rows.groupby("dataset").size().max() + 0.6)
    return drawing.panels(
        rows, "dataset", draw, label, "", {}, note, panel=(4.0, height),
        left=0.4 + 0.06 * max(map(len, names)),
    )  # fmt: skip


def _named(rows: pd.DataFrame) -> list[str]:
    names = [f"{row.a} / {row.b}" for row in rows.itertuples()]
    return [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]


def _span(rows: pd.DataFrame) -> Span | None:
    return span_with_intervals(rows, reach=10)
