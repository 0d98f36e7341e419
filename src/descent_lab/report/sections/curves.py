"""Curves: the training loss and the test metrics along training, as medians over seeds with intervals."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from descent_lab.analysis import statistics as st
from descent_lab.analysis.study import CELL, Study
from descent_lab.metrics import METRICS
from descent_lab.report.blocks import Block, Files, Heading, Html, Plots, Words, grouped
from descent_lab.report.looks import Looks, Span, along_scale, limits_of, span_with_intervals
from descent_lab.report.plots import BAND, Plot
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.ledger import unfair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN = "train/loss"
AXES = {"step": "step", "epoch": "epoch", "gradients": "gradient-equivalents"}
SECONDS = "step_seconds"
LABELS = {**AXES, SECONDS: "step seconds"}
NOTE = "line: median over seeds; shade: 95 % interval"
MENU = Markup(
    '<p class="how">Median over seeds of each entrant at the lr that it is reported at, with a 95 % interval. Both '
    "axes are logarithmic, so the start (step 0) is in the csv and the static figures only.\n"
    '<label>Against <select id="axis">{}</select></label></p>'
)
OPTION = Markup('<option value="{}">{}</option>')


def label_of(metric: str) -> str:
    """The label on an axis of a recorded metric, such as test/rmse."""
    if metric == TRAIN:
        return "training loss"
    part, _, name = metric.partition("/")
    return f"{part} {METRICS[name].label if name in METRICS else name}"


def test_metrics() -> dict[str, str]:
    """The column of the final value of each test metric, by the name of its curve."""
    return {f"test/{name}": f"final_test_{name}" for name in METRICS if name != "loss"}


def curves(report: Report) -> pd.DataFrame:
    """Bands of train/loss for every cell, and of the test metrics for those chosen, on three axes at once.

    The chosen cells are shown on the seeds held out, where there are some.
    """
    runs, chosen = report.study.runs, report.selection.chosen
    reported = _held_out(runs.merge(chosen[CELL], on=CELL), report.selection.tuning)
    others = runs.merge(chosen[CELL], on=CELL, how="left", indicator=True).query("_merge == 'left_only'")
    parts = [_bands(report.study, pd.concat([reported, others.drop(columns="_merge")]), TRAIN)]
    for metric, column in test_metrics().items():
        if column in reported and reported[column].notna().any():
            better = METRICS[metric.partition("/")[2]].better
            parts.append(_bands(report.study, reported[reported[column].notna()], metric, better))
    table = pd.concat(parts, ignore_index=True)
    picked = pd.MultiIndex.from_frame(chosen[CELL])
    return table.assign(chosen=pd.MultiIndex.from_frame(table[CELL]).isin(picked))


def _held_out(runs: pd.DataFrame, tuning: Mapping[str, Collection[int]]) -> pd.DataFrame:
    """The runs without the tuning seeds of each problem, unless there are no others."""
    apart = pd.Series(
        [seed not in tuning[problem] for problem, seed in zip(runs["dataset"], runs["seed"], strict=True)],
        index=runs.index,
        dtype=bool,
    )
    some = apart.groupby(runs["dataset"]).transform("any")
    return runs[apart | ~some]


def _bands(study: Study, runs: pd.DataFrame, metric: str, better: str = "lower") -> pd.DataFrame:
    summary = st.summarise_curves(study.curves, runs, CELL, metric, "step", better=better)
    rates = runs.groupby(CELL)[["passes", "gradients", "steps"]].max()
    per_step = rates[["passes", "gradients"]].div(rates["steps"].clip(lower=1), axis=0).reset_index()
    summary = summary.merge(per_step, on=CELL).assign(metric=metric)
    summary["epoch"] = summary["step"] * summary.pop("passes")
    summary["gradients"] = summary["step"] * summary["gradients"]
    return summary[[*CELL, "metric", "n", "step", "epoch", "gradients", "estimate", "low", "high"]]


def span_of(rows: pd.DataFrame, axis: str) -> Span | None:
    """The range of the y axis: at most ten times the start, so that a diverging band does not flatten the others."""
    start = rows.loc[rows[axis] == rows[axis].min(), "estimate"].to_numpy(dtype=float)
    start = start[np.isfinite(start)]
    return span_with_intervals(rows, 10 * start.max() if len(start) else np.inf, reach=3)


def by_entrant(rows: pd.DataFrame, axis: str, y_label: str, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set, a band per entrant. rows: `dataset, entrant, <axis>, estimate, low, high`."""
    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.bands(ax, group, axis, looks)
        drawing.lines(ax, group, axis, "estimate", looks, every=False)
        drawing.log_x(ax, group[axis].to_numpy(dtype=float))
        drawing.log_y(ax, span_of(group, axis))

    legend = drawing.handles(looks, rows["entrant"])
    return drawing.panels(rows, "dataset", draw, LABELS[axis], y_label, legend, note)


def by_lr(rows: pd.DataFrame, axis: str, y_label: str, note: str = "") -> "Figure":
    """A panel per entrant, a band per lr, from dark (small) to light (large). rows: of one data set."""
    from descent_lab.report import drawing

    rates = [f"lr {lr:g}" for lr in sorted(rows["lr"].unique())]
    looks = along_scale(rates)
    named = rows.assign(panel=rows["entrant"], entrant=rows["lr"].map("lr {:g}".format))

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.bands(ax, group, axis, looks)
        drawing.lines(ax, group, axis, "estimate", looks, every=False)
        drawing.log_x(ax, group[axis].to_numpy(dtype=float))
        drawing.log_y(ax, span_of(group, axis))

    return drawing.panels(named, "panel", draw, LABELS[axis], y_label, drawing.handles(looks, rates), note)


def figures(report: Report) -> Iterator[Drawing]:
    """The training loss on each axis, each test metric, and the training loss at every lr of each problem."""
    rows, looks = report.table("curves"), report.looks
    if rows.empty:
        return
    chosen = rows[rows["chosen"]]
    loss = chosen[chosen["metric"] == TRAIN]
    for axis in ("step", "epoch", *(["gradients"] if _costs_differ(loss) else [])):
        yield Drawing(f"curves_{axis}", by_entrant, (loss, axis, label_of(TRAIN), looks, NOTE + unfair(report)))
    for metric in test_metrics():
        if len(part := chosen[chosen["metric"] == metric]):
            yield Drawing(
                f"curves_{metric.replace('/', '_')}", by_entrant, (part, "epoch", label_of(metric), looks, NOTE)
            )
    every = rows[rows["metric"] == TRAIN]
    several = every[every.groupby(PAIR)["lr"].transform("nunique") > 1]
    for problem, part in grouped(several, "dataset"):
        note = f"{problem}; {NOTE}{_seeds(report, str(problem))}"
        yield Drawing(f"curves_by_lr_{slug(str(problem))}", by_lr, (part, "step", label_of(TRAIN), note))


def _costs_differ(rows: pd.DataFrame) -> bool:
    """Whether an axis of gradient-equivalents differs from one of epochs."""
    return not np.allclose(rows["gradients"], rows["epoch"], equal_nan=True)


def _seeds(report: Report, problem: str) -> str:
    """A note on the seeds of the curves of a problem, if they are not the same for every lr; else empty."""
    seeds = set(report.study.runs.loc[report.study.runs["dataset"] == problem, "seed"])
    if not seeds - set(report.selection.tuning[problem]):
        return ""
    return "; the lr that is reported: over the held-out seeds alone; any other lr: over all seeds that it was run on"


def slug(text: str) -> str:
    """A file name for a label."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")


def _plots(report: Report) -> tuple[list[Plot], list[Plot]]:
    """The plots of the training loss, and those of test metrics. Their data hold every x that the menu offers."""
    rows = report.table("curves")
    training: list[Plot] = []
    tests: list[Plot] = []
    for (metric, problem), group in grouped(rows[rows["chosen"]] if len(rows) else rows, ["metric", "dataset"]):
        span = None if _linear(metric) else limits_of(span_of(group, "step"))
        plot = Plot(problem, "step", "estimate", AXES["step"], label_of(metric), BAND, (True, span is not None), span)
        plot.axes = True
        plot.add_bands(group, [*AXES], report.looks)
        if plot.parts:
            (training if metric == TRAIN else tests).append(plot)
    return training, tests


def _linear(metric: str) -> bool:
    """Whether a metric has a linear axis: it does if high values are better, as for accuracy."""
    name = metric.partition("/")[2]
    return name in METRICS and METRICS[name].better == "higher"


def content(report: Report) -> Iterator[Block]:
    """The interactive figures, with a menu for what stands along x."""
    training, tests = _plots(report)
    yield Html(MENU.format(Markup("").join(OPTION.format(*option) for option in AXES.items())))
    yield Heading("Training loss")
    yield Plots(training) if training else Words("Not shown: no run has a finite training loss after the start.")
    if tests:
        yield Heading("Test set")
        yield Plots(tests)
    yield Files(["curves"])


SECTIONS.add(
    "curves",
    Section(
        "Curves",
        30,
        tables={
            "curves": Table(
                curves, "statistics.summarise_curves by dataset, entrant, lr, over steps; other axes in proportion"
            )
        },
        figures=figures,
        content=content,
    ),
)
