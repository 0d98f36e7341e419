"""Targets: when runs reach losses that all are held against, on each clock, and against batch size."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.subset import filled, tuning_runs
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Heading, Picture, Plots, Rows, Words, grouped
from descent_lab.report.looks import Looks, along_scale, span_with_intervals
from descent_lab.report.plots import WHO, Plot
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.curves import LABELS
from descent_lab.report.sections.ledger import unfair
from descent_lab.report.words import interval, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOCKS = ("step", "epoch", "gradients", "step_seconds")
LEVELS = (0.5, 0.75, 0.9, 1.0)
BY = ["clock", "dataset", "level", "entrant"]
RUN = ("entrant", "setting", "lr", "seed", "block", "run_id")
HEAD = ("clock", "problem", "target level", "entrant", "reached", "median time", "expected running time")
PERFECT = "perfect scaling"


def _of_reference(report: Report) -> tuple[pd.DataFrame, str]:
    """The runs of the reference that targets are derived from, and which these are in words."""
    if report.reference is None:
        raise NotGiven("no run finished, so there is no reference to derive targets from")
    tuned = tuning_runs(report.study, report.selection, report.reference)
    if len(tuned):
        return tuned, f"the tuning runs of {report.reference}, none of which is compared"
    own = report.selection.runs
    own = own[own["entrant"] == report.reference]
    if own.empty:
        raise NotGiven(f"the reference {report.reference} has no run that is reported")
    return own, f"the runs of {report.reference} that are compared themselves"


def targets(report: Report) -> pd.DataFrame:
    """The targets of every problem: those given, or on the way of the reference entrant."""
    if report.fixed_targets is not None:
        known = report.fixed_targets[report.fixed_targets["dataset"].isin(report.selection.runs["dataset"])]
        if known.empty:
            raise NotGiven(f"the given targets are of other problems than {_problems(report)}")
        return known.assign(reference="given")
    own, _ = _of_reference(report)
    curves = report.study.curves_of(report.measure.metric)
    return st.interpolated_targets(curves, own, *_asked(report, own)).assign(reference=report.reference)


def no_targets(report: Report) -> pd.DataFrame:
    """The problems without targets, and why: `dataset, detail`."""
    problems = set(report.selection.runs["dataset"])
    if report.fixed_targets is not None:
        absent = sorted(problems - set(report.fixed_targets["dataset"]))
        return pd.DataFrame({"dataset": absent, "detail": ["no target is given"] * len(absent)})
    own, _ = _of_reference(report)
    absent = sorted(problems - set(own["dataset"]))
    missing = pd.DataFrame({"dataset": absent, "detail": [f"{report.reference} has no run: no target"] * len(absent)})
    reference, _, *told = _asked(report, own)
    curves = report.study.curves_of(report.measure.metric)
    return pd.concat([missing, st.without_targets(curves, own, reference, *told)], ignore_index=True)


def _asked(report: Report, own: pd.DataFrame) -> tuple[str, Sequence[float], str, str, str, str, str]:
    """The arguments of `statistics.interpolated_targets` from the third on."""
    measure = report.measure
    column = report.value if report.value in own else f"final_{measure.metric.replace('/', '_')}"
    return str(report.reference), LEVELS, measure.metric, column, "entrant", measure.better, measure.scale


def _problems(report: Report) -> str:
    return listed(sorted(set(report.selection.runs["dataset"])))


def hits(report: Report) -> pd.DataFrame:
    """When each reported run first reached each target, on each clock."""
    wanted = report.table("targets")
    if wanted.empty:
        raise NotGiven("there are no targets")
    reported = report.selection.runs
    known = [name for name in RUN if name in reported]
    needed = ["dataset", "status", "timing", "steps", "gradients", *known]
    runs = reported.loc[reported["dataset"].isin(wanted["dataset"]), needed]
    keep = ["clock", "dataset", "level", "target", *known, "reached", "time", "resolution", "spent"]
    asked, parts = report.measure, []
    curves = report.study.curves_of(asked.metric)
    for clock in CLOCKS:
        timed = runs[runs["timing"] == "isolated"] if clock == "step_seconds" else runs
        timed = timed[timed["gradients"].notna()] if clock == "gradients" else timed
        if len(timed):
            first = st.first_hits(curves, timed, wanted, asked.metric, clock, asked.better)
            parts.append(first.assign(clock=clock)[keep])
    return pd.concat(parts, ignore_index=True)


def given_hits(report: Report) -> pd.DataFrame:
    """The table `hits`. Raises NotGiven where there are none."""
    if not report.given("hits"):
        raise NotGiven(report.missing["hits"])
    return report.table("hits")


def time_to_target(report: Report) -> pd.DataFrame:
    """Median time and expected running time to each target."""
    rows = given_hits(report)
    names = {"estimate": "ert", "low": "ert_low", "high": "ert_high"}
    ert = st.expected_runtime(rows, BY).rename(columns=names)
    median = st.time_to_target(rows, BY).rename(columns={"estimate": "median"})
    return median.merge(ert[[*BY, *names.values()]], on=BY).drop(columns="method")


def batch_size(report: Report) -> pd.DataFrame:
    """Steps and epochs to each target, where batch sizes alone are compared."""
    if report.study.compared != ("batching",) or "batching.size" not in report.study.runs:
        raise NotGiven("batch sizes are compared where nothing else is: --compared batching")
    given_hits(report)
    runs = report.study.runs.dropna(subset="batching.size").drop_duplicates("entrant")
    size = dict(zip(runs["entrant"], runs["batching.size"].astype(int), strict=True))
    times = report.table("time_to_target")
    times = times[times["clock"].isin(["step", "epoch"]) & times["entrant"].isin(size)]
    return times.assign(size=times["entrant"].map(size)).sort_values(["clock", "dataset", "level", "size"])


def runtime_ecdf(report: Report) -> pd.DataFrame:
    """Shares over all problems: on each clock of entrants that ran on the same ones alone."""
    parts = [filled(group) for _, group in given_hits(report).groupby("clock", sort=True)]
    return st.runtime_ecdf(pd.concat(parts, ignore_index=True), ["clock", "entrant"])


def survival(report: Report) -> pd.DataFrame:
    """The share of runs that are still short of the hardest target of their problem."""
    rows = given_hits(report)
    return st.survival(rows[rows["level"] == rows.groupby("dataset")["level"].transform("max")], BY)


def steps(ax: "Axes", rows: pd.DataFrame, x: str, looks: Looks) -> None:
    """The column `share` as a step function of x for each entrant, each drawn to the end of the last."""
    from descent_lab.report import drawing

    ends = rows.groupby("entrant", sort=True).tail(1).assign(**{x: rows[x].max()})
    longer = pd.concat([rows, ends]).sort_values(["entrant", x], kind="stable")
    drawing.lines(ax, longer, x, "share", looks, every=False, drawstyle="steps-post")
    drawing.log_x(ax, rows[x].to_numpy(dtype=float))
    ax.set_ylim(-0.02, 1.02)


def reached(rows: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """A panel per clock: share of (run, target) pairs reached by then. rows: `clock, entrant, time, share`."""
    from descent_lab.report import drawing

    named = rows.assign(clock=rows["clock"].map(LABELS))
    legend, label = drawing.handles(looks, rows["entrant"]), "time, in units of the title"
    return drawing.panels(
        named,
        "clock",
        lambda ax, group: steps(ax, group, "time", looks),
        label,
        "share of targets reached",
        legend,
        note,
    )


def surviving(rows: pd.DataFrame, axis: str, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set: Kaplan-Meier share of runs still short of the target, with its interval."""
    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        steps(ax, group, "time", looks)
        drawing.bands(ax, group, "time", looks, step="post")

    legend = drawing.handles(looks, rows["entrant"])
    return drawing.panels(rows, "dataset", draw, LABELS[axis], "share short of the target", legend, note)


def against_batch_size(rows: pd.DataFrame, note: str = "") -> "Figure":
    """A panel per data set and clock, a line per target: median time to it against batch size.

    Dotted is perfect scaling: half the steps for twice the batch, in the same epochs (Shallue et al. 2019, fig. 1).
    rows: `clock, dataset, level, size, median, low, high`.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import NullLocator

    from descent_lab.report import drawing

    levels = [f"target level {level:g}" for level in sorted(rows["level"].unique())]
    looks = along_scale(levels)
    titles = rows["dataset"] + ": " + rows["clock"].map({"step": "steps", "epoch": "epochs"})
    named = rows.assign(title=titles, entrant=rows["level"].map("target level {:g}".format))
    ideal: dict[str, Any] = {"linewidth": 0.8, "linestyle": ":"}

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        times = group[["median", "low", "high"]].rename(columns={"median": "estimate"})
        drawing.value_axis(ax, span_with_intervals(times), times)
        drawing.lines(ax, group, "size", "median", looks)
        for name, line in group[np.isfinite(group["median"])].groupby("entrant", sort=True):
            x, y = line["size"].to_numpy(dtype=float), line["median"].to_numpy(dtype=float)
            drawing.bars(ax, x, line, looks[name].colour)
            perfect = y[0] * x[0] / x if group["clock"].iloc[0] == "step" else np.full_like(y, y[0])
            ax.plot(x, perfect, color=looks[name].colour, **ideal)
        sizes = sorted(group["size"].unique())
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(b) if b >= 2 * a else "" for a, b in zip([0, *sizes[:-1]], sizes, strict=True)])
        ax.xaxis.set_minor_locator(NullLocator())

    legend = drawing.handles(looks, levels) | {PERFECT: Line2D([], [], color=drawing.MUTED, **ideal)}
    return drawing.panels(named, "title", draw, "batch size", "median to reach the target", legend, note)


def shared(report: Report) -> str:
    """The note on the targets of a figure."""
    source = "given beforehand" if report.fixed_targets is not None else f"from what {report.reference} reaches"
    return f"targets shared by all, {source}{unfair(report)}"


def figures(report: Report) -> Iterator[Drawing]:
    """Shares reached and still short, and steps against batch size."""
    looks = report.looks
    if report.given("batch_size"):
        note = f"marker: median; bar: 95 % interval; {shared(report)}"
        yield Drawing("batch_size", against_batch_size, (report.table("batch_size"), note))
    if report.given("runtime_ecdf"):
        yield Drawing("targets_reached", reached, (report.table("runtime_ecdf"), looks, shared(report)))
    for clock, rows in grouped(report.table("survival"), "clock"):
        if clock == "gradients":
            note = f"the hardest target; shade: 95 % interval; {shared(report)}"
            yield Drawing("targets_survival", surviving, (rows, clock, looks, note))


def _plots(report: Report) -> Iterator[Plot]:
    """Targets reached, on each clock."""
    for clock, rows in grouped(report.table("runtime_ecdf"), "clock"):
        label = LABELS[clock]
        tips = [WHO, ("share", "@share{0.00}"), (label, f"@{clock}")]
        plot = Plot(f"By {label}", clock, "share", label, "share of targets", tips, (True, False))
        plot.add_steps(rows.rename(columns={"time": clock}), report.looks)
        if plot.parts:
            yield plot


def _said(report: Report) -> str:
    what = report.measure.metric
    if report.fixed_targets is not None:
        words = f"Targets are shared by all: values of {what} that were given in a file."
    else:
        way = "on a logarithmic scale" if report.measure.scale == "log" else "on a linear scale"
        words = (
            f"Targets are shared by all: values of {what} at 50, 75, 90 and 100 % of the way from the start of "
            f"{report.reference} to the median that it reaches, {way}. They come from {_of_reference(report)[1]}."
        )
    words += " A run that never gets there is censored: a curve that ends below 1 never reached the rest."
    if report.given("hits", "runtime_ecdf"):
        words += _resolution(report.table("hits"))
        pooled = set(report.table("runtime_ecdf")["entrant"])
        if absent := sorted(set(report.table("hits")["entrant"]) - pooled):
            words += f" Not drawn, as they did not run on the same problems: {listed(absent)}; see the table."
    return words


def _resolution(rows: pd.DataFrame) -> str:
    """How well times are known: runs are compared at records that all runs of their problem have."""
    steps = rows[(rows["clock"] == "step") & rows["reached"] & (rows["time"] > 0)]
    if steps.empty:
        return ""
    share = (steps["resolution"] / steps["time"]).median()
    return f" Times are known to the step that all runs of a problem recorded: to within {share:.0%} in the median."


def _times(table: pd.DataFrame) -> Rows:
    body = []
    for row in table.itertuples():
        median = interval(row.median, row.low, row.high, "not reached")
        ert = interval(row.ert, row.ert_low, row.ert_high, "∞")
        named = [row.clock.replace("_", " "), row.dataset, f"{row.level:g}", row.entrant]
        body.append([*named, f"{row.reached} of {row.n}", median, ert])
    return Rows(HEAD, body, folded="Median time and expected running time to each target")


def content(report: Report) -> Iterator[Block]:
    """The shares on each clock, batch sizes where these are compared, and every time; or why there are none."""
    plots = list(_plots(report))
    if plots:
        yield Words(_said(report))
        yield Plots(plots)
    else:
        reasons = (report.missing.get(name) for name in ("targets", "hits", "runtime_ecdf"))
        yield Words(f"Not shown: {next(filter(None, reasons), 'no run reached a target')}.")
    if report.given("batch_size"):
        yield Heading("Batch size")
        yield Words(
            "Median steps and epochs to each target. The dotted line is perfect scaling: half the steps for twice the "
            "batch, in the same epochs."
        )
        yield Picture("batch_size", "Steps and epochs to a target against batch size")
    if report.given("time_to_target"):
        yield _times(report.table("time_to_target"))
    yield Files(["targets", "no_targets", "time_to_target", "batch_size", "hits", "runtime_ecdf", "survival"])


SECTIONS.add(
    "targets",
    Section(
        "Targets",
        50,
        tables={
            "targets": Table(targets, "statistics.interpolated_targets of the reference entrant, or as given"),
            "no_targets": Table(no_targets, "statistics.without_targets of the reference entrant"),
            "hits": Table(hits, "statistics.first_hits of the metric on each clock"),
            "time_to_target": Table(time_to_target, "statistics.time_to_target and expected_runtime of hits"),
            "batch_size": Table(batch_size, "time_to_target on steps and epochs, with the batch size of each entrant"),
            "runtime_ecdf": Table(runtime_ecdf, "statistics.runtime_ecdf of hits"),
            "survival": Table(survival, "statistics.survival of hits, at the highest level"),
        },
        figures=figures,
        content=content,
    ),
)
