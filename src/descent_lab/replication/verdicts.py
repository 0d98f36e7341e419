"""A published figure held against what the harness obtains."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

CENTRAL = 0.99
ENOUGH = 100  # seeds from which on one can speak of the central 99 %
REPRODUCED, MISSED, OPEN = "reproduced", "not reproduced", "open"


@dataclass(frozen=True)
class Finding:
    """One published figure."""

    study: str
    figure: str
    published: str
    ours: str
    verdict: str
    note: str = ""
    seeds: int = 1
    percentile: float | None = None  # of the published figure among the seeds
    low: float | None = None  # the central 99 % of the seeds
    high: float | None = None


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows."""

    figure: Figure
    caption: str


@dataclass(frozen=True)
class Section:
    """What is said of one system."""

    name: str
    findings: list[Finding]
    remarks: list[str] = field(default_factory=list)  # paragraphs
    pictures: dict[str, Picture] = field(default_factory=dict)  # by file name, without suffix


def exact(study: str, figure: str, published: float, ours: float, tolerance: float, note: str = "") -> Finding:
    """A figure that nothing random enters: equal up to `tolerance` (absolute)."""
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
    """A figure of an unseeded source among those of many seeds, shape (n_seeds,); verdict None: by its place."""
    low, median, high = np.quantile(values, [(1 - CENTRAL) / 2, 0.5, (1 + CENTRAL) / 2])
    many = len(values) >= ENOUGH
    if not many:
        low, high = values.min(), values.max()
    where = f"the central {100 * CENTRAL:.0f} %" if many else f"the range of {len(values)} seeds"
    place = f"{'inside' if low <= published <= high else 'outside'} {where}"
    ours = f"{median:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]"
    percentile = 100 * float(np.mean(values < published) + np.mean(values == published) / 2)
    said = (study, figure, f"{published:.10g}", ours, verdict or place, note)
    return Finding(*said, seeds=len(values), percentile=percentile, low=float(low), high=float(high))


def table(findings: list[Finding]) -> pd.DataFrame:
    """One row a finding."""
    return pd.DataFrame([vars(finding) for finding in findings])
