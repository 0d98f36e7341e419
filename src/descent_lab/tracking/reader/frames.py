"""MLflow's run objects and arrays, as tidy frames."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
SHORT = {"time/step_seconds": "logged_step_seconds", "ledger/step_seconds": "step_seconds"}


def runs_frame(runs: Sequence["Run"], experiments: Mapping[str, str]) -> pd.DataFrame:
    """One row per run: `run_id, experiment_id, experiment, name, started`, tags, params by their own names
    (text but for seed, epochs, lr), and metrics with "/" as "_": `final_train_loss`, `setup_seconds`, ..."""
    return rows_frame([_row(run, experiments) for run in runs])


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run, from what `run_row` gives."""
    frame = pd.DataFrame(rows, columns=None if rows else [*INFO, *TAGS, *NUMBERS])
    return frame.astype({name: kind for name, kind in NUMBERS.items() if name in frame})


def with_length(runs: pd.DataFrame, curves: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """With the steps of each run, and its passes over the training set, until the last record of its curves."""
    passes = [float(curve["epoch"][-1]) for curve in curves]
    return runs.assign(steps=[int(curve["step"][-1]) for curve in curves], passes=passes)


def run_row(
    info: Sequence[Any], tags: Mapping[str, str], params: Mapping[str, str], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """The columns of one run; info holds the values of INFO."""
    row: dict[str, Any] = dict(zip(INFO, info, strict=True))
    told = {name: tags[name] for name in TAGS if name in tags}
    return {**row, **dict.fromkeys(TAGS), **params, **told, **{column(name): value for name, value in metrics.items()}}


def _row(run: "Run", experiments: Mapping[str, str]) -> dict[str, Any]:
    info = run.info
    about = (info.run_id, info.experiment_id, experiments[info.experiment_id], info.run_name, info.start_time)
    return run_row(about, run.data.tags, run.data.params, run.data.metrics)


def column(metric: str) -> str:
    """The column of a metric: `final/train_loss` is final_train_loss, `ledger/step_seconds` step_seconds."""
    return SHORT.get(metric, metric.removeprefix("ledger/").replace("/", "_"))


def curves_frame(run_ids: Iterable[str], curves: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Long: `run_id, step, epoch, step_seconds, metric, value`, one row per record and metric."""
    parts: dict[str, list[Any]] = {name: [] for name in ("run_id", *AXES.values(), "metric", "value")}
    for run_id, curve in zip(run_ids, curves, strict=True):
        names = sorted(name for name in curve if name not in AXES)
        n = len(curve["step"])
        parts["run_id"].append(np.full(n * len(names), run_id, dtype=object))
        parts["metric"].append(np.repeat(np.array(names, dtype=object), n))
        parts["value"].append(np.concatenate([curve[name] for name in names] or [np.empty(0)]))
        for name, axis in AXES.items():
            parts[axis].append(np.tile(curve[name], len(names)))
    return pd.DataFrame({name: np.concatenate(found) if found else [] for name, found in parts.items()})
