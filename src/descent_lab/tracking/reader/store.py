"""Opens a tracking store for reading and searches it, with one query for all runs, a page at a time."""

import gc
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from descent_lab.errors import StoreError
from descent_lab.paths import command
from descent_lab.tracking.address import SQLITE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["connect", "experiments", "is_complete", "search"]

PAGE = 1000  # the number of runs in one answer of the store
STATUSES = ("finished", "diverged")


def connect(uri: str) -> "MlflowClient":
    """A client of an existing store; none is created. Raises StoreError where there is none or it cannot be read."""
    _refuse_missing(uri)
    with _one_line(f"uri={uri}: cannot be read"):
        from mlflow import MlflowClient  # imported here because it takes seconds

        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def experiments(client: "MlflowClient", name: str | None) -> dict[str, str]:
    """The name by id of the experiment of that name, or (None) of all. Raises StoreError if there is none."""
    with _one_line(f"uri={client.tracking_uri}: cannot be read"):
        names = {experiment.experiment_id: experiment.name for experiment in _pages(client.search_experiments)}
    if name is None:
        return names
    chosen = {key: value for key, value in names.items() if value == name}
    if not chosen:
        existing = ", ".join(sorted(names.values())) or "none"
        raise StoreError(f"experiment={name}: no such experiment in {client.tracking_uri}; there are {existing}")
    return chosen


def search(client: "MlflowClient", ids: list[str], query: str, sweep: str | None) -> list["Run"]:
    """The runs of these experiments (by id) that match, oldest first; without the reports that MLflow shows as runs.

    query: MLflow's search syntax. sweep: the tag of the sweep; None: any.
    """
    terms = [f"({query})" if " or " in query.lower() else query] if query.strip() else []
    terms += [f"tags.sweep = '{sweep}'"] if sweep else []
    with _one_line(f"filter={query}: cannot be searched"), _no_collection():
        runs = _pages(lambda **page: client.search_runs(ids, " and ".join(terms), **page), max_results=PAGE)
        trained = (run for run in runs if "report" not in run.data.tags)
        return sorted(trained, key=lambda run: (run.info.start_time, run.info.run_id))


def is_complete(run: "Run") -> bool:
    """Whether this harness has written the run completely: MLflow's status FINISHED is set last."""
    ours = run.data.tags.get("status") in STATUSES and "identity" in run.data.tags
    return ours and run.info.status == "FINISHED"


def _pages(search: Callable[..., Any], **limits: int) -> Iterator[Any]:
    """The results of all pages of a search."""
    token = None
    while True:
        page = search(page_token=token, **limits)
        yield from page
        token = page.token
        if not token:
            return


def _refuse_missing(uri: str) -> None:
    """Raise StoreError where the SQLite file or the folder is missing, because MLflow would create it."""
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE).partition("?")[0])
        if not path.is_file():
            raise StoreError(f"uri={uri}: there is no such store; {command('run')} creates one")
        if not _has_runs_table(path):
            raise StoreError(f"uri={uri}: {path} is not an MLflow store")
    elif "://" not in uri or uri.startswith("file:"):
        path = Path(unquote(urlparse(uri).path)) if uri.startswith("file:") else Path(uri)
        if not path.is_dir():
            raise StoreError(f"uri={uri}: there is no such folder")


def _has_runs_table(path: Path) -> bool:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            query = "select 1 from sqlite_master where type = 'table' and name = 'runs'"
            return connection.execute(query).fetchone() is not None
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return False


@contextmanager
def _one_line(prefix: str) -> Iterator[None]:
    """Turn any exception of the block into a StoreError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns about the libraries that it is built on
            yield
    except StoreError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{prefix} ({reason})") from error


@contextmanager
def _no_collection() -> Iterator[None]:
    """Switch garbage collection off: MLflow makes millions of small objects, and examining them doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
