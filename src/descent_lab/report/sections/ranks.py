"""Ranks: average ranks over distinct data sets, how firm they are, and which differ on further ones (Demšar 2006)."""

from collections.abc import Callable, Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.statistics.ranks import PERMUTATIONS
from descent_lab.analysis.subset import filled
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Picture, Words, plain
from descent_lab.report.looks import Looks
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.words import listed, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.22  # inches between names
LEAST = 1 / (1 + PERMUTATIONS)  # the smallest p of the permutations
SAME = "indistinguishable"
PAIRED = {
    "a": "a", "b": "b", "n": "data sets", "rank_a": "rank of a", "rank_b": "rank of b", "nemenyi": "Nemenyi",
    "difference": "a - b", "difference_low": "from", "difference_high": "to", "p_holm": "p (Holm)",
    "wilcoxon": "Wilcoxon", "note": "note",
}  # fmt: skip
FIRM = {"entrant": "entrant", "first": "first in", "n": "of", "best": "best place", "worst": "worst place"}


def _common(report: Report) -> pd.DataFrame:
    """The reported runs of entrants on problems that all of these have, with the levels that are compared."""
    runs = filled(report.comparable)
    if runs["data"].nunique() < 2:
        raise NotGiven("ranks need two data sets or more that have the same entrants")
    return runs


def _of_runs(statistic: Callable[[pd.DataFrame, str, str], pd.DataFrame]) -> Callable[[Report], pd.DataFrame]:
    """A table that is a statistic of these runs."""

    def make(report: Report) -> pd.DataFrame:
        return statistic(_common(report), "entrant", report.measure.better)

    return make


def places(report: Report) -> pd.DataFrame:
    """The places of each entrant when one data set is left out."""
    if not report.given("leave_one_out"):
        raise NotGiven(report.missing["leave_one_out"])
    return st.places(report.table("leave_one_out"), "entrant")


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
    """The diagram; with bars where there are enough data sets for a test."""
    if report.given("ranks"):
        if report.given("rank_pairs"):
            groups = st.indistinguishable(report.table("rank_pairs"), "wilcoxon")
            note = "bars join entrants that the data sets cannot tell apart (Wilcoxon, Holm)"
        else:
            groups = pd.DataFrame(columns=["group", "entrant"])
            note = f"no test: {report.missing['rank_pairs']}"
        yield Drawing("ranks", critical_difference_diagram, (report.table("ranks"), groups, report.looks, note))


def in_words(report: Report) -> list[str]:
    """Who is better over the data sets that all the ranked entrants share."""
    if not report.given("ranks"):
        return []
    table, n = report.table("ranks"), report.table("ranks")["n_datasets"].iloc[0]
    order = listed([f"{row.entrant} ({row.rank:.2f})" for row in table.itertuples()])
    lines = [f"Average ranks over {n} data sets that all of these ran on: {order}; 1 is best."]
    if report.given("places"):
        leader = report.table("places").iloc[0]
        lines[0] += f" With one data set left out, {leader['entrant']} is first in {leader['first']} of {leader['n']}."
    lines.append(_further(report))
    return lines


def _further(report: Report) -> str:
    """What is to be expected on further data sets."""
    if not report.given("rank_pairs"):
        return f"Nothing is said of further data sets: {report.missing['rank_pairs']}."
    pairs = report.table("rank_pairs")
    told = pairs[pairs["wilcoxon"] != SAME]
    if len(told):
        wins = listed([f"{row.wilcoxon} over {_other(row, row.wilcoxon)}" for row in told.itertuples()])
        return f"To be expected on further data sets like these: {wins}."
    n = pairs["n"].iloc[0]
    return f"On further data sets like these nobody is sure to lead: {pairs['note'].iloc[0] or _undecided(n)}."


def _undecided(n: int) -> str:
    return f"{n} data sets cannot tell them apart"


def _other(row: Any, winner: str) -> str:
    return str(row.b if winner == row.a else row.a)


def content(report: Report) -> Iterator[Block]:
    """The diagram and the pairs, or why there are none."""
    if report.given("ranks"):
        yield Picture("ranks", "Average ranks, with bars that join entrants the data sets cannot tell apart")
        if report.given("friedman"):
            row = report.table("friedman").iloc[0]
            yield Words(
                "Friedman's test of the hypothesis that all entrants are alike, over "
                f"{row['n_datasets']:.0f} data sets: p {p_value(row['p'], LEAST)}. Each data set counts once, by the "
                "mean over seeds and over its problems."
            )
        if report.given("places"):
            yield plain(report.table("places"), FIRM, folded="The order with one data set left out")
        if report.given("rank_pairs"):
            what = "logarithms" if report.measure.scale == "log" else "values"
            yield plain(report.table("rank_pairs"), PAIRED, folded=f"Pairs over data sets, by differences of {what}")
    else:
        yield Words(f"Not shown: {report.missing['ranks']}.")
    yield Files(["ranks", "rank_pairs", "friedman", "leave_one_out", "places"])


SECTIONS.add(
    "ranks",
    Section(
        "Ranks",
        70,
        tables={
            "ranks": Table(_of_runs(st.average_ranks), "statistics.average_ranks of the reported runs"),
            "rank_pairs": Table(_of_runs(st.rank_pairs), "statistics.rank_pairs of the reported runs"),
            "friedman": Table(_of_runs(st.friedman), "statistics.friedman of the reported runs"),
            "leave_one_out": Table(_of_runs(st.leave_one_out), "statistics.leave_one_out of the reported runs"),
            "places": Table(places, "statistics.places of leave_one_out"),
        },
        figures=figures,
        content=content,
    ),
)
