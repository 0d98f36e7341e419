"""How close is each entrant to the fastest, over many problems? Performance profiles and their score."""

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import complete, once, one_of, require
from descent_lab.errors import NotGiven


def performance_ratios(
    times: pd.DataFrame,
    entrant: str = "optimizer",
    problem: str = "dataset",
    time: str = "estimate",
    reference: str | pd.Series | None = None,
) -> pd.DataFrame:
    """Each time divided by the reference time of its problem: `<problem>, <entrant>, ratio`; inf if never reached.

    times: one row per entrant and problem, such as `time_to_target` gives.
    reference: None takes the time of the fastest entrant on each problem (Dolan & More 2002). The name of an entrant,
    or stored times (a Series indexed by problem), keep all ratios as they are when an entrant is added; a ratio below 1
    is then faster than the reference.
    """
    single = once(require(times, problem, entrant, time), [problem, entrant])
    table = complete(single.pivot(index=problem, columns=entrant, values=time), "profiles")
    reference_times = _reference_times(table, reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = table.to_numpy() / reference_times[:, None]
    ratio = np.where(np.isinf(table), np.inf, np.where(table.eq(reference_times, axis=0), 1.0, ratio))
    wide = pd.DataFrame(ratio, table.index, table.columns)
    return wide.reset_index().melt(problem, var_name=entrant, value_name="ratio")


def _reference_times(table: pd.DataFrame, reference: str | pd.Series | None) -> np.ndarray:
    """The time that each row of the table, a problem, is divided by, (n_problems,)."""
    if reference is None:
        times = table.min(axis=1)
    else:
        stored = table[one_of("reference", reference, table.columns)] if isinstance(reference, str) else reference
        times = stored.reindex(table.index)
        if not np.isfinite(times).all():
            raise NotGiven(
                f"the reference has no finite time on {table.index.name} {times[~np.isfinite(times)].index[0]}"
            )
    reference_times: np.ndarray = times.to_numpy(dtype=float)
    return reference_times


def performance_profile(ratios: pd.DataFrame, entrant: str = "optimizer") -> pd.DataFrame:
    """rho(tau), the share of problems solved within tau times the reference time: `<entrant>, tau, share`.

    rho is a right-continuous step function, with one row for each different finite ratio of any entrant.
    """
    require(ratios, entrant, "ratio")
    tau = np.unique(ratios["ratio"][np.isfinite(ratios["ratio"])])
    parts = []
    for name, group in ratios.groupby(entrant, sort=True):
        share = np.searchsorted(np.sort(group["ratio"]), tau, side="right") / len(group)
        parts.append(pd.DataFrame({entrant: name, "tau": tau, "share": share}))
    return pd.concat(parts, ignore_index=True)


def profile_score(
    ratios: pd.DataFrame, entrant: str = "optimizer", r_max: float = 4.0, r_min: float = 1.0
) -> pd.DataFrame:
    """The area under the profile over log tau: `<entrant>, score, solved, n_problems`, best first.

    This is AlgoPerf's benchmark score (Dahl et al. 2023) on the log scale from r_min to r_max, normalised to [0, 1] and
    exact rather than on a grid: 1 for an entrant that is the fastest on every problem, 0 for one that is always r_max
    times slower or never arrives. With a fixed reference, r_min = 1 / r_max also rewards being faster than the
    reference, whose own score is then 1/2.
    """
    # score = mean over problems of (log r_max - log r) / (log r_max - log r_min), r clipped to [r_min, r_max]
    require(ratios, entrant, "ratio")
    if not 0 < r_min < r_max:
        raise ValueError(f"r_min {r_min}, r_max {r_max}: must be 0 < r_min < r_max")
    area = np.log(r_max / ratios["ratio"].clip(r_min, r_max)) / np.log(r_max / r_min)
    table = ratios.assign(score=area, solved=ratios["ratio"] <= r_max).groupby(entrant, sort=True)
    scored = table.agg(score=("score", "mean"), solved=("solved", "sum"), n_problems=("ratio", "size")).reset_index()
    return scored.sort_values(["score", entrant], ascending=[False, True], ignore_index=True)
