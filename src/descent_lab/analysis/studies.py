"""Splits a store into its studies: runs that were made to be compared with each other."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from descent_lab.analysis.study import study

if TYPE_CHECKING:
    from descent_lab.tracking.reader import Results

MOST = 24  # entrants on one page; with more, runs without the name of a study are told apart by the command


def studies(results: "Results", most_entrants: int = MOST) -> dict[str, "Results"]:
    """The studies of a store by name, in the order in which they began.

    Runs with the same `tracking.sweep` in one experiment are a study. Runs to which no such name was given are one
    study, named by the experiment; if they have more than most_entrants entrants, the runs of each command are a study.
    """
    runs = results.runs
    sweep = runs.get("tracking.sweep", pd.Series(None, index=runs.index, dtype=object))
    named = sweep.notna() & (sweep != "None")
    names = runs["experiment"].astype(str).mask(named, sweep)
    for name in names[~named].unique():
        pool = ~named & (names == name)
        if study(_part(results, runs[pool])).runs["entrant"].nunique() > most_entrants:
            names = names.mask(pool, runs["sweep"])
    keys = pd.DataFrame({"experiment": runs["experiment"], "name": names})
    groups = keys.groupby(["experiment", "name"], sort=False).groups
    started = {key: runs.loc[index, "started"].min() for key, index in groups.items()}
    shared = keys.drop_duplicates()["name"].duplicated(keep=False)
    doubled = set(keys.drop_duplicates()["name"][shared])
    parts = {}
    for experiment, name in sorted(groups, key=lambda key: (started[key], key)):
        label = f"{experiment}, {name}" if name in doubled else name
        parts[label] = _part(results, runs.loc[groups[experiment, name]])
    return parts


def _part(results: "Results", runs: pd.DataFrame) -> "Results":
    def curves() -> pd.DataFrame:
        if len(runs) == len(results.runs):
            return results.curves
        kept = results.curves["run_id"].isin(set(runs["run_id"]))
        return results.curves[kept].reset_index(drop=True)

    experiments = tuple(sorted(set(runs["experiment"])))
    params = tuple(name for name in results.params if name in runs and runs[name].notna().any())
    return replace(
        results,
        runs=runs.reset_index(drop=True),
        made=curves,
        experiments=experiments,
        params=params,
    )
