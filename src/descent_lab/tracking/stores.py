"""Opens tracking stores: what every store can do, whichever way it is written, and which way an address is written.

Sweeps, `deliver` and reports use `Stores`; they do not know the writers behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from descent_lab.tracking.entry import Entry, Point
from descent_lab.tracking.outbox import FinishedRun
from descent_lab.tracking.record import KnownRun, TrackedRun


@dataclass(frozen=True)
class Delivery:
    """A finished run on its way from the outbox to a store.

    folder: of the run in the outbox.
    log_seconds: spent on logging the run so far; the ledger of the run counts them.
    live_run: id of the run that showed it in the store while it trained.
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

    def finished(self, runs: Sequence[TrackedRun]) -> Mapping[str, KnownRun]:
        """The complete runs with the identities of these, by identity; other runs may be among them."""

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Write these runs, but for those that the store holds already; their folders may be discarded afterwards."""

    def begin(self, run_id: str, entry: Entry) -> str:
        """Create a run that can be watched while it trains, and return its id.

        run_id: the name that the run's folder in the outbox will have. `deliver` completes the run, `drop` deletes it.
        """

    def extend(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points to a run that was begun."""

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""

    def delete_orphans(self) -> None:
        """Delete runs that were begun by processes of this machine which ended before completing them.

        Call it before this process begins a run: a run that carries this process's number was begun by an earlier
        process of that number.
        """

    def add(self, entry: Entry) -> str:
        """Write an entry that is no trained run, and return its id. It replaces those with the same tag `entry.kind`.

        The files of the entry are copied. The files of those replaced stay until MLflow's own garbage collection.
        """


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
    from descent_lab.tracking.server import ServerStore  # which imports this module

    return ServerStore(uri, experiment)
