"""Which MLflow store is meant, and how MLflow behaves: where reading and writing begin, quick to import."""

import os
from pathlib import Path

from descent_lab.paths import ROOT

for name, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a lost server is noticed in seconds: the outbox keeps the runs
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}.items():
    os.environ.setdefault(name, value)

SQLITE = "sqlite:///"


def resolve(uri: str | None) -> str:
    """The store that a tracking.uri means, with an absolute path where it is a file."""
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{ROOT / 'mlflow.db'}"
    return SQLITE + str(database(chosen)) if chosen.startswith(SQLITE) else chosen


def database(uri: str) -> Path:
    """The file of a store in SQLite."""
    return Path(uri.removeprefix(SQLITE)).absolute()
