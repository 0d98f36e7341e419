"""When did each run first reach a target? Targets that all entrants share, and the first hits of each run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.curves import on_axis
from descent_lab.analysis.statistics.frames import WORST, columns_of, levels, one_of, require
from descent_lab.analysis.statistics.intervals import median
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.errors import NotGiven


def reference_targets(
    runs: pd.DataFrame,
    reference: str | Sequence[str],
    value: str = "final_train_loss",
    entrant: str = "optimizer",
    better: str = "lower",
) -> pd.DataFrame:
    """The median that the reference reaches on each data set: `dataset, level, target`, with level 1.

    reference: an entrant, or several, of which the best median counts. Adding another entrant changes no target.
    """
    level = median_of(_named_runs(runs, reference, entrant), ["dataset", entrant], value, better)
    best = level.groupby("dataset")["median"].agg("min" if better == "lower" else "max")
    if not np.isfinite(best).all():
        raise NotGiven(f"reference {reference!r} diverged on data set {best[~np.isfinite(best)].index[0]}: no target")
    return pd.DataFrame({"dataset": best.index, "level": 1.0, "target": best.to_numpy()})


def interpolated_targets(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str | Sequence[str],
    fractions: Sequence[float] = (0.5, 0.75, 0.9, 1.0),
    metric: str = "train/loss",
    value: str = "final_train_loss",
    entrant: str = "optimizer",
) -> pd.DataFrame:
    """Losses between the start and the end of the reference's training: `dataset, level, target`.

    target = start^(1 - level) best^level, where start is the median loss at step 0 and best the median that
    `reference_targets` gives, both of the reference's runs, and level is one of the fractions in (0, 1]. Losses must be
    positive.
    """
    goal = reference_targets(runs, reference, value, entrant).set_index("dataset")["target"]
    first = curves[(curves["metric"] == metric) & (curves["step"] == 0)]
    start_losses = first.merge(_named_runs(runs, reference, entrant)[["run_id", "dataset"]], on="run_id")
    start = start_losses.groupby("dataset")["value"].median().reindex(goal.index)
    if start.isna().any() or (start <= 0).any() or (goal <= 0).any():
        raise NotGiven(f"metric {metric!r}: interpolation needs positive losses, at step 0 and at the end")
    parts = [pd.DataFrame({"level": f, "target": start ** (1 - f) * goal**f}) for f in map(_fraction, fractions)]
    return pd.concat(parts).reset_index().sort_values(["dataset", "level"], ignore_index=True)


def _fraction(level: float) -> float:
    if not 0 < level <= 1:
        raise ValueError(f"fraction {level}: must lie above 0 and at most at 1")
    return float(level)


def _named_runs(runs: pd.DataFrame, reference: str | Sequence[str], entrant: str) -> pd.DataFrame:
    require(runs, "run_id", "dataset", entrant)
    for name in columns_of(reference):
        one_of("reference", name, sorted(runs[entrant].unique()))
    named = runs[runs[entrant].isin(columns_of(reference))]
    absent = set(runs["dataset"]) - set(named["dataset"])
    if absent:
        raise NotGiven(f"reference {reference!r} has no run on data set {min(map(str, absent))}")
    return named


def median_of(runs: pd.DataFrame, by: Sequence[str], value: str, better: str) -> pd.DataFrame:
    """The median of a value in each group: `*by, median`; diverged runs have the worst value."""
    x = levels(require(runs, *by, value), value, better)
    rows = [(*key, float(median(x[index]))) for key, index in sorted_groups(runs, list(by))]
    return pd.DataFrame(rows, columns=[*by, "median"])


def first_hits(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    targets: pd.DataFrame,
    metric: str = "train/loss",
    axis: str = "step",
    better: str = "lower",
) -> pd.DataFrame:
    """When each run first reached each target: all columns of runs, and `level, target, reached, time, spent`.

    targets: `dataset, level, target`, the same for all entrants. Times are in units of `axis`, as in
    `summarise_curves`.

    - reached: whether a recorded value is as good as the target or better. Nothing is interpolated: the true time lies
      between this record and the one before it, for all runs that record at the same steps.
    - time: of the first such record. A run without one is censored: at its last record, or at inf if it diverged,
      because it would not have reached the target later either. A run that reached it and diverged later counts as
      having reached it.
    - spent: what the run spent until then, or altogether; always finite.
    """
    require(runs, "run_id", "dataset", "status")
    require(targets, "dataset", "level", "target")
    one_of("better", better, WORST)
    if absent := set(runs["dataset"]) - set(targets["dataset"]):
        raise NotGiven(f"data set {min(map(str, absent))} has no target")
    records = on_axis(curves, runs, metric, axis)
    tries = runs.merge(targets[["dataset", "level", "target"]], on="dataset")
    hit = _hits(records, tries, better)
    last = tries["run_id"].map(records.groupby("run_id")["x"].last())
    censored = last.mask(tries["status"] == "diverged", np.inf)
    return tries.assign(reached=hit.notna(), time=hit.fillna(censored), spent=hit.fillna(last))


def _hits(records: pd.DataFrame, tries: pd.DataFrame, better: str) -> pd.Series:
    """The position of the first record that is as good as the target, for each row of `tries`; NaN without one."""
    sign = 1.0 if better == "lower" else -1.0
    positions = pd.Series(np.nan, index=tries.index)
    for _, rows in tries.groupby(tries.groupby("run_id").cumcount()):
        target = records["run_id"].map(dict(zip(rows["run_id"], rows["target"], strict=True)))
        first = records[sign * records["value"] <= sign * target].drop_duplicates("run_id")
        positions[rows.index] = rows["run_id"].map(first.set_index("run_id")["x"])
    return positions
