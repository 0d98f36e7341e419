"""Do runs that differ only in their backend follow the same curve?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import columns_of, require

FIRST = 200  # steps during which rounding errors stay small, unless training is chaotic
TOLERANCE = 1e-10  # relative difference


def agreement(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    by: str | Sequence[str],
    apart: str = "backend",
    reference: str = "numpy",
    metric: str = "train/loss",
) -> pd.DataFrame:
    """Compare each value of the column `apart` with the reference, within each group of `by`.

    Gives `*by, <apart>, against, n, records, first, all, parts_at`. Runs are paired if `by`, `lr` and `seed` are equal,
    and are compared at the steps that both recorded.

    - against: the reference; in a group without it, the first value of `apart`. Groups of one value give no row.
    - n: the number of pairs. records: the number of values compared.
    - first, all: the largest |a - b| / |b| in the first FIRST steps, and in all steps; infinite where only one of a and
      b is finite.
    - parts_at: the first step at which a pair differs by more than TOLERANCE; missing where none does.
    """
    keys = columns_of(by)
    require(runs, "run_id", "lr", "seed", apart, *keys)
    several = runs[runs.groupby(keys, dropna=False)[apart].transform("nunique") > 1]
    if several.empty:
        return pd.DataFrame()
    named = several[["run_id", *keys, "lr", "seed", apart]]
    require(curves, "run_id", "step", "metric", "value")
    records = curves.loc[curves["metric"] == metric, ["run_id", "step", "value"]].merge(named, on="run_id")
    first = several.sort_values(apart, key=lambda names: names.where(names != reference, ""))
    against = first.groupby(keys, dropna=False)[apart].first()
    records = records.merge(against.rename("against").reset_index(), on=keys)
    is_reference = records[apart] == records["against"]
    same = [*keys, "lr", "seed", "step"]
    paired = records[~is_reference].merge(records.loc[is_reference, [*same, "value"]], on=same, suffixes=("", "_b"))
    paired = paired.assign(apart=_relative(paired["value"].to_numpy(float), paired["value_b"].to_numpy(float)))
    rows = []
    for key, pairs in paired.groupby([*keys, apart, "against"], sort=True, dropna=False):
        early, parted = pairs["step"] <= FIRST, pairs["apart"] > TOLERANCE
        columns = {
            "n": pairs["run_id"].nunique(),
            "records": len(pairs),
            "first": pairs.loc[early, "apart"].max(),
            "all": pairs["apart"].max(),
            "parts_at": pairs.loc[parted, "step"].min(),
        }
        rows.append(dict(zip([*keys, apart, "against"], key, strict=True)) | columns)
    return pd.DataFrame(rows)


def _relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| / |b|; 0 where a and b are equal, or neither is finite; infinite where one of them is finite."""
    neither = ~np.isfinite(a) & ~np.isfinite(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(a - b) / np.abs(b)
    return np.where(neither | (a == b), 0.0, np.where(np.isfinite(a) & np.isfinite(b), ratio, np.inf))
