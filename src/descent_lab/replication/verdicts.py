"""Compares a published figure with the values that the harness obtains."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from descent_lab.wording import counted

CENTRAL = 0.99  # the share of seeds within the interval that a figure is compared with
ENOUGH = 100  # with fewer seeds there is no central 99 %, and their range is taken
REPRODUCED, MISSED, OPEN = "reproduced", "not reproduced", "open"


@dataclass(frozen=True)
class Finding:
    """One published figure beside that of the harness, and the verdict.

    percentile: the place of the published figure among the seeds, from 0 to 100. low, high: the central 99 % of the
    seeds, or the range of fewer than 100 seeds. All three are None where nothing random enters.
    """

    study: str
    figure: str
    published: str
    ours: str
    verdict: str
    note: str = ""
    seeds: int = 1
    percentile: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Picture:
    """A figure with its caption."""

    figure: Figure
    caption: str


@dataclass(frozen=True)
class Section:
    """The part of the report on one published system.

    remarks: paragraphs. pictures: by file name, without suffix.
    """

    name: str
    findings: list[Finding]
    remarks: list[str] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)


def exact(study: str, figure: str, published: float, ours: float, tolerance: float, note: str = "") -> Finding:
    """The finding for a figure that nothing random enters: it must be equal up to `tolerance` (absolute)."""
    off = abs(ours - published)
    verdict = REPRODUCED if off <= tolerance else MISSED
    said = f"differs by {off:.1e}; {note}" if note else f"differs by {off:.1e}"
    return Finding(study, figure, repr(float(published)), repr(float(ours)), verdict, said)


def among(
    study: str,
    figure: str,
    published: float,
    values: np.ndarray,
    note: str = "",
    digits: int = 4,
    verdict: str | None = None,
) -> Finding:
    """The finding for a figure of an unseeded source, by its place among the values (n_seeds,) of many seeds.

    verdict: replaces the verdict that follows from this place; None: the place is the verdict.
    """
    low, median, high = np.quantile(values, [(1 - CENTRAL) / 2, 0.5, (1 + CENTRAL) / 2])
    many = len(values) >= ENOUGH
    if not many:
        low, high = values.min(), values.max()
    where = f"the central {100 * CENTRAL:.0f} %" if many else f"the range of {counted(len(values), 'seed')}"
    place = f"{'inside' if low <= published <= high else 'outside'} {where}"
    ours = f"{median:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]"
    percentile = 100 * float(np.mean(values < published) + np.mean(values == published) / 2)
    said = (study, figure, f"{published:.10g}", ours, verdict or place, note)
    return Finding(*said, seeds=len(values), percentile=percentile, low=float(low), high=float(high))


def table(findings: list[Finding]) -> pd.DataFrame:
    """The findings as a table, one row for each."""
    return pd.DataFrame([vars(finding) for finding in findings])
