"""Plots for the page, described in numbers: templates/plots.js has bokeh draw them in the browser.

Python's side of bokeh is left out: it builds thousands of objects for what is a few lines of JSON.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.report.drawing import METRICS, styles_of
from descent_lab.report.figures import Style, curves, tuning
from descent_lab.report.figures.style import Span, log_span
from descent_lab.report.numbers import Numbers

DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot")
MARKERS = {
    "o": "circle", "s": "square", "^": "triangle", "D": "diamond", "v": "inverted_triangle", "P": "plus",
    "<": "hex", ">": "square_pin", "h": "triangle_pin", "p": "star", "*": "asterisk", "d": "cross",
}  # fmt: skip
CLOCKS = {"step": "step", "epoch": "epoch", "gradients": "gradient-equivalents", "step_seconds": "step seconds"}
LOSS = "training loss"
Tips = Sequence[tuple[str, str]]
WHO = ("", "@entrant")
BAND: Tips = [WHO, ("lr", "@lr"), ("median", "@estimate{0.000e0}"), ("95 %", "@low{0.000e0} to @high{0.000e0}")]


@dataclass
class Plot:
    """One plot. parts: what is drawn, by kind (band, line, steps, dots, bars, diagonal), with its data by column."""

    section: str
    title: str
    x: str  # the column drawn along x; CLOCKS has what it is called
    y: str
    label: str
    tips: Tips
    log: tuple[bool, bool]
    limits: tuple[float, float] | None = None
    remark: str = ""  # along x
    axes: bool = False  # whether the page's menu may put another column along x
    parts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, kind: str, data: pd.DataFrame, name: str, style: Style, **more: Any) -> None:
        """Draw the rows of an entrant."""
        look = {"colour": style.colour, "dash": DASHES[style.dash], "marker": MARKERS[style.marker]}
        self.parts.append({"kind": kind, "name": name, "data": _columns(data), **look, **more})


def _columns(data: pd.DataFrame) -> dict[str, list[Any]]:
    """Numbers to five digits, which is what a screen shows; None where there is none."""
    return {str(name): [_short(value) for value in column] for name, column in data.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str | int | np.integer):
        return value if isinstance(value, str) else int(value)
    return float(f"{value:.5g}") if np.isfinite(value) else None


def plots(found: Numbers) -> list[Plot]:
    """Every plot of the page."""
    looks = styles_of(found)
    parts = (_curves, _clocks, _rates, _budgets, _shares, _predictions)
    return [plot for make in parts for plot in make(found, looks) if plot.parts]


def as_json(made: Sequence[Plot]) -> str:
    """For a script element."""
    return json.dumps([asdict(plot) for plot in made], separators=(",", ":")).replace("<", "\\u003c")


def _by_entrant(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, rows in table.groupby("entrant", sort=True):
        yield str(name), rows


def _limits(span: Span | None) -> tuple[float, float] | None:
    """Of y on a logarithmic axis, as in the static figures; None: no such axis."""
    return None if span is None else (span.low / span.margin, span.high * span.margin)


def _bands(plot: Plot, group: pd.DataFrame, columns: list[str], looks: Mapping[str, Style]) -> Plot:
    for name, band in _by_entrant(group[group[plot.x] > 0]):
        lr, drawn = f"{band['lr'].iloc[0]:g}", band[columns]
        if drawn["estimate"].map(np.isfinite).any():
            plot.add("band", drawn, name, looks[name], lr=lr)
    return plot


def _curves(found: Numbers, looks: Mapping[str, Style]) -> Iterator[Plot]:
    """x is step, epoch or gradient-equivalents, as the page's menu says: the data hold all three."""
    bands = found.table("curves")
    chosen = bands[bands["chosen"]] if len(bands) else bands
    columns = ["step", "epoch", "gradients", "estimate", "low", "high"]
    for (metric, problem), group in chosen.groupby(["metric", "dataset"], sort=True) if len(chosen) else ():
        limits = None if metric == "test/accuracy" else _limits(curves.span_of(group, "step"))
        section = "curves" if metric == "train/loss" else "tests"
        log = (True, limits is not None)
        plot = Plot(section, problem, "step", "estimate", METRICS.get(metric, LOSS), BAND, log, limits, axes=True)
        yield _bands(plot, group, columns, looks)


def _clocks(found: Numbers, looks: Mapping[str, Style]) -> Iterator[Plot]:
    bands = found.table("clock_curves")
    for (timing, problem), group in bands.groupby(["timing", "dataset"], sort=True) if len(bands) else ():
        limits = _limits(curves.span_of(group, "step_seconds"))
        remark = " (shared clock: not to be compared)" if timing == "shared" else ""
        log = (True, limits is not None)
        plot = Plot(f"clock_{timing}", problem, "step_seconds", "estimate", LOSS, BAND, log, limits, remark)
        yield _bands(plot, group, ["step_seconds", "estimate", "low", "high"], looks)


def _rates(found: Numbers, looks: Mapping[str, Style]) -> Iterator[Plot]:
    """Final loss against lr; lr with diverged runs are marked at the top edge."""
    cells = found.table("cells")
    tips = [WHO, ("lr", "@lr"), *BAND[2:], ("runs", "@n, of which diverged: @diverged")]
    for problem, group in cells.groupby("dataset", sort=True) if len(cells) else ():
        limits = _limits(tuning.span_of(group))
        log = (True, limits is not None)
        plot = Plot("lr", str(problem), "lr", "estimate", f"final {LOSS}", tips, log, limits)
        for name, rows in _by_entrant(group):
            drawn = rows.sort_values("lr")[["lr", "estimate", "low", "high", "n", "diverged"]]
            plot.add("bars", drawn, name, looks[name])
            if (drawn["diverged"] > 0).any():
                edge = limits[1] / 1.1 if limits else 1.0
                plot.add("crosses", drawn[drawn["diverged"] > 0].assign(edge=edge), name, looks[name])
        yield plot


def _budgets(found: Numbers, looks: Mapping[str, Style]) -> Iterator[Plot]:
    table = found.table("best_of_k")
    tips = [WHO, ("lr tried", "@k"), ("median", "@median{0.000e0}")]
    for problem, group in table.groupby("dataset", sort=True) if len(table) else ():
        limits = _limits(log_span(group["median"].to_numpy(dtype=float)))
        log = (False, limits is not None)
        plot = Plot("best_of_k", str(problem), "k", "median", f"final {LOSS}", tips, log, limits)
        for name, rows in _by_entrant(group):
            plot.add("line", rows[["k", "median"]], name, looks[name])
        yield plot


def _shares(found: Numbers, looks: Mapping[str, Style]) -> Iterator[Plot]:
    """Step functions from 0 to 1: targets reached by clock, and the performance profile."""
    ecdf, profile = found.table("runtime_ecdf"), found.table("profile")
    for clock, group in ecdf.groupby("clock", sort=True) if len(ecdf) else ():
        tips = [WHO, ("share", "@share{0.00}"), (CLOCKS[str(clock)], f"@{clock}")]
        plot = Plot("targets", f"By {CLOCKS[str(clock)]}", str(clock), "share", "share of targets", tips, (True, False))
        yield _steps(plot, group.rename(columns={"time": str(clock)}), looks)
    if len(profile):
        tips = [WHO, ("share", "@share{0.00}"), ("tau", "@tau")]
        plot = Plot("profile", "Performance profile", "tau", "share", "share of problems", tips, (True, False))
        yield _steps(plot, profile, looks)


def _steps(plot: Plot, table: pd.DataFrame, looks: Mapping[str, Style]) -> Plot:
    """Each step function is drawn to the end of the last."""
    plot.limits, end = (0.0, 1.02), table[plot.x].max()
    for name, rows in _by_entrant(table[table[plot.x] > 0]):
        drawn = rows[[plot.x, "share"]]
        plot.add("steps", pd.concat([drawn, drawn.tail(1).assign(**{plot.x: end})]), name, looks[name])
    return plot


def _predictions(found: Numbers, looks: Mapping[str, Style]) -> Iterator[Plot]:
    points = found.table("predictions")
    tips = [WHO, ("truth", "@truth{0.000}"), ("prediction", "@prediction{0.000}")]
    for problem, group in points.groupby("dataset", sort=True) if len(points) else ():
        low, high = float(group["truth"].min()), float(group["truth"].max())
        span = max(high - low, 1e-9)
        y = group["prediction"].clip(low - span, high + span)
        limits = (min(low, float(y.min())) - 0.05 * span, max(high, float(y.max())) + 0.05 * span)
        plot = Plot("predictions", str(problem), "truth", "prediction", "prediction", tips, (False, False), limits)
        ends = pd.DataFrame({"truth": [low, high], "prediction": [low, high]})
        plot.add("line", ends, "", Style("#999999"), plain=True)
        for name, rows in _by_entrant(group):
            plot.add("dots", rows[["truth", "prediction"]], name, looks[name])
        yield plot
