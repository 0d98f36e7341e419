"""When did each run first reach a target? Targets that all entrants share, and the first hits of each run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.curves import Records, of_runs, on_axis
from descent_lab.analysis.statistics.frames import WORST, columns_of, levels, once, one_of, require
from descent_lab.analysis.statistics.intervals import median
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.errors import DataError, NotGiven


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
    better: str = "lower",
    scale: str = "log",
) -> pd.DataFrame:
    """Values between the start and the end of the reference's training: `dataset, level, target`.

    target = start^(1 - level) best^level on the log scale, start + level (best - start) on the linear one, where start
    is the median at step 0 and best the median that `reference_targets` gives, both of the reference's runs, and level
    is one of the fractions in (0, 1]. A higher level is always harder, and no target lies behind the start: problems on
    which the reference does not get ahead of its start have none, and `without_targets` tells of them. Raises NotGiven
    where no problem has any.

    To fix targets before the runs that they judge, give runs of the reference from its tuning.
    """
    ends = _ends(curves, runs, reference, metric, value, entrant, better, scale)
    way = ends[ends["detail"] == ""]
    if way.empty:
        raise NotGiven(ends["detail"].iloc[0])
    start, best = (np.log(way[name]) if scale == "log" else way[name] for name in ("start", "best"))
    targets = {f: start + f * (best - start) for f in map(_fraction, fractions)}
    parts = [
        pd.DataFrame({"dataset": way["dataset"], "level": f, "target": np.exp(target) if scale == "log" else target})
        for f, target in targets.items()
    ]
    return pd.concat(parts).sort_values(["dataset", "level"], ignore_index=True)


def without_targets(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str | Sequence[str],
    metric: str = "train/loss",
    value: str = "final_train_loss",
    entrant: str = "optimizer",
    better: str = "lower",
    scale: str = "log",
) -> pd.DataFrame:
    """The problems that `interpolated_targets` leaves out, and why: `dataset, detail`."""
    ends = _ends(curves, runs, reference, metric, value, entrant, better, scale)
    return ends.loc[ends["detail"] != "", ["dataset", "detail"]].reset_index(drop=True)


def _ends(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str | Sequence[str],
    metric: str,
    value: str,
    entrant: str,
    better: str,
    scale: str,
) -> pd.DataFrame:
    """Where the reference starts and what it reaches: `dataset, start, best, detail`; detail: why it is no target."""
    one_of("scale", scale, ("log", "linear"))
    level = median_of(_named_runs(runs, reference, entrant), ["dataset", entrant], value, better)
    best = level.groupby("dataset")["median"].agg("min" if better == "lower" else "max")
    first = curves[(curves["metric"] == metric) & (curves["step"] == 0)]
    at_start = first.merge(_named_runs(runs, reference, entrant)[["run_id", "dataset"]], on="run_id")
    start = at_start.groupby("dataset")["value"].median().reindex(best.index)
    named = reference if isinstance(reference, str) else " and ".join(reference)
    rows = []
    for problem in best.index:
        detail, a, b = "", float(start[problem]), float(best[problem])
        if not np.isfinite([a, b]).all():
            detail = f"the reference {named} diverged on {problem}, or its start was not recorded: no target"
        elif (b >= a) if better == "lower" else (b <= a):
            detail = f"the reference {named} starts at {a:.3g} on {problem} and ends at {b:.3g}: no target"
        elif scale == "log" and b <= 0:
            detail = f"the reference {named} ends at {b:.3g} on {problem}, which has no logarithm: no target"
        rows.append((problem, a, b, detail))
    return pd.DataFrame(rows, columns=["dataset", "start", "best", "detail"])


def given_targets(table: pd.DataFrame, better: str = "lower") -> pd.DataFrame:
    """`table` of targets that were fixed beforehand, `dataset, level, target`, sorted by data set and level.

    Raises DataError for a missing column, a target that is not a finite number, or two of one level, and where a higher
    level of a data set is not harder to reach.
    """
    one_of("better", better, WORST)
    columns = ["dataset", "level", "target"]
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"targets: column {missing[0]!r} is missing; there are {', '.join(map(str, table.columns))}")
    if table.empty:
        raise DataError("targets: there are no rows")
    numbers = {name: pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) for name in columns[1:]}
    targets = table.assign(dataset=table["dataset"].astype(str), **numbers)[columns]
    if (bad := ~np.isfinite(targets[["level", "target"]]).all(axis=1)).any():
        row = table[bad].iloc[0]
        raise DataError(f"targets: level {row['level']}, target {row['target']} of {row['dataset']}: must be numbers")
    targets = once(targets, ["dataset", "level"]).sort_values(["dataset", "level"], ignore_index=True)
    harder = targets.groupby("dataset")["target"].diff() * (-1.0 if better == "lower" else 1.0)
    if (bad := harder <= 0).any():
        row = targets[bad].iloc[0]
        raise DataError(
            f"targets: level {row['level']:g} of {row['dataset']} has the target {row['target']:g}, which is no harder "
            "than that of the level below"
        )
    return targets


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
    """When each run first reached each target: all columns of runs, and `level, target, reached, time, resolution,
    spent`.

    targets: `dataset, level, target`, the same for all entrants. Times are in units of `axis`, as in
    `summarise_curves`. Of each run those records count that all runs of its problem have (`common_records`), so that a
    run does not seem quicker because it was recorded more often.

    - reached: whether a recorded value is as good as the target or better. Nothing is interpolated.
    - time: of the first such record. A run without one is censored: at its last record, or at inf if it diverged,
      because it would not have reached the target later either. A run that reached it and diverged later counts as
      having reached it.
    - resolution: the true time lies at most so much before `time`, after the record before it; NaN if not reached.
    - spent: what the run spent until then, or altogether; always finite.
    """
    require(runs, "run_id", "dataset", "status")
    require(targets, "dataset", "level", "target")
    one_of("better", better, WORST)
    if absent := set(runs["dataset"]) - set(targets["dataset"]):
        raise NotGiven(f"data set {min(map(str, absent))} has no target")
    records = on_axis(common_records(curves, runs, metric), runs, metric, axis)
    tries = runs.merge(targets[["dataset", "level", "target"]], on="dataset")
    run = pd.Index(records.ids).get_indexer(tries["run_id"])
    at, before = _hits(records, run, tries["target"].to_numpy(dtype=float), better)
    last = np.full(len(records.ids), np.nan)
    known = ~np.isnan(records.x)
    last[records.run[known]] = records.x[known]
    censored = np.where(tries["status"] == "diverged", np.inf, last[run])
    reached = ~np.isnan(at)
    return tries.assign(
        reached=reached,
        time=np.where(reached, at, censored),
        resolution=at - np.where(np.isnan(before), at, before),
        spent=np.where(reached, at, last[run]),
    )


def _hits(records: Records, run: np.ndarray, target: np.ndarray, better: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the first record is that is as good as the target, and where the one before it; NaN without one.

    run: the place of a run in `records.ids`; target: one of its targets; both (n_tries,), as is what is given.
    """
    sign = 1.0 if better == "lower" else -1.0
    value, goal = sign * records.value, np.full(len(records.ids), np.nan)
    previous = np.where(np.diff(records.run, prepend=-1) == 0, np.roll(records.x, 1), np.nan)
    at, before = np.full(len(run), np.nan), np.full(len(run), np.nan)
    number = pd.Series(run).groupby(run).cumcount().to_numpy()
    for rows in (np.flatnonzero(number == k) for k in range(number.max() + 1)):
        goal[run[rows]] = sign * target[rows]
        good = np.flatnonzero(value <= goal[records.run])
        first = np.full(len(records.ids), -1)
        first[records.run[good[::-1]]] = good[::-1]  # of several, the last that is assigned stays
        found = first[run[rows]]
        at[rows] = np.where(found >= 0, records.x[found], np.nan)
        before[rows] = np.where(found >= 0, previous[found], np.nan)
    return at, before


def common_records(curves: pd.DataFrame, runs: pd.DataFrame, metric: str = "train/loss") -> pd.DataFrame:
    """The records of a metric at steps that all runs of the same problem recorded, as far as they got; and the last
    record of each run.

    Where more epochs than steps are common, as with batches of different sizes, epochs take the place of steps.
    """
    require(runs, "run_id", "dataset")
    records, run, ids = of_runs(curves, runs, metric)
    problems = pd.factorize(pd.Series(ids).map(dict(zip(runs["run_id"], runs["dataset"], strict=True))))[0]
    positions = {axis: records[axis].to_numpy(dtype=float).round(9) for axis in ("step", "epoch") if axis in records}
    kept = np.zeros(len(records), dtype=bool)
    for problem in range(len(set(problems))):
        rows = np.flatnonzero(problems[run] == problem)
        runs_of_rows = pd.factorize(run[rows])[0]
        found = {axis: _common(position[rows], runs_of_rows) for axis, position in positions.items()}
        common, _ = max(found.values(), key=lambda pair: pair[1])
        kept[rows] = common | _last(positions["step"][rows], runs_of_rows)
    return records[kept]


def _common(position: np.ndarray, run: np.ndarray) -> tuple[np.ndarray, int]:
    """Whether all runs that got so far have a record at the position of each record (n_records,); and how many such
    records there are at positions that several runs got to.
    """
    last = np.sort(_ends_of(position, run))
    inverse, place = pd.factorize(position, sort=True)
    pairs = pd.unique(inverse * len(last) + run)  # a run may record twice at one position
    here = np.bincount(pairs // len(last), minlength=len(place))
    common = here == len(last) - np.searchsorted(last, place, side="left")
    return np.asarray(common[inverse]), int(here[common & (here > 1)].sum())


def _last(position: np.ndarray, run: np.ndarray) -> np.ndarray:
    return np.asarray(position == _ends_of(position, run)[run])


def _ends_of(position: np.ndarray, run: np.ndarray) -> np.ndarray:
    """The last position of each run, (n_runs,). run: the number of the run of each record."""
    last = np.full(run.max() + 1, -np.inf)
    np.maximum.at(last, run, position)
    return last
