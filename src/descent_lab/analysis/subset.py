"""Prepares comparisons over several problems: the same entrants on every problem, and what targets are derived from."""

import numpy as np
import pandas as pd

from descent_lab.analysis.plans import latest_plan
from descent_lab.analysis.selection import Selection
from descent_lab.analysis.study import Study
from descent_lab.errors import ConfigError

PREFERRED = ("sgd", "jax sgd", "numpy sgd")


def filled(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs without gaps: entrants and problems that lack the most others are dropped, one at a time."""
    present = pd.crosstab(runs["dataset"], runs["entrant"]) > 0
    while not present.to_numpy().all():
        gaps = ~present
        by_problem, by_entrant = gaps.mean(axis=1), gaps.mean(axis=0)
        if by_problem.max() > by_entrant.max():
            present = present.drop(index=by_problem.idxmax())
        else:
            present = present.drop(columns=by_entrant.idxmax())
    return runs[runs["dataset"].isin(present.index) & runs["entrant"].isin(present.columns)]


def reference_of(runs: pd.DataFrame, value: str, named: str | None) -> str | None:
    """The entrant from which targets are derived: the named one, else sgd, else the median entrant.

    The median entrant is the one in the middle by final loss, of those with runs on the most problems: half of them
    reach its targets. None where no run finished. Raises ConfigError for a name that no entrant has.
    """
    entrants = sorted(set(runs["entrant"]))
    if named is not None:
        if named not in entrants:
            raise ConfigError(f"reference={named}: must be one of {', '.join(entrants)}")
        return named
    usable = runs[np.isfinite(runs[value].astype(float)) & (runs["status"] == "finished")]
    coverage = usable.groupby("entrant")["dataset"].nunique()
    if coverage.empty:
        return None
    widest = coverage[coverage == coverage.max()].index
    median = usable[usable["entrant"].isin(widest)].groupby(["dataset", "entrant"])[value].median()
    ordered = median.groupby("dataset").rank().groupby("entrant").mean().sort_values(kind="stable").index
    return next((name for name in PREFERRED if name in widest), ordered[len(ordered) // 2])


def tuning_runs(study: Study, selection: Selection, entrant: str) -> pd.DataFrame:
    """The runs of an entrant on tuning seeds at the settings that were chosen on them, where none of these is reported.

    Empty where nothing was tuned on seeds of their own.
    """
    mine = study.runs[study.runs["entrant"] == entrant]
    chosen = selection.by_block[selection.by_block["entrant"] == entrant]
    parts = [mine.head(0)]
    for problem, rows in chosen.groupby("dataset", sort=True):
        here = mine[mine["dataset"] == problem]
        plan = latest_plan(here)
        for row in rows.itertuples():
            seeds = plan.tuning_seeds[row.block] if plan and plan.tuning_seeds else selection.tuning[str(problem)]
            parts.append(here[(here["setting"] == row.setting) & here["seed"].isin(seeds)])
    tuned = pd.concat(parts).drop_duplicates("run_id")
    reported = selection.runs.groupby("dataset")["seed"].agg(set).to_dict()
    apart = [seed not in reported.get(name, ()) for name, seed in zip(tuned["dataset"], tuned["seed"], strict=True)]
    return tuned[apart]
