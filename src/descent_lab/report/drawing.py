"""Static figures, svg and png, for papers: which tables become which pictures."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from descent_lab.analysis.statistics import indistinguishable
from descent_lab.report import figures
from descent_lab.report.apart import may_fork
from descent_lab.report.numbers import CELL, Numbers

BAND = "line: median over seeds; shade: 95 % interval"
LOSS = "training loss"
METRICS = {"test/accuracy": "test accuracy", "test/rmse": "test RMSE"}
PROCESSES = 4
Job = tuple[str, Callable[[], Figure]]


def styles_of(found: Numbers) -> dict[str, figures.Style]:
    """One style per entrant; the colour is the optimizer's where optimizers are compared, or backends."""
    runs = found.study.runs.drop_duplicates("entrant")
    if not {"optimizer", "backend"} & set(found.study.compared):
        return figures.styles_in_order(runs["entrant"])
    names = runs["optimizer"].where(runs["optimizer"] != "none", runs["backend"])
    return figures.styles(dict(zip(runs["entrant"], names, strict=True)))


class Drawers:
    """Processes that write figures while this one goes on; where it may not fork, it writes them at the end."""

    def __init__(self, folder: Path) -> None:
        """folder: for the files; made here."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.helpers = min(PROCESSES, os.cpu_count() or 1) - 1 if may_fork() else 0
        self.batches: list[tuple[list[Job], Any, list[Any]]] = []

    def start(self, jobs: Iterable[Job]) -> None:
        """Begin with these."""
        context = get_context("fork" if self.helpers else None)
        todo, begun = list(jobs), context.Value("i", 0)
        helpers = [context.Process(target=self._draw, args=(todo, begun)) for _ in range(self.helpers)]
        for helper in helpers:
            helper.start()
        self.batches.append((todo, begun, helpers))

    def finish(self) -> list[str]:
        """Help until all are written; their names."""
        for todo, begun, helpers in self.batches:
            self._draw(todo, begun)
            for helper in helpers:
                helper.join()
            if any(helper.exitcode for helper in helpers):
                begun.value = 0
                self._draw(todo, begun)  # so that what is wrong is said here
        return [name for todo, _, _ in self.batches for name, _ in todo]

    def _draw(self, todo: Sequence[Job], begun: Any) -> None:
        while True:
            with begun:
                place, begun.value = begun.value, begun.value + 1
            if place >= len(todo):
                return
            name, make = todo[place]
            figures.save(make(), self.folder / name)


def of_curves(found: Numbers) -> Iterator[Job]:
    """(file name, how to draw it) of the figures that need `add_curves` alone."""
    return _curves(found, styles_of(found), _unfair(found))


def of_comparison(found: Numbers) -> Iterator[Job]:
    """The other figures."""
    looks, unfair = styles_of(found), _unfair(found)
    yield from _tuning(found, looks, unfair)
    yield from _targets(found, looks, unfair)
    yield from _outputs(found, looks)


def _unfair(found: Numbers) -> str:
    """What every figure says that compares entrants with unequal budgets."""
    warned = found.table("warnings")
    if warned.empty or not (warned["warning"] == "unequal budgets").any():
        return ""
    return "; budgets are unequal (see the ledger)"


def _curves(found: Numbers, looks: dict[str, figures.Style], unfair: str) -> Iterator[Job]:
    curves = found.table("curves")
    if curves.empty:
        return
    chosen = curves[curves["chosen"]]
    loss = chosen[chosen["metric"] == "train/loss"]
    for axis in ("step", "epoch", *(["gradients"] if _costs_differ(loss) else [])):
        yield f"curves_{axis}", partial(figures.by_entrant, loss, axis, LOSS, looks, BAND + unfair)
    for metric, label in METRICS.items():
        if len(part := chosen[chosen["metric"] == metric]):
            name = f"curves_{metric.replace('/', '_')}"
            yield name, partial(figures.by_entrant, part, "epoch", label, looks, BAND)
    clock = found.table("clock_curves")
    for timing in ("isolated", "shared"):
        if len(clock) and len(part := clock[clock["timing"] == timing]):
            note = BAND + unfair
            if timing == "shared":
                note = "NOT TO BE COMPARED: runs were trained stacked and share one clock. " + note
            name = "curves_step_seconds" + ("" if timing == "isolated" else "_shared")
            yield (
                name,
                partial(figures.by_entrant, part, "step_seconds", LOSS, looks, note),
            )
    every = curves[curves["metric"] == "train/loss"]
    several = every[every.groupby(CELL[:2])["lr"].transform("nunique") > 1]
    for problem, part in several.groupby("dataset", sort=True):
        name = f"curves_by_lr_{slug(str(problem))}"
        yield name, partial(figures.by_lr, part, "step", LOSS, f"{problem}; {BAND}")


def _costs_differ(curves: pd.DataFrame) -> bool:
    """Whether gradient-equivalents say anything that epochs do not."""
    return not np.allclose(curves["gradients"], curves["epoch"], equal_nan=True)


def _tuning(found: Numbers, looks: dict[str, figures.Style], unfair: str) -> Iterator[Job]:
    cells = found.table("cells")
    if len(cells):
        note = "marker: median over seeds; bar: 95 % interval" + unfair
        yield "loss_against_lr", partial(figures.loss_against_lr, cells, "final " + LOSS, looks, note)
    best = found.table("best_of_k")
    if len(best):
        note = "median outcome of k lr drawn from the grid, exact over all subsets" + unfair
        yield "best_of_k", partial(figures.best_of_k, best, "final " + LOSS, looks, note)


def _targets(found: Numbers, looks: dict[str, figures.Style], unfair: str) -> Iterator[Job]:
    ecdf, survival, profile = (found.table(name) for name in ("runtime_ecdf", "survival", "profile"))
    sizes = found.table("batch_size")
    shared = f"targets shared by all, from what {found.reference} reaches" + unfair
    if len(sizes):
        yield "batch_size", partial(figures.against_batch_size, sizes, "marker: median; bar: 95 % interval; " + shared)
    if len(ecdf):
        yield "targets_reached", partial(figures.reached, ecdf, looks, shared)
    if len(survival):
        part = survival[survival["clock"] == "gradients"]
        if len(part):
            yield "targets_survival", partial(figures.surviving, part, "gradients", looks, "level 1; " + shared)
    if len(profile):
        yield "profile", partial(figures.profiles, profile, looks, shared)
    ranks, pairs = found.table("ranks"), found.table("rank_pairs")
    if len(ranks) and len(pairs):
        groups = indistinguishable(pairs, "wilcoxon")
        note = "bars join entrants that the data cannot tell apart (Wilcoxon, Holm)"
        yield "ranks", partial(figures.critical_difference_diagram, ranks, groups, looks, note)


def _outputs(found: Numbers, looks: dict[str, figures.Style]) -> Iterator[Job]:
    points, counts = found.table("predictions"), found.table("confusion")
    if len(points):
        note = "test set; each entrant's run of median final loss"
        yield "predictions", partial(figures.prediction_against_truth, points, looks, note)
    if len(counts):
        summed = counts.groupby(["dataset", "entrant", "truth", "prediction"], as_index=False)["count"].sum()
        note = "test samples, summed over the reported seeds; shade: share of the true class"
        yield "confusion", partial(figures.confusion, summed, note)


def slug(text: str) -> str:
    """A file name for a label."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")
