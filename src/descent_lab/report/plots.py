"""Plots for the page, described in numbers: templates/plots.js has bokeh draw them in the browser.

Python's side of bokeh is left out: it builds thousands of objects for what is a few lines of JSON.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import pi
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.report.looks import DASHES, Looks, Style, layers

MARKERS: dict[str, tuple[str, float, bool]] = {  # bokeh's name for one of looks.py, its angle, whether it is hollow
    "o": ("circle", 0, False), "s": ("square", 0, False), "^": ("triangle", 0, False), "D": ("diamond", 0, False),
    "v": ("inverted_triangle", 0, False), "<": ("triangle", pi / 2, False), ">": ("triangle", -pi / 2, False),
    "p": ("hex", 0, False), "h": ("hex_dot", 0, True), "*": ("star", 0, False), "d": ("diamond_dot", 0, True),
    "8": ("circle_dot", 0, True),
}  # fmt: skip
Tips = Sequence[tuple[str, str]]
WHO = ("", "@entrant")
BAND: Tips = [
    WHO,
    ("setting", "@setting"),
    ("median", "@estimate{0.000e0}"),
    ("95 %", "@low{0.000e0} to @high{0.000e0}"),
]


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
    looks: dict[str, Style] = field(default_factory=dict)  # of the parts, by name

    def add(self, kind: str, data: pd.DataFrame, name: str, style: Style, **more: Any) -> None:
        """Draw the rows of an entrant."""
        marker, angle, hollow = MARKERS[style.marker]
        look: dict[str, Any] = {"colour": style.colour, "dash": DASHES[style.dash]}
        look |= {"marker": marker, "angle": angle, "hollow": hollow}
        self.looks[name] = style
        self.parts.append({"kind": kind, "name": name, "data": _columns(data), **look, **more})

    def described(self) -> dict[str, Any]:
        """For templates/plots.js: what lies below comes first, and in wider lines; crosses lie on top."""
        widths = layers(self.looks, self.looks)
        order = list(widths)
        parts = sorted(self.parts, key=lambda part: (part["kind"] == "crosses", order.index(part["name"])))
        kept = {name: value for name, value in vars(self).items() if name != "looks"}
        return kept | {"parts": [part | {"width": round(1.7 + 1.6 * widths[part["name"]], 2)} for part in parts]}

    def add_bands(self, rows: pd.DataFrame, columns: Sequence[str], looks: Looks) -> None:
        """Draw the median and interval of each entrant at positive x."""
        for name, band in by_entrant(rows[rows[self.x] > 0]):
            if np.isfinite(band["estimate"].to_numpy(dtype=float)).any():
                drawn, setting = band[[*columns, "estimate", "low", "high"]], band["setting"].iloc[0]
                self.add("band", drawn, name, looks[name], setting=setting)

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


def _columns(data: pd.DataFrame) -> dict[str, list[Any]]:
    """Numbers to five digits, which is what a screen shows; "inf" where an interval has no end, None for no number."""
    return {str(name): [_short(value, str(name)) for value in column] for name, column in data.items()}


def _short(value: Any, column: str) -> Any:
    if isinstance(value, str | int | np.integer):
        return value if isinstance(value, str) else int(value)
    if np.isfinite(value):
        return float(f"{value:.5g}")
    return "inf" if value == np.inf and column in ("low", "high") else None


def as_json(plots: Sequence[Plot]) -> str:
    """For a script element."""
    return json.dumps([plot.described() for plot in plots], separators=(",", ":")).replace("<", "\\u003c")


def by_entrant(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each entrant, in the order of their names."""
    for name, rows in table.groupby("entrant", sort=True):
        yield str(name), rows
