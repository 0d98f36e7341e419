"""Turns what a store holds, or what was trained in memory, into tidy frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.components import NEUTRAL
from descent_lab.data.base import Dataset
from descent_lab.optim.schedules import Schedule
from descent_lab.seeding import Seeds
from descent_lab.tracking.columns import column
from descent_lab.tracking.reader.source import INFO, TAGS, Stored
from descent_lab.training.run import Stop

NUMBERS = {"seed": int, "epochs": int, "lr": float}
AXES = {"step": "step", "epoch": "epoch", "time/step_seconds": "step_seconds"}
LATER = {  # the params that runs stored by earlier versions lack, and the values that train as before
    f"{group}.{option.name}": str(option.default)
    for group, kind in {"dataset": Dataset, "schedule": Schedule, "seeds": Seeds, "stop": Stop}.items()
    for option in fields(kind)
    if NEUTRAL in option.metadata
}


def runs_frame(stored: Stored) -> pd.DataFrame:
    """One row per run: `run_id, experiment_id, experiment, name, started`, its tags, params and metrics.

    `started` is in milliseconds since 1970. Params keep their names and are text, but for seed, epochs and lr. In the
    names of metrics "/" becomes "_": `final_train_loss`, `setup_seconds`, ... Params, and then metrics, are in
    alphabetical order. A tag that a run lacks is None; a param or a metric is NaN.
    """
    n = len(stored.runs)
    info = zip(*stored.runs, strict=True) if n else [[]] * len(INFO)
    columns = {name: _objects(values) for name, values in zip(INFO, info, strict=False)}
    columns |= {name: _objects(stored.tags.get(name, [None] * n)) for name in TAGS}
    params = {name: values for name, values in stored.params.items() if name not in columns}
    columns |= {name: _objects(_filled(values, LATER.get(name, np.nan))) for name, values in params.items()}
    columns |= {column(name): np.array(values, float) for name, values in stored.metrics.items()}
    if not n:
        columns |= {name: _objects([]) for name in NUMBERS}
    frame = pd.DataFrame(columns)
    return frame.astype({"started": int} | {name: kind for name, kind in NUMBERS.items() if name in frame})


def _objects(values: Sequence[Any]) -> np.ndarray:
    return np.array(values, object)


def _filled(values: Sequence[Any], missing: Any) -> list[Any]:
    return [missing if value is None else value for value in values]


def with_length(runs: pd.DataFrame, curves: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """These runs with two more columns: `steps`, and `passes` over the training set, both up to the last record.

    curves: of each run, in the order of `runs`.
    """
    passes = [float(of_run["epoch"][-1]) for of_run in curves]
    return runs.assign(steps=[int(of_run["step"][-1]) for of_run in curves], passes=passes)


def curves_frame(run_ids: Iterable[str], curves: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """One row per record and metric: `run_id, step, epoch, step_seconds, metric, value`."""
    pairs = [(curve, name) for curve in curves for name in sorted(curve.keys() - AXES.keys())]  # of run and metric
    if not pairs:
        return pd.DataFrame({name: [] for name in ("run_id", *AXES.values(), "metric", "value")})
    lengths = [len(curve["step"]) for curve, _ in pairs]
    n_metrics = [len(curve.keys() - AXES.keys()) for curve in curves]
    columns = {"run_id": np.repeat(np.repeat(_objects(list(run_ids)), n_metrics), lengths)}
    columns |= {column: np.concatenate([curve[axis] for curve, _ in pairs]) for axis, column in AXES.items()}
    columns["metric"] = np.repeat(_objects([name for _, name in pairs]), lengths)
    columns["value"] = np.concatenate([curve[name] for curve, name in pairs])
    return pd.DataFrame(columns, copy=False)
