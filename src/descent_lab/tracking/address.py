"""The address of the MLflow store, and settings of MLflow. This module is quick to import: mlflow is not."""

import os
from pathlib import Path

from descent_lab.paths import ROOT

for name, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a lost server is noticed within seconds: the outbox keeps the runs
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
}.items():
    os.environ.setdefault(name, value)

SQLITE = "sqlite:///"


def resolve(uri: str | None) -> str:
    """The address of the store that tracking.uri means, with an absolute path where the store is a SQLite file.

    None means MLFLOW_TRACKING_URI, or else mlflow.db at the repository root (installed: in the current folder).
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{ROOT / 'mlflow.db'}"
    return SQLITE + str(database(chosen)) if chosen.startswith(SQLITE) else chosen


def database(uri: str) -> Path:
    """The absolute path of the file of a SQLite store."""
    return Path(uri.removeprefix(SQLITE)).absolute()
