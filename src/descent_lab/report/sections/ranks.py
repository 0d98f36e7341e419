"""Ranks: average ranks over data sets, and bars that join those who cannot be told apart (Demšar 2006)."""

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.subset import filled
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Picture, Words, plain
from descent_lab.report.looks import Looks
from descent_lab.report.report import LOSS, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.results import scale_of
from descent_lab.report.words import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.22  # inches between names
SAME = "indistinguishable"
PAIRED = {
    "a": "a", "b": "b", "rank_a": "rank of a", "rank_b": "rank of b", "p_holm": "p (Holm)", "nemenyi": "Nemenyi",
    "wilcoxon": "Wilcoxon",
}  # fmt: skip


def _common(report: Report) -> pd.DataFrame:
    """The reported runs of entrants on problems that all of these have."""
    runs = filled(report.selection.runs)
    if runs["dataset"].nunique() < 2:
        raise NotGiven("ranks need two data sets or more that have the same entrants")
    return runs


def ranks(report: Report) -> pd.DataFrame:
    """The average rank of each entrant."""
    return st.average_ranks(_common(report), LOSS, "entrant")


def rank_pairs(report: Report) -> pd.DataFrame:
    """The pairs of entrants, with the tests of whether their ranks differ."""
    runs = _common(report)
    return st.rank_pairs(runs, LOSS, "entrant", scale=scale_of(runs))


def friedman(report: Report) -> pd.DataFrame:
    """Friedman's test of whether all entrants are alike."""
    return st.friedman(_common(report), LOSS, "entrant")


def critical_difference_diagram(rows: pd.DataFrame, groups: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """rows: `entrant, rank`, best first; groups: `group, entrant`, as `indistinguishable` gives them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from descent_lab.report import drawing

    n = len(rows)
    half = ceil(n / 2)
    depth = 0.3 + 0.13 * groups["group"].nunique()
    margin = min(3.2, 0.75 + 0.07 * int(rows["entrant"].str.len().max()))  # inches for names at either side
    with drawing.theme():
        width = 2.6 + 2 * margin
        figure = Figure(figsize=(width, 0.75 + depth + ROW * half + 0.25))
        FigureCanvasAgg(figure)
        ax = figure.add_axes((margin / width, 0, 2.6 / width, 1 - 0.4 / figure.get_figheight()))
        _axis(ax, n, depth + ROW * half + 0.35)
        for i, row in enumerate(rows.itertuples()):
            _name(ax, row, i, half, n, depth, looks)
        rank = rows.set_index("entrant")["rank"]
        for i, (_, group) in enumerate(groups.groupby("group", sort=True)):
            x = rank[group["entrant"]]
            ax.plot([x.min() - 0.04, x.max() + 0.04], [0.16 + 0.13 * i] * 2, color="#222222", linewidth=3)
        figure.text(0.02, 0.02, note, fontsize=7, color=drawing.MUTED)
    return figure


def _axis(ax: "Axes", n: int, depth: float) -> None:
    """Ranks along the top, 1 at the left; y in inches, downwards."""
    ax.grid(visible=False)
    ax.set_xlim(1, max(n, 2))
    ax.set_ylim(depth, 0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.spines["top"].set_visible(True)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xticks(np.arange(1, max(n, 2) + 1, ceil(n / 12)))
    ax.set_yticks([])
    ax.set_xlabel("average rank (1 is best)")


def _name(ax: "Axes", row: Any, i: int, half: int, n: int, depth: float, looks: Looks) -> None:
    """A line from the rank down and out to the name: the better half to the left."""
    from descent_lab.report.looks import DASHES

    left, style = i < half, looks[row.entrant]
    y = depth + ROW * (i if left else n - 1 - i)
    edge = 1 - 0.04 * max(n - 1, 1) if left else max(n, 2) + 0.04 * max(n - 1, 1)
    dash: Any = (0, DASHES[style.dash]) if style.dash else "-"
    ax.plot([row.rank, row.rank, edge], [0, y, y], clip_on=False, linewidth=1.2, color=style.colour, linestyle=dash)
    ax.plot(row.rank, 0, marker=style.marker, color=style.colour, clip_on=False)
    label = f"{row.entrant}  {row.rank:.2f} " if left else f" {row.rank:.2f}  {row.entrant}"
    ax.text(edge, y, label, ha="right" if left else "left", va="center")


def figures(report: Report) -> Iterator[Drawing]:
    """The diagram."""
    if report.given("ranks", "rank_pairs"):
        groups = st.indistinguishable(report.table("rank_pairs"), "wilcoxon")
        note = "bars join entrants that the data cannot tell apart (Wilcoxon, Holm)"
        arguments = (report.table("ranks"), groups, report.looks, note)
        yield Drawing("ranks", critical_difference_diagram, arguments)


def in_words(report: Report) -> list[str]:
    """Who is better over the problems that all the ranked entrants share."""
    if not report.given("ranks", "rank_pairs"):
        return []
    table, n = report.table("ranks"), report.table("ranks")["n_datasets"].iloc[0]
    order = listed([f"{row.entrant} ({row.rank:.2f})" for row in table.itertuples()])
    lines = [f"Average ranks over {n} problems that all of these ran on: {order}; 1 is best."]
    told = report.table("rank_pairs")
    told = told[told["wilcoxon"] != SAME]
    if len(told):
        wins = listed([f"{row.wilcoxon} over {_other(row, row.wilcoxon)}" for row in told.itertuples()])
        lines.append(f"To be expected on further data sets like these: {wins}.")
    else:
        lines.append(f"On further data sets like these nobody is sure to lead: {n} problems cannot tell them apart.")
    every = report.table("pairs")
    every = every[(every["dataset"] == "all") & (every["verdict"] != SAME)] if len(every) else every
    if len(every):
        wins = listed([f"{row.verdict} over {_other(row, row.verdict)}" for row in every.itertuples()])
        lines.append(f"On these very problems, with further seeds: {wins}.")
    return lines


def _other(row: Any, winner: str) -> str:
    return str(row.b if winner == row.a else row.a)


def content(report: Report) -> Iterator[Block]:
    """The diagram and the pairs, or why there are none."""
    if report.given("ranks", "rank_pairs"):
        yield Picture("ranks", "Average ranks, with bars that join entrants the data cannot tell apart")
        if report.given("friedman"):
            row = report.table("friedman").iloc[0]
            yield Words(
                f"Friedman test over {row['n_datasets']:.0f} problems: p = {row['p']:.2g} that all entrants are alike. "
                "Bars join entrants that the data cannot tell apart (Wilcoxon, Holm)."
            )
        yield plain(report.table("rank_pairs"), PAIRED)
    else:
        yield Words(f"Not shown: {report.missing.get('ranks') or report.missing['rank_pairs']}.")
    yield Files(["ranks", "rank_pairs", "friedman"])


SECTIONS.add(
    "ranks",
    Section(
        "Ranks",
        70,
        tables={
            "ranks": Table(ranks, "statistics.average_ranks of the reported runs"),
            "rank_pairs": Table(rank_pairs, "statistics.rank_pairs of the reported runs"),
            "friedman": Table(friedman, "statistics.friedman of the reported runs"),
        },
        figures=figures,
        content=content,
    ),
)
