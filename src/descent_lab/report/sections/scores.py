"""Scores: each entrant in one number over all problems, and at one setting for all of them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.statistics.aggregates import LIKE_THESE, THESE
from descent_lab.analysis.statistics.one_setting import HELD_OUT, TUNING
from descent_lab.analysis.subset import filled
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Heading, Picture, Rows, Words
from descent_lab.report.looks import Looks
from descent_lab.report.report import LOSS, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.words import interval, listed, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"iqm": "interquartile mean score (higher is better)", "optimality_gap": "optimality gap (lower is better)"}
HEAD = ("entrant", "interquartile mean", "with other problems", "optimality gap", "with other problems", "note")
WINS_HEAD = ("a", "b", "P(a run of a is better)", "with other problems", "problems")
ONE_HEAD = ("entrant", "data sets", "most often", "times the tuned loss", "at worst", "on")
ROW = 0.24  # inches


def compared(report: Report, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The reported runs, or others, with the levels that are compared."""
    runs = report.selection.runs if runs is None else runs
    start = runs["run_id"].map(st.starts(report.study.curves)).astype(float)
    return st.comparable(runs.assign(start=start), LOSS)


def aggregates(report: Report) -> pd.DataFrame:
    """Each entrant over all problems that all of them have."""
    if report.reference is None:
        raise NotGiven("no run finished, so there is no reference to score by")
    runs = filled(compared(report))
    if report.reference not in set(runs["entrant"]):
        raise NotGiven(f"the reference {report.reference} has no runs on the problems that all others have")
    return st.aggregates(st.scores(runs, report.reference, "entrant"), "entrant")


def wins(report: Report) -> pd.DataFrame:
    """How probably a run of one entrant is better than one of another."""
    return st.probability_better(compared(report), "entrant")


def one_setting(report: Report) -> pd.DataFrame:
    """Each entrant at one setting for all problems, chosen on the other data sets."""
    runs = report.study.runs
    if "setting" not in runs:
        runs = runs.assign(setting=runs["lr"].map("lr={:g}".format))
    tuning = report.selection.tuning
    several = runs.groupby(["dataset", "entrant"])["setting"].transform("nunique") > 1
    runs = runs[several]
    if runs.empty:
        raise NotGiven("no entrant was run at several settings")
    chosen_on = [
        seed in tuning.get(str(problem), ()) for problem, seed in zip(runs["dataset"], runs["seed"], strict=True)
    ]
    with_phase = compared(report, runs).assign(phase=np.where(chosen_on, TUNING, HELD_OUT))
    return st.one_setting(with_phase, compared(report))


def one_setting_cost(report: Report) -> pd.DataFrame:
    """What not tuning costs each entrant."""
    if not report.given("one_setting"):
        raise NotGiven(report.missing["one_setting"])
    return st.cost_of_one_setting(report.table("one_setting"))


def in_one_number(rows: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """A panel per statistic, a row per entrant: estimate, thick interval for these problems, thin for others as well.

    rows: of `statistics.aggregates`.
    """
    from descent_lab.report import drawing

    best = rows[(rows["statistic"] == "iqm") & (rows["over"] == THESE)].sort_values("estimate", ascending=False)
    names = best["entrant"].tolist()

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        for over, width in ((LIKE_THESE, 1.0), (THESE, 3.5)):
            here = group[group["over"] == over].set_index("entrant").reindex(names)
            for place, (name, row) in enumerate(here.iterrows()):
                look = looks[str(name)]
                if np.isfinite([row["low"], row["high"]]).all():
                    ax.hlines(place, row["low"], row["high"], color=look.colour, linewidth=width, alpha=0.75)
                ax.plot(row["estimate"], place, look.marker, color=look.colour, markeredgecolor="white", markersize=6)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), [name if len(name) <= 22 else f"{name[:21]}…" for name in names])

    left = 0.4 + 0.06 * min(22, max(map(len, names)))
    panel = (4.0, max(1.2, ROW * len(names) + 0.6))
    named = rows.assign(statistic=rows["statistic"].map(NAMES))
    return drawing.panels(named, "statistic", draw, "score", "", {}, note, panel=panel, left=left)


def figures(report: Report) -> Iterator[Drawing]:
    """The scores."""
    if report.given("aggregates"):
        note = (
            f"score: 0 at the start, 1 where {report.reference} ends on average, on the logarithmic scale, at most 2; "
            "thick: 95 % interval for other seeds on these problems; thin: for other data sets as well"
        )
        yield Drawing("scores", in_one_number, (report.table("aggregates"), report.looks, note))


def _scores(table: pd.DataFrame) -> Rows:
    cells = table.set_index(["entrant", "statistic", "over"])
    best = table[(table["statistic"] == "iqm") & (table["over"] == THESE)].sort_values("estimate", ascending=False)
    body = []
    for name in best["entrant"]:
        words = [name]
        for statistic in NAMES:
            for over in (THESE, LIKE_THESE):
                row = cells.loc[(name, statistic, over)]
                told = interval(row["estimate"], row["low"], row["high"])
                words.append(told if over == THESE else _limits(row["low"], row["high"]))
        body.append([*words, cells.loc[(name, "iqm", LIKE_THESE), "note"]])
    return Rows(HEAD, body)


def _limits(low: float, high: float) -> str:
    return "–" if np.isnan(low) else f"[{number(low)}, {number(high)}]"


def _wins(table: pd.DataFrame) -> Rows:
    body = []
    for (a, b), rows in table.groupby(["a", "b"], sort=True):
        these, others = (rows[rows["over"] == over].iloc[0] for over in (THESE, LIKE_THESE))
        told = interval(these["estimate"], these["low"], these["high"])
        body.append([a, b, told, _limits(others["low"], others["high"]), str(these["n_problems"])])
    return Rows(WINS_HEAD, body, folded="How often a run of one is better than a run of the other")


def _costs(table: pd.DataFrame) -> Rows:
    body = [
        [
            row.entrant,
            str(row.n_datasets),
            row.setting,
            number(np.exp(row.difference)),
            number(np.exp(row.worst)),
            row.worst_on,
        ]
        for row in table.itertuples()
    ]
    return Rows(ONE_HEAD, body)


def _judged_on(table: pd.DataFrame) -> str:
    counts = table[table["judged_on"] != ""]["judged_on"].value_counts().sort_index()
    parts = [f"on {phase} seeds in {n} of {len(table)} cases" for phase, n in counts.items()]
    return f"It is judged {listed(parts)}." if parts else ""


def content(report: Report) -> Iterator[Block]:
    """The scores and what one setting reaches, or why they are not there."""
    if report.given("aggregates"):
        yield Words(
            f"The score of a run is 0 if it ends at its start and 1 if it ends where {report.reference} does on "
            "average: log(start / loss) over that of the reference, at most 2; a diverged run has 0. The interquartile "
            "mean is the mean of the middle half of all scores; the optimality gap is how far scores fall short of 1 "
            "(Agarwal et al. 2021). Intervals are at 95 %, for other seeds on these problems, and with other data sets "
            "as well. They are of each entrant by itself, and decide no comparison."
        )
        yield Picture("scores", "Scores of each entrant over all problems with their intervals")
        yield _scores(report.table("aggregates"))
        if report.given("wins"):
            yield _wins(report.table("wins"))
    else:
        yield Words(f"Not shown: {report.missing['aggregates']}.")
    yield Heading("One setting for all problems")
    if report.given("one_setting_cost"):
        yield Words(
            "What a user gets who does not tune: for each data set, the setting that is best on all the others. "
            "Its loss over that of the setting that was tuned on the data set itself, by the geometric mean, and at "
            f"worst. {_judged_on(report.table('one_setting'))}"
        )
        yield _costs(report.table("one_setting_cost"))
    else:
        yield Words(f"Not shown: {report.missing['one_setting_cost']}.")
    yield Files(["aggregates", "wins", "one_setting", "one_setting_cost"])


SECTIONS.add(
    "scores",
    Section(
        "Scores",
        65,
        tables={
            "aggregates": Table(aggregates, "statistics.aggregates of statistics.scores of the reported runs"),
            "wins": Table(wins, "statistics.probability_better of the reported runs"),
            "one_setting": Table(one_setting, "statistics.one_setting of all runs"),
            "one_setting_cost": Table(one_setting_cost, "statistics.cost_of_one_setting of one_setting"),
        },
        figures=figures,
        content=content,
    ),
)
