"""Chooses the setting at which each entrant is reported, on seeds on which it is then not reported."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from descent_lab.analysis.measure import THEN_BY, TUNED_BY
from descent_lab.analysis.plans import latest_plan
from descent_lab.analysis.statistics import best_setting, centres
from descent_lab.errors import NotGiven
from descent_lab.tracking.study_record import StudyRecord

KEYS = ("dataset", "entrant")
IN_BLOCK = [*KEYS, "block"]
SETTING = ["setting", "lr", "place"]
THEN = {"estimate": "then_estimate", "mean": "then_mean"}  # the median and the mean of THEN_BY
NEEDED = [*KEYS, *SETTING, "seed", "status", "started", "tracking.phase", "tracking.tuning", TUNED_BY, THEN_BY]
FOLDS = 10  # parts of the seeds; each part is reported at the setting that is best on the others
AS_GIVEN = "one setting each: nothing was chosen"
SAME = "setting chosen on the very seeds it is reported on: optimistic"
DIVERGED = "diverged at every setting"
NOT_RUN = "its chosen setting has no run on a held-out seed"
Parts = tuple[pd.DataFrame, pd.DataFrame, list[int], int]  # runs to report, how chosen, tuning seeds, number of blocks


@dataclass(frozen=True)
class Selection:
    """The runs that are reported.

    runs: one row per problem, entrant and seed, with the block of the seed.
    by_block: `dataset, entrant, block, setting, lr, n, how`: the setting that was chosen in each block, the number of
    seeds that it is reported on, and how it was chosen. n is 0 for an entrant with nothing to report, and `how` says
    why.
    tuning: the tuning seeds of each problem. blocks: the number of blocks of each problem.
    """

    runs: pd.DataFrame
    by_block: pd.DataFrame
    tuning: dict[str, list[int]]
    blocks: dict[str, int]

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """`dataset, entrant, setting, lr, share, how`: the setting reported most, with its share of the seeds."""
        counts = self.by_block.groupby([*KEYS, "setting", "lr"], sort=True, dropna=False)
        counts = counts.agg(n=("n", "sum"), place=("place", "first"), how=("how", "first")).reset_index()
        total = counts.groupby(list(KEYS))["n"].transform("sum")
        counts["share"] = (counts["n"] / total.where(total > 0)).fillna(0.0)
        order = counts.sort_values([*KEYS, "n", "place"], ascending=[True, True, False, True])
        return order.drop_duplicates(list(KEYS))[[*KEYS, "setting", "lr", "share", "how"]].reset_index(drop=True)


def select(runs: pd.DataFrame, tuning_seeds: Collection[int] | None = None) -> Selection:
    """Choose the setting of each entrant by the median of TUNED_BY (`measure.tuned_by`), on each problem by itself.

    - Where runs say what the study planned (`tracking.tuning`), the setting is chosen in each block on its tuning seeds
      and reported on its held-out seeds.
    - Otherwise there is one block. If the store says which seeds were run for tuning (`tracking.phase`), the others are
      held out; if it does not, seeds that were run at several settings are tuning seeds, and the rest is held out.
    - An entrant without a run on a held-out seed falls back alone: each tenth of its seeds (or each seed) is reported
      at the setting that is best on the others, so that no seed influences the setting at which it is reported. So it
      is for all entrants where all seeds were run at all settings.
    - An entrant that diverged at every setting is not reported; `by_block` says so.

    tuning_seeds: one block with these tuning seeds; None: as above. Raises NotGiven if they leave nothing to report.
    """
    parts, chosen, tuning, blocks = [], [], {}, {}
    narrow = runs[[name for name in NEEDED if name in runs]].assign(row=np.arange(len(runs)))
    for problem, group in narrow.groupby("dataset", sort=True):
        reported, how, tuning[str(problem)], blocks[str(problem)] = _on_problem(group, tuning_seeds)
        parts.append(reported[["row", "block"]])
        chosen.append(how)
    rows = pd.concat(parts, ignore_index=True)
    reported = runs.take(rows["row"]).reset_index(drop=True).assign(block=rows["block"])
    return Selection(reported, pd.concat(chosen, ignore_index=True), tuning, blocks)


def _on_problem(runs: pd.DataFrame, named: Collection[int] | None) -> Parts:
    plan = latest_plan(runs) if named is None else None
    if plan is not None and plan.held_out_seeds:
        return _in_blocks(runs, plan)
    tuning = sorted(set(named)) if named is not None else _tuning_seeds(runs)
    if not tuning:
        reported = _without_choice(runs)
    else:
        reported = _held_out_or_folded(runs, tuning, named is not None)
        if not set(reported["seed"]) - set(tuning):  # no seed was held out: all took part in choosing
            tuning = sorted(set(runs["seed"]))
    reported = reported.assign(block=0)
    if reported.empty:
        raise NotGiven(f"no run on {runs['dataset'].iloc[0]} can be reported")
    return _told(runs, reported, tuning)


def _in_blocks(runs: pd.DataFrame, plan: StudyRecord) -> Parts:
    blocks = list(zip(plan.tuning_seeds, plan.held_out_seeds, strict=True))
    tuning = {seed: block for block, (seeds, _) in enumerate(blocks) for seed in seeds}
    held_out = {seed: block for block, (_, seeds) in enumerate(blocks) for seed in seeds}
    how = f"setting chosen on seeds {_listed(tuning)}, reported on seeds {_listed(held_out)}"
    if len(blocks) > 1:
        n, m = len(tuning) // len(blocks), len(held_out) // len(blocks)
        how = f"{len(blocks)} blocks of seeds: in each, the setting is chosen on {n} seeds and reported on {m} others"
    tried = runs[runs["seed"].isin(tuning)]
    if tried.empty:
        raise NotGiven(f"no run on {runs['dataset'].iloc[0]} has a tuning seed of its study")
    tried = tried.assign(block=tried["seed"].map(tuning))
    best = _best(tried, tuning, IN_BLOCK)
    judged = runs[runs["seed"].isin(held_out)]
    judged = judged.assign(block=judged["seed"].map(held_out).astype(int))
    usable = best[best["possible"]]
    reported = judged.merge(usable[[*IN_BLOCK, "place"]], on=[*IN_BLOCK, "place"])
    counts = reported.groupby(IN_BLOCK)["seed"].size().rename("n").reset_index()
    chosen = best.merge(counts, on=IN_BLOCK, how="left").fillna({"n": 0}).astype({"n": int})
    chosen = chosen.merge(tried.drop_duplicates(["entrant", "place"])[["entrant", *SETTING]], on=["entrant", "place"])
    missing = np.where(chosen["possible"], NOT_RUN, DIVERGED)
    chosen["how"] = np.where(chosen["n"] > 0, how, missing)
    return reported, chosen[[*IN_BLOCK, *SETTING, "n", "how"]], sorted(tuning), len(blocks)


def _told(runs: pd.DataFrame, reported: pd.DataFrame, tuning: list[int]) -> Parts:
    counts = reported.groupby([*KEYS, *SETTING], sort=True).agg(n=("seed", "size"), how=("how", "first"))
    absent = _absent(runs, reported, tuning or sorted(set(runs["seed"])))
    chosen = pd.concat([counts.reset_index(), *([absent] if len(absent) else [])]).assign(block=0)
    return reported.drop(columns="how"), chosen, tuning, 1


def _absent(runs: pd.DataFrame, reported: pd.DataFrame, tuning: Collection[int]) -> pd.DataFrame:
    """A row for each entrant that is not reported, with its best setting on the tuning seeds."""
    missing = runs[~runs["entrant"].isin(set(reported["entrant"])) & runs["seed"].isin(list(tuning))]
    if missing.empty:
        return missing
    best = _best(missing, tuning)
    how = np.where(best["possible"], NOT_RUN, DIVERGED)
    settings = missing.drop_duplicates([*KEYS, "place"])[[*KEYS, *SETTING]]
    return best[[*KEYS, "place"]].assign(n=0, how=how).merge(settings, on=[*KEYS, "place"])


def _tuning_seeds(runs: pd.DataFrame) -> list[int]:
    noted = runs.loc[runs["tracking.phase"] == "tuning", "seed"] if "tracking.phase" in runs else []
    if len(noted):
        return sorted(set(noted))
    several = runs.groupby(["entrant", "seed"])["place"].nunique()
    return sorted(set(several[several > 1].index.get_level_values("seed")))


def _without_choice(runs: pd.DataFrame) -> pd.DataFrame:
    """One run per entrant and seed, all of the same setting: runs at one of their own on each seed make no choice."""
    if runs.groupby("entrant")["place"].nunique().max() > 1:
        return _same(runs)
    return runs.assign(how=AS_GIVEN)


def _held_out_or_folded(runs: pd.DataFrame, tuning: list[int], strict: bool) -> pd.DataFrame:
    """Entrants on held-out seeds; those without a run on one by folds. strict: raise NotGiven where none has one."""
    rest = sorted(set(runs["seed"]) - set(tuning))
    how = f"setting chosen on seeds {_listed(tuning)}, reported on seeds {_listed(rest)}"
    reported = _split(runs, tuning, rest).assign(how=how)
    if reported.empty and strict:
        raise NotGiven(f"no chosen setting has a run on a seed other than {_listed(tuning)}")
    others = runs[~runs["entrant"].isin(set(reported["entrant"]))]
    diverged = _diverged(others, tuning)
    if reported.empty:
        diverged = set()  # nothing was held out for anybody
    others = others[~others["entrant"].isin(diverged)]
    return pd.concat([reported, *_cross_validated(others)]) if len(others) else reported


def _diverged(runs: pd.DataFrame, tuning: Collection[int]) -> set[str]:
    used = runs[runs["seed"].isin(list(tuning))]
    if used.empty:
        return set()
    best = _best(used, tuning)
    return set(best.loc[~best["possible"], "entrant"])


def _split(runs: pd.DataFrame, tuning: Collection[int], held_out: Collection[int]) -> pd.DataFrame:
    """The runs on held-out seeds, each at the setting that is best on the tuning seeds."""
    if not runs["seed"].isin(list(tuning)).any():
        raise NotGiven(f"no run on {runs['dataset'].iloc[0]} has a tuning seed ({_listed(tuning)})")
    best = _best(runs, tuning)
    best = best[best["possible"]]
    return runs[runs["seed"].isin(list(held_out))].merge(best[[*KEYS, "place"]], on=[*KEYS, "place"])


def _best(runs: pd.DataFrame, seeds: Collection[int], keys: Sequence[str] = KEYS) -> pd.DataFrame:
    """The best setting of each group, and whether it is `possible`: whether most of its runs did not diverge.

    Settings are compared by the medians over these seeds and then the means, of TUNED_BY and then of THEN_BY, and then
    by `place`: as sweeps/tuning.py compares them.
    """
    cells = centres(runs, TUNED_BY, seeds, keys, setting="place")
    then = cells if runs[THEN_BY].equals(runs[TUNED_BY]) else centres(runs, THEN_BY, seeds, keys, setting="place")
    best = best_setting(
        cells.merge(then.rename(columns=THEN), on=[*keys, "place"]), keys, setting="place", then=tuple(THEN.values())
    )
    return best.assign(possible=np.isfinite(best[THEN["estimate"]]))


def _cross_validated(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    seeds = sorted(set(runs["seed"]))
    n = min(FOLDS, len(seeds))
    how = f"each seed at the setting that is best on the other {len(seeds) - 1}"
    if n < len(seeds):
        how = f"each tenth of {len(seeds)} seeds at the setting that is best on the others"
    left = set(runs["entrant"])
    if n > 1:
        fold = runs["seed"].map({seed: i % n for i, seed in enumerate(seeds)})
        others = pd.concat([runs[fold != i].assign(fold=i) for i in range(n)])
        best = _best(others, seeds, [*KEYS, "fold"])
        parts = runs.assign(fold=fold).merge(best[[*KEYS, "fold", "place"]], on=[*KEYS, "fold", "place"])
        left -= set(parts["entrant"])
        yield parts.sort_values("fold", kind="stable").drop(columns="fold").assign(how=how)
    if left:
        yield _same(runs[runs["entrant"].isin(left)])


def _same(runs: pd.DataFrame) -> pd.DataFrame:
    best = _best(runs, set(runs["seed"]))
    return runs.merge(best[[*KEYS, "place"]], on=[*KEYS, "place"]).assign(how=SAME)


def _listed(seeds: Collection[int]) -> str:
    """Seeds as text, such as `0-4, 7`."""
    ordered = np.array(sorted(seeds))
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run))
