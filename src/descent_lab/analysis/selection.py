"""Chooses the lr at which each entrant is reported, on seeds on which it is then not reported."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics import best_setting, centres, held_out
from descent_lab.errors import NotGiven

KEYS = ("dataset", "entrant")
FOLDS = 10  # parts of the seeds; each part is reported at the lr that is best on the others
AS_GIVEN = "one lr each: nothing was chosen"
SAME = "lr chosen on the very seeds it is reported on: optimistic"


@dataclass(frozen=True)
class Selection:
    """The runs that are reported.

    runs: one row per problem, entrant and seed.
    chosen: `dataset, entrant, lr, share, how`: the lr that is reported on most seeds, the share of these seeds, and how
    it was chosen.
    tuning: the tuning seeds of each problem.
    """

    runs: pd.DataFrame
    chosen: pd.DataFrame
    tuning: dict[str, list[int]]


def select(runs: pd.DataFrame, value: str, tuning_seeds: Collection[int] | None = None) -> Selection:
    """Choose the lr of each entrant by the median of `value`, where lower is better, on each problem by itself.

    - If the store says which seeds were run for tuning (`tracking.phase`), the other seeds are held out. Otherwise
      seeds that were run at several lr are tuning seeds, and those run at one lr are held out.
    - If all seeds were run at all lr, each tenth of the seeds (or each seed) is reported at the lr that is best on the
      other seeds, so that no seed influences the lr at which it is reported.

    tuning_seeds: use these as tuning seeds; None: as above. Raises NotGiven if they leave nothing to report.
    """
    parts, tuning = [], {}
    for problem, group in runs.groupby("dataset", sort=True):
        reported_runs, seeds = _on_problem(group, value, tuning_seeds)
        parts.append(reported_runs)
        tuning[str(problem)] = sorted(seeds)
    reported = pd.concat(parts, ignore_index=True)
    return Selection(reported.drop(columns="how"), _chosen(reported), tuning)


def _on_problem(runs: pd.DataFrame, value: str, named: Collection[int] | None) -> tuple[pd.DataFrame, list[int]]:
    tuning = _tuning_seeds(runs)
    if named is not None:
        return _split(runs, value, sorted(set(named) & set(runs["seed"]))), list(named)
    if not tuning:
        return _without_choice(runs, value), tuning
    if set(runs["seed"]) - set(tuning):
        try:
            return _split(runs, value, tuning), tuning
        except NotGiven:  # the other seeds were not run at the lr that was chosen
            tuning = sorted(set(runs["seed"]))
    return _cross_validated(runs, value), tuning


def _tuning_seeds(runs: pd.DataFrame) -> list[int]:
    noted = runs.loc[runs["tracking.phase"] == "tuning", "seed"] if "tracking.phase" in runs else []
    if len(noted):
        return sorted(set(noted))
    several = runs.groupby(["entrant", "seed"])["lr"].nunique()
    return sorted(set(several[several > 1].index.get_level_values("seed")))


def _without_choice(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """One run per entrant and seed, all of the same lr: runs at an lr of their own on each seed make no choice."""
    if runs.groupby("entrant")["lr"].nunique().max() > 1:
        return _same(runs, value)
    return runs.assign(how=AS_GIVEN)


def _split(runs: pd.DataFrame, value: str, tuning: Collection[int]) -> pd.DataFrame:
    rest = sorted(set(runs["seed"]) - set(tuning))
    best = best_setting(centres(runs, value, tuning, KEYS), KEYS)
    how = f"lr chosen on seeds {_listed(tuning)}, reported on seeds {_listed(rest)}"
    return held_out(runs, best, tuning, rest, KEYS).assign(how=how)


def _cross_validated(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    seeds = sorted(set(runs["seed"]))
    n = min(FOLDS, len(seeds))
    parts = []
    for fold in (seeds[i::n] for i in range(n) if n > 1):
        others = [seed for seed in seeds if seed not in fold]
        best = best_setting(centres(runs, value, others, KEYS), KEYS)
        parts.append(runs[runs["seed"].isin(fold)].merge(best[[*KEYS, "lr"]], on=[*KEYS, "lr"]))
    how = f"each seed at the lr that is best on the other {len(seeds) - 1}"
    if n < len(seeds):
        how = f"each tenth of {len(seeds)} seeds at the lr that is best on the others"
    reported = pd.concat([*parts, runs.head(0)]).assign(how=how)
    others = runs[~runs["entrant"].isin(reported["entrant"])]
    return pd.concat([reported, _same(others, value)]) if len(others) else reported


def _same(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    best = best_setting(centres(runs, value, set(runs["seed"]), KEYS), KEYS)
    return runs.merge(best[[*KEYS, "lr"]], on=[*KEYS, "lr"]).assign(how=SAME)


def _chosen(reported: pd.DataFrame) -> pd.DataFrame:
    counts = reported.groupby([*KEYS, "lr"], sort=True).agg(n=("seed", "size"), how=("how", "first"))
    counts = counts.reset_index()
    counts["share"] = counts["n"] / counts.groupby(list(KEYS))["n"].transform("sum")
    top = counts.sort_values([*KEYS, "n", "lr"], ascending=[True, True, False, True]).drop_duplicates(list(KEYS))
    return top[[*KEYS, "lr", "share", "how"]].reset_index(drop=True)


def _listed(seeds: Collection[int]) -> str:
    """Seeds as text, such as `0-4, 7`."""
    ordered = np.array(sorted(seeds))
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run))
