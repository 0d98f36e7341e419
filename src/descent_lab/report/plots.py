"""Plots for the page, described in numbers: templates/plots.js has bokeh draw them in the browser.

Python's side of bokeh is left out: it builds thousands of objects for what is a few lines of JSON.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.report.looks import Looks, Style

DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot")  # bokeh's names for those of looks.py
MARKERS = {
    "o": "circle", "s": "square", "^": "triangle", "D": "diamond", "v": "inverted_triangle", "p": "star",
    "<": "hex", ">": "square_pin", "h": "triangle_pin", "*": "asterisk", "d": "diamond_dot", "8": "circle_dot",
}  # fmt: skip
Tips = Sequence[tuple[str, str]]
WHO = ("", "@entrant")
BAND: Tips = [WHO, ("lr", "@lr"), ("median", "@estimate{0.000e0}"), ("95 %", "@low{0.000e0} to @high{0.000e0}")]


@dataclass
class Plot:
    """One plot. parts: what is drawn, by kind (band, line, steps, dots, bars, crosses), with its data by column.

    x, y: the columns drawn along the axes, called x_label and y_label. log: whether each axis is logarithmic.
    limits: the ends of the y axis; None: as the data have them.
    """

    title: str
    x: str
    y: str
    x_label: str
    y_label: str
    tips: Tips
    log: tuple[bool, bool]
    limits: tuple[float, float] | None = None
    axes: bool = False  # whether a menu of the page may put another column along x
    every_x: bool = False  # whether each x has a tick
    parts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, kind: str, data: pd.DataFrame, name: str, style: Style, **more: Any) -> None:
        """Draw the rows of an entrant."""
        look = {"colour": style.colour, "dash": DASHES[style.dash], "marker": MARKERS[style.marker]}
        self.parts.append({"kind": kind, "name": name, "data": _columns(data), **look, **more})

    def add_bands(self, rows: pd.DataFrame, columns: Sequence[str], looks: Looks) -> None:
        """Draw the median and interval of each entrant at positive x."""
        for name, band in by_entrant(rows[rows[self.x] > 0]):
            if np.isfinite(band["estimate"].to_numpy(dtype=float)).any():
                self.add("band", band[[*columns, "estimate", "low", "high"]], name, looks[name], lr=_rates(band))

    def add_steps(self, rows: pd.DataFrame, looks: Looks) -> None:
        """Draw a step function from 0 to 1 for each entrant, each to the end of the last, and its interval if known."""
        self.limits, end = (0.0, 1.02), rows[self.x].max()
        for name, steps in by_entrant(rows[rows[self.x] > 0]):
            banded = {"low", "high"} <= set(steps) and bool(steps["low"].notna().all())
            drawn = steps[[self.x, self.y, *(("low", "high") if banded else ())]]
            drawn = pd.concat([drawn, drawn.tail(1).assign(**{self.x: end})])
            self.add("band" if banded else "steps", _stairs(drawn, self.x) if banded else drawn, name, looks[name])


def _stairs(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """The corners of a step function that keeps each value until the next x."""
    upper = rows.iloc[np.repeat(np.arange(len(rows)), 2)[:-1]].reset_index(drop=True)
    return upper.assign(**{x: rows[x].to_numpy()[np.repeat(np.arange(len(rows)), 2)[1:]]})


def _rates(band: pd.DataFrame) -> str:
    return f"{band['lr'].iloc[0]:g}"


def _columns(data: pd.DataFrame) -> dict[str, list[Any]]:
    """Numbers to five digits, which is what a screen shows; None where there is none."""
    return {str(name): [_short(value) for value in column] for name, column in data.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str | int | np.integer):
        return value if isinstance(value, str) else int(value)
    return float(f"{value:.5g}") if np.isfinite(value) else None


def as_json(plots: Sequence[Plot]) -> str:
    """For a script element."""
    return json.dumps([asdict(plot) for plot in plots], separators=(",", ":")).replace("<", "\\u003c")


def by_entrant(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each entrant, in the order of their names."""
    for name, rows in table.groupby("entrant", sort=True):
        yield str(name), rows
