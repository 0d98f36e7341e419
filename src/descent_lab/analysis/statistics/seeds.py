"""What does one setting reach, across seeds? Median, mean and interquartile mean, each with an interval."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics import intervals
from descent_lab.analysis.statistics.frames import columns_of, confident, levels, one_of, require
from descent_lab.analysis.statistics.intervals import Interval
from descent_lab.errors import NotGiven
from descent_lab.wording import counted

Row = dict[str, object]
RANGE_UP_TO = 6  # for up to 6 seeds the range covers an interquartile mean more often than a bootstrap does
SKEWED = "if values are skewed or heavy-tailed, a 95 % interval of their mean covers about 90 % (measured)"


def summarise(
    frame: pd.DataFrame,
    by: str | Sequence[str],
    value: str,
    statistic: str = "median",
    confidence: float = 0.95,
    better: str = "lower",
    strata: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per group of `by`: `*by, n, diverged, estimate, low, high, method, note`, sorted by `by`.

    statistic: `median` (default), `iqm` (interquartile mean), `geometric_mean` or `mean`. A median is finite with up to
    half of the runs diverged, an interquartile mean with up to a quarter. A mean with a diverged run is infinite and
    has no interval. `note` says where an interval covers less than its confidence, and is empty elsewhere.

    strata: a column, such as `dataset`, to aggregate over. Its values are pooled, with every run counting once, and
    resampled within each stratum, so that the interval is about new seeds on these same data sets. Bring the values to
    one scale before (such as a ratio to a reference). Each stratum needs at least 2 runs.

    The same rows in any order give the same bits, because samples are sorted and each group starts again from `seed`.
    """
    keys = columns_of(by)
    require(frame, *keys, value, *([strata] if strata else []))
    one_of("statistic", statistic, SINGLE)
    confident(confidence)
    x = levels(frame, value, better, "log" if statistic == "geometric_mean" else "linear")
    stratum = frame[strata].to_numpy() if strata else None
    rows = []
    for key, index in sorted_groups(frame, keys):
        part = None if stratum is None else stratum[index]
        rows.append(dict(zip(keys, key, strict=True)) | _cell(x[index], part, statistic, confidence, seed))
    return pd.DataFrame(rows)


def sorted_groups(frame: pd.DataFrame, keys: list[str]) -> list[tuple[tuple[Any, ...], np.ndarray]]:
    """The key and the positions of the rows of each group, sorted by key."""
    grouped = frame.groupby(keys, sort=True, observed=True, dropna=False).indices
    return [(key if isinstance(key, tuple) else (key,), np.asarray(index)) for key, index in grouped.items()]


def joined(keys: list[str], groups: Sequence[tuple[tuple[Any, ...], Mapping[str, np.ndarray]]]) -> pd.DataFrame:
    """The columns of all groups, one group below the other, beside the key of each.

    groups: at least one; the key of each, and its columns, which have the same names in all groups.
    """
    lengths = [len(next(iter(columns.values()))) for _, columns in groups]
    of_keys = {name: pd.Series([key[i] for key, _ in groups]).repeat(lengths).array for i, name in enumerate(keys)}
    return pd.DataFrame(of_keys | {name: np.concatenate([of[name] for _, of in groups]) for name in groups[0][1]})


def _cell(x: np.ndarray, stratum: np.ndarray | None, statistic: str, confidence: float, seed: int) -> Row:
    if stratum is None:
        interval, method, note = SINGLE[statistic](np.sort(x), confidence, seed)
    else:
        interval, method, note = _pooled(x, stratum, statistic, confidence, seed)
    if statistic == "geometric_mean":
        with np.errstate(over="ignore"):  # a limit beyond the largest number is infinite
            interval = Interval(*(np.exp(limit) for limit in interval))
    return {"n": len(x), "diverged": int((~np.isfinite(x)).sum())} | _columns(interval, method, note)


def _columns(interval: Interval, method: str, note: str) -> Row:
    return {name: float(limit) for name, limit in interval._asdict().items()} | {"method": method, "note": note}


def _median(x: np.ndarray, confidence: float, _: int) -> tuple[Interval, str, str]:
    return intervals.median_interval(x, confidence), "order statistics", intervals.shortfall(len(x), confidence)


def _iqm(x: np.ndarray, confidence: float, seed: int) -> tuple[Interval, str, str]:
    if len(x) > RANGE_UP_TO:
        return intervals.bootstrap_interval([x], intervals.iqm, confidence, seed), "bootstrap", ""
    ends = Interval(intervals.iqm(x), x[0], x[-1]) if len(x) > 1 else _without_interval(x[0])
    return ends, "range", intervals.shortfall(len(x), confidence)


def _mean(x: np.ndarray, confidence: float, seed: int) -> tuple[Interval, str, str]:
    if (reason := _no_mean(x)) is not None:
        return _without_interval(intervals.mean(x)), "none", reason
    interval = intervals.studentised_interval(x, confidence, seed)
    return interval, "studentised bootstrap", SKEWED


def _geometric_mean(x: np.ndarray, confidence: float, _: int) -> tuple[Interval, str, str]:
    if (reason := _no_mean(x)) is not None:
        return _without_interval(intervals.mean(x)), "none", reason
    return intervals.t_interval(x, confidence), "t on logarithms", ""


SINGLE: dict[str, Callable[[np.ndarray, float, int], tuple[Interval, str, str]]] = {
    "median": _median,
    "iqm": _iqm,
    "geometric_mean": _geometric_mean,
    "mean": _mean,
}
POOLED = {"iqm": intervals.iqm, "geometric_mean": intervals.mean, "mean": intervals.mean}
MEANS = ("geometric_mean", "mean")


def _without_interval(estimate: np.ndarray) -> Interval:
    return Interval(estimate, np.array(np.nan), np.array(np.nan))


def _no_mean(x: np.ndarray) -> str | None:
    """Why a mean of x has no interval; None where it has one."""
    if np.isinf(x).any():
        return f"{np.isinf(x).sum()} of {len(x)} diverged: no finite mean"
    return "1 seed: no interval" if len(x) == 1 else None


def _pooled(
    x: np.ndarray, stratum: np.ndarray, statistic: str, confidence: float, seed: int
) -> tuple[Interval, str, str]:
    parts = [np.sort(x[stratum == name]) for name in np.unique(stratum)]
    short = min(len(part) for part in parts)
    if short < 2:
        raise NotGiven(f"{short} run in a stratum: at least 2 are needed for an interval")
    if statistic in MEANS and (reason := _no_mean(x)) is not None:
        return _without_interval(POOLED[statistic](x)), "none", reason
    if statistic == "median":
        method = "order statistics" if short < intervals.POOL_FROM else "stratified bootstrap"
        return intervals.pooled_median_interval(parts, confidence, seed), method, ""
    interval = intervals.bootstrap_interval(parts, POOLED[statistic], confidence, seed)
    if short < 5:
        return interval, "stratified bootstrap", f"{counted(short, 'seed')} in a stratum: the interval is too narrow"
    return interval, "stratified bootstrap", SKEWED if statistic == "mean" else ""
