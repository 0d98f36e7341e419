"""Which learning rate is best, on which seeds was it chosen, after how many trials, and how much does it matter?

A cell is one setting: one lr of one optimizer on one data set. Cells are compared by their median over the tuning
seeds, and the chosen cells are reported on held-out seeds. No seed is used for both.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import WORST, columns_of, levels, one_of, require
from descent_lab.analysis.statistics.seeds import joined, sorted_groups, summarise
from descent_lab.errors import NotGiven

CELLS = ("dataset", "optimizer")


def tuning_cells(
    runs: pd.DataFrame,
    value: str,
    tuning_seeds: Collection[int],
    by: Sequence[str] = CELLS,
    better: str = "lower",
    setting: str = "lr",
) -> pd.DataFrame:
    """The median of each setting on the tuning seeds: `*by, <setting>, n, diverged, estimate, low, high, ..., mean`."""
    cell = [*columns_of(by), setting]
    means = centres(runs, value, tuning_seeds, by, better, setting).drop(columns="estimate")
    used = runs[runs["seed"].isin(list(tuning_seeds))]
    return summarise(used, cell, value, better=better).merge(means, on=cell)


def centres(
    runs: pd.DataFrame,
    value: str,
    tuning_seeds: Collection[int],
    by: Sequence[str] = CELLS,
    better: str = "lower",
    setting: str = "lr",
) -> pd.DataFrame:
    """The values that `best_setting` compares, without intervals: `*by, <setting>, estimate` (the median), `mean`."""
    cell = [*columns_of(by), setting]
    require(runs, *cell, "seed", value)
    used = runs["seed"].isin(list(tuning_seeds)).to_numpy()
    if not used.any():
        raise NotGiven(f"no run has a tuning seed: {sorted(tuning_seeds)} of {sorted(runs['seed'].unique())}")
    grouped = runs.loc[used, cell].assign(level=levels(runs, value, better)[used]).groupby(cell, dropna=False)["level"]
    return grouped.agg(estimate="median", mean="mean").reset_index()


def centres_by_fold(
    runs: pd.DataFrame,
    value: str,
    folds: Sequence[Collection[int]],
    by: Sequence[str] = CELLS,
    better: str = "lower",
    setting: str = "lr",
) -> pd.DataFrame:
    """The median of each setting on the seeds of each fold: `*by, <setting>, fold, estimate`.

    Settings that have no run on the seeds of a fold have no row for it.
    """
    cell = [*columns_of(by), setting]
    require(runs, *cell, "seed", value)
    x, seed = levels(runs, value, better), runs["seed"].to_numpy()
    inside = np.array([np.isin(seed, list(fold)) for fold in folds])
    groups = [
        (key, {"fold": np.arange(len(folds)), "estimate": _medians(x[index], inside[:, index])})
        for key, index in sorted_groups(runs, cell)
    ]
    return joined(cell, groups).dropna(subset="estimate", ignore_index=True)


def _medians(x: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The median of the x, (n,), that are inside, for each row of `inside`, (n_rows, n); NaN where none is."""
    n, ordered = inside.sum(axis=1), np.sort(np.where(inside, x, np.nan), axis=1)  # NaN comes last
    middle = np.stack([(n - (n > 0)) // 2, n // 2], axis=1)
    below, above = np.take_along_axis(ordered, middle, axis=1).T
    return np.asarray(np.where(below == above, below, below / 2 + above / 2))


def best_setting(
    cells: pd.DataFrame,
    by: Sequence[str] = CELLS,
    better: str = "lower",
    setting: str = "lr",
    then: Sequence[str] = (),
) -> pd.DataFrame:
    """The best cell of each group, as a row of `tuning_cells` or `centres`.

    Of cells with equal medians (such as losses of 0 on most seeds) the one with the better `mean` is best, if there is
    this column, then the one that is better in the columns `then`, and then the one with the smallest setting.
    """
    keys = columns_of(by)
    require(cells, *keys, setting, "estimate", *then)
    one_of("better", better, WORST)
    criteria = [*(name for name in ("estimate", "mean") if name in cells), *then]
    ascending = [True] * len(keys) + [better == "lower"] * len(criteria) + [True]
    return cells.sort_values([*keys, *criteria, setting], ascending=ascending).drop_duplicates(keys, ignore_index=True)


def best_of_k(
    trials: pd.DataFrame,
    by: Sequence[str] = CELLS,
    value: str = "estimate",
    report: str = "held_out",
    better: str = "lower",
    replacement: bool = False,
) -> pd.DataFrame:
    """The result of k random trials of a grid: `*by, k, n_trials, expected, median`, for k = 1, ..., n_trials.

    trials: one row per trial (a cell). Of k trials the one with the best `value` is chosen, and its `report` counts:
    its score on seeds on which it was not chosen. The score by which it was chosen would look better the more are
    tried, even if all trials were equal. A diverged trial has an infinite score; one that was not run on other seeds
    has none (NaN), and then there is no result: NotGiven.
    replacement: False draws k different trials, as in a grid search that stops early; True draws with replacement
    (Dodge et al. 2019). The result is exact, over all possible draws.
    A diverged trial makes `expected` infinite as long as it can be the best of k; draw the `median` then.
    """
    keys = columns_of(by)
    require(trials, *keys, value)
    if report not in trials or (missing := int(trials[report].isna().sum())):
        lacking = f"{missing} of {len(trials)} trials" if report in trials else "all trials"
        raise NotGiven(f"{lacking} lack a score on seeds that they were not chosen on (column {report!r})")
    worst = WORST[one_of("better", better, WORST)]
    ordered = trials.sort_values(value, ascending=better == "lower", na_position="last", kind="stable")
    outcomes = ordered[report].to_numpy(dtype=float)
    outcomes = np.where(np.isfinite(outcomes), outcomes, worst)
    groups = []
    for key, index in sorted_groups(ordered, keys):
        n, outcome = len(index), outcomes[index]
        share = _share_best(n, replacement)
        columns = {"k": np.arange(1, n + 1), "n_trials": np.full(n, n)}
        columns |= {"expected": _expected(share, outcome), "median": _weighted_median(share, outcome)}
        groups.append((key, columns))
    return joined(keys, groups)


@lru_cache(maxsize=64)
def _share_best(n: int, replacement: bool) -> np.ndarray:
    """P(the i-th best of n trials is the best of k drawn trials): shape (n, n), k by i."""
    # none of k trials is among the i best:  q_k(i) = (1 - i / n)^k, or C(n - i, k) / C(n, k)
    # the i-th best is the best of k:        P = q_k(i - 1) - q_k(i)
    i, k = np.arange(n + 1)[None, :], np.arange(1, n + 1)[:, None]
    if replacement:
        none = (1 - i / n) ** k
    else:  # C(n - i, k) / C(n, k) = prod_{j < k} (n - i - j) / (n - j)
        j = k - 1
        none = np.cumprod(np.maximum(n - i - j, 0) / (n - j), axis=0)
    share: np.ndarray = none[:, :-1] - none[:, 1:]
    return share


def _expected(share: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    possible = share > 1e-15
    expected: np.ndarray = np.where(possible, share * np.where(possible, outcome, 0.0), 0.0).sum(axis=1)
    return expected


def _weighted_median(share: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    order = np.argsort(outcome, kind="stable")
    reached = np.cumsum(share[:, order], axis=1) >= 0.5 - 1e-12
    medians: np.ndarray = outcome[order][reached.argmax(axis=1)]
    return medians


def sensitivity(
    cells: pd.DataFrame,
    by: Sequence[str] = CELLS,
    factor: float = 2.0,
    better: str = "lower",
    setting: str = "lr",
) -> pd.DataFrame:
    """How much the setting matters: `*by, n_grid, best, share, lowest, highest, decades`.

    - share: the fraction of the grid whose median is within `factor` of the best: loss <= factor * best, or
      score >= best / factor.
    - lowest, highest: the ends of the unbroken range of settings around the best for which that holds, within the grid.
    - decades: the width of that range in powers of ten.

    Values must not be negative. If the best is 0, only other zeros are within any factor of it.
    """
    keys = columns_of(by)
    require(cells, *keys, setting, "estimate")
    if factor < 1:
        raise ValueError(f"factor {factor}: must be 1 or more")
    one_of("better", better, WORST)
    rows = []
    for key, index in sorted_groups(cells, keys):
        grid = cells.iloc[index].sort_values(setting)
        x = grid["estimate"].to_numpy(dtype=float)
        if (x[np.isfinite(x)] < 0).any():
            raise NotGiven(f"column 'estimate': {x.min():g} is negative, so no factor of it says anything")
        tuned = _range(grid[setting].to_numpy(dtype=float), -x if better == "higher" else x, factor, better)
        rows.append(dict(zip(keys, key, strict=True)) | tuned)
    return pd.DataFrame(rows)


def _range(grid: np.ndarray, x: np.ndarray, factor: float, better: str) -> dict[str, float]:
    """The columns of `sensitivity` but the key. x: signed so that lower is better; inf where a setting diverged."""
    best = int(np.argmin(x))
    near = np.isfinite(x) & (x <= (x[best] * factor if better == "lower" else x[best] / factor))
    row: dict[str, float] = {"n_grid": len(grid), "best": grid[best], "share": float(near.mean())}
    if not near.any():
        return row | {"lowest": np.nan, "highest": np.nan, "decades": 0.0}
    far = np.flatnonzero(~near)
    lowest = grid[far[far < best].max(initial=-1) + 1]
    highest = grid[far[far > best].min(initial=len(grid)) - 1]
    return row | {"lowest": lowest, "highest": highest, "decades": float(np.log10(highest / lowest))}
