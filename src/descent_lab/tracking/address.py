"""The address of the MLflow store, and settings of MLflow. This module is quick to import: mlflow is not."""

import os
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlparse

from descent_lab.paths import CACHE, ROOT

for name, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a lost server is noticed within seconds: the outbox keeps the runs
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # or a server's address is printed twice a run
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}.items():
    os.environ.setdefault(name, value)

SQLITE = "sqlite:///"
FOLDER = "folder:"  # a folder of runs, without MLflow (folder.py)


def default() -> str:
    """The address where nothing names another: mlflow.db at the repository root (installed: in the current folder)."""
    return f"{SQLITE}{ROOT / 'mlflow.db'}"


def resolve(uri: str | None) -> str:
    """The address of the store that tracking.uri means, with an absolute path where it is a SQLite file or a folder.

    None means MLFLOW_TRACKING_URI, or else mlflow.db at the repository root (installed: in the current folder).
    `folder:` without a path means the folder `runs` there.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or default()
    if is_folder(chosen):
        return FOLDER + str(Path(chosen.removeprefix(FOLDER) or ROOT / "runs").absolute())
    return SQLITE + str(Path(chosen.removeprefix(SQLITE)).absolute()) if chosen.startswith(SQLITE) else chosen


def is_folder(uri: str) -> bool:
    """Whether a store is a folder of runs, of which MLflow knows nothing."""
    return uri.startswith(FOLDER)


def is_database(uri: str) -> bool:
    """Whether the store at an address is a database that is written by SQL (database.py)."""
    return uri.startswith(SQLITE) or uri.partition("://")[0].partition("+")[0] == "postgresql"


def sqlite_file(uri: str) -> Path | None:
    """The absolute path of the file of a SQLite store, or None for any other store."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute() if uri.startswith(SQLITE) else None


def beside_file(uri: str) -> str | None:
    """The address of the artifacts of a new experiment in a SQLite file, which are kept beside it; else None."""
    file = sqlite_file(uri)
    return (file.parent / "mlartifacts").as_uri() if file else None


def lock_path(uri: str) -> Path:
    """The file that processes of this machine lock while they create a store, or claim a run in one without SQL."""
    path = sqlite_file(uri) or CACHE / f"store-{sha256(uri.encode()).hexdigest()[:16]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.lock")


def local_path(uri: str) -> Path | None:
    """The path on this machine that an address of artifacts means, or None where they are elsewhere."""
    parts = urlparse(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
