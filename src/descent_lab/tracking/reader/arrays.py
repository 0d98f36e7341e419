"""A run's artifacts as arrays: from disk where they lie there, otherwise fetched once and kept."""

import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from descent_lab.paths import CACHE
from descent_lab.tracking.reader.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

FETCHED = CACHE / "artifacts"  # a finished run never changes, so what was fetched stays true
THREADS = 16
_connected = cache(connect)
Curve = dict[str, np.ndarray]


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of the runs found."""

    store: str  # its address
    uris: Mapping[str, str]  # artifact root by run id

    def path(self, run_id: str, name: str) -> Path | None:
        """Where an artifact lies on this machine, or None if the run has none of that name."""
        root = _local(self.uris[run_id])
        path = root / name if root else FETCHED / run_id / name
        if not root and not path.exists():
            self._fetch(run_id, name, path)
        return path if path.exists() else None

    def arrays(self, run_id: str, name: str, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of an npz file, or those wanted; empty if the run has no such file, or it cannot be read."""
        path = self.path(run_id, name)
        if path is None:
            return {}
        try:
            with np.load(path) as file:
                return {key: file[key] for key in file.files if wanted is None or key in wanted}
        except (OSError, ValueError, EOFError, BadZipFile):
            return {}

    @property
    def local(self) -> bool:
        """Whether all lie on this machine."""
        return all(_local(uri) for uri in self.uris.values())

    @property
    def client(self) -> "MlflowClient":
        """Asks the store for what does not lie on this machine; opened only then."""
        return _connected(self.store)

    def _fetch(self, run_id: str, name: str, path: Path) -> None:
        """Download; the file appears under its name only when it is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as draft:
            try:
                fetched = self.client.download_artifacts(run_id, name, draft)
            except Exception:  # whatever a server answers for a file that it does not have
                return
            shutil.move(fetched, path)


def _local(uri: str) -> Path | None:
    parts = urlparse(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def read_curves(artifacts: Artifacts, runs: pd.DataFrame, metrics: Collection[str] | None = None) -> list[Curve]:
    """The curves of each run: `step`, `epoch`, `time/step_seconds` and its metrics, each (n_records,)."""
    wanted = None if metrics is None else {"step", "epoch", "time/step_seconds", *metrics}
    epochs = dict(zip(runs["run_id"], runs["epochs"], strict=True))

    def read(run_id: str) -> Curve:
        curve = artifacts.arrays(run_id, "curves.npz", wanted)
        return curve if "step" in curve else _history(artifacts.client, run_id, epochs[run_id])

    if artifacts.local:
        return [read(run_id) for run_id in runs["run_id"]]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(read, runs["run_id"]))


def _history(client: "MlflowClient", run_id: str, epochs: float) -> Curve:
    """The curves as the tracking store has them, for a run whose artifact is lost; one call a metric."""
    names = [name for name in client.get_run(run_id).data.metrics if name.startswith(("train/", "test/", "time/"))]
    logged = {name: {m.step: m.value for m in client.get_metric_history(run_id, name)} for name in names}
    steps = np.array(sorted(set().union(*logged.values())) or [0])
    curve = {name: np.array([points.get(t, np.nan) for t in steps]) for name, points in logged.items()}
    per_step = epochs / steps[-1] if steps[-1] else 0.0  # right for runs that used their epochs up
    unknown = np.full(len(steps), np.nan)
    return {"step": steps, "epoch": steps * per_step, "time/step_seconds": unknown} | curve
