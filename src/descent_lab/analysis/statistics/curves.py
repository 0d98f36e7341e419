"""How does a metric change during training, across seeds? Its median and interval at every recorded point."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import WORST, columns_of, confident, one_of, require
from descent_lab.analysis.statistics.intervals import median_interval
from descent_lab.analysis.statistics.seeds import joined, sorted_groups
from descent_lab.errors import NotGiven
from descent_lab.wording import counted

AXES = ("step", "epoch", "gradients", "step_seconds")
CLOCK_POINTS = 100  # points of a curve over seconds, as runs record at different times


class Records(NamedTuple):
    """The records of one metric, those of each run together and in the order of their steps.

    ids: of the runs, (n_runs,). run: the place of each record's run in `ids`; x: where the record is on an axis; value:
    each (n_records,).
    """

    ids: np.ndarray
    run: np.ndarray
    x: np.ndarray
    value: np.ndarray


def of_runs(curves: pd.DataFrame, runs: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The rows of `curves` with this metric and of these runs; the place of the run of each row, and the runs' ids."""
    require(curves, "step", "value")
    records = curves[curves["metric"] == metric]
    run, ids = pd.factorize(records["run_id"])
    if (run < 0).any():
        require(records, "run_id")
    wanted = ids.isin(runs["run_id"])
    kept = wanted[run]
    places = np.cumsum(wanted) - 1
    return records[kept], places[run[kept]], ids[wanted].to_numpy()


def on_axis(curves: pd.DataFrame, runs: pd.DataFrame, metric: str, axis: str) -> Records:
    """The records of one metric of these runs, with x in units of `axis`.

    On the axis `gradients`, x counts gradient-equivalents, which a run spends evenly: x = step * gradients / steps.
    Raises ValueError for an unknown axis, and NotGiven for an unknown metric and for runs without a record.
    """
    one_of("axis", axis, AXES)
    records, run, ids = of_runs(curves, runs, metric)
    if records.empty:
        raise NotGiven(f"metric {metric!r}: must be one of {', '.join(sorted(curves['metric'].unique()))}")
    absent = set(runs["run_id"]) - set(ids)
    if absent:
        raise NotGiven(f"{counted(len(absent), 'run')} without a record of {metric!r}, such as {min(map(str, absent))}")
    step, value = records["step"].to_numpy(), records["value"].to_numpy(dtype=float)
    x = _position(records, ids, run, runs, axis)
    if ((np.diff(run) < 0) | ((np.diff(run) == 0) & (np.diff(step) < 0))).any():
        order = np.lexsort((step, run))
        run, x, value = run[order], x[order], value[order]
    return Records(ids, run, x, value)


def _position(records: pd.DataFrame, ids: np.ndarray, run: np.ndarray, runs: pd.DataFrame, axis: str) -> np.ndarray:
    if axis != "gradients":
        recorded: np.ndarray = require(records, axis)[axis].to_numpy(dtype=float)
        return recorded
    require(runs, "gradients", "steps")
    per_step = runs["gradients"] / runs["steps"].where(runs["steps"] > 0, 1)
    rate = pd.Series(ids).map(dict(zip(runs["run_id"], per_step, strict=True))).to_numpy(dtype=float)
    spent: np.ndarray = records["step"].to_numpy(dtype=float) * rate[run]
    return spent


def summarise_curves(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    by: str | Sequence[str],
    metric: str = "train/loss",
    axis: str = "step",
    confidence: float = 0.95,
    better: str = "lower",
) -> pd.DataFrame:
    """Median and interval across the runs of each group: `*by, <axis>, n, estimate, low, high`.

    The points are those at which a run of the group recorded. On `step_seconds`, where runs record at different times,
    they are 0 and 100 log-spaced points. Between two records a run has the value of the earlier one. After its last
    record a finished run keeps its last value, and a diverged run has the worst value (inf), so that a band never
    improves when runs diverge.
    """
    keys = columns_of(by)
    require(runs, "run_id", "status", *keys)
    confident(confidence)
    worst = WORST[one_of("better", better, WORST)]
    records = on_axis(curves, runs, metric, axis)
    diverged = set(runs["run_id"][runs["status"] == "diverged"])
    traces: dict[object, Trace] = dict(zip(records.ids, _traces(records, diverged, worst), strict=True))
    run_ids, groups = runs["run_id"].to_numpy(), []
    for key, index in sorted_groups(runs, keys):
        members = [traces[run] for run in run_ids[index]]
        grid = _grid(members, axis)
        bands = median_interval(np.stack([_sampled(*trace, grid) for trace in members], axis=-1), confidence)
        groups.append((key, {axis: grid, "n": np.full(len(grid), len(members))} | bands._asdict()))
    return joined(keys, groups)


Trace = tuple[np.ndarray, np.ndarray, float]  # of a run: positions, values, and the value beyond the last position


def _traces(records: Records, diverged: set[object], worst: float) -> Iterator[Trace]:
    """The trace of each run, in the order of their ids."""
    value = np.where(np.isfinite(records.value), records.value, worst)
    ends = np.append(np.flatnonzero(np.diff(records.run)) + 1, len(records.run))
    starts = np.append(0, ends[:-1])
    for name, i, j in zip(records.ids, starts, ends, strict=True):
        yield records.x[i:j], value[i:j], worst if name in diverged else value[j - 1]


def _grid(members: list[Trace], axis: str) -> np.ndarray:
    recorded = np.unique(np.concatenate([x for x, _, _ in members]))
    if axis != "step_seconds" or len(recorded) <= CLOCK_POINTS:
        return recorded
    return np.append(recorded[recorded <= 0][:1], np.geomspace(recorded[recorded > 0][0], recorded[-1], CLOCK_POINTS))


def _sampled(x: np.ndarray, value: np.ndarray, beyond: float, grid: np.ndarray) -> np.ndarray:
    """The value of a run at each point of the grid: that of the last record at or before the point."""
    if np.array_equal(x, grid):
        return value
    sampled = value[np.maximum(np.searchsorted(x, grid, side="right") - 1, 0)]
    return np.where(grid > x[-1], beyond, sampled)
