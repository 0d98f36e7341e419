"""Which value of a run is compared? One that is finite for every run, also for those that diverged.

On the `log` scale (losses) differences of levels are log ratios; on the `linear` scale (scores such as accuracy) they
are differences. No run may count as better for having ended badly, and no single run may decide a comparison by being
immeasurably good or bad:

- a run that diverged counts as its own start, the value at step 0;
- so does a run that ends worse than it started;
- on the `log` scale a loss below eps x (the median start of its problem) counts as that much, with eps of the run's
  dtype: smaller losses are rounding errors.
"""

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import WORST, columns_of, one_of, require
from descent_lab.errors import NotGiven

SCALES = ("log", "linear")
DIVERGED, WORSE, FLOORED = "diverged", "worse than its start", "below the floor"


def starts(curves: pd.DataFrame, metric: str = "train/loss") -> pd.Series:
    """The value of a metric at step 0 of each run, indexed by `run_id`."""
    require(curves, "run_id", "step", "metric", "value")
    first = curves[(curves["metric"] == metric) & (curves["step"] == 0)]
    return first.drop_duplicates("run_id").set_index("run_id")["value"].rename("start")


def comparable(
    runs: pd.DataFrame, value: str, better: str = "lower", scale: str = "log", start: str = "start"
) -> pd.DataFrame:
    """`runs` with the columns `level`, `counted_as` and `resolution`.

    runs: columns `dataset`, `value` and `start` (the same metric at step 0, see `starts`); `status` and `dtype`
    (float64 where there is no such column). A start that is missing or not finite is replaced by the median of its
    problem.

    - level: the logarithm of the value, or the value itself on the linear scale. Always finite.
    - counted_as: why another value was put in its place: DIVERGED, WORSE, FLOORED, or "" where none was.
    - resolution: levels that differ by less than this are equal but for rounding: sqrt(eps) of the dtype, times the
      largest absolute value of the problem on the linear scale.

    Raises NotGiven on the log scale for a problem with negative values, or whose start is not positive.
    """
    require(runs, "dataset", value, start)
    one_of("scale", scale, SCALES)
    one_of("better", better, WORST)
    x, begin = runs[value].to_numpy(dtype=float), _starts(runs, start)
    diverged = ~np.isfinite(x)
    if "status" in runs.columns:
        diverged = diverged | (runs["status"] == DIVERGED).to_numpy()
    worse = ~diverged & ((x > begin) if better == "lower" else (x < begin))
    counted_as = np.select([diverged, worse], [DIVERGED, WORSE], "").astype(object)
    x = np.where(counted_as != "", begin, x)
    eps = _eps(runs)
    if scale == "linear":
        largest = pd.Series(np.abs(x), index=runs.index).groupby(runs["dataset"]).transform("max").to_numpy()
        return runs.assign(level=x, counted_as=counted_as, resolution=np.sqrt(eps) * largest)
    floor = eps * pd.Series(begin, index=runs.index).groupby(runs["dataset"]).transform("median").to_numpy()
    _positive(runs, value, np.where(counted_as != "", 0.0, x), floor)
    counted_as[x < floor] = FLOORED
    return runs.assign(level=np.log(np.maximum(x, floor)), counted_as=counted_as, resolution=np.sqrt(eps))


def with_diverged_blocks(runs: pd.DataFrame, absent: pd.DataFrame, entrant: str = "entrant") -> pd.DataFrame:
    """`runs`, and diverged ones for the blocks in which an entrant diverged at every setting, and so has none.

    Without them the entrant would be judged on its better blocks only.

    runs: `dataset, block, seed, status`, `entrant`. absent: the `dataset`, `entrant` and `block` of such blocks. Each
    gets a diverged run without `run_id` and values on every seed of the block. Entrants without any run on a problem
    get none.
    """
    parts = [runs]
    for row in absent.itertuples():
        on_problem = runs[runs["dataset"] == row.dataset]
        own = on_problem[on_problem[entrant] == getattr(row, entrant)]
        seeds = on_problem.loc[on_problem["block"] == row.block, "seed"].unique()
        if len(own) and len(seeds):
            kept = ["dataset", "data", entrant, "dtype"]
            like = own.iloc[[0] * len(seeds)][[name for name in kept if name in own]]
            parts.append(like.assign(block=row.block, seed=seeds, status=DIVERGED))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else runs


def counted_otherwise(runs: pd.DataFrame, by: str | list[str]) -> pd.DataFrame:
    """How many runs of `comparable` count as another value: `*by, n, diverged, worse, floored`, one row per group."""
    keys = columns_of(by)
    require(runs, *keys, "counted_as")
    reasons = {"diverged": DIVERGED, "worse": WORSE, "floored": FLOORED}
    counts = runs[keys].assign(n=1, **{name: runs["counted_as"] == reason for name, reason in reasons.items()})
    return counts.groupby(keys, sort=True, dropna=False, observed=True).sum().astype(int).reset_index()


def _starts(runs: pd.DataFrame, start: str) -> np.ndarray:
    """The start of each run (n_runs,), or the median of its problem where it has no finite one."""
    begin = runs[start].astype(float).where(np.isfinite(runs[start].astype(float)))
    begin = begin.fillna(begin.groupby(runs["dataset"]).transform("median"))
    if begin.isna().any():
        raise NotGiven(f"column {start!r}: no run on {runs.loc[begin.isna(), 'dataset'].iloc[0]} has a finite start")
    return np.asarray(begin)


def _eps(runs: pd.DataFrame) -> np.ndarray:
    """The relative spacing of the floating-point numbers of each run (n_runs,)."""
    names = runs["dtype"] if "dtype" in runs.columns else pd.Series("float64", index=runs.index)
    return np.asarray(names.map(lambda name: np.finfo(str(name)).eps), dtype=float)


def _positive(runs: pd.DataFrame, value: str, x: np.ndarray, floor: np.ndarray) -> None:
    if (bad := floor <= 0).any():
        raise NotGiven(f"column {value!r}: the start on {runs.loc[bad, 'dataset'].iloc[0]} has no logarithm")
    if (bad := x < -floor).any():
        raise NotGiven(f"column {value!r}: {x[bad].min():g} has no logarithm; use scale='linear'")
