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
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.words import interval, listed, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"iqm": "interquartile mean score (higher is better)", "optimality_gap": "optimality gap (lower is better)"}
HEAD = ("entrant", "interquartile mean", "with other problems", "optimality gap", "with other problems", "note")
WINS_HEAD = ("a", "b", "P(a run of a is better)", "with other problems", "problems")
ONE_HEAD = ("entrant", "data sets", "most often", "against the tuned setting", "at worst", "on")
NEEDED = ("run_id", "dataset", "data", "entrant", "setting", "seed", "status", "dtype")  # columns for `one_setting`
ROW = 0.24  # inches


def aggregates(report: Report) -> pd.DataFrame:
    """Each entrant over all problems that all of them have."""
    if report.reference is None:
        raise NotGiven("no run finished, so there is no reference to score by")
    runs = filled(report.comparable)
    if report.reference not in set(runs["entrant"]):
        raise NotGiven(f"the reference {report.reference} has no runs on the problems that all others have")
    scored = st.scores(runs, report.reference, "entrant", report.measure.better, report.measure.scale)
    return st.aggregates(scored, "entrant")


def wins(report: Report) -> pd.DataFrame:
    """How probably a run of one entrant is better than one of another."""
    return st.probability_better(report.comparable, "entrant", report.measure.better)


def one_setting(report: Report) -> pd.DataFrame:
    """Each entrant at one setting for all problems, chosen on the other data sets."""
    runs, tuning, chosen_by = report.study.runs, report.selection.tuning, report.chosen_by
    several = runs.groupby(["dataset", "entrant"])["setting"].transform("nunique") > 1
    needed = dict.fromkeys((*NEEDED, report.value, chosen_by.column))
    runs = runs.loc[several, [name for name in needed if name in runs]].reset_index(drop=True)
    if runs.empty:
        raise NotGiven("no entrant was run at several settings")
    if chosen_by.at == "time_to":
        raise NotGiven("settings were chosen by the time to a target, which has no mean over problems")
    seeds = zip(runs["dataset"], runs["seed"], strict=True)
    on_tuning = [seed in tuning.get(str(problem), ()) for problem, seed in seeds]
    trials = report.as_compared(
        runs.assign(by_value=chosen_by.of(runs, report.study.curves_of(chosen_by.metric))), chosen_by, "by_value"
    )
    levels = report.as_compared(runs)
    levels = levels.assign(phase=np.where(on_tuning, TUNING, HELD_OUT), by=trials["level"])
    return st.one_setting(levels, report.comparable, by="by", by_better=chosen_by.better)


def one_setting_cost(report: Report) -> pd.DataFrame:
    """What not tuning costs each entrant."""
    if not report.given("one_setting"):
        raise NotGiven(report.missing["one_setting"])
    return st.cost_of_one_setting(report.table("one_setting"), better=report.measure.better)


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
            f"{report.measure.label}; score: 0 at the start, 1 where {report.reference} ends on average, at most 2; "
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


def _costs(report: Report, table: pd.DataFrame) -> Rows:
    shown = np.exp if report.measure.scale == "log" else np.asarray
    body = [
        [row.entrant, str(row.n_datasets), row.setting, number(float(shown(row.difference))), worst, row.worst_on]
        for row in table.itertuples()
        for worst in [number(float(shown(row.worst)))]
    ]
    return Rows(ONE_HEAD, body)


def _judged_on(table: pd.DataFrame) -> str:
    counts = table[table["judged_on"] != ""]["judged_on"].value_counts().sort_index()
    parts = [f"on {phase} seeds in {n} of {len(table)} cases" for phase, n in counts.items()]
    return f"It is judged {listed(parts)}." if parts else ""


def content(report: Report) -> Iterator[Block]:
    """The scores and what one setting reaches, or why they are not there."""
    if report.given("aggregates"):
        way = "log(start / end)" if report.measure.scale == "log" else "the difference from the start"
        yield Words(
            f"The score of a run ({report.measure.label}) is 0 if it ends at its start and 1 if it ends where "
            f"{report.reference} does on average: {way} over that of the reference, at most 2; a diverged run has 0. "
            "The interquartile mean is the mean of the middle half of all scores; the optimality gap is how far scores "
            "fall short of 1 (Agarwal et al. 2021). Intervals are at 95 %, for other seeds on these problems, and with "
            "other data sets as well. They are of each entrant by itself, and decide no comparison."
        )
        yield Picture("scores", "Scores of each entrant over all problems with their intervals")
        yield _scores(report.table("aggregates"))
        if report.given("wins"):
            yield _wins(report.table("wins"))
    else:
        yield Words(f"Not shown: {report.missing['aggregates']}.")
    yield Heading("One setting for all problems")
    if report.given("one_setting_cost"):
        cost = "Its value over" if report.measure.scale == "log" else "Its value minus"
        yield Words(
            "What a user gets who does not tune: for each data set, the setting that is best on all the others. "
            f"{cost} that of the setting that was tuned on the data set itself, on average and at worst. "
            f"{_judged_on(report.table('one_setting'))}"
        )
        yield _costs(report, report.table("one_setting_cost"))
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
