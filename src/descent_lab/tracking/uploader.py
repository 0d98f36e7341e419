"""Takes finished runs from the outbox to their tracking stores. The runs of a lost store stay in the outbox."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np

from descent_lab.errors import StoreError, without_password
from descent_lab.tracking import outbox
from descent_lab.tracking.entry import live_entry, points
from descent_lab.tracking.outbox import Session
from descent_lab.tracking.record import RunKey, TrackedRun
from descent_lab.tracking.stores import Delivery, Store, Stores, reason_of
from descent_lab.training.run import Outcome

QUIET_SECONDS = 30.0  # a lost store is tried again after this time
AT_A_TIME = 32  # this many runs are delivered before the next run that still trains is shown
MAX_FAILURES = 2  # after this many failures in a row the store counts as lost; before, only the run as refused
SLOW_SECONDS = 5.0  # after a failure that took longer the store counts as lost at once: the next would take as long


class Backoff:
    """Tries to write to stores, and lets a lost store alone for a while, because each attempt may take a minute.

    Of a lost store one line is printed until it answers again.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()  # in a row, by the store's address
        self.quiet_until: dict[str, float] = {}  # by the store's address: seconds on the monotonic clock
        self.told: set[str] = set()  # addresses of stores of which a failure was printed since they last answered
        self.slow: set[str] = set()  # addresses of stores whose last failure was that they gave no answer in time

    def attempt(self, uri: str, complaint: str, write: Callable[[], None]) -> bool:
        """Call `write` unless the store is being let alone. Return whether it succeeded.

        A failure is printed to stderr with the address, the complaint and the reason.
        """
        begin = monotonic()
        if begin < self.quiet_until.get(uri, 0.0):
            return False
        try:
            write()
        except Exception as error:  # whatever a lost server raises: the run is safe in the outbox
            self._note_failure(uri, f"{complaint} ({reason_of(error)})", monotonic() - begin > SLOW_SECONDS)
            return False
        self.failures[uri] = 0
        self.told.discard(uri)
        return True

    def once_more(self) -> None:
        """Try lost stores again at once, but for those that have just given no answer in time."""
        self.failures.clear()
        self.quiet_until = {uri: until for uri, until in self.quiet_until.items() if uri in self.slow}

    def _note_failure(self, uri: str, complaint: str, slow: bool) -> None:
        self.failures[uri] += 1
        if uri not in self.told:
            print(without_password(f"tracking.uri={uri}: {complaint}"), file=sys.stderr)
        self.told.add(uri)
        (self.slow.add if slow else self.slow.discard)(uri)
        if slow or self.failures[uri] >= MAX_FAILURES:
            self.quiet_until[uri] = monotonic() + QUIET_SECONDS


@dataclass
class LiveRun:
    """A run that can be watched in MLflow while it trains."""

    store: Store
    run_id: str
    n_logged: int = 0  # number of records that have been written


class Uploader:
    """Puts outcomes into the outbox at once and delivers them to the tracking stores in the background.

    One uploader, in the launching process, writes for all workers. A thread of it delivers the runs that have come
    meanwhile together, as many as the store takes at a time.
    """

    def __init__(self, stores: Stores, tags: Mapping[str, str]) -> None:
        self.stores, self.tags, self.session = stores, tags, Session()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="uploader")
        self.queue: deque[tuple[Path, float]] = deque()  # folders of runs, with the seconds spent on logging each
        self.backoff = Backoff()
        self.due: set[Path] = set()  # folders of the runs to be delivered
        self.live: dict[RunKey, LiveRun] = {}
        self.names: dict[RunKey, str] = {}  # of runs that are or will be live: that of the folder in the outbox
        self.undelivered = 0  # runs that stay in the outbox; known after `close`

    def take(self, tracked: TrackedRun, outcome: Outcome, started: float, wall: float) -> None:
        """Put an outcome into the outbox and deliver it.

        A run with an isolated clock is delivered before this returns, so that writing disturbs no clock. Other runs
        are delivered while training goes on. started: in seconds since 1970. wall: the run's wall seconds.
        """
        begin = perf_counter()
        finished = outbox.describe(tracked, outcome, started, wall, self.tags)
        folder = self.session.put(finished, tracked, outcome, self.names.get(finished.key) or outbox.new_name())
        if tracked.tracking.offline:
            return
        self.due.add(folder)
        self.queue.append((folder, perf_counter() - begin))
        job = self.thread.submit(self._deliver_waiting)
        if outcome.timing == "isolated":
            job.result()

    def show(self, tracked: TrackedRun, curves: Mapping[str, np.ndarray], started: float, wait: bool) -> None:
        """Show in MLflow what has been recorded of a run that still trains.

        curves: all records so far, each (n_records,). wait: return only when they have been written.
        """
        if not tracked.tracking.offline:
            uri, *_ = tracked.key
            name = self.names.setdefault(tracked.key, outbox.new_name())
            write = partial(self._show, tracked, name, curves, started)
            job = self.thread.submit(self.backoff.attempt, uri, f"{tracked.name} not shown live", write)
            if wait:
                job.result()

    def close(self) -> None:
        """Wait until all runs have been tried, try those that failed once more, and leave the rest in the outbox."""
        try:
            self.thread.shutdown()
            self.backoff.once_more()
            self._deliver([(folder, 0.0) for folder in sorted(self.due)], again=True)
            for live in self.live.values():  # runs that were shown and did not finish
                self.backoff.attempt(live.store.uri, "not removed", partial(live.store.drop, live.run_id))
        finally:
            self.thread.shutdown(cancel_futures=True)
            self.undelivered = max(self.session.close(), len(self.due))

    def _deliver_waiting(self) -> None:
        """Deliver the runs that wait; where they are many, the first ones, as each has a call of its own."""
        self._deliver([self.queue.popleft() for _ in range(min(len(self.queue), AT_A_TIME))])

    def _deliver(self, waiting: Sequence[tuple[Path, float]], again: bool = False) -> None:
        deliveries = []
        for folder, log_seconds in waiting:
            try:
                finished = outbox.read(folder)
            except StoreError as error:  # somebody has changed or deleted the folder
                print(error, file=sys.stderr)
                continue
            live = self.live.get(finished.key)
            deliveries.append(Delivery(folder, finished, log_seconds, live.run_id if live else None, again))
        for one in _delivered(deliveries, self.stores, self.backoff):
            self.due.discard(one.folder)
            self.live.pop(one.finished.key, None)

    def _show(self, tracked: TrackedRun, name: str, curves: Mapping[str, np.ndarray], started: float) -> None:
        key = tracked.key
        if key not in self.live:
            store = self.stores.of(tracked)
            self.live[key] = LiveRun(store, store.begin(name, live_entry(tracked, started, self.tags)))
        live = self.live[key]
        new = {metric: values[live.n_logged :] for metric, values in curves.items()}
        live.store.extend(live.run_id, points(new, started))
        live.n_logged = len(curves["step"])


def deliver_abandoned(stores: Stores, uris: set[str] | None = None, backoff: Backoff | None = None) -> tuple[int, int]:
    """Deliver the runs that processes which are gone left in the outbox, and return how many were delivered and not.

    uris: the addresses of the stores to deliver to; None: all. backoff: knows afterwards which stores were lost.
    """
    backoff, n_delivered, n_found = backoff or Backoff(), 0, 0
    for session in outbox.abandoned_runs():
        found = [(folder, finished) for folder, finished in session if uris is None or finished.uri in uris]
        deliveries = [Delivery(folder, finished, again=True) for folder, finished in found]
        n_delivered += len(_delivered(deliveries, stores, backoff))
        n_found += len(found)
    return n_delivered, n_found - n_delivered


def _delivered(deliveries: Sequence[Delivery], stores: Stores, backoff: Backoff) -> list[Delivery]:
    """Deliver runs, those of one store as many together as it takes at a time; return those that it has now."""
    by_store: dict[tuple[str, str], list[Delivery]] = {}
    for one in deliveries:
        by_store.setdefault((one.finished.uri, one.finished.experiment), []).append(one)
    delivered: list[Delivery] = []
    for (uri, experiment), left in by_store.items():
        while left:
            opened = stores.opened.get((uri, experiment))  # until the store is open, try one run
            batch, left = left[: opened.batch_size if opened else 1], left[opened.batch_size if opened else 1 :]
            write = partial(_write, stores, uri, experiment, batch, delivered)
            backoff.attempt(uri, f"{_named(batch)} in the outbox", write)
    return delivered


def _write(stores: Stores, uri: str, experiment: str, batch: Sequence[Delivery], delivered: list[Delivery]) -> None:
    """Write runs that belong to one store, discard their folders and add them to `delivered`.

    Raises whatever the store raises, and where it refuses every run, the reason of the first.
    """
    refused = stores.at(uri, experiment).deliver(batch)
    if len(refused) == len(batch):
        raise next(iter(refused.values()))
    alike: dict[str, list[Delivery]] = {}  # by the reason, without the names of files
    for one in batch:
        if one.folder in refused:
            error = refused[one.folder]
            alike.setdefault(getattr(error, "strerror", None) or reason_of(error), []).append(one)
        else:
            outbox.discard(one.folder)
            delivered.append(one)
    for few in alike.values():
        complaint = f"{_named(few)} in the outbox ({reason_of(refused[few[0].folder])})"
        print(without_password(f"tracking.uri={uri}: {complaint}"), file=sys.stderr)


def _named(batch: Sequence[Delivery]) -> str:
    return f"{batch[0].finished.name} stays" if len(batch) == 1 else f"{len(batch)} runs stay"
