"""Prepares comparisons over several problems: the same entrants on every problem, and targets that all share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics import interpolated_targets
from descent_lab.analysis.study import Study
from descent_lab.errors import ConfigError, NotGiven

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


def shared_targets(study: Study, runs: pd.DataFrame, reference: str | None, levels: Sequence[float]) -> pd.DataFrame:
    """The targets of every problem on which the reference gives some. Raises NotGiven where it gives none at all."""
    if reference is None:
        raise NotGiven("no run finished, so there is no reference to derive targets from")
    parts, reason = [], ""
    for problem, group in runs.groupby("dataset", sort=True):
        if reference not in set(group["entrant"]):
            reason = f"the reference {reference} has no run on {problem}"
            continue
        try:
            parts.append(interpolated_targets(study.curves, group, reference, levels, entrant="entrant"))
        except NotGiven as error:
            reason = str(error)
    if not parts:
        raise NotGiven(reason)
    return pd.concat(parts, ignore_index=True).assign(reference=reference)
