"""Differences between two entrants on the same problem: of each seed, and of each block of replicated tuning.

In block r every entrant is tuned anew, on the seeds T_r, and the setting that won is judged on the held-out seeds H_r,
which are the same for all entrants and belong to no other block. The mean of a block,

    D_r = mean over H_r of (level_a - level_b),

therefore varies from block to block by the luck of tuning as well as by the luck of the seeds, and blocks are
independent of one another (Bouthillier et al. 2021). A verdict over blocks is about the optimizer with its tuning; one
over the seeds of one block is about the settings that happened to be chosen.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import once, require
from descent_lab.errors import NotGiven

PAIR = ["a", "b"]
UNIT = ["dataset", "block"]


def differences(
    runs: pd.DataFrame, entrant: str = "entrant", pairs: Iterable[Sequence[object]] | None = None
) -> pd.DataFrame:
    """level_a - level_b on every seed that a and b share: `dataset, data, a, b, block, seed, d, resolution`.

    runs: as `comparable` gives them, with one run for each dataset, block, seed and entrant. `block` is 0 where there
    is no such column, and `data`, the data set of which a problem is a variant, is the problem itself.
    pairs: (a, b) to compare; None: all pairs of entrants, in sorted order. Pairs that share no seed have no rows.
    """
    runs = _with_columns(require(runs, "dataset", "seed", entrant, "level", "resolution"))
    keys = ["dataset", "data", "block", "seed"]
    wide = once(runs, [*keys, entrant]).pivot(index=keys, columns=entrant, values="level")
    if wide.shape[1] < 2:
        raise NotGiven(f"column {entrant!r}: a comparison needs 2 entrants, found {list(wide.columns)}")
    resolution = runs.groupby("dataset")["resolution"].max().reindex(wide.index.get_level_values("dataset"))
    index, parts = wide.index.to_frame(index=False), []
    for a, b in combinations(wide.columns, 2) if pairs is None else pairs:
        d = wide[a].to_numpy() - wide[b].to_numpy()
        shared = ~np.isnan(d)
        parts.append(index[shared].assign(a=a, b=b, d=d[shared], resolution=resolution.to_numpy()[shared]))
    table = pd.concat(parts, ignore_index=True)
    return table[["dataset", "data", *PAIR, "block", "seed", "d", "resolution"]]


def _with_columns(runs: pd.DataFrame) -> pd.DataFrame:
    missing = {"block": 0, "data": runs["dataset"]}
    return runs.assign(**{name: value for name, value in missing.items() if name not in runs.columns})


def blocks(table: pd.DataFrame) -> pd.DataFrame:
    """D_r of every block: `dataset, data, a, b, block, n, d, within, resolution`, from `differences`.

    n: the number of shared seeds. d: their mean difference D_r. within: the variance of the differences within the
    block (n - 1 degrees of freedom), missing where n is 1.
    """
    keys = ["dataset", "data", *PAIR, "block"]
    grouped = require(table, *keys, "d", "resolution").groupby(keys, sort=True, observed=True)
    means = grouped.agg(n=("d", "size"), d=("d", "mean"), within=("d", "var"), resolution=("resolution", "max"))
    return means.reset_index()


def tuning_share(table: pd.DataFrame) -> pd.DataFrame:
    """How much of the variance of D is tuning, and how much is seeds? From `blocks`, one row per problem and pair.

    Gives `dataset, a, b, blocks, variance, seeds, tuning, share`.

    - variance: of D_r over blocks, R - 1 degrees of freedom.
    - seeds: what the variance would be if every block had the same settings: the mean over blocks of within / n.
    - tuning: the rest, max(0, variance - seeds); share: tuning / variance.

    The components of a one-way layout with random blocks (Searle, Casella & McCulloch 1992, section 3.6). With few
    blocks they are rough: a variance over 5 blocks has a relative standard error of 70 %. Missing for fewer than 2
    blocks, or where no block has 2 seeds.
    """
    parts = require(table, "dataset", *PAIR, "d", "n", "within").assign(seeds=table["within"] / table["n"])
    grouped = parts.groupby(["dataset", *PAIR], sort=True, observed=True)
    shares = grouped.agg(blocks=("d", "size"), variance=("d", "var"), seeds=("seeds", "mean")).reset_index()
    tuning = (shares["variance"] - shares["seeds"]).clip(lower=0.0)
    return shares.assign(tuning=tuning, share=(tuning / shares["variance"]).where(shares["variance"] > 0))
