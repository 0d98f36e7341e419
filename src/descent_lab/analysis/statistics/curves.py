"""How does a metric change during training, across seeds? Its median and interval at every recorded point."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import WORST, columns_of, confident, one_of, require
from descent_lab.analysis.statistics.intervals import median_interval
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.errors import NotGiven

AXES = ("step", "epoch", "gradients", "step_seconds")
CLOCK_POINTS = 100  # points of a curve over seconds, as runs record at different times


def on_axis(curves: pd.DataFrame, runs: pd.DataFrame, metric: str, axis: str) -> pd.DataFrame:
    """The records of one metric: `run_id, x, value`, sorted by run and step, with x in units of `axis`.

    On the axis `gradients`, x counts gradient-equivalents, which a run spends evenly: x = step * gradients / steps.
    Raises ValueError for an unknown axis, and NotGiven for an unknown metric and for runs without a record.
    """
    one_of("axis", axis, AXES)
    require(curves, "run_id", "step", "metric", "value")
    records = curves[(curves["metric"] == metric) & curves["run_id"].isin(runs["run_id"])]
    if records.empty:
        raise NotGiven(f"metric {metric!r}: must be one of {', '.join(sorted(curves['metric'].unique()))}")
    absent = set(runs["run_id"]) - set(records["run_id"])
    if absent:
        raise NotGiven(f"{len(absent)} runs have no record of {metric!r}, among them {min(map(str, absent))}")
    records = records.sort_values(["run_id", "step"], kind="stable")
    return pd.DataFrame({"run_id": records["run_id"], "x": _position(records, runs, axis), "value": records["value"]})


def _position(records: pd.DataFrame, runs: pd.DataFrame, axis: str) -> np.ndarray:
    if axis != "gradients":
        recorded: np.ndarray = require(records, axis)[axis].to_numpy(dtype=float)
        return recorded
    require(runs, "gradients", "steps")
    per_step = runs["gradients"] / runs["steps"].where(runs["steps"] > 0, 1)
    rate = records["run_id"].map(dict(zip(runs["run_id"], per_step, strict=True)))
    spent: np.ndarray = (records["step"] * rate).to_numpy(dtype=float)
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
    traces = _traces(records, dict(zip(runs["run_id"], runs["status"] == "diverged", strict=True)), worst)
    parts = []
    for key, index in sorted_groups(runs, keys):
        members = [traces[run] for run in runs["run_id"].to_numpy()[index]]
        grid = _grid(members, axis)
        bands = median_interval(np.stack([_sampled(*trace, grid) for trace in members], axis=-1), confidence)
        named = dict(zip(keys, key, strict=True)) | {axis: grid, "n": len(members)}
        parts.append(pd.DataFrame(named | bands._asdict()))
    return pd.concat(parts, ignore_index=True)


Trace = tuple[np.ndarray, np.ndarray, float]  # of a run: positions, values, and the value beyond the last position


def _traces(records: pd.DataFrame, diverged: dict[object, bool], worst: float) -> dict[object, Trace]:
    """The trace of each run by its id."""
    run = records["run_id"].to_numpy()
    x = records["x"].to_numpy(dtype=float)
    value = records["value"].to_numpy(dtype=float)
    value = np.where(np.isfinite(value), value, worst)
    ends = np.append(np.flatnonzero(run[1:] != run[:-1]) + 1, len(run))
    starts = np.append(0, ends[:-1])
    return {
        run[i]: (x[i:j], value[i:j], worst if diverged[run[i]] else value[j - 1])
        for i, j in zip(starts, ends, strict=True)
    }


def _grid(members: list[Trace], axis: str) -> np.ndarray:
    recorded = np.unique(np.concatenate([x for x, _, _ in members]))
    if axis != "step_seconds" or len(recorded) <= CLOCK_POINTS:
        return recorded
    return np.append(recorded[recorded <= 0][:1], np.geomspace(recorded[recorded > 0][0], recorded[-1], CLOCK_POINTS))


def _sampled(x: np.ndarray, value: np.ndarray, beyond: float, grid: np.ndarray) -> np.ndarray:
    """The value of a run at each point of the grid: that of the last record at or before the point."""
    sampled = value[np.maximum(np.searchsorted(x, grid, side="right") - 1, 0)]
    return np.where(grid > x[-1], beyond, sampled)
