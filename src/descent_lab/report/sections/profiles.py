"""Performance profiles: how close each entrant is to the quickest, over all problems (Dolan & Moré 2002)."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.subset import filled
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Plots, Words, plain
from descent_lab.report.looks import Looks
from descent_lab.report.plots import WHO, Plot
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.targets import shared, steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORED = {"entrant": "entrant", "score": "score", "solved": "solved", "n_problems": "problems"}
TITLE = "Performance profile"
TAU = "tau: time over that of the quickest"


def profile_ratios(report: Report) -> pd.DataFrame:
    """Times over those of the quickest, in gradient-equivalents; each data set with each target is a problem."""
    if not report.given("time_to_target"):
        raise NotGiven(report.missing["time_to_target"])
    times = report.table("time_to_target")
    times = times[times["clock"] == "gradients"]
    times = times[times["entrant"].isin(set(filled(times)["entrant"]))]
    times = filled(times).assign(problem=lambda rows: rows["dataset"] + " @" + rows["level"].astype(str))
    return st.performance_ratios(times, "entrant", "problem", "median")


def _of_ratios(statistic: Callable[[pd.DataFrame, str], pd.DataFrame]) -> Callable[[Report], pd.DataFrame]:
    """A table that is a statistic of the ratios."""

    def make(report: Report) -> pd.DataFrame:
        if not report.given("profile_ratios"):
            raise NotGiven(report.missing["profile_ratios"])
        return statistic(report.table("profile_ratios"), "entrant")

    return make


def profiles(rows: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """Share of problems solved within tau times the quickest. rows: `entrant, tau, share`."""
    from descent_lab.report import drawing

    named, legend = rows.assign(title=TITLE), drawing.handles(looks, rows["entrant"])
    return drawing.panels(
        named, "title", lambda ax, group: steps(ax, group, "tau", looks), TAU, "share of problems solved", legend, note
    )


def figures(report: Report) -> Iterator[Drawing]:
    """The profiles."""
    if report.given("profile"):
        yield Drawing("profile", profiles, (report.table("profile"), report.looks, shared(report)))


def content(report: Report) -> Iterator[Block]:
    """The profiles and their scores, or why there are none."""
    if report.given("profile"):
        yield Words(
            "Share of problems (data set and target) reached within tau times the gradient-equivalents of the quickest "
            "(Dolan & Moré 2002), and the area under it up to tau = 4 (AlgoPerf's score)."
        )
        tips = [WHO, ("share", "@share{0.00}"), ("tau", "@tau")]
        plot = Plot(TITLE, "tau", "share", TAU, "share of problems", tips, (True, False))
        plot.add_steps(report.table("profile"), report.looks)
        yield Plots([plot])
        yield plain(report.table("profile_score"), SCORED)
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
                profile_ratios, "statistics.performance_ratios of time_to_target, on gradient-equivalents"
            ),
            "profile": Table(_of_ratios(st.performance_profile), "statistics.performance_profile of profile_ratios"),
            "profile_score": Table(
                _of_ratios(st.profile_score), "statistics.profile_score of profile_ratios, r_max = 4"
            ),
        },
        figures=figures,
        content=content,
    ),
)
