"""Tuning: what was searched, the loss at each setting, the best of k trials, and lr with another hyperparameter."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.measure import TUNED_BY, chosen_by
from descent_lab.analysis.plans import latest_plan
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Heading, Picture, Plots, Words, grouped, plain
from descent_lab.report.looks import Looks, Span, leaves, limits_of, log_span, natural, span_with_intervals
from descent_lab.report.plots import BAND, WHO, Plot, by_entrant
from descent_lab.report.report import LOSS, PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.ledger import unfair
from descent_lab.report.words import number
from descent_lab.wording import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SENSITIVE = {
    "dataset": "problem", "entrant": "entrant", "n_grid": "lr tried", "best": "best lr", "share": "share within 2x",
    "lowest": "from", "highest": "to", "decades": "decades",
}  # fmt: skip
HALF, SOME, BEYOND = "diverged (half or more)", "some diverged", "beyond the axis"
INSET, MOST_INSETS = 0.05, 12  # of an axis: marks of several entrants at one edge lie below one another
MOST_VALUES = 12  # of one hyperparameter in a heat map


def cells(report: Report) -> pd.DataFrame:
    """Every setting on the same seeds: those that it was chosen on, or all where nothing was.

    With a column for each hyperparameter that was tuned. `estimate` is the median of what settings are chosen by.
    """
    parts, chosen_by = [], report.chosen_by
    sign = 1.0 if chosen_by.better == "lower" else -1.0
    for name, rows in report.study.runs.groupby("dataset", sort=True):
        seeds = report.selection.tuning[str(name)] or set(rows["seed"])
        rows = rows.assign(shown=sign * rows[TUNED_BY])
        medians = st.tuning_cells(rows, "shown", seeds, PAIR, chosen_by.better, "place")
        numbers = [name for name in tuned_names(rows) if name != "lr"]
        settings = rows.drop_duplicates([*PAIR, "place"])[[*PAIR, "place", "setting", "lr", "tuned", *numbers]]
        parts.append(medians.merge(settings, on=[*PAIR, "place"]))
    return pd.concat(parts, ignore_index=True)


def tuned_names(rows: pd.DataFrame) -> list[str]:
    """The hyperparameters that were tuned in some of these runs or cells, lr first."""
    names = {name for names in rows["tuned"].unique() for name in names.split(",") if name}
    return sorted(names, key=lambda name: (name != "lr", name))


def by_lr(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of entrants of which lr alone was tuned, and at more than one value."""
    alone = table[table["tuned"] == "lr"]
    return alone[alone.groupby(PAIR)["lr"].transform("size") > 1]


def sensitivity(report: Report) -> pd.DataFrame:
    """How much the lr matters to each entrant of which lr alone was tuned."""
    table = by_lr(report.table("cells"))
    if table.empty:
        raise NotGiven("no entrant was tuned in lr alone")
    return st.sensitivity(table, PAIR, better=report.chosen_by.better)


def best_of_k(report: Report) -> pd.DataFrame:
    """The best of k settings drawn from those tried: chosen on some tuning seeds, and scored on others.

    With several blocks, settings are chosen on the tuning seeds of one block and scored on those of the others; with
    one, they are chosen on all tuning seeds but one, and scored on that one. The result is the mean over these folds.
    """
    parts = []
    columns = [*PAIR, "place", "seed", "status", TUNED_BY]
    for name, runs in report.study.runs.groupby("dataset", sort=True):
        seeds = report.selection.tuning[str(name)] or sorted(set(runs["seed"]))
        several = runs.groupby("entrant")["place"].transform("nunique") > 1
        rows = runs.loc[several & runs["seed"].isin(seeds), columns]
        plan = latest_plan(runs)
        folds = [[seed for seed in seeds if seed != left] for left in seeds]
        if plan and plan.blocks > 1:
            folds = [list(tuning) for tuning in plan.tuning_seeds]
        folds = [fold for fold in folds if fold and not set(seeds) <= set(fold)]
        if folds and len(rows):
            parts.append(_trials(rows, folds, [sorted(set(seeds) - set(fold)) for fold in folds]))
    if not parts:
        raise NotGiven("no entrant was run at more than one setting, on two seeds or more")
    every = st.best_of_k(pd.concat(parts, ignore_index=True), [*PAIR, "fold"])
    means = every.groupby([*PAIR, "k"], sort=True).agg(
        n_trials=("n_trials", "max"),
        expected=("expected", "mean"),
        median=("median", "mean"),
        folds=("fold", "nunique"),
    )
    sign = 1.0 if report.chosen_by.better == "lower" else -1.0
    return means.reset_index().assign(**{name: sign * means[name].to_numpy() for name in ("expected", "median")})


def _trials(rows: pd.DataFrame, folds: Sequence[Collection[int]], rests: Sequence[Collection[int]]) -> pd.DataFrame:
    """Each setting in each fold with the median by which it is chosen, and with its score, the median on the rest."""
    chosen, scores = (st.centres_by_fold(rows, TUNED_BY, seeds, PAIR, setting="place") for seeds in (folds, rests))
    trials = chosen.merge(scores.rename(columns={"estimate": "held_out"}), on=[*PAIR, "place", "fold"])
    if without := len(folds) - trials["fold"].nunique():
        raise NotGiven(f"in {without} of {len(folds)} folds no setting was run on the seeds that score it")
    return trials


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
        if len(varied) != 1 or not 2 <= rows["lr"].nunique() <= MOST_VALUES:
            continue
        value = pd.to_numeric(rows[varied[0]], errors="coerce")
        if value.nunique() > MOST_VALUES:
            continue
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


def against(rows: pd.DataFrame, x: str, y_label: str, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set: the median of each setting against a hyperparameter.

    rows: `dataset, entrant, tuned, estimate, low, high, diverged` and the column x. Settings of an entrant are joined
    by a line where x alone was tuned. A setting with diverged runs is marked at the top edge, and so are medians and
    intervals that go on beyond an edge.
    """
    from matplotlib.lines import Line2D

    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        drawing.log_x(ax, group[x].to_numpy(dtype=float))
        drawing.value_axis(ax, span_of(group), group[["estimate", "low", "high"]])
        drawing.lines(ax, group[group["tuned"] == x], x, "estimate", looks)
        for i, (name, cell) in enumerate(by_entrant(group)):
            look, inset = looks[name], INSET * (i % MOST_INSETS)
            at, shown = cell[x].to_numpy(dtype=float), cell.where(np.isfinite(cell["estimate"]))
            if (cell["tuned"] == x).all():
                drawing.bars(ax, at, shown, look.colour)
            else:
                ax.plot(at, shown["estimate"], look.marker, color=look.colour, markersize=3.5, alpha=0.7)
            drawing.edges(ax, at, shown, look.colour, inset=inset)
            half = ~np.isfinite(cell["estimate"].to_numpy(dtype=float))
            some = ~half & (cell["diverged"].to_numpy() > 0)
            for where, pale in ((half, False), (some, True)):
                if where.any():
                    mark = drawing.diverged(look.colour, pale) | {"transform": ax.get_xaxis_transform()}
                    ax.plot(at[where], np.full(where.sum(), 0.97 - inset), **mark)

    legend = drawing.handles(looks, rows["entrant"])
    half = ~np.isfinite(rows["estimate"].to_numpy(dtype=float))
    for name, pale, where in ((HALF, False, half), (SOME, True, ~half & (rows["diverged"] > 0).to_numpy())):
        if where.any():
            legend[name] = Line2D([], [], **drawing.diverged(drawing.MUTED, pale))
    if any(leaves(group, span_of(group)) for _, group in rows.groupby("dataset")):
        legend[BEYOND] = Line2D([], [], **drawing.beyond(drawing.MUTED))
    return drawing.panels(rows, "dataset", draw, x.rpartition(".")[2], y_label, legend, note)


def trials(rows: pd.DataFrame, y_label: str, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set: the median outcome of the best of k settings tried. rows: `dataset, entrant, k, median`."""
    from descent_lab.report import drawing

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        median = group["median"].to_numpy(dtype=float)
        drawing.value_axis(ax, log_span(median), median)
        drawing.lines(ax, group, "k", "median", looks)
        ax.set_xticks(range(1, int(group["k"].max()) + 1, max(1, int(group["k"].max()) // 6)))

    legend = drawing.handles(looks, rows["entrant"])
    return drawing.panels(rows, "dataset", draw, "number of settings tried, k", y_label, legend, note)


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


def _against(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each hyperparameter of which several numbers were tried, with the cells that have it."""
    table = report.table("cells")
    if table.empty:
        return
    for name in tuned_names(table):
        has = [name in names.split(",") for names in table["tuned"]]
        rows = table[has].assign(**{name: pd.to_numeric(table.loc[has, name], errors="coerce")}).dropna(subset=[name])
        if rows[name].nunique() > 1:
            yield name, rows


def figures(report: Report) -> Iterator[Drawing]:
    """The loss against each hyperparameter, the best of k, and a heat map for each that was swept with lr."""
    looks, unequal, label = report.looks, unfair(report), report.chosen_by.label
    for name, rows in _against(report):
        note = f"marker: median over the tuning seeds; bar: 95 % interval{unequal}"
        yield Drawing(f"loss_against_{slug(name.rpartition('.')[2])}", against, (rows, name, label, looks, note))
    if report.given("best_of_k"):
        note = f"median outcome of k settings drawn from those tried; chosen on some seeds, scored on others{unequal}"
        yield Drawing("best_of_k", trials, (report.table("best_of_k"), label, looks, note))
    for (group, parameter), rows in grouped(report.table("settings"), ["group", "parameter"]):
        note = f"{group}: final training loss, median over seeds; dark: high; div.: half or more diverged"
        yield Drawing(_heat_name(group, parameter), heat, (rows, parameter, note))


def _heat_name(group: str, parameter: str) -> str:
    return f"heat_{slug(group)}_{slug(parameter)}"


def _rates(report: Report, name: str, table: pd.DataFrame) -> Iterator[Plot]:
    """Loss against a hyperparameter; a setting with diverged runs is marked at the top edge."""
    short = name.rpartition(".")[2]
    tips = [WHO, ("setting", "@setting"), *BAND[2:], ("runs", "@n, of which diverged: @diverged")]
    for problem, group in grouped(table, "dataset"):
        limits = limits_of(span_of(group))
        log_x = bool((group[name] > 0).all())
        plot = Plot(problem, "x", "estimate", short, report.chosen_by.label, tips, (log_x, limits is not None), limits)
        bottom, top = limits or (1.0, 1.0)
        for i, (entrant, rows) in enumerate(by_entrant(group)):
            inset = INSET * (i % MOST_INSETS)
            drawn = rows.assign(x=rows[name]).sort_values("x")
            drawn = drawn[["x", "setting", "estimate", "low", "high", "n", "diverged"]]
            kind = "bars" if (rows["tuned"] == name).all() else "dots"
            plot.add(kind, drawn, entrant, report.looks[entrant], inset=inset)
            if len(crossed := drawn[drawn["diverged"] > 0]):
                strength = np.where(np.isfinite(crossed["estimate"]), 0.45, 1.0)
                edge = top * (bottom / top) ** (0.03 + inset)
                plot.add("crosses", crossed.assign(edge=edge, strength=strength), entrant, report.looks[entrant])
        yield plot


def _budgets(report: Report) -> Iterator[Plot]:
    tips = [WHO, ("settings tried", "@k"), ("median", "@median{0.000e0}")]
    for problem, group in grouped(report.table("best_of_k"), "dataset"):
        limits = limits_of(log_span(group["median"].to_numpy(dtype=float)))
        label = report.chosen_by.label
        plot = Plot(problem, "k", "median", "settings tried, k", label, tips, (False, limits is not None), limits)
        plot.every_x = True
        for name, rows in by_entrant(group):
            plot.add("line", rows[["k", "median"]], name, report.looks[name])
        yield plot


SPACE = {"entrant": "entrant", "search": "search", "trials": "trials", "by": "chosen by", "space": "space"}


def spaces(report: Report) -> pd.DataFrame:
    """What was searched, for each entrant, as its runs say: `entrant, search, trials, by, blocks, space`."""
    rows = []
    for entrant, runs in report.study.runs.groupby("entrant", sort=True):
        plan = latest_plan(runs)
        if plan is not None:
            space = "; ".join(f"{name}: {_axis(axis)}" for name, axis in plan.space.items())
            by = chosen_by(plan, report.measure).label
            rows.append((entrant, plan.search, plan.trials, by, plan.blocks, space))
    if not rows:
        raise NotGiven("these runs do not say what was searched")
    return pd.DataFrame(rows, columns=["entrant", "search", "trials", "by", "blocks", "space"])


def _axis(axis: Any) -> str:
    """The values of a hyperparameter, or its interval, in words."""
    if "values" in axis:
        return ", ".join(str(value) for value in axis["values"])
    kind = "integers, " if axis.get("integer") else ""
    return f"{axis['low']:g} to {axis['high']:g} ({kind}{axis.get('scale', 'linear')})"


def content(report: Report) -> Iterator[Block]:
    """What was searched, interactive figures, how much the lr matters, and heat maps where there are some."""
    if report.given("spaces"):
        yield plain(report.table("spaces"), SPACE)
    for name, rows in _against(report):
        yield Heading(f"{report.chosen_by.label.capitalize()} against {name.rpartition('.')[2]}")
        yield Words(
            "Median over the tuning seeds, 95 % interval; a cross at the top: a setting with diverged runs (pale: less "
            "than half); a hollow triangle at an edge: the median or its interval goes on beyond it. A setting of "
            "several hyperparameters is a point in each of their figures."
        )
        yield Plots(list(_rates(report, name, rows)))
    if report.given("sensitivity"):
        yield Words(
            "How much the lr matters: the share of the grid, and the unbroken range around the best, where the median "
            "is within twice the best."
        )
        yield plain(report.table("sensitivity"), SENSITIVE)
    if report.given("best_of_k"):
        yield Heading("Best of k settings tried")
        yield Words(
            "The median outcome when k settings are drawn from those tried and the best is kept: what a tuning budget "
            "buys. The best is chosen on some of the tuning seeds and scored on others."
        )
        yield Plots(list(_budgets(report)))
    for (group, parameter), _ in sorted(grouped(report.table("settings"), ["group", "parameter"]), key=_natural):
        yield Heading(f"{group}: lr and {parameter}")
        yield Picture(_heat_name(group, parameter), f"Final training loss of {group} by lr and {parameter}")
    yield Files(["cells", "sensitivity", "best_of_k", "settings", "spaces"])


def _natural(item: tuple[tuple[str, str], pd.DataFrame]) -> list[Any]:
    return natural(" ".join(item[0]))


SECTIONS.add(
    "tuning",
    Section(
        "Tuning",
        40,
        tables={
            "cells": Table(
                cells,
                "statistics.tuning_cells over the tuning seeds, or all without any, of what settings are chosen by",
            ),
            "sensitivity": Table(sensitivity, "statistics.sensitivity of cells, factor 2"),
            "best_of_k": Table(best_of_k, "statistics.best_of_k, chosen on some tuning seeds and scored on others"),
            "settings": Table(settings, "median final train/loss of each lr with each value of another number"),
            "spaces": Table(spaces, "the search space of each entrant, as its runs say"),
        },
        figures=figures,
        content=content,
    ),
)
