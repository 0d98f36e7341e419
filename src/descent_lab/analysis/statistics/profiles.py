"""How close is each entrant to the fastest, over many problems? Performance profiles and their scores.

A problem is a target on a data set. The time of an entrant is the median over its runs, by the Kaplan-Meier curve, as
in `time_to_target`. Intervals are about other seeds on these same problems: a bootstrap over seeds, or over blocks of
seeds where settings were tuned in blocks, in which the fastest entrant is found anew in every draw.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import columns_of, complete, confident, one_of, require
from descent_lab.analysis.statistics.resampling import RESAMPLES, drawn, few, limits
from descent_lab.errors import NotGiven

PROBLEM = ("dataset", "level")


def performance_ratios(
    hits: pd.DataFrame,
    entrant: str = "optimizer",
    problem: str | Sequence[str] = PROBLEM,
    reference: str | pd.Series | None = None,
) -> pd.DataFrame:
    """The time of each entrant divided by the reference time: `*problem, <entrant>, time, ratio`; inf if not reached.

    hits: rows of `first_hits`, on one clock, of entrants that all have runs on every problem.
    reference: None takes the time of the fastest entrant on each problem (Dolan & More 2002). The name of an entrant,
    or stored times (a Series indexed by problem), keep all ratios as they are when an entrant is added; a ratio below 1
    is then faster than the reference.
    """
    times = _times(hits, entrant, columns_of(problem))
    ratios = _ratios(times.to_numpy()[None], _fixed(times, reference))[0]
    stacked = times.stack().rename("time").reset_index()
    return stacked.assign(ratio=ratios.ravel())


def performance_profile(
    hits: pd.DataFrame,
    entrant: str = "optimizer",
    problem: str | Sequence[str] = PROBLEM,
    reference: str | pd.Series | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """rho(tau), the share of problems reached within tau times the reference time: `<entrant>, tau, share, low, high`.

    rho is a right-continuous step function, with one row for each different finite ratio of any entrant. low and high
    are the limits of the share at each tau by itself; NaN where an entrant has a single run.
    """
    keys = columns_of(problem)
    times = _times(hits, entrant, keys)
    ratios = _ratios(times.to_numpy()[None], _fixed(times, reference))[0]
    draws = _resampled(hits, times, entrant, keys, reference, seed)
    tau = np.unique(ratios[np.isfinite(ratios)])
    alone = _alone(hits, entrant)
    parts = []
    for j, name in enumerate(times.columns):
        share = (ratios[:, j, None] <= tau).mean(axis=0)
        low, high = limits((draws[:, :, j, None] <= tau).mean(axis=1), confident(confidence))
        band = {"low": np.minimum(low, share), "high": np.maximum(high, share)}
        band = dict.fromkeys(band, np.nan) if name in alone else band
        parts.append(pd.DataFrame({entrant: name, "tau": tau, "share": share} | band))
    return pd.concat(parts, ignore_index=True)


def profile_score(
    hits: pd.DataFrame,
    entrant: str = "optimizer",
    problem: str | Sequence[str] = PROBLEM,
    reference: str | pd.Series | None = None,
    r_max: float = 4.0,
    r_min: float = 1.0,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The areas under the profile from r_min to r_max, as shares: `<entrant>, algoperf, algoperf_low, algoperf_high,
    log_area, log_area_low, log_area_high, reached, n_problems, note`, best first.

    - algoperf: AlgoPerf's benchmark score (Dahl et al. 2023, section 4.2): the area over tau, as the trapezoids of its
      code have it in the limit of a fine grid. 1 for an entrant that is the fastest on every problem, 0 for one that is
      always r_max times slower or never arrives.
    - log_area: the area over log tau, which counts being twice as slow the same at any tau.
    - reached: the share of problems on which the median run reaches the target at all, in any time.

    With a fixed reference, r_min = 1 / r_max also rewards being faster than the reference.
    """
    # algoperf = mean over problems of (r_max - r) / (r_max - r_min), log_area the same of log r; r within the limits
    if not 0 < r_min < r_max:
        raise ValueError(f"r_min {r_min}, r_max {r_max}: must be 0 < r_min < r_max")
    keys = columns_of(problem)
    times = _times(hits, entrant, keys)
    ratios = _ratios(times.to_numpy()[None], _fixed(times, reference))
    draws = _resampled(hits, times, entrant, keys, reference, seed)
    table = pd.DataFrame({entrant: times.columns})
    for name, logarithmic in (("algoperf", False), ("log_area", True)):
        table[name] = _area(ratios, r_min, r_max, logarithmic)[0]
        low, high = limits(_area(draws, r_min, r_max, logarithmic), confident(confidence))
        table[f"{name}_low"], table[f"{name}_high"] = np.minimum(low, table[name]), np.maximum(high, table[name])
    alone = table[entrant].isin(_alone(hits, entrant))
    of_interval = [name for name in table if str(name).endswith(("_low", "_high"))]
    table[of_interval] = table[of_interval].mask(alone)
    table["reached"], table["n_problems"] = np.isfinite(ratios[0]).mean(axis=0), len(times)
    table["note"] = few(hits, [*keys, entrant])
    return table.sort_values(["algoperf", entrant], ascending=[False, True], ignore_index=True)


def _area(ratios: np.ndarray, r_min: float, r_max: float, logarithmic: bool) -> np.ndarray:
    """The mean over problems of the share of [r_min, r_max] that lies above each ratio: shape (n_draws, n_entrants)."""
    r, ends = np.clip(ratios, r_min, r_max), np.array([r_min, r_max])
    if logarithmic:
        r, ends = np.log(r), np.log(ends)
    area: np.ndarray = ((ends[1] - r) / (ends[1] - ends[0])).mean(axis=1)
    return area


def _alone(hits: pd.DataFrame, entrant: str) -> set[object]:
    """The entrants with a single run on each problem, which have no interval."""
    most = hits.groupby(["dataset", entrant])["seed"].nunique().groupby(entrant).max()
    return set(most.index[most == 1])


def _times(hits: pd.DataFrame, entrant: str, keys: list[str]) -> pd.DataFrame:
    """The median time of each entrant (columns) to the target of each problem (rows); inf where it is not reached."""
    require(hits, *keys, "dataset", "seed", entrant, "time", "reached")
    rows = {}
    for key, group in hits.groupby(keys if len(keys) > 1 else keys[0], sort=True):
        rows[key] = {name: _of_group(part, np.ones((1, len(part))))[0] for name, part in group.groupby(entrant)}
    table = pd.DataFrame.from_dict(rows, orient="index").sort_index(axis=1).rename_axis(columns=entrant)
    table.index = table.index.set_names(keys)
    return complete(table, "profiles")


def _of_group(rows: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    return median_time(rows["time"].to_numpy(dtype=float), rows["reached"].to_numpy(dtype=bool), weights)


def median_time(time: np.ndarray, reached: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The time at which the Kaplan-Meier curve first falls to one half, for each row of weights: shape (n_draws,).

    time, reached: shape (n,). weights: how often each run is in each draw, shape (n_draws, n). inf where the curve
    stays above one half. With all weights 1 this is the estimate of `time_to_target`.
    """
    # S(t) = prod over hits until t of (1 - w / n), with n the weight of those at risk; of equal times, hits come first
    order = np.lexsort((~reached, time))
    w = weights[:, order].astype(float)
    at_risk = np.cumsum(w[:, ::-1], axis=1)[:, ::-1]
    share = np.cumprod(1 - w * reached[order] / np.where(at_risk > 0, at_risk, 1.0), axis=1)
    below = share <= 0.5 + 1e-12
    return np.where(below.any(axis=1), time[order][below.argmax(axis=1)], np.inf)


def _resampled(
    hits: pd.DataFrame, times: pd.DataFrame, entrant: str, keys: list[str], reference: str | pd.Series | None, seed: int
) -> np.ndarray:
    """The ratios in each draw of the bootstrap: shape (RESAMPLES, n_problems, n_entrants)."""
    rng = np.random.default_rng(seed)
    draws = np.empty((RESAMPLES, *times.shape))
    for _, runs in hits.groupby("dataset", sort=True):
        weights = drawn(runs, entrant, rng)
        positions = runs.reset_index(drop=True).groupby([*keys, entrant], sort=True).indices
        for key, rows in positions.items():
            i = times.index.get_loc(key[:-1] if len(keys) > 1 else key[0])
            j = times.columns.get_loc(key[-1])
            draws[:, i, j] = _of_group(runs.iloc[rows], weights[:, rows])
    if isinstance(reference, str):
        return _ratios(draws, draws[:, :, times.columns.get_loc(reference)])
    return _ratios(draws, _fixed(times, reference))


def _ratios(times: np.ndarray, reference: np.ndarray | None) -> np.ndarray:
    """times (n_draws, n_problems, n_entrants) over reference times (..., n_problems), or over those of the fastest."""
    base = times.min(axis=2) if reference is None else np.broadcast_to(reference, times.shape[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = times / base[:, :, None]
    return np.where(np.isinf(times), np.inf, np.where(times == base[:, :, None], 1.0, ratio))


def _fixed(times: pd.DataFrame, reference: str | pd.Series | None) -> np.ndarray | None:
    """The reference time of each problem; None for that of the fastest."""
    if reference is None:
        return None
    if isinstance(reference, str):
        stored = times[one_of("reference", reference, times.columns)]
    else:
        stored = reference.reindex(times.index)
    if not np.isfinite(stored).all():
        problem = stored[~np.isfinite(stored)].index[0]
        raise NotGiven(f"the reference has no finite time on {_named(times, problem)}")
    fixed: np.ndarray = stored.to_numpy(dtype=float)
    return fixed


def _named(times: pd.DataFrame, problem: object) -> str:
    parts = problem if isinstance(problem, tuple) else (problem,)
    return ", ".join(f"{name} {part}" for name, part in zip(times.index.names, parts, strict=True))
