"""Opens tracking stores: what every store can do, whichever way it is written, and which way an address is written.

Sweeps, `deliver` and reports use `Stores`; they do not know the writers behind it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from descent_lab.errors import ConfigError, StoreError, without_password
from descent_lab.tracking.address import is_database, is_folder, sqlite_file
from descent_lab.tracking.entry import Entry, Point
from descent_lab.tracking.outbox import FinishedRun
from descent_lab.tracking.record import KnownRun, TrackedRun


@dataclass(frozen=True)
class Delivery:
    """A finished run on its way from the outbox to a store.

    folder: of the run in the outbox.
    log_seconds: spent on logging the run so far; the ledger of the run counts them.
    live_run: id of the run that showed it in the store while it trained, as `Store.begin` gave it.
    again: an earlier attempt may have written the run, in part or completely.
    """

    folder: Path
    finished: FinishedRun
    log_seconds: float = 0.0
    live_run: str | None = None
    again: bool = False


class Store(Protocol):
    """An open tracking store and one experiment in it."""

    uri: str
    experiment: str
    batch_size: int  # the most runs that one call of `deliver` takes

    @property
    def experiment_id(self) -> int | str:
        """The id of the experiment."""

    def finished(self, runs: Iterable[TrackedRun]) -> Mapping[str, KnownRun]:
        """The complete runs with the identities of these, by identity; other runs may be among them."""

    def deliver(self, batch: Sequence[Delivery]) -> Mapping[Path, Exception]:
        """Write these runs, but for those that the store holds already, so that their folders may be discarded.

        Return why runs were refused, by folder. Raises what a lost store raises; then runs may be written in part, and
        are made whole when they are delivered again.
        """

    def begin(self, run_id: str, entry: Entry) -> str:
        """Create a run that can be watched while it trains, and return the id under which the store shows it.

        run_id: the name that the run's folder in the outbox will have. `deliver` completes the run, `drop` deletes it.
        """

    def extend(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points to a run that was begun."""

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""

    def experiment_tags(self) -> Mapping[str, str]:
        """The tags of the experiment."""

    def tag_experiment(self, changes: Mapping[str, str | None]) -> None:
        """Set tags of the experiment; None deletes one."""

    def delete_orphans(self) -> None:
        """Delete runs that were begun by processes of this machine which ended before completing them.

        Call it before this process begins a run: a run that carries this process's number was begun by an earlier
        process of that number.
        """

    def add(self, entry: Entry) -> str:
        """Write an entry that is no trained run, and return its id. It replaces those with the same tag `entry.kind`.

        The files of the entry are copied. The files of those replaced stay until MLflow's own garbage collection.
        """

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an entry that is no trained run, with this name as its tag `kind`: report or summary."""


class Stores:
    """Tracking stores by address and experiment, each opened once."""

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], Store] = {}

    def at(self, uri: str, experiment: str) -> Store:
        """The store at an address. Raises ConfigError where it cannot be opened."""
        key = (uri, experiment)
        if key not in self.opened:
            self.opened[key] = _opened(uri, experiment)
        return self.opened[key]

    def of(self, tracked: TrackedRun) -> Store:
        """The store to which a run belongs. Raises ConfigError where it cannot be opened."""
        uri, experiment, _ = tracked.key
        return self.at(uri, experiment)


def _opened(uri: str, experiment: str) -> Store:
    """The store at an address: a folder of runs, a database whose tables are known, or what MLflow's client opens."""
    with _refused(uri):
        file = sqlite_file(uri)
        if file and not file.parent.is_dir():
            raise StoreError(f"there is no folder {file.parent}")
        if is_folder(uri):
            from descent_lab.tracking.folder import FolderStore  # which imports this module

            return FolderStore(uri, experiment)
        if is_database(uri) and _tables_are_known(uri):
            from descent_lab.tracking.database import DatabaseStore  # which imports this module

            return DatabaseStore(uri, experiment)
        from descent_lab.tracking.server import ServerStore  # which imports this module

        return ServerStore(uri, experiment)


def _tables_are_known(uri: str) -> bool:
    """Whether the store, which is created where there is none, is of a known revision; if not, it is told."""
    from descent_lab.tracking.database import prepare
    from descent_lab.tracking.schema import TESTED

    revision = prepare(uri)
    if revision not in TESTED:
        line = f"tracking.uri={uri}: its tables are of a revision that was not tested here ({revision})"
        _tell(f"{line}, so MLflow's own client writes them, which takes longer")
    return revision in TESTED


@cache
def _tell(line: str) -> None:
    """Say something once a process."""
    print(without_password(line), file=sys.stderr)


@contextmanager
def _refused(uri: str) -> Iterator[None]:
    """Turn any exception of the block into a ConfigError of one line."""
    try:
        yield
    except Exception as error:
        offline = "tracking.offline=true keeps runs in the outbox"
        message = f"tracking.uri={uri}: cannot be opened ({reason_of(error)}); {offline}"
        raise ConfigError(message) from error


def reason_of(error: BaseException) -> str:
    """Why a store could not be opened or written, in a line."""
    if isinstance(error, ConfigError) and error.__cause__:  # it cannot be opened
        return reason_of(error.__cause__)
    text = str(getattr(error, "orig", None) or error)  # what the database says, where SQLAlchemy tells it
    text = (text.strip() or type(error).__name__).splitlines()[0]
    request, quoting, libraries = text.partition(" failed with exception ")  # MLflow's client on a server
    reason = libraries.rpartition(": ")[2].partition("(")[0].rstrip("\"') .")
    return f"{request}: {reason}" if quoting else text


def deleted(experiment: str, experiment_id: int | str) -> str:
    """What is said of an experiment that its owner has deleted."""
    restore = f"mlflow experiments restore --experiment-id {experiment_id}"
    return f"experiment {experiment} is deleted: {restore}, or choose another name"
