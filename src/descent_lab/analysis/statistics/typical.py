"""What does an entrant reach? The typical value of its runs, which orders entrants as their pairs do."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.comparable import DIVERGED
from descent_lab.analysis.statistics.frames import columns_of, confident, one_of, require
from descent_lab.analysis.statistics.hodges_lehmann import Middle
from descent_lab.analysis.statistics.intervals import shortfall
from descent_lab.analysis.statistics.means import Mean
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.wording import counted

SCALES = ("log", "linear")
WAYS = {
    ("blocks", "log"): "geometric mean",
    ("blocks", "linear"): "mean",
    ("seeds", "log"): "Hodges-Lehmann median of logarithms",
    ("seeds", "linear"): "Hodges-Lehmann median",
}


def typical(runs: pd.DataFrame, by: str | Sequence[str], scale: str = "log", confidence: float = 0.95) -> pd.DataFrame:
    """One row per group of `by`: `*by, n, diverged, estimate, low, high, method, note`, sorted by `by`.

    runs: as `comparable` gives them, with the column `block` where settings were chosen in several blocks of seeds.

    - Several blocks: the mean over blocks of the mean level of each, with Student's interval over blocks. It includes
      the variance of tuning.
    - One block: the Hodges-Lehmann median of the levels, with the interval of the signed-rank test, over seeds.

    On the log scale both are turned back into values. A diverged run counts as its start, as it does in pairs.
    """
    keys = columns_of(by)
    require(runs, *keys, "level", "counted_as")
    one_of("scale", scale, SCALES)
    level, level_of_test = runs["level"].to_numpy(dtype=float), 1 - confident(confidence)
    diverged = (runs["counted_as"] == DIVERGED).to_numpy()
    block = runs["block"].to_numpy() if "block" in runs.columns else np.zeros(len(runs), dtype=int)
    rows = []
    for key, index in sorted_groups(runs, keys):
        means = pd.Series(level[index]).groupby(block[index]).mean().to_numpy()
        unit = "blocks" if len(means) > 1 else "seeds"
        evidence = Mean([means]) if unit == "blocks" else Middle([np.sort(level[index])])
        ends = np.array([evidence.estimate, *evidence.interval(level_of_test)])
        ends[~np.isfinite(ends)] = np.nan
        with np.errstate(over="ignore"):  # an end beyond the largest number is infinite
            estimate, low, high = np.exp(ends) if scale == "log" else ends
        note = (
            ""
            if unit == "blocks" or not np.isnan(low)
            else shortfall(len(index), confidence) or f"{counted(len(index), 'seed')}: too few for an interval"
        )
        row = {"n": len(index), "diverged": int(diverged[index].sum()), "estimate": estimate, "low": low, "high": high}
        rows.append(dict(zip(keys, key, strict=True)) | row | {"method": WAYS[unit, scale], "note": note})
    return pd.DataFrame(rows)
