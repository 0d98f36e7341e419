"""Do runs that differ in their backend alone follow the same curve?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import columns_of, require

FIRST = 200  # steps in which rounding has not grown yet, wherever training is not chaotic
TOLERANCE = 1e-10  # relative


def agreement(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    by: str | Sequence[str],
    apart: str = "backend",
    reference: str = "numpy",
    metric: str = "train/loss",
) -> pd.DataFrame:
    """Each value of `apart` against the reference: `*by, <apart>, against, n, records, first, all, parts_at`.

    Runs are paired where all of `by`, `lr` and `seed` are equal, and compared wherever both recorded. n: pairs; first
    and all: the largest |a - b| / |b| in the first FIRST steps, and in all; infinite where one is finite alone.
    parts_at: the first step at which a pair differs by more than TOLERANCE; missing where none does. Without the
    reference in a group, the first value of `apart` there takes its place; groups of one value give no row.
    """
    keys = columns_of(by)
    require(curves, "run_id", "step", "metric", "value")
    require(runs, "run_id", "lr", "seed", apart, *keys)
    several = runs[runs.groupby(keys, dropna=False)[apart].transform("nunique") > 1]
    named = several[["run_id", *keys, "lr", "seed", apart]]
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
        found = {
            "n": pairs["run_id"].nunique(),
            "records": len(pairs),
            "first": pairs.loc[early, "apart"].max(),
            "all": pairs["apart"].max(),
            "parts_at": pairs.loc[parted, "step"].min(),
        }
        rows.append(dict(zip([*keys, apart, "against"], key, strict=True)) | found)
    return pd.DataFrame(rows)


def _relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| / |b|; 0 where both are equal, or neither is finite."""
    neither = ~np.isfinite(a) & ~np.isfinite(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(a - b) / np.abs(b)
    return np.where(neither | (a == b), 0.0, np.where(np.isfinite(a) & np.isfinite(b), found, np.inf))
