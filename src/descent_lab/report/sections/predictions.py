"""Predictions: what the reported models say of their test sets; points for a regression, counts for classes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from descent_lab.errors import NotGiven
from descent_lab.metrics import CLASSIFICATION, METRICS
from descent_lab.report.blocks import Block, Files, Heading, Html, Plots, Words, grouped
from descent_lab.report.looks import Looks, Style
from descent_lab.report.plots import WHO, Plot, by_entrant
from descent_lab.report.report import LOSS, PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = ["dataset", "entrant", "lr", "seed", "run_id", "truth", "prediction"]
COUNTS = ["dataset", "entrant", "lr", "truth", "prediction", "count"]
CELL = Markup('<td style="background: rgba(0,114,178,{}){}">{}</td>')
ROW = Markup("<tr><th>{}</th>{}</tr>\n")
MATRIX = Markup('<div class="scroll"><table class="confusion"><tr><th></th>{}</tr>\n{}</table></div>')


def _finished(report: Report, tasks: tuple[str, ...]) -> pd.DataFrame:
    """The reported runs that finished and have a test metric of these tasks alone."""
    runs = report.selection.runs
    runs = runs[np.isfinite(runs[LOSS].astype(float)) & (runs["status"] == "finished")]
    columns = [f"final_test_{name}" for name, metric in METRICS.items() if set(metric.tasks) <= set(tasks)]
    return runs[runs[[column for column in columns if column in runs]].notna().any(axis=1)]


def predictions(report: Report) -> pd.DataFrame:
    """Truth and prediction of each entrant's run of median final loss, on the problems that are regressions."""
    parts = []
    for _, group in _finished(report, ("regression",)).groupby(PAIR, sort=True):
        run = group.sort_values([LOSS, "seed"]).iloc[(len(group) - 1) // 2]
        arrays = report.results.predictions(run["run_id"])
        if arrays and arrays["truth"].size:
            named = {name: run[name] for name in POINTS[:-2]}
            values = {name: np.ravel(arrays[name]) for name in POINTS[-2:]}
            parts.append(pd.DataFrame(named | values))
    return _joined(parts, POINTS)


def confusion(report: Report) -> pd.DataFrame:
    """Counts of true and predicted classes of each problem's best entrant, over its reported seeds."""
    if not report.given("results"):
        raise NotGiven(report.missing["results"])
    best = report.table("results").drop_duplicates("dataset")[PAIR]  # sorted by loss
    parts = []
    runs = _finished(report, CLASSIFICATION).merge(best)
    for (dataset, entrant, lr), group in runs.groupby([*PAIR, "lr"], sort=True):
        pairs = [_classes(report.results.predictions(run_id)) for run_id in group["run_id"]]
        if pairs := [pair for pair in pairs if pair is not None]:
            counts = pd.DataFrame(np.concatenate(pairs), columns=["truth", "prediction"]).value_counts(sort=False)
            parts.append(_square(counts.reset_index(name="count")).assign(dataset=dataset, entrant=entrant, lr=lr))
    return _joined(parts, COUNTS)


def _classes(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """(n_test, 2): true and predicted class; one output is split halfway between its two targets."""
    if not arrays or not arrays["truth"].size:
        return None
    truth, prediction = arrays["truth"], arrays["prediction"]
    if truth.shape[1] > 1:
        return np.stack([truth.argmax(axis=1), prediction.argmax(axis=1)], axis=1)
    middle = 0.0 if truth.min() < 0 else 0.5
    classes: np.ndarray = np.concatenate([truth > middle, prediction > middle], axis=1).astype(int)
    return classes


def _square(counts: pd.DataFrame) -> pd.DataFrame:
    """With a row for every pair of classes."""
    n = int(counts[["truth", "prediction"]].to_numpy().max()) + 1
    every = pd.MultiIndex.from_product([range(n), range(n)], names=["truth", "prediction"])
    return counts.set_index(["truth", "prediction"])["count"].reindex(every, fill_value=0).reset_index()


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not parts:
        raise NotGiven("no reported run has kept its predictions")
    return pd.concat(parts, ignore_index=True)[columns]


def limits_of(rows: pd.DataFrame) -> tuple[float, float]:
    """The ends of y: at most three times the span of the truth, so that a wild prediction does not flatten the rest."""
    low, high = float(rows["truth"].min()), float(rows["truth"].max())
    span = max(high - low, 1e-9)
    y = rows["prediction"].clip(low - span, high + span)
    return float(np.nanmin([low, y.min()])) - 0.05 * span, float(np.nanmax([high, y.max()])) + 0.05 * span


def prediction_against_truth(points: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set; on the diagonal is right. points: `dataset, entrant, truth, prediction`."""
    import seaborn as sns

    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        ends = [group["truth"].min(), group["truth"].max()]
        ax.plot(ends, ends, color="#888888", linewidth=0.8, zorder=1)
        names = sorted(set(group["entrant"]))
        sns.scatterplot(
            group, x="truth", y="prediction", hue="entrant", style="entrant", hue_order=names, style_order=names,
            palette={name: looks[name].colour for name in names}, markers={name: looks[name].marker for name in names},
            s=9, alpha=0.6, linewidth=0, legend=False, ax=ax,
        )  # fmt: skip
        ax.set_ylim(*limits_of(group))

    legend = drawing.handles(looks, points["entrant"], line=False)
    return drawing.panels(points, "dataset", draw, "truth", "prediction", legend, note)


def matrices(counts: pd.DataFrame, note: str = "") -> "Figure":
    """A panel per data set, named with its entrant. counts: `dataset, entrant, truth, prediction, count`."""
    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        table, share = _table(group)
        words = np.where(table > 0, table.astype(int).astype(str), "").astype(object)
        drawing.heatmap(ax, pd.DataFrame(share), words, cmap="Blues", vmin=0, vmax=1)

    named = counts.assign(panel=counts["dataset"] + ": " + counts["entrant"])
    return drawing.panels(named, "panel", draw, "predicted class", "true class", {}, note)


def _table(counts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Counts and shares of the true class, both (n_classes, n_classes)."""
    table = counts.pivot_table(index="truth", columns="prediction", values="count", aggfunc="sum").fillna(0).to_numpy()
    return table, table / np.maximum(table.sum(axis=1, keepdims=True), 1)


def figures(report: Report) -> Iterator[Drawing]:
    """Points of regressions, and matrices of classifications."""
    if report.given("predictions"):
        note = "test set; each entrant's run of median final loss"
        yield Drawing("predictions", prediction_against_truth, (report.table("predictions"), report.looks, note))
    if report.given("confusion"):
        note = "test samples, summed over the reported seeds; shade: share of the true class"
        yield Drawing("confusion", matrices, (report.table("confusion"), note))


def _plots(report: Report) -> Iterator[Plot]:
    tips = [WHO, ("truth", "@truth{0.000}"), ("prediction", "@prediction{0.000}")]
    for problem, group in grouped(report.table("predictions"), "dataset"):
        limits = limits_of(group)
        plot = Plot(problem, "truth", "prediction", "truth", "prediction", tips, (False, False), limits)
        ends = [float(group["truth"].min()), float(group["truth"].max())]
        plot.add("line", pd.DataFrame({"truth": ends, "prediction": ends}), "", Style("#999999"), plain=True)
        for name, rows in by_entrant(group):
            plot.add("dots", rows[["truth", "prediction"]], name, report.looks[name])
        yield plot


def _matrix(counts: pd.DataFrame) -> Html:
    table, share = _table(counts)
    rows = []
    for i, (line, shares) in enumerate(zip(table, share.round(3), strict=True)):
        cells = [
            CELL.format(s, ";color:#fff" if s > 0.55 else "", int(n) or "") for n, s in zip(line, shares, strict=True)
        ]
        rows.append(ROW.format(i, Markup("").join(cells)))
    head = Markup("").join(Markup("<th>{}</th>").format(j) for j in range(len(table)))
    return Html(MATRIX.format(head, Markup("").join(rows)))


def content(report: Report) -> Iterator[Block]:
    """Both, where there are any."""
    if report.given("predictions"):
        yield Heading("Prediction against truth")
        yield Words("Test set; of each entrant the run with the median final loss.")
        yield Plots(list(_plots(report)))
    for (problem, entrant), counts in grouped(report.table("confusion"), PAIR):
        yield Heading(f"{problem}: {entrant}")
        yield _matrix(counts)
    if report.given("confusion"):
        yield Words(
            "Rows: true class; columns: predicted class; test samples of the problem's best entrant, summed over the "
            "reported seeds."
        )
    if report.given("predictions") or report.given("confusion"):
        yield Files(["predictions", "confusion"])


SECTIONS.add(
    "predictions",
    Section(
        "Predictions",
        80,
        tables={
            "predictions": Table(predictions, "predictions.npz of each entrant's run of median final loss"),
            "confusion": Table(
                confusion, "predictions.npz of each problem's best entrant, counted over its reported seeds"
            ),
        },
        figures=figures,
        content=content,
    ),
)
