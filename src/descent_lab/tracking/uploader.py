"""Takes finished runs from the outbox to their tracking stores; keeps them when a store cannot be reached."""

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

from descent_lab.errors import without_password
from descent_lab.tracking import outbox
from descent_lab.tracking.outbox import FinishedRun, Session
from descent_lab.tracking.record import RunKey, TrackedRun
from descent_lab.tracking.server import Store, Stores
from descent_lab.tracking.writer_process import Lost, WriterProcess
from descent_lab.training.trainer import Outcome

PATIENCE = 30.0  # seconds before a store that is lost is tried again
TRIES = 2  # running that fail: the store is lost, not one run refused


class Backoff:
    """Tries to write; lets a store alone for a while when it is lost, as each attempt may take a minute."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()  # running, by address
        self.quiet_until: dict[str, float] = {}

    def attempt(self, uri: str, what: str, write: Callable[[], None]) -> bool:
        """Whether the store at uri took it; says so where not."""
        if monotonic() < self.quiet_until.get(uri, 0.0):
            return False
        try:
            write()
        except Lost:  # not through the store
            raise
        except Exception as error:  # whatever a lost server raises: what counts is safe on disk
            self._note_failure(uri, f"{what} ({str(error).strip() or type(error).__name__})".split("\n")[0])
            return False
        self.failures[uri] = 0
        return True

    def _note_failure(self, uri: str, what: str) -> None:
        self.failures[uri] += 1
        if self.failures[uri] <= TRIES:
            print(without_password(f"tracking.uri={uri}: {what}"), file=sys.stderr)
        if self.failures[uri] >= TRIES:
            self.quiet_until[uri] = monotonic() + PATIENCE


@dataclass
class Live:
    """A run that can be watched while it trains."""

    store: Store
    run_id: str
    n_logged: int = 0  # records


class Uploader:
    """Puts outcomes into the outbox at once and delivers them in the background.

    One uploader, in the launching process, writes for all workers: a thread of it and, where that would be what a sweep
    waits for, an writer_process in a process of its own.
    """

    def __init__(self, stores: Stores, tags: Mapping[str, str], writer_process: WriterProcess | None = None) -> None:
        self.stores, self.tags, self.session, self.writer_process = stores, tags, Session(), writer_process
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="uploader")
        self.beside = ThreadPoolExecutor(1, thread_name_prefix="writer_process")  # gives it work and waits
        self.waiting: deque[tuple[Path, float]] = deque()  # for whoever is free first, with the seconds spent on each
        self.backoff = Backoff()
        self.due: set[Path] = set()  # in the outbox, to be delivered
        self.live: dict[RunKey, Live] = {}
        self.shown: set[RunKey] = set()  # runs that are or will be live: what is written of them is written in turn
        self.undelivered = 0  # runs that stay in the outbox

    def take(self, run: TrackedRun, outcome: Outcome, started: float, wall: float) -> None:
        """Keep an outcome safe, then deliver it: at once if its clock is isolated, else while training goes on."""
        begin = perf_counter()
        parcel = outbox.pack(run, outcome, started, wall, dict(self.tags))
        folder = self.session.put(parcel, run, outcome)
        spent = perf_counter() - begin
        if run.tracking.offline:
            return
        self.due.add(folder)
        if outcome.timing == "isolated":
            self.thread.submit(self._deliver, folder, spent).result()
        elif self.writer_process is None or parcel.key in self.shown:
            self.thread.submit(self._deliver, folder, spent)
        else:
            self.waiting.append((folder, spent))
            self.thread.submit(self._next)  # announced to both: whoever comes too late has nothing to do
            self.beside.submit(self._assist)

    def show(self, run: TrackedRun, curves: Mapping[str, np.ndarray], started: float, wait: bool) -> None:
        """Let what has been recorded of a run be seen, before the run is finished."""
        if not run.tracking.offline:
            uri, *_ = run.key
            write = partial(self._show, run, curves, started)
            self.shown.add(run.key)
            job = self.thread.submit(self.backoff.attempt, uri, f"{run.name} not shown live", write)
            if wait:
                job.result()

    def close(self) -> None:
        """Wait for what is under way, try once more what failed, and leave the rest to the next start."""
        try:
            self.beside.shutdown()
            self.thread.shutdown()
            if self.writer_process:
                self.writer_process.close()
            self.backoff = Backoff()
            for folder in sorted(self.due):
                self._deliver(folder, again=True)
            for live in self.live.values():  # of runs that were not finished
                self.backoff.attempt(live.store.uri, "not removed", partial(live.store.drop, live.run_id))
        finally:
            self.beside.shutdown(cancel_futures=True)
            self.thread.shutdown(cancel_futures=True)
            self.undelivered = max(self.session.close(), len(self.due))

    def _next(self) -> None:
        with suppress(IndexError):
            self._deliver(*self.waiting.popleft())

    def _assist(self) -> None:
        if self.writer_process is None or not self.writer_process.ready():
            return
        with suppress(IndexError):
            folder, spent = self.waiting.popleft()
            try:
                self._deliver(folder, spent, writer_process=self.writer_process)
            except Lost:
                self.writer_process = None
                if not folder.exists():  # it was delivered, or somebody else looks after it
                    self.due.discard(folder)

    def _deliver(
        self, folder: Path, spent: float = 0.0, again: bool = False, writer_process: WriterProcess | None = None
    ) -> None:
        try:
            parcel = outbox.read(folder)
        except ValueError as error:  # somebody meddles with the outbox
            print(error, file=sys.stderr)
            return
        live = None if again else self.live.get(parcel.key)

        def write(store: Store) -> None:
            if writer_process:
                writer_process.deliver(store, folder, spent)
            else:
                _write(store, folder, parcel, spent, live.run_id if live else None, again)

        if _delivered(self.backoff, self.stores, parcel, write):
            self.due.discard(folder)
            if live:
                del self.live[parcel.key]

    def _show(self, run: TrackedRun, curves: Mapping[str, np.ndarray], started: float) -> None:
        place = run.key
        if place not in self.live:
            store = self.stores.of(run)
            self.live[place] = Live(store, store.begin(run, started, self.tags))
        live = self.live[place]
        live.store.extend(live.run_id, {name: values[live.n_logged :] for name, values in curves.items()}, started)
        live.n_logged = len(curves["step"])


def deliver_abandoned(stores: Stores, uris: set[str] | None = None) -> tuple[int, int]:
    """Deliver what earlier processes left, to these stores only or (None) to all: (delivered, left)."""
    backoff, counts = Backoff(), Counter[bool]()
    for folder, parcel in outbox.abandoned_runs():
        if uris is None or parcel.uri in uris:
            write = partial(_write, folder=folder, parcel=parcel, again=True)
            counts[_delivered(backoff, stores, parcel, write)] += 1
    return counts[True], counts[False]


def _delivered(backoff: Backoff, stores: Stores, parcel: FinishedRun, write: Callable[[Store], None]) -> bool:
    what = f"{parcel.name} stays in the outbox"
    return backoff.attempt(parcel.uri, what, lambda: write(stores.at(parcel.uri, parcel.experiment)))


def _write(
    store: Store, folder: Path, parcel: FinishedRun, spent: float = 0.0, live: str | None = None, again: bool = False
) -> None:
    store.deliver(folder, parcel, spent, live, again)
    outbox.discard(folder)
