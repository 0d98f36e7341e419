"""How long does an entrant need to reach a target, if some runs never do? Computed from the rows of `first_hits`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics import special
from descent_lab.analysis.statistics.frames import columns_of, confident, require
from descent_lab.analysis.statistics.intervals import shortfall
from descent_lab.analysis.statistics.seeds import sorted_groups

SKEWED = "if times are skewed and all runs succeed, a 95 % interval of their mean covers about 90 % (measured)"
UNEVEN = "few runs of uneven budgets: a 95 % interval covers about 90 % (measured)"
CURVES = {"estimate": "share", "low": "low", "high": "high"}  # the curve that gives each limit of the median
KEYS = ("dataset", "level", "optimizer")


def survival(hits: pd.DataFrame, by: str | Sequence[str] = KEYS, confidence: float = 0.95) -> pd.DataFrame:
    """The Kaplan-Meier share of runs that have not reached the target: `*by, time, at_risk, reached, share, low, high`.

    There is one row for time 0 and one for each time at which a run of the group reached the target. The limits use
    Greenwood's variance on the log(-log) scale (Kalbfleisch & Prentice 2002, section 1.4).
    """
    keys = columns_of(by)
    require(hits, *keys, "time", "reached")
    time, reached = hits["time"].to_numpy(dtype=float), hits["reached"].to_numpy(dtype=bool)
    parts = []
    for key, index in sorted_groups(hits, keys):
        columns = _kaplan_meier(time[index], reached[index], confident(confidence))
        parts.append(pd.DataFrame(dict(zip(keys, key, strict=True)) | columns))
    return pd.concat(parts, ignore_index=True)


def _kaplan_meier(time: np.ndarray, reached: np.ndarray, confidence: float) -> dict[str, np.ndarray]:
    # S(t) = prod (1 - d / n);  V = sum d / (n (n - d));  limits S^exp(+-z sqrt(V) / log S)
    t, d = np.unique(np.append(0.0, time[reached]), return_counts=True)
    d[0] -= 1
    n = (time[:, None] >= t).sum(axis=0)
    s = np.cumprod(1 - d / n)
    inside = (s > 0) & (s < 1)
    low, high = s.copy(), s.copy()
    with np.errstate(divide="ignore"):
        v = np.cumsum(d / (n * (n - d)))[inside]
    width = special.ndtri((1 + confidence) / 2) * np.sqrt(v) / np.log(s[inside])
    low[inside], high[inside] = s[inside] ** np.exp(-width), s[inside] ** np.exp(width)
    return {"time": t, "at_risk": n, "reached": d, "share": s, "low": low, "high": high}


def time_to_target(hits: pd.DataFrame, by: str | Sequence[str] = KEYS, confidence: float = 0.95) -> pd.DataFrame:
    """The median time to the target: `*by, n, reached, estimate, low, high, method, note`; inf if too few reach it.

    The estimate and its limits are the times at which the Kaplan-Meier curve and its lower and upper limits first fall
    to one half (Brookmeyer & Crowley 1982). A single run has no limits (NaN).
    """
    keys = columns_of(by)
    require(hits, *keys, "time", "reached")
    time, reached = hits["time"].to_numpy(dtype=float), hits["reached"].to_numpy(dtype=bool)
    rows = []
    for key, index in sorted_groups(hits, keys):
        curve = _kaplan_meier(time[index], reached[index], confident(confidence))
        counts = {"n": len(index), "reached": int(reached[index].sum())}
        note = {"method": "Kaplan-Meier", "note": _note(time[index], reached[index], confidence)}
        rows.append(dict(zip(keys, key, strict=True)) | counts | _time_at_one_half(curve) | note)
    return pd.DataFrame(rows)


def _time_at_one_half(curve: dict[str, np.ndarray]) -> dict[str, float]:
    """The times at which the share and its limits first fall to one half, allowing for rounding errors."""
    below = {name: curve[column] <= 0.5 + 1e-12 for name, column in CURVES.items()}
    times = {name: float(curve["time"][low.argmax()]) if low.any() else np.inf for name, low in below.items()}
    return times | ({"low": np.nan, "high": np.nan} if curve["at_risk"][0] == 1 else {})


def _note(time: np.ndarray, reached: np.ndarray, confidence: float) -> str:
    """A note where there are few runs, or some were ended before others reached the target; else empty."""
    if len(time) < 10 and reached.any() and (time[~reached] < time[reached].max()).any():
        return UNEVEN
    return shortfall(len(time), confidence)


def expected_runtime(hits: pd.DataFrame, by: str | Sequence[str] = KEYS, confidence: float = 0.95) -> pd.DataFrame:
    """The expected running time with restarts (COCO): `*by, n, reached, estimate, low, high, method, note`.

    The estimate is what all runs spent, divided by the number of runs that reached the target (Hansen et al. 2021); inf
    if none did. The interval is Student's for the ratio of two means, on the log scale. A single run has none (NaN).
    """
    # ERT = sum spent / sum reached;  e = spent - ERT reached;  se(log ERT) = sd(e) / (sqrt(n) mean(spent))
    keys = columns_of(by)
    require(hits, *keys, "spent", "reached")
    spent, reached = hits["spent"].to_numpy(dtype=float), hits["reached"].to_numpy(dtype=bool)
    rows = [
        dict(zip(keys, key, strict=True)) | _expected(spent[index], reached[index], confident(confidence))
        for key, index in sorted_groups(hits, keys)
    ]
    return pd.DataFrame(rows).assign(method="t on logarithm of ratio", note=SKEWED)


def _expected(spent: np.ndarray, reached: np.ndarray, confidence: float) -> dict[str, float]:
    n, hits = len(spent), int(reached.sum())
    if hits == 0:
        return {"n": n, "reached": 0, "estimate": np.inf, "low": np.nan, "high": np.inf}
    ert = spent.sum() / hits
    if n == 1 or ert == 0:
        return {"n": n, "reached": hits, "estimate": ert, "low": np.nan, "high": np.nan}
    error = np.std(spent - ert * reached, ddof=1) / (np.sqrt(n) * spent.mean())
    factor = np.exp(special.stdtrit(n - 1, (1 + confidence) / 2) * error)
    return {"n": n, "reached": hits, "estimate": ert, "low": ert / factor, "high": ert * factor}


def runtime_ecdf(hits: pd.DataFrame, by: str | Sequence[str] = "optimizer") -> pd.DataFrame:
    """The share of (run, target) pairs that are reached by each time: `*by, time, share`, from time 0.

    Pairs that are never reached count in the denominator, so that a curve may end below 1 (Hansen et al. 2021).
    """
    keys = columns_of(by)
    require(hits, *keys, "time", "reached")
    time, reached = hits["time"].to_numpy(dtype=float), hits["reached"].to_numpy(dtype=bool)
    parts = []
    for key, index in sorted_groups(hits, keys):
        times = np.sort(time[index][reached[index]])
        steps = np.unique(np.append(0.0, times))
        columns = {"time": steps, "share": np.searchsorted(times, steps, side="right") / len(index)}
        parts.append(pd.DataFrame(dict(zip(keys, key, strict=True)) | columns))
    return pd.concat(parts, ignore_index=True)
