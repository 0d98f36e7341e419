"""Performance profiles: how close each entrant is to the quickest, over all problems (Dolan & Moré 2002)."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.subset import filled
from descent_lab.report.blocks import Block, Files, Plots, Rows, Words
from descent_lab.report.looks import Looks
from descent_lab.report.plots import WHO, Plot
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.targets import given_hits, shared, steps
from descent_lab.report.words import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = ("entrant", "AlgoPerf's score", "area over log tau", "reached", "problems", "note")
TITLE = "Performance profile"
TAU = "tau: time over that of the quickest"
SHARE = "share of problems reached"


def _hits(report: Report) -> pd.DataFrame:
    """The hits on gradient-equivalents of entrants and problems without gaps; each target of a problem counts."""
    rows = given_hits(report)
    rows = rows[rows["clock"] == "gradients"]
    rows = rows[rows["entrant"].isin(set(filled(rows)["entrant"]))]
    return filled(rows)


def _of_hits(statistic: Callable[[pd.DataFrame, str], pd.DataFrame]) -> Callable[[Report], pd.DataFrame]:
    """A table that is a statistic of these hits."""

    def make(report: Report) -> pd.DataFrame:
        return statistic(_hits(report), "entrant")

    return make


def profiles(rows: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """Share of problems reached within tau times the quickest. rows: `entrant, tau, share, low, high`."""
    from descent_lab.report import drawing

    named, legend = rows.assign(title=TITLE), drawing.handles(looks, rows["entrant"])

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        steps(ax, group, "tau", looks)
        drawing.bands(ax, group, "tau", looks, step="post")

    return drawing.panels(named, "title", draw, TAU, SHARE, legend, note)


def figures(report: Report) -> Iterator[Drawing]:
    """The profiles."""
    if report.given("profile"):
        note = f"shade: 95 % interval for other seeds on these problems; {shared(report)}"
        yield Drawing("profile", profiles, (report.table("profile"), report.looks, note))


def _scores(table: pd.DataFrame) -> Rows:
    body = []
    for row in table.itertuples():
        areas = [
            interval(row.algoperf, row.algoperf_low, row.algoperf_high),
            interval(row.log_area, row.log_area_low, row.log_area_high),
        ]
        body.append([row.entrant, *areas, f"{row.reached:.0%}", str(row.n_problems), row.note])
    return Rows(SCORES, body)


def content(report: Report) -> Iterator[Block]:
    """The profiles and their scores, or why there are none."""
    if report.given("profile"):
        yield Words(
            "Share of problems (a problem is a data set with a target) that the median run reaches within tau times "
            "the gradient-equivalents of the quickest (Dolan & Moré 2002). AlgoPerf's score is the area under it from "
            "tau = 1 to 4; the area over log tau counts twice as slow the same at any tau. Intervals are for other "
            "seeds on these same problems. Reached: the share of problems reached at all."
        )
        tips = [WHO, ("share", "@share{0.00}"), ("95 %", "@low{0.00} to @high{0.00}"), ("tau", "@tau")]
        plot = Plot(TITLE, "tau", "share", TAU, SHARE, tips, (True, False))
        plot.add_steps(report.table("profile"), report.looks)
        yield Plots([plot])
        yield _scores(report.table("profile_score"))
    else:
        yield Words(f"Not shown: {report.missing['profile']}.")
    yield Files(["profile", "profile_ratios", "profile_score"])


SECTIONS.add(
    "profiles",
    Section(
        "Profiles",
        60,
        tables={
            "profile_ratios": Table(
                _of_hits(st.performance_ratios), "statistics.performance_ratios of hits, on gradient-equivalents"
            ),
            "profile": Table(_of_hits(st.performance_profile), "statistics.performance_profile of the same hits"),
            "profile_score": Table(_of_hits(st.profile_score), "statistics.profile_score of the same hits, r_max = 4"),
        },
        figures=figures,
        content=content,
    ),
)
