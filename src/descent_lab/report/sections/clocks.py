"""Time: the training loss against step seconds, and what a step costs."""

from collections.abc import Iterator

import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.study import CELL
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Heading, Plots, Rows, Words, grouped
from descent_lab.report.looks import limits_of
from descent_lab.report.plots import BAND, Plot
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.curves import LABELS, NOTE, SECONDS, TRAIN, by_entrant, label_of, span_of
from descent_lab.report.sections.ledger import unfair
from descent_lab.report.words import interval

WARNING = "NOT TO BE COMPARED: runs were trained stacked and share one clock. "
SAID = {
    "isolated": "Runs with a clock of their own (timing=isolated): synchronised, without compilation, evaluation or "
    "logging.",
    "shared": "These runs were trained stacked and each shows its part of one clock: how long a sweep took, not which "
    "optimizer is quicker: not to be compared. For that, sweep with timing=isolated.",
}


def clock_curves(report: Report) -> pd.DataFrame:
    """Bands over step seconds of the reported runs. Those that shared a clock only where no run had its own."""
    runs = report.selection.runs
    own = runs["timing"] == "isolated"
    isolated = own.groupby(runs["dataset"]).transform("any")
    parts = [(runs[own], "isolated"), (runs[~isolated], "shared")]
    summaries = [
        st.summarise_curves(report.study.curves_of(TRAIN), part, PAIR, TRAIN, SECONDS).assign(timing=timing)
        for part, timing in parts
        if len(part)
    ]
    return pd.concat(summaries, ignore_index=True).merge(report.selection.chosen[CELL], on=PAIR)


def step_cost(report: Report) -> pd.DataFrame:
    """Step seconds per step of the runs that had a clock of their own."""
    runs = report.study.runs
    timed = runs[(runs["timing"] == "isolated") & (runs["steps"] > 0)]
    if timed.empty:
        raise NotGiven("no run had a clock of its own (timing=isolated)")
    per_step = timed.assign(per_step=timed["step_seconds"] / timed["steps"], status="finished")
    return st.summarise(per_step, PAIR, "per_step")


def figures(report: Report) -> Iterator[Drawing]:
    """Against isolated clocks, and against shared ones with a warning."""
    for timing, rows in grouped(report.table("clock_curves"), "timing"):
        note = (WARNING if timing == "shared" else "") + NOTE + unfair(report)
        name = "curves_step_seconds" + ("_shared" if timing == "shared" else "")
        yield Drawing(name, by_entrant, (rows, SECONDS, label_of(TRAIN), report.looks, note))


def _plot(report: Report, timing: str, problem: str, rows: pd.DataFrame) -> Plot:
    limits = limits_of(span_of(rows, SECONDS))
    label = LABELS[SECONDS] + (" (shared clock)" if timing == "shared" else "")
    plot = Plot(problem, SECONDS, "estimate", label, label_of(TRAIN), BAND, (True, limits is not None), limits)
    plot.add_bands(rows, [SECONDS], report.looks)
    return plot


def content(report: Report) -> Iterator[Block]:
    """The interactive figures, and the cost of a step where it was measured alone."""
    if not report.given("clock_curves"):
        return
    for timing, rows in grouped(report.table("clock_curves"), "timing"):
        plots = [_plot(report, timing, problem, group) for problem, group in grouped(rows, "dataset")]
        yield Heading("Against step seconds" + (", on a shared clock" if timing == "shared" else ""))
        yield Words(SAID[timing])
        yield Plots([plot for plot in plots if plot.parts])
    if report.given("step_cost"):
        yield _costs(report.table("step_cost"))
    yield Files(["clock_curves", "step_cost"])


def _costs(table: pd.DataFrame) -> Rows:
    body = [
        [row.dataset, row.entrant, str(row.n), interval(1e6 * row.estimate, 1e6 * row.low, 1e6 * row.high)]
        for row in table.itertuples()
    ]
    return Rows(["problem", "entrant", "runs", "microseconds per step"], body)


SECTIONS.add(
    "clocks",
    Section(
        "Time",
        34,
        tables={
            "clock_curves": Table(clock_curves, "statistics.summarise_curves of the reported runs over step_seconds"),
            "step_cost": Table(step_cost, "statistics.summarise of step_seconds / steps, of isolated runs"),
        },
        figures=figures,
        content=content,
    ),
)
