"""Learning rates: the final loss at each, the best of k trials, and lr together with another hyperparameter."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Heading, Picture, Plots, Words, grouped, plain
from descent_lab.report.looks import Looks, Span, limits_of, log_span, natural, span_with_intervals
from descent_lab.report.plots import BAND, WHO, Plot, by_entrant
from descent_lab.report.report import LOSS, PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.curves import slug
from descent_lab.report.sections.ledger import unfair
from descent_lab.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FINAL = "final training loss"
SENSITIVE = {
    "dataset": "problem", "entrant": "entrant", "n_grid": "lr tried", "best": "best lr", "share": "share within 2x",
    "lowest": "from", "highest": "to", "decades": "decades",
}  # fmt: skip
HALF, SOME = "diverged (half or more)", "some diverged"


def cells(report: Report) -> pd.DataFrame:
    """Every lr on the same seeds: those that it was chosen on, or all where nothing was."""
    tuning = report.selection.tuning
    problems = report.study.runs.groupby("dataset", sort=True)
    parts = [st.tuning_cells(rows, LOSS, tuning[str(name)] or set(rows["seed"]), PAIR) for name, rows in problems]
    return pd.concat(parts, ignore_index=True)


def best_of_k(report: Report) -> pd.DataFrame:
    """The best of k lr drawn from the grid, for entrants that were tried at several."""
    table = report.table("cells")
    several = table.groupby(PAIR)["lr"].transform("size") > 1
    if not several.any():
        raise NotGiven("no entrant was run at more than one lr")
    return st.best_of_k(table[several], PAIR)


def settings(report: Report) -> pd.DataFrame:
    """The median final loss of each lr with each value of another number of the optimizer, where both were swept.

    `dataset, group, parameter, value, lr, n, estimate`. Runs that differ in anything else are in groups of their own.
    """
    runs = report.study.runs
    names = [name for name in report.results.params if name.startswith("optimizer.") and name in runs]
    loss = runs[LOSS].to_numpy(dtype=float)
    ended = np.where(np.isfinite(loss) & (runs["status"] == "finished"), loss, np.inf)
    parts = []
    for (dataset, backend, optimizer), rows in runs.assign(ended=ended).groupby(["dataset", "backend", "optimizer"]):
        varied = [name for name in names if pd.to_numeric(rows[name], errors="coerce").nunique() > 1]
        if len(varied) != 1 or rows["lr"].nunique() < 2:
            continue
        value = pd.to_numeric(rows[varied[0]], errors="coerce")
        medians = rows.assign(value=value).groupby(["value", "lr"])["ended"].agg(["size", "median"]).reset_index()
        named = {
            "dataset": dataset,
            "group": f"{backend} {optimizer}",
            "parameter": varied[0].removeprefix("optimizer."),
        }
        parts.append(medians.rename(columns={"size": "n", "median": "estimate"}).assign(**named))
    if not parts:
        raise NotGiven("no optimizer was run at several lr and several values of one other number")
    order = ["dataset", "group", "parameter", "value", "lr", "n", "estimate"]
    return pd.concat(parts, ignore_index=True)[order]


def span_of(rows: pd.DataFrame) -> Span | None:
    """The range of the y axis: that of the medians, without those so high that the others would have no room."""
    y = rows["estimate"].to_numpy(dtype=float)
    positive = y[np.isfinite(y) & (y > 0)]
    return span_with_intervals(rows, 1e3 * np.median(positive) if len(positive) else np.inf)


def loss_against_lr(rows: pd.DataFrame, y_label: str, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set. rows: `dataset, entrant, lr, estimate, low, high, diverged`.

    An lr with diverged runs is marked at the top edge: filled where half or more diverged, hollow where some did.
    """
    from matplotlib.lines import Line2D

    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.lines(ax, group, "lr", "estimate", looks)
        for name, cell in by_entrant(group):
            x, y = (cell[column].to_numpy(dtype=float) for column in ("lr", "estimate"))
            drawing.bars(ax, x, cell.where(np.isfinite(cell["estimate"])), looks[name].colour)
            some = np.isfinite(y) & (cell["diverged"].to_numpy() > 0)
            for where, face in ((~np.isfinite(y), looks[name].colour), (some, "none")):
                mark: dict[str, Any] = _crosses(looks[name].colour, face) | {"transform": ax.get_xaxis_transform()}
                ax.plot(x[where], np.full(where.sum(), 0.97), clip_on=False, **mark)
        drawing.log_x(ax, group["lr"].to_numpy(dtype=float))
        drawing.log_y(ax, span_of(group))

    legend = drawing.handles(looks, rows["entrant"])
    half = ~np.isfinite(rows["estimate"].to_numpy(dtype=float))
    for name, face, where in ((HALF, drawing.MUTED, half), (SOME, "none", ~half & (rows["diverged"] > 0).to_numpy())):
        if where.any():
            legend[name] = Line2D([], [], **_crosses(drawing.MUTED, face))
    return drawing.panels(rows, "dataset", draw, "lr", y_label, legend, note)


def _crosses(edge: str, face: str) -> dict[str, Any]:
    return {"marker": "X", "markersize": 5, "linestyle": "none", "markeredgecolor": edge, "markerfacecolor": face}


def trials(rows: pd.DataFrame, y_label: str, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set: the median outcome of the best of k lr tried. rows: `dataset, entrant, k, median`."""
    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.lines(ax, group, "k", "median", looks)
        drawing.log_y(ax, log_span(group["median"].to_numpy(dtype=float)))
        ax.set_xticks(range(1, int(group["k"].max()) + 1, max(1, int(group["k"].max()) // 6)))

    legend = drawing.handles(looks, rows["entrant"])
    return drawing.panels(rows, "dataset", draw, "number of lr tried, k", y_label, legend, note)


def heat(rows: pd.DataFrame, parameter: str, note: str = "") -> "Figure":
    """A panel per data set: the median final loss, of each lr and each value of a parameter.

    rows: `dataset, value, lr, estimate`. The shade is the logarithm of the loss, or its rank where one is not positive.
    """
    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        table = group.pivot(index="value", columns="lr", values="estimate").sort_index(ascending=False)
        loss = table.to_numpy(dtype=float)
        words = np.vectorize(lambda value: "" if np.isnan(value) else number(value, "div."), otypes=[object])(loss)
        finite = np.isfinite(loss)
        positive = bool((loss[finite] > 0).all())
        shade = np.full(loss.shape, np.nan)
        shade[finite] = np.log(loss[finite]) if positive else pd.Series(loss[finite]).rank()
        labelled = pd.DataFrame(shade, [f"{v:g}" for v in table.index], [f"{v:g}" for v in table.columns])
        ends = (shade[finite].min(), shade[finite].max()) if finite.any() else (0.0, 1.0)
        drawing.heatmap(ax, labelled, words, mask=~finite, cmap="viridis_r", vmin=ends[0], vmax=ends[1])
        for i, j in np.argwhere(~finite & (words != "")):
            ax.text(j + 0.5, i + 0.5, "div.", ha="center", va="center", fontsize=7, color=drawing.MUTED)

    return drawing.panels(rows, "dataset", draw, "lr", parameter, {}, note, panel=(4.0, 2.6))


def figures(report: Report) -> Iterator[Drawing]:
    """The loss against lr, the best of k, and a heat map for each parameter that was swept with lr."""
    looks, unequal = report.looks, unfair(report)
    if report.given("cells"):
        note = f"marker: median over seeds; bar: 95 % interval{unequal}"
        yield Drawing("loss_against_lr", loss_against_lr, (report.table("cells"), FINAL, looks, note))
    if report.given("best_of_k"):
        note = f"median outcome of k lr drawn from the grid, exact over all subsets{unequal}"
        yield Drawing("best_of_k", trials, (report.table("best_of_k"), FINAL, looks, note))
    for (group, parameter), rows in grouped(report.table("settings"), ["group", "parameter"]):
        note = f"{group}: {FINAL}, median over seeds; dark: high; div.: half or more diverged"
        yield Drawing(_heat_name(group, parameter), heat, (rows, parameter, note))


def _heat_name(group: str, parameter: str) -> str:
    return f"heat_{slug(group)}_{slug(parameter)}"


def _rates(report: Report) -> Iterator[Plot]:
    """Final loss against lr; an lr with diverged runs is marked at the top edge."""
    tips = [WHO, ("lr", "@lr"), *BAND[2:], ("runs", "@n, of which diverged: @diverged")]
    for problem, group in grouped(report.table("cells"), "dataset"):
        limits = limits_of(span_of(group))
        plot = Plot(problem, "lr", "estimate", "lr", FINAL, tips, (True, limits is not None), limits)
        for name, rows in by_entrant(group):
            drawn = rows.sort_values("lr")[["lr", "estimate", "low", "high", "n", "diverged"]]
            plot.add("bars", drawn, name, report.looks[name])
            if (drawn["diverged"] > 0).any():
                edge = limits[1] / 1.1 if limits else 1.0
                plot.add("crosses", drawn[drawn["diverged"] > 0].assign(edge=edge), name, report.looks[name])
        yield plot


def _budgets(report: Report) -> Iterator[Plot]:
    tips = [WHO, ("lr tried", "@k"), ("median", "@median{0.000e0}")]
    for problem, group in grouped(report.table("best_of_k"), "dataset"):
        limits = limits_of(log_span(group["median"].to_numpy(dtype=float)))
        plot = Plot(problem, "k", "median", "lr tried, k", FINAL, tips, (False, limits is not None), limits)
        plot.every_x = True
        for name, rows in by_entrant(group):
            plot.add("line", rows[["k", "median"]], name, report.looks[name])
        yield plot


def content(report: Report) -> Iterator[Block]:
    """Interactive figures, how much the lr matters, and heat maps where there are some."""
    yield Heading("Final training loss against lr")
    yield Words(
        "Median over seeds, 95 % interval; a cross at the top marks an lr with diverged runs (pale: less than half)."
    )
    yield Plots(list(_rates(report)))
    if report.given("sensitivity"):
        yield Words(
            "How much the lr matters: the share of the grid, and the unbroken range around the best, where the median "
            "loss is within twice the best."
        )
        yield plain(report.table("sensitivity"), SENSITIVE)
    if report.given("best_of_k"):
        yield Heading("Best of k lr tried")
        yield Words(
            "The median outcome when k lr are drawn from the grid and the best is kept: what a tuning budget buys."
        )
        yield Plots(list(_budgets(report)))
    for (group, parameter), _ in sorted(grouped(report.table("settings"), ["group", "parameter"]), key=_natural):
        yield Heading(f"{group}: lr and {parameter}")
        yield Picture(_heat_name(group, parameter), f"Final training loss of {group} by lr and {parameter}")
    yield Files(["cells", "sensitivity", "best_of_k", "settings"])


def _natural(item: tuple[tuple[str, str], pd.DataFrame]) -> list[Any]:
    return natural(" ".join(item[0]))


SECTIONS.add(
    "tuning",
    Section(
        "Learning rates",
        40,
        tables={
            "cells": Table(
                cells, "statistics.tuning_cells over the tuning seeds, or all without any: final train/loss of every lr"
            ),
            "sensitivity": Table(
                lambda report: st.sensitivity(report.table("cells"), PAIR), "statistics.sensitivity of cells, factor 2"
            ),
            "best_of_k": Table(best_of_k, "statistics.best_of_k of cells"),
            "settings": Table(settings, "median final train/loss of each lr with each value of another number"),
        },
        figures=figures,
        content=content,
    ),
)
