"""What does a user get who will not tune? One setting of each entrant for all problems, chosen on the other data sets.

For each data set the setting is the one with the best mean of levels over all other data sets, on their tuning seeds.
Nothing that is known of the data set itself takes part in the choice (leave one out), so that the setting may be judged
on any of its runs there: on held-out seeds where it was run on these, and else on tuning seeds.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import WORST, one_of, require
from descent_lab.errors import NotGiven

TUNING, HELD_OUT = "tuning", "held-out"
Row = dict[str, Any]


def one_setting(
    runs: pd.DataFrame,
    tuned: pd.DataFrame,
    entrant: str = "entrant",
    setting: str = "setting",
    by: str = "level",
    by_better: str = "lower",
) -> pd.DataFrame:
    """One row per problem and entrant: `dataset, data, <entrant>, <setting>, judged_on, n, level, tuned, difference`.

    runs: of `comparable`, all settings of all entrants, with the column `phase`: TUNING, or HELD_OUT. tuned: of
    `comparable`, the runs at the setting that was tuned on each problem itself, on held-out seeds. by, by_better: the
    levels that settings are chosen by, and whether low ones are better.

    - setting: that of the best mean over the other data sets, in which each data set counts once; of equal settings the
      first in the order of their names. Only settings that were run on all other problems are considered.
    - judged_on: the phase of the n runs that `level` is the mean of; "" if the setting was not run on this problem.
    - tuned: the mean level of the tuned setting. difference: level - tuned; on the same seeds, if judged on held-out
      ones. For losses it is a log ratio.

    Raises NotGiven for fewer than 2 distinct data sets, or where no entrant has such a setting.
    """
    require(runs, "dataset", entrant, setting, "seed", "phase", "level", by)
    one_of("better", by_better, WORST)
    named = [frame if "data" in frame else frame.assign(data=frame["dataset"]) for frame in (runs, tuned)]
    if (n := named[0]["data"].nunique()) < 2:
        raise NotGiven(f"{n} data set: one setting for all is chosen on the others, which needs 2 or more")
    signed = named[0].assign(by=named[0][by] if by_better == "lower" else -named[0][by])
    rows = []
    for name, group in signed.groupby(entrant, sort=True):
        mine = named[1][named[1][entrant] == name]
        rows += [{entrant: name} | row for row in _of_entrant(group, mine, setting)]
    if not rows:
        raise NotGiven("no entrant has a setting that was run on the tuning seeds of all other problems")
    columns = ["dataset", "data", entrant, setting, "judged_on", "n", "level", "tuned", "difference"]
    return pd.DataFrame(rows)[columns].sort_values(["dataset", entrant], ignore_index=True)


def _of_entrant(runs: pd.DataFrame, tuned: pd.DataFrame, setting: str) -> Iterator[Row]:
    trials = runs[runs["phase"] == TUNING]
    means = trials.groupby(["data", "dataset", setting], sort=True)["by"].mean().unstack(setting)
    for (data, problem), _ in runs.groupby(["data", "dataset"], sort=True):
        others = means[means.index.get_level_values("data") != data].dropna(axis=1)
        if others.size:
            chosen = others.groupby("data").mean().mean().idxmin()
            on_problem = runs[(runs["dataset"] == problem) & (runs[setting] == chosen)]
            judged = _judged(on_problem, tuned[tuned["dataset"] == problem])
            yield {"dataset": problem, "data": data, setting: chosen} | judged


def _judged(runs: pd.DataFrame, tuned: pd.DataFrame) -> Row:
    """The columns from `judged_on`. runs: of the one setting on this problem."""
    for phase in (HELD_OUT, TUNING):
        here = runs[runs["phase"] == phase]
        if here.empty:
            continue
        level, other = here["level"].mean(), tuned["level"].mean()
        difference = level - other
        if phase == HELD_OUT:
            pairs = here.set_index("seed")["level"] - tuned.drop_duplicates("seed").set_index("seed")["level"]
            difference = pairs.mean()
        return {"judged_on": phase, "n": len(here), "level": level, "tuned": other, "difference": difference}
    return {"judged_on": "", "n": 0, "level": np.nan, "tuned": tuned["level"].mean(), "difference": np.nan}


def cost_of_one_setting(
    table: pd.DataFrame, entrant: str = "entrant", setting: str = "setting", better: str = "lower"
) -> pd.DataFrame:
    """What not tuning costs, from the rows of `one_setting`: `<entrant>, n_datasets, <setting>, difference, worst,
    worst_on`, the cheapest first.

    setting: the one chosen most often. difference: the mean over data sets. worst: the largest cost on one problem. The
    entrants are compared on the problems for which all of them have a difference.
    """
    sign = 1.0 if one_of("better", better, WORST) == "lower" else -1.0
    known = table.dropna(subset="difference")
    known = known[known.groupby("dataset")[entrant].transform("nunique") == table[entrant].nunique()]
    if known.empty:
        raise NotGiven("no problem has a run of every entrant at its one setting")
    rows = []
    for name, group in known.groupby(entrant, sort=True):
        worst = group.loc[(sign * group["difference"]).idxmax()]
        row = {entrant: name, "n_datasets": group["data"].nunique(), setting: group[setting].mode().iloc[0]}
        mean = group.groupby("data")["difference"].mean().mean()
        rows.append(row | {"difference": mean, "worst": worst["difference"], "worst_on": worst["dataset"]})
    costs = pd.DataFrame(rows)
    return costs.sort_values("difference", ascending=better == "lower", kind="stable", ignore_index=True)
