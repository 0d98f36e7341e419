"""A second process that writes to MLflow, for a sweep of so many runs that writing is what it would wait for.

It has a session of the outbox of its own, and is given a run by moving its folder there: at any moment one living
process looks after a run, and what that process leaves when it is killed is found by the next start.
"""

import gc
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from descent_lab.child_processes import Leash
from descent_lab.tracking import outbox
from descent_lab.tracking.outbox import Session
from descent_lab.tracking.server import Store, Stores


class Lost(Exception):
    """The process is gone."""


class WriterProcess:
    """Writes runs in a process of its own, which opens the store while this one goes on."""

    def __init__(self, leash: Leash, store: Store) -> None:
        self.pool = leash.pool()
        self.begun = self.pool.submit(_begin, store.uri, store.experiment)

    def ready(self) -> bool:
        """Wait until it is; whether it could open the store."""
        return self.begun.exception() is None

    def deliver(self, store: Store, folder: Path, spent: float) -> None:
        """As Store.deliver, there. Whatever that raises: the run is in its folder again. Raises Lost."""
        session = self.begun.result()
        try:
            given = folder.rename(session / folder.name)
        except OSError as error:  # gone so long that others have tidied up after it
            raise Lost from error
        try:
            self.pool.submit(_deliver, store.uri, store.experiment, store.visit, given, folder, spent).result()
        except BrokenExecutor as error:
            outbox.reclaim(session, folder.parent)
            raise Lost from error

    def close(self) -> None:
        """Leave the outbox."""
        with suppress(Exception):  # what is lost has left it
            self.pool.submit(_end).result()


# In that process:


@cache
def _session() -> Session:
    return Session()


@cache
def _stores() -> Stores:
    return Stores()


def _begin(uri: str, experiment: str) -> Path:
    gc.set_threshold(50_000)  # MLflow's rows are many objects and little garbage
    _stores().at(uri, experiment)
    return _session().folder


def _deliver(uri: str, experiment: str, visit: str | None, given: Path, folder: Path, spent: float) -> None:
    try:
        store = _stores().at(uri, experiment)
        store.visit = visit
        store.deliver(given, outbox.read(given), spent)
    except Exception:
        given.rename(folder)
        raise
    outbox.discard(given)


def _end() -> None:
    _session().close()
