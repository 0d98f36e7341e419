"""Curves: the training loss and the test metrics along training, as medians over seeds with intervals."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from descent_lab.analysis import statistics as st
from descent_lab.analysis.study import CELL, Study
from descent_lab.errors import NotGiven
from descent_lab.metrics import METRICS, better
from descent_lab.report.blocks import Block, Files, Heading, Html, Plots, Words, grouped
from descent_lab.report.looks import Looks, Span, along_scale, leaves, limits_of, span_with_intervals
from descent_lab.report.plots import BAND, Plot
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.ledger import unfair
from descent_lab.wording import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN = "train/loss"
AXES = {"step": "step", "epoch": "epoch", "gradients": "gradient-equivalents"}
SECONDS = "step_seconds"
LABELS = {**AXES, SECONDS: "step seconds"}
NOTE = "line: median over seeds; shade: 95 % interval"
MOST_LINES = 24
SETS = {"train": "Training loss", "validation": "Validation set", "test": "Test set"}
CUT = "; what meets the edge of a panel goes on beyond it"
MENU = Markup(
    '<p class="how">Median over seeds of each entrant, at the setting that it is reported at, with a 95 % interval. '
    "Both axes are logarithmic, so the start (step 0) is in the csv and the static figures only.\n"
    '<label>Against <select id="axis">{}</select></label></p>'
)
OPTION = Markup('<option value="{}">{}</option>')


def label_of(metric: str) -> str:
    """The label on an axis of a recorded metric, such as test/rmse."""
    if metric == TRAIN:
        return "training loss"
    part, _, name = metric.partition("/")
    return f"{part} {METRICS[name].label if name in METRICS else name}"


def drawn_metrics(report: Report) -> list[str]:
    """What is drawn beside the training loss: metrics of the validation and test sets, and what is asked about."""
    of_sets = [f"{part}/{name}" for part in ("validation", "test") for name in METRICS]
    wanted = [name for name in of_sets if name != "test/loss" or name == report.measure.metric]
    return wanted if report.measure.metric in (TRAIN, *wanted) else [*wanted, report.measure.metric]


def curves(report: Report) -> pd.DataFrame:
    """Bands of train/loss, and of metrics of the validation and test sets, over the runs that are reported."""
    parts = list(bands(report, [TRAIN, *drawn_metrics(report)]))
    if not parts:
        raise NotGiven("no run has a curve")
    return pd.concat(parts, ignore_index=True)


def bands(report: Report, metrics: Iterable[str]) -> Iterator[pd.DataFrame]:
    """Bands of each of these metrics that was recorded, over the runs that are reported.

    They stand on three axes at once, and are those of the results: of the seeds held out, where there are some, each at
    the setting chosen for it.
    """
    runs = report.selection.runs
    for metric in metrics:
        measured = runs["run_id"].isin(report.study.curves_of(metric)["run_id"].unique())
        if measured.any():
            rows = _bands(report.study, runs[measured], PAIR, metric, better(metric.partition("/")[2]))
            yield rows.merge(report.selection.chosen[CELL], on=PAIR)


def curves_by_lr(report: Report) -> pd.DataFrame:
    """Bands of train/loss of every setting, of entrants that were run at several, all on the same seeds.

    These are the seeds that the setting was chosen on, or all where nothing was.
    """
    runs = report.study.runs
    tuning = report.selection.tuning
    pairs = zip(runs["dataset"], runs["seed"], strict=True)
    tried = runs[[not tuning[problem] or seed in tuning[problem] for problem, seed in pairs]]
    several = tried.groupby(PAIR)["setting"].transform("nunique") > 1
    if not several.any():
        raise NotGiven("no entrant was run at more than one setting")
    return _bands(report.study, tried[several], CELL, TRAIN)


def _bands(study: Study, runs: pd.DataFrame, by: list[str], metric: str, better: str = "lower") -> pd.DataFrame:
    summary = st.summarise_curves(study.curves_of(metric), runs, by, metric, "step", better=better)
    rates = runs.groupby(by)[["passes", "gradients", "steps"]].max()
    per_step = rates[["passes", "gradients"]].div(rates["steps"].clip(lower=1), axis=0).reset_index()
    summary = summary.merge(per_step, on=by).assign(metric=metric)
    summary["epoch"] = summary["step"] * summary.pop("passes")
    summary["gradients"] = summary["step"] * summary["gradients"]
    return summary[[*by, "metric", "n", "step", "epoch", "gradients", "estimate", "low", "high"]]


def span_of(rows: pd.DataFrame, axis: str) -> Span | None:
    """The range of the y axis: at most ten times the start, so that a diverging band does not flatten the others."""
    start = rows.loc[rows[axis] == rows[axis].min(), "estimate"].to_numpy(dtype=float)
    start = start[np.isfinite(start)]
    return span_with_intervals(rows, 10 * start.max() if len(start) else np.inf, reach=10)


def by_entrant(rows: pd.DataFrame, axis: str, y_label: str, looks: Looks, note: str = "", log: bool = True) -> "Figure":
    """A panel per data set, a band per entrant. rows: `dataset, entrant, <axis>, estimate, low, high`."""
    return _banded(rows, "dataset", axis, y_label, looks, note, log)


def by_lr(rows: pd.DataFrame, axis: str, y_label: str, note: str = "") -> "Figure":
    """A panel per entrant, a band per lr, from dark (small) to light (large). rows: of one data set."""
    looks = along_scale([f"lr {lr:g}" for lr in sorted(rows["lr"].unique())])
    named = rows.assign(panel=rows["entrant"], entrant=rows["lr"].map("lr {:g}".format))
    return _banded(named, "panel", axis, y_label, looks, note)


def _banded(
    rows: pd.DataFrame, panel: str, axis: str, y_label: str, looks: Looks, note: str, log: bool = True
) -> "Figure":
    """A panel for each value of the column `panel`. log: whether y is logarithmic, where it can be."""
    from descent_lab.report import drawing

    def span(group: pd.DataFrame) -> Span | None:
        return span_of(group, axis) if log else None

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.log_x(ax, group[axis].to_numpy(dtype=float))
        drawing.value_axis(ax, span(group), group[["estimate", "low", "high"]])
        drawing.bands(ax, group, axis, looks)
        drawing.lines(ax, group, axis, "estimate", looks, every=False)

    cut = any(leaves(group, span(group)) for _, group in rows.groupby(panel))
    legend = drawing.handles(looks, rows["entrant"])
    return drawing.panels(rows, panel, draw, LABELS[axis], y_label, legend, note + CUT * cut)


def figures(report: Report) -> Iterator[Drawing]:
    """The training loss on each axis, metrics of the other sets, and the training loss at every lr of each problem."""
    rows, looks = report.table("curves"), report.looks
    if rows.empty:
        return
    loss = rows[rows["metric"] == TRAIN]
    for axis in ("step", "epoch", *(["gradients"] if _costs_differ(loss) else [])):
        yield Drawing(f"curves_{axis}", by_entrant, (loss, axis, label_of(TRAIN), looks, NOTE + unfair(report)))
    for metric in drawn_metrics(report):
        if len(part := rows[rows["metric"] == metric]):
            arguments = (part, "epoch", label_of(metric), looks, NOTE, not _linear(metric))
            yield Drawing(f"curves_{metric.replace('/', '_')}", by_entrant, arguments)
    for problem, part in grouped(_with_lr_of_their_own(report.table("curves_by_lr")), "dataset"):
        note = f"{problem}; {NOTE}; {_seeds(report, str(problem))}"
        yield Drawing(f"curves_by_lr_{slug(str(problem))}", by_lr, (part, "step", label_of(TRAIN), note))


def _with_lr_of_their_own(rows: pd.DataFrame) -> pd.DataFrame:
    """The entrants whose settings are told apart by their lr, and are few enough for a figure."""
    if rows.empty:
        return rows
    counts = rows.groupby(PAIR)[["setting", "lr"]].transform("nunique")
    return rows[(counts["setting"] == counts["lr"]) & (counts["lr"] <= MOST_LINES)]


def _costs_differ(rows: pd.DataFrame) -> bool:
    """Whether an axis of gradient-equivalents differs from one of epochs."""
    return not np.allclose(rows["gradients"], rows["epoch"], equal_nan=True)


def _seeds(report: Report, problem: str) -> str:
    """The seeds of the curves by lr of a problem, in words."""
    seeds = set(report.study.runs.loc[report.study.runs["dataset"] == problem, "seed"])
    held_out = seeds - set(report.selection.tuning[problem])
    return "every lr on the tuning seeds" if held_out < seeds else "every lr on all its seeds"


def _plots(report: Report) -> dict[str, list[Plot]]:
    """The plots by the set that they are of: train, validation, test. Their data hold every x that the menu offers."""
    rows = report.table("curves")
    plots: dict[str, list[Plot]] = {}
    for (metric, problem), group in grouped(rows, ["metric", "dataset"]):
        span = None if _linear(metric) else limits_of(span_of(group, "step"))
        plot = Plot(problem, "step", "estimate", AXES["step"], label_of(metric), BAND, (True, span is not None), span)
        plot.axes = True
        plot.add_bands(group, [*AXES], report.looks)
        if plot.parts:
            plots.setdefault(metric.partition("/")[0], []).append(plot)
    return plots


def _linear(metric: str) -> bool:
    """Whether a metric has a linear axis: it does if high values are better, as for accuracy."""
    name = metric.partition("/")[2]
    return name in METRICS and METRICS[name].better == "higher"


def content(report: Report) -> Iterator[Block]:
    """The interactive figures, with a menu for what stands along x."""
    plots = _plots(report)
    yield Html(MENU.format(Markup("").join(OPTION.format(*option) for option in AXES.items())))
    for part, title in SETS.items():
        if part in plots:
            yield Heading(title)
            yield Plots(plots[part])
    if "train" not in plots:
        yield Words("Not shown: no run has a finite training loss after the start.")
    yield Files(["curves", "curves_by_lr"])


SECTIONS.add(
    "curves",
    Section(
        "Curves",
        30,
        tables={
            "curves": Table(
                curves, "statistics.summarise_curves of the reported runs, over steps; other axes in proportion"
            ),
            "curves_by_lr": Table(
                curves_by_lr, "statistics.summarise_curves by entrant and setting, over the tuning seeds or all"
            ),
        },
        figures=figures,
        content=content,
    ),
)
