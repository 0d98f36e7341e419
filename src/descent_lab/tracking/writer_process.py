"""A second process that writes to MLflow, for sweeps of so many runs that writing would take longer than training.

The process has its own session of the outbox. It is given a run when the run's folder is moved into that session, so
that at any moment one living process is responsible for a run. Runs of a killed process are found by the next start.
"""

import gc
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from descent_lab.child_processes import ChildProcesses
from descent_lab.tracking import outbox
from descent_lab.tracking.outbox import Session
from descent_lab.tracking.server import ServerStore
from descent_lab.tracking.stores import Delivery, Store, Stores

GARBAGE_THRESHOLD = 50_000  # collect garbage rarely, because MLflow makes many objects that are no garbage


class ProcessLost(Exception):
    """The writer process is gone."""


class WriterProcess:
    """Writes runs in a process of its own, which opens the store while the launching process goes on."""

    def __init__(self, children: ChildProcesses, store: Store) -> None:
        self.pool = children.pool()
        self.session = self.pool.submit(_open, store.uri, store.experiment)

    def ready(self) -> bool:
        """Wait until the process has opened the store. Return whether it could."""
        return self.session.exception() is None

    def deliver(self, store: Store, folder: Path, log_seconds: float) -> None:
        """Do what Store.deliver does, in that process, then discard the folder.

        Raises ProcessLost if the process ends, and whatever Store.deliver raises. The run is then in `folder` again,
        unless another process has claimed it.
        """
        session = self.session.result()
        try:
            moved = folder.rename(session / folder.name)
        except OSError as error:  # the process ended a while ago, and another process has removed its session
            raise ProcessLost from error
        token = store.write_token if isinstance(store, ServerStore) else None
        try:
            self.pool.submit(_deliver, store.uri, store.experiment, token, moved, folder, log_seconds).result()
        except BrokenExecutor as error:
            outbox.reclaim(session, folder.parent)
            raise ProcessLost from error

    def close(self) -> None:
        """Let the process release its session of the outbox."""
        with suppress(Exception):  # the lock of a process that is gone is free already
            self.pool.submit(_close).result()


# What follows runs in that process.


@cache
def _session() -> Session:
    return Session()


@cache
def _stores() -> Stores:
    return Stores()


def _open(uri: str, experiment: str) -> Path:
    gc.set_threshold(GARBAGE_THRESHOLD)
    _stores().at(uri, experiment)
    return _session().folder


def _deliver(uri: str, experiment: str, write_token: str | None, moved: Path, origin: Path, log_seconds: float) -> None:
    try:
        store = _stores().at(uri, experiment)
        if isinstance(store, ServerStore):
            store.write_token = write_token
        store.deliver([Delivery(moved, outbox.read(moved), log_seconds)])
    except Exception:
        moved.rename(origin)
        raise
    outbox.discard(moved)


def _close() -> None:
    _session().close()
