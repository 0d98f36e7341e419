"""Over many problems, how close is each entrant to the fastest? Performance profiles and their score."""

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import complete, once, one_of, require


def performance_ratios(
    times: pd.DataFrame,
    entrant: str = "optimizer",
    problem: str = "dataset",
    time: str = "estimate",
    reference: str | pd.Series | None = None,
) -> pd.DataFrame:
    """Each time over that of the problem's yardstick: `<problem>, <entrant>, ratio`; inf where never reached.

    times: one row per entrant and problem, such as `time_to_target` gives. The yardstick is the fastest
    entrant (Dolan & More 2002), or, with `reference`, a named entrant or stored times (a Series indexed by
    problem): then no ratio moves when an entrant is added, and ratios below 1 beat the reference.
    """
    single = once(require(times, problem, entrant, time), [problem, entrant])
    table = complete(single.pivot(index=problem, columns=entrant, values=time), "profiles")
    yardstick = _yardstick(table, reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = table.to_numpy() / yardstick[:, None]
    ratio = np.where(np.isinf(table), np.inf, np.where(table.eq(yardstick, axis=0), 1.0, ratio))
    wide = pd.DataFrame(ratio, table.index, table.columns)
    return wide.reset_index().melt(problem, var_name=entrant, value_name="ratio")


def _yardstick(table: pd.DataFrame, reference: str | pd.Series | None) -> np.ndarray:
    if reference is None:
        return table.min(axis=1).to_numpy()
    stored = table[one_of("reference", reference, table.columns)] if isinstance(reference, str) else reference
    stated = stored.reindex(table.index)
    if not np.isfinite(stated).all():
        raise ValueError(
            f"the reference has no finite time on {table.index.name} {stated[~np.isfinite(stated)].index[0]}"
        )
    return stated.to_numpy(dtype=float)


def performance_profile(ratios: pd.DataFrame, entrant: str = "optimizer") -> pd.DataFrame:
    """rho(tau), the share of problems solved within tau times the yardstick: `<entrant>, tau, share`.

    One row per distinct finite ratio of any entrant: a step function, right-continuous.
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
    """Area under the profile over log tau: `<entrant>, score, solved, n_problems`, best first.

    AlgoPerf's benchmark score (Dahl et al. 2023) on the log scale, from r_min to r_max, normalised to [0, 1],
    exact rather than on a grid: 1 for the fastest everywhere, 0 for r_max times slower or never. With a fixed
    reference, r_min = 1 / r_max also credits what is faster than the reference, which then scores 1/2.
    """
    # score = mean over problems of (log r_max - log r) / (log r_max - log r_min), r clipped to [r_min, r_max]
    require(ratios, entrant, "ratio")
    if not 0 < r_min < r_max:
        raise ValueError(f"r_min {r_min}, r_max {r_max}: must be 0 < r_min < r_max")
    area = np.log(r_max / ratios["ratio"].clip(r_min, r_max)) / np.log(r_max / r_min)
    table = ratios.assign(score=area, solved=ratios["ratio"] <= r_max).groupby(entrant, sort=True)
    scored = table.agg(score=("score", "mean"), solved=("solved", "sum"), n_problems=("ratio", "size")).reset_index()
    return scored.sort_values(["score", entrant], ascending=[False, True], ignore_index=True)
