"""Turns MLflow's run objects and arrays into tidy frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.components import NEUTRAL
from descent_lab.data.base import Dataset
from descent_lab.optim.schedules import Schedule
from descent_lab.seeding import Seeds
from descent_lab.training.run import Stop

if TYPE_CHECKING:
    from mlflow.entities import Run

TAGS = (
    "versions",
    "device",
    "status",
    "ended",
    "timing",
    "sweep",
    "identity",
    "data",
    "diverged_at",
    "git.commit",
    "git.dirty",
)
NUMBERS = {"seed": int, "epochs": int, "lr": float}
INFO = ("run_id", "experiment_id", "experiment", "name", "started")
AXES = {"step": "step", "epoch": "epoch", "time/step_seconds": "step_seconds"}
SHORT = {
    "time/step_seconds": "logged_step_seconds",
    "ledger/step_seconds": "step_seconds",
    "lr": "final_lr",  # the parameter lr keeps its name
}
LATER = {  # the params that runs stored by earlier versions lack, and the values that train as before
    f"{group}.{option.name}": str(option.default)
    for group, kind in {"dataset": Dataset, "schedule": Schedule, "seeds": Seeds, "stop": Stop}.items()
    for option in fields(kind)
    if NEUTRAL in option.metadata
}


def runs_frame(runs: Sequence["Run"], experiments: Mapping[str, str]) -> pd.DataFrame:
    """One row per run: `run_id, experiment_id, experiment, name, started`, its tags, params and metrics.

    `started` is in milliseconds since 1970. Params keep their names and are text, but for seed, epochs and lr. In the
    names of metrics "/" becomes "_": `final_train_loss`, `setup_seconds`, ...

    experiments: the name of each experiment by its id.
    """
    return rows_frame([_row(run, experiments) for run in runs])


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The frame of these rows, each as `run_row` gives it."""
    frame = pd.DataFrame(rows, columns=None if rows else [*INFO, *TAGS, *NUMBERS])
    frame = frame.fillna({name: value for name, value in LATER.items() if name in frame})
    return frame.astype({name: kind for name, kind in NUMBERS.items() if name in frame})


def with_length(runs: pd.DataFrame, curves: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """These runs with two more columns: `steps`, and `passes` over the training set, both up to the last record.

    curves: of each run, in the order of `runs`.
    """
    passes = [float(of_run["epoch"][-1]) for of_run in curves]
    return runs.assign(steps=[int(of_run["step"][-1]) for of_run in curves], passes=passes)


def run_row(
    info: Sequence[Any], tags: Mapping[str, str], params: Mapping[str, str], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """The row of one run: a value by the name of its column. info: the values of INFO, in that order."""
    row: dict[str, Any] = dict(zip(INFO, info, strict=True))
    known_tags = {name: tags[name] for name in TAGS if name in tags}
    columns = {column(name): value for name, value in metrics.items()}
    return {**row, **dict.fromkeys(TAGS), **params, **known_tags, **columns}


def _row(run: "Run", experiments: Mapping[str, str]) -> dict[str, Any]:
    info = run.info
    values = (info.run_id, info.experiment_id, experiments[info.experiment_id], info.run_name, info.start_time)
    return run_row(values, run.data.tags, run.data.params, run.data.metrics)


def column(metric: str) -> str:
    """The column of a metric: `final/train_loss` is final_train_loss, `ledger/step_seconds` step_seconds."""
    return SHORT.get(metric, metric.removeprefix("ledger/").replace("/", "_"))


def curves_frame(run_ids: Iterable[str], curves: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """One row per record and metric: `run_id, step, epoch, step_seconds, metric, value`."""
    parts: dict[str, list[Any]] = {name: [] for name in ("run_id", *AXES.values(), "metric", "value")}
    for run_id, curve in zip(run_ids, curves, strict=True):
        names = sorted(name for name in curve if name not in AXES)
        n = len(curve["step"])
        parts["run_id"].append(np.full(n * len(names), run_id, dtype=object))
        parts["metric"].append(np.repeat(np.array(names, dtype=object), n))
        parts["value"].append(np.concatenate([curve[name] for name in names] or [np.empty(0)]))
        for name, axis in AXES.items():
            parts[axis].append(np.tile(curve[name], len(names)))
    return pd.DataFrame({name: np.concatenate(part) if part else [] for name, part in parts.items()})
