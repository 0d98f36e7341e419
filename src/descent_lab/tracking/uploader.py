"""Takes finished runs from the outbox to their tracking stores. The runs of a lost store stay in the outbox."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np

from descent_lab.errors import StoreError, without_password
from descent_lab.tracking import outbox
from descent_lab.tracking.entry import live_entry, points
from descent_lab.tracking.outbox import FinishedRun, Session
from descent_lab.tracking.record import RunKey, TrackedRun
from descent_lab.tracking.stores import Delivery, Store, Stores
from descent_lab.tracking.writer_process import ProcessLost, WriterProcess
from descent_lab.training.run import Outcome

QUIET_SECONDS = 30.0  # a lost store is tried again after this time
MAX_FAILURES = 2  # after this many failures in a row the store counts as lost; before, only the run as refused


class Backoff:
    """Tries to write to stores, and lets a lost store alone for a while, because each attempt may take a minute."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()  # in a row, by the store's address
        self.quiet_until: dict[str, float] = {}  # by the store's address: seconds on the monotonic clock

    def attempt(self, uri: str, complaint: str, write: Callable[[], None]) -> bool:
        """Call `write` unless the store is being let alone. Return whether it succeeded.

        A failure is printed to stderr with the address, the complaint and the reason. ProcessLost is passed on.
        """
        if monotonic() < self.quiet_until.get(uri, 0.0):
            return False
        try:
            write()
        except ProcessLost:  # the process is lost, which says nothing about the store
            raise
        except Exception as error:  # whatever a lost server raises: the run is safe in the outbox
            self._note_failure(uri, f"{complaint} ({str(error).strip() or type(error).__name__})".split("\n")[0])
            return False
        self.failures[uri] = 0
        return True

    def _note_failure(self, uri: str, complaint: str) -> None:
        self.failures[uri] += 1
        if self.failures[uri] <= MAX_FAILURES:
            print(without_password(f"tracking.uri={uri}: {complaint}"), file=sys.stderr)
        if self.failures[uri] >= MAX_FAILURES:
            self.quiet_until[uri] = monotonic() + QUIET_SECONDS


@dataclass
class LiveRun:
    """A run that can be watched in MLflow while it trains."""

    store: Store
    run_id: str
    n_logged: int = 0  # number of records that have been written


class Uploader:
    """Puts outcomes into the outbox at once and delivers them to the tracking stores in the background.

    One uploader, in the launching process, writes for all workers. A thread of it delivers runs. In a sweep of many
    runs a writer process delivers runs too: each run goes to whichever of the two is free first.
    """

    def __init__(self, stores: Stores, tags: Mapping[str, str], writer_process: WriterProcess | None = None) -> None:
        self.stores, self.tags, self.session, self.writer_process = stores, tags, Session(), writer_process
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="uploader")
        self.process_thread = ThreadPoolExecutor(1, thread_name_prefix="writer process")  # waits for the process
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
        name = self.names.get(finished.key)
        folder = self.session.put(finished, tracked, outcome, name or outbox.new_name())
        log_seconds = perf_counter() - begin
        if tracked.tracking.offline:
            return
        self.due.add(folder)
        if outcome.timing == "isolated":
            self.thread.submit(self._deliver, folder, log_seconds).result()
        elif self.writer_process is None or name:  # only `thread` writes runs that are live, in order
            self.thread.submit(self._deliver, folder, log_seconds)
        else:
            self.queue.append((folder, log_seconds))
            self.thread.submit(self._deliver_next)  # both are told, and the one that comes second finds nothing to do
            self.process_thread.submit(self._deliver_next_by_process)

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
            self.process_thread.shutdown()
            self.thread.shutdown()
            if self.writer_process:
                self.writer_process.close()
            self.backoff = Backoff()
            for folder in sorted(self.due):
                self._deliver(folder, again=True)
            for live in self.live.values():  # runs that were shown and did not finish
                self.backoff.attempt(live.store.uri, "not removed", partial(live.store.drop, live.run_id))
        finally:
            self.process_thread.shutdown(cancel_futures=True)
            self.thread.shutdown(cancel_futures=True)
            self.undelivered = max(self.session.close(), len(self.due))

    def _deliver_next(self) -> None:
        with suppress(IndexError):  # the writer process took it
            self._deliver(*self.queue.popleft())

    def _deliver_next_by_process(self) -> None:
        if self.writer_process is None or not self.writer_process.ready():
            return
        with suppress(IndexError):  # the thread took it
            folder, log_seconds = self.queue.popleft()
            try:
                self._deliver(folder, log_seconds, writer_process=self.writer_process)
            except ProcessLost:
                self.writer_process = None
                if not folder.exists():  # the run was delivered, or another process has claimed it
                    self.due.discard(folder)

    def _deliver(
        self, folder: Path, log_seconds: float = 0.0, again: bool = False, writer_process: WriterProcess | None = None
    ) -> None:
        try:
            finished = outbox.read(folder)
        except StoreError as error:  # somebody has changed or deleted the folder
            print(error, file=sys.stderr)
            return
        live = None if again else self.live.get(finished.key)

        def write(store: Store) -> None:
            if writer_process:
                writer_process.deliver(store, folder, log_seconds)
            else:
                _write(store, Delivery(folder, finished, log_seconds, live.run_id if live else None, again))

        if _delivered(self.backoff, self.stores, finished, write):
            self.due.discard(folder)
            if live:
                del self.live[finished.key]

    def _show(self, tracked: TrackedRun, name: str, curves: Mapping[str, np.ndarray], started: float) -> None:
        key = tracked.key
        if key not in self.live:
            store = self.stores.of(tracked)
            self.live[key] = LiveRun(store, store.begin(name, live_entry(tracked, started, self.tags)))
        live = self.live[key]
        new = {metric: values[live.n_logged :] for metric, values in curves.items()}
        live.store.extend(live.run_id, points(new, started))
        live.n_logged = len(curves["step"])


def deliver_abandoned(stores: Stores, uris: set[str] | None = None) -> tuple[int, int]:
    """Deliver the runs that processes which are gone left in the outbox, and return how many were delivered and not.

    uris: the addresses of the stores to deliver to; None: all.
    """
    backoff, counts = Backoff(), Counter[bool]()
    for folder, finished in outbox.abandoned_runs():
        if uris is None or finished.uri in uris:
            write = partial(_write, delivery=Delivery(folder, finished, again=True))
            counts[_delivered(backoff, stores, finished, write)] += 1
    return counts[True], counts[False]


def _delivered(backoff: Backoff, stores: Stores, finished: FinishedRun, write: Callable[[Store], None]) -> bool:
    complaint = f"{finished.name} stays in the outbox"
    return backoff.attempt(finished.uri, complaint, lambda: write(stores.at(finished.uri, finished.experiment)))


def _write(store: Store, delivery: Delivery) -> None:
    store.deliver([delivery])
    outbox.discard(delivery.folder)
