"""The artifacts of runs as arrays: read where they lie on this machine, otherwise downloaded once into the cache."""

import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from descent_lab.paths import CACHE
from descent_lab.tracking import npz
from descent_lab.tracking.address import local_path
from descent_lab.tracking.reader.source import History
from descent_lab.tracking.reader.store import connect

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

PARTS = ("train", "validation", "test", "time", "lr")  # metrics with these first words have curves
DOWNLOADS = CACHE / "artifacts"  # the files here are never out of date, because a finished run does not change
THREADS = 16  # this many artifacts are downloaded at a time
Curves = dict[str, np.ndarray]  # of one run: an array by name, each (n_records,)


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of the runs of a store."""

    store: str  # the address of the store
    uris: Mapping[str, str]  # by run id: the address of the folder of the run's artifacts

    def path(self, run_id: str, name: str) -> Path | None:
        """The path of an artifact on this machine, or None if the run has none of that name."""
        root = local_path(self.uris[run_id])
        path = root / name if root else DOWNLOADS / run_id / name
        if not root and not path.exists():
            self._download(run_id, name, path)
        return path if path.exists() else None

    def arrays(self, run_id: str, name: str, keys: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of an npz file, all or those of these keys; empty if the run has no such file that can be read."""
        path = self.path(run_id, name)
        if path is None:
            return {}
        try:
            return npz.read(path, keys)
        except Exception:  # of many kinds, where a file is damaged
            return {}

    def config(self, run_id: str) -> dict[str, Any]:
        """The resolved configuration of a run, nested, with the choice of each group as `choices`; empty if lost."""
        path = self.path(run_id, "config.yaml")
        return yaml.safe_load(path.read_text()) if path else {}

    @cached_property
    def local(self) -> bool:
        """Whether all artifacts lie on this machine."""
        return all(local_path(uri) for uri in self.uris.values())

    def _download(self, run_id: str, name: str, path: Path) -> None:
        """Download an artifact; the file appears under its name only when it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as draft:
            try:
                downloaded = _client(self.store).download_artifacts(run_id, name, draft)
            except Exception:  # servers answer in various ways when they do not have a file
                return
            shutil.move(downloaded, path)


@cache
def _client(store: str) -> "MlflowClient":
    from mlflow import MlflowClient  # imported here because it takes seconds

    return MlflowClient(store)


def read_curves(artifacts: Artifacts, runs: "pd.DataFrame", metrics: Collection[str] | None = None) -> list[Curves]:
    """The curves of each run: `step`, `epoch`, `time/step_seconds` and these metrics (None: all), each (n_records,).

    They are read from files: 9 curves of 90 records take 0.06 ms of processor time a run. One query of the metrics
    table for 1,000 such runs takes 1.6 ms a run. It is made for runs whose files are lost. Threads help only where
    artifacts are downloaded.
    """
    keys = None if metrics is None else {"step", "epoch", "time/step_seconds", *metrics}
    return list(_curves(artifacts, dict(zip(runs["run_id"], runs["epochs"], strict=True)), keys).values())


def curves_of(artifacts: Artifacts, run_id: str, epochs: float) -> Curves:
    """The curves of one run. epochs: those that it was to run for."""
    return _curves(artifacts, {run_id: epochs}, None)[run_id]


def _curves(artifacts: Artifacts, epochs: Mapping[str, float], keys: Collection[str] | None) -> dict[str, Curves]:
    """The curves of runs, all or those of these keys. epochs: those that each run was to run for."""
    read = partial(artifacts.arrays, name="curves.npz", keys=keys)
    if artifacts.local:
        curves = dict(zip(epochs, map(read, epochs), strict=True))
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            curves = dict(zip(epochs, pool.map(read, epochs), strict=True))
    lost = [run_id for run_id, found in curves.items() if "step" not in found]
    if lost:
        histories = connect(artifacts.store).histories(lost, PARTS)
        curves |= {run_id: _from_history(histories[run_id], epochs[run_id], keys) for run_id in lost}
    return curves


def _from_history(history: History, epochs: float, keys: Collection[str] | None) -> Curves:
    """The curves as MLflow's metrics hold them, for a run whose curves.npz is lost. epochs: those it was to run for."""
    steps = np.array(sorted(set().union(*history.values())) or [0])
    curves = {name: np.array([points.get(t, np.nan) for t in steps]) for name, points in history.items()}
    epochs_per_step = epochs / steps[-1] if steps[-1] else 0.0  # this is right for runs that did not stop early
    unknown = np.full(len(steps), np.nan)
    every = {"step": steps, "epoch": steps * epochs_per_step, "time/step_seconds": unknown} | curves
    return {name: values for name, values in every.items() if keys is None or name in keys}
