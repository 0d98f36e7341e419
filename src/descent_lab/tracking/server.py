"""The one place that writes to MLflow."""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from random import uniform
from time import monotonic, perf_counter, sleep, time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import psutil
from filelock import FileLock

from descent_lab.errors import ConfigError, without_password
from descent_lab.paths import CACHE
from descent_lab.tracking import outbox
from descent_lab.tracking.address import SQLITE, database
from descent_lab.tracking.outbox import FinishedRun
from descent_lab.tracking.record import TrackedRun

MAX_POINTS = 1000  # metrics are for looking: longer curves are thinned, and whole in curves.npz
BATCH, PARAMS = 1000, 100  # entries, and params among them, that one log_batch call takes
NOTE = 8000  # letters that a tag may have
NARROWING = ("backend", "dataset", "optimizer", "model", "init", "batching", "epochs")
OTHERS = 10.0  # seconds to wait for another process that writes the same run


class Store:
    """An open MLflow tracking store and one experiment in it. Raises ConfigError if it cannot be opened."""

    def __init__(self, uri: str, experiment: str):
        self.uri, self.experiment = uri, experiment
        self.far = not uri.startswith(SQLITE)  # other machines may write to it, whom no lock or note here reaches
        self.visit: str | None = None  # stands in a note beside the store until others write; None: they may have
        _spare_the_disk()
        for chatty in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        try:
            _knock(uri)
            import mlflow  # takes seconds: only when a run is to be written

            mlflow.set_tracking_uri(uri)
            with self.alone():
                self.client = mlflow.MlflowClient(uri)
                self.experiment_id = self._experiment(experiment)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            said = f"tracking.uri={uri}: cannot be opened ({reason}); tracking.offline=true keeps runs in the outbox"
            raise ConfigError(without_password(said)) from error

    def finished(self, wanted: Sequence[TrackedRun]) -> dict[str, float | None]:
        """Final train/loss (None: diverged), by identity, of the runs that the store holds complete.

        One query, narrowed to what all the wanted runs have in common, after one for what is being written.
        """
        shared = set.intersection(*({(name, run.params[name]) for name in NARROWING} for run in wanted))
        with self.alone():
            self.visit = uuid4().hex  # from here on, only what others write needs to be looked for again
            self._note().write_text(self.visit)
        begun = self._search("attributes.status = 'RUNNING'", "tags.parcel LIKE '%'")  # they have no params yet
        if any(_is_being_written(run) for run in begun):
            self.visit = None
        alike = (f"params.`{name}` = '{value}'" for name, value in sorted(shared))
        runs = self._search("attributes.status = 'FINISHED'", "tags.identity LIKE '%'", *alike)
        return {run.data.tags["identity"]: _reached(run) for run in runs}

    def deliver(
        self, folder: Path, parcel: FinishedRun, before: float = 0.0, live: str | None = None, again: bool = False
    ) -> None:
        """Write a run from the outbox unless the store holds it already.

        `before`: seconds of logging spent already. `live`: the run that showed it while it trained.
        `again`: it may have been written before, in part or whole.
        """
        if again and self._written(folder.name):
            return
        begin = perf_counter()
        run = self._claimed(parcel, parcel.tags | {"parcel": folder.name}, live)
        if run is not None:
            self._fill(run.info, folder, parcel, before + perf_counter() - begin)
        elif live is not None:
            self.drop(live)

    def _written(self, parcel: str) -> bool:
        """Whether the store holds that parcel complete; what it holds of it in part is removed."""
        runs = self._search(f"tags.parcel = '{parcel}'")
        for run in runs:
            if run.info.status != "FINISHED":
                self.client.delete_run(run.info.run_id)
        return any(run.info.status == "FINISHED" for run in runs)

    def _only_we_wrote(self) -> bool:
        """Whether nobody else can have written since `finished` looked. If somebody can, the note tells them of us."""
        note = self._note()
        if self.visit is None or not note.exists() or note.read_text() != self.visit:
            note.write_text(uuid4().hex)
            self.visit = None
        return self.visit is not None and not self.far

    def _note(self) -> Path:
        return Path(f"{self._lock()}.writer")

    def _claimed(self, parcel: FinishedRun, tags: Mapping[str, str], live: str | None) -> Any:
        """A run to be filled, or None where another has written the same: one that is being written is waited for.

        Where that takes too long its run is deleted: its writer will notice, and find this one when it tries again.
        Two machines may claim a run at once: who finds that another has done so steps back, for a random while.
        """
        patience: dict[str, float] = {}  # by run: until when
        while True:
            with self.alone():
                same = [] if self._only_we_wrote() or parcel.force else self._alike(tags["identity"])
                if any(run.info.status == "FINISHED" for run in same):
                    return None
                others = [run.info.run_id for run in same]
                if all(monotonic() > patience.setdefault(run_id, monotonic() + OTHERS) for run_id in others):
                    for run_id in others:
                        self.client.delete_run(run_id)
                    run = self._marked(live, tags) if live else self._create(parcel.name, parcel.started, tags)
                    if parcel.force or not self.far or not self._alike(tags["identity"], but=run.info.run_id):
                        return run
                    self.client.delete_run(run.info.run_id)
                    live = None
            sleep(uniform(0.05, 0.5 if self.far else 0.1))

    def _alike(self, identity: str, but: str = "") -> list[Any]:
        """Runs of that identity that have been written or are being written; not those that still train."""
        runs = self._search(f"tags.identity = '{identity}'", "tags.parcel LIKE '%'")
        known = (run for run in runs if run.info.run_id != but)
        return [run for run in known if run.info.status == "FINISHED" or _is_being_written(run)]

    def _marked(self, run_id: str, tags: Mapping[str, str]) -> Any:
        self._log(run_id, {}, [], tags)
        return self.client.get_run(run_id)

    def delete_orphans(self) -> None:
        """Delete runs that a process of this machine, now gone, began and did not complete.

        This process has begun none yet: one with its number is of another that had it before.
        """
        for run in self._search("attributes.status = 'RUNNING'", "tags.writer LIKE '%'"):
            if _is_gone(run.data.tags["writer"]):
                self.client.delete_run(run.info.run_id)

    def begin(self, run: TrackedRun, started: float, tags: Mapping[str, str]) -> str:
        """A run that can be watched while it trains; `deliver` completes it, `drop` removes it."""
        shown = self._create(run.name, started, {**tags, "identity": run.identity})
        self._log(shown.info.run_id, run.params, [], {})
        return shown.info.run_id

    def extend(self, run_id: str, curves: Mapping[str, np.ndarray], started: float) -> None:
        """Add points to a run that was begun."""
        self._log(run_id, {}, _points(curves, started), {})

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""
        self.client.delete_run(run_id)

    def attach(self, report: str, folder: Path, names: Sequence[str], note: str) -> None:
        """Show these files of a folder, and a note in Markdown, as a run of their own: the newest of each report.

        An earlier run of the report is deleted as MLflow deletes, which leaves its files where they are: what a store
        says of their place is not trusted with deleting or overwriting.
        """
        tags = {"report": report, "mlflow.source.name": "reports.build", "mlflow.note.content": _shortened(note)}
        earlier = [run for run in self._search("tags.report LIKE '%'") if run.data.tags["report"] == report]
        run = self._create(f"report: {report}", time(), tags)
        files = self._artifacts(run.info.artifact_uri)
        for name in names:
            files.log_artifact(str(folder / name), str(Path(name).parent) if "/" in name else None)
        self.client.set_terminated(run.info.run_id)
        for old in earlier:
            self.client.delete_run(old.info.run_id)

    def alone(self) -> AbstractContextManager[Any]:
        """Held by one process of this machine at a time: to create the store, and to look before writing a run."""
        return FileLock(self._lock())

    def _lock(self) -> str:
        path = database(self.uri) if self.uri.startswith(SQLITE) else CACHE / f"store-{_slug(self.uri)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"{path}.lock"

    def _fill(self, info: Any, folder: Path, parcel: FinishedRun, spent: float) -> None:
        """Complete a run that was created."""
        begin, started = perf_counter(), int(1000 * parcel.started)
        self._artifacts(info.artifact_uri).log_artifacts(str(folder / "artifacts"))
        summary = [(name, value, started, 0) for name, value in parcel.summary.items()]
        metrics = _points(outbox.curves(folder), parcel.started) + summary
        log = spent + perf_counter() - begin
        ledger = parcel.ledger | {purpose: parcel.ledger[purpose] + log for purpose in ("log", "wall")}
        metrics += [(f"ledger/{name}_seconds", value, started, 0) for name, value in ledger.items()]
        self._log(info.run_id, parcel.params, metrics, {})
        self.client.set_terminated(info.run_id, end_time=int(1000 * (parcel.started + ledger["wall"])))

    def _create(self, name: str, started: float, tags: Mapping[str, str]) -> Any:
        shown = {"mlflow.source.name": "src.run", "mlflow.source.type": "LOCAL", "writer": _writer()}
        if "git.commit" in tags:
            shown["mlflow.source.git.commit"] = tags["git.commit"]
        return self.client.create_run(self.experiment_id, int(1000 * started), {**shown, **tags}, name)

    def _artifacts(self, uri: str) -> Any:
        """Where a run's files go. The client's log_artifacts would read the whole run again to find it."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(uri, tracking_uri=self.uri)

    def _log(
        self,
        run_id: str,
        params: Mapping[str, str],
        metrics: list[tuple[str, float, int, int]],
        tags: Mapping[str, str],
    ) -> None:
        """As few calls as the limits allow; the tags with the last."""
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(*entry) for entry in metrics]
        leaves = [Param(name, value) for name, value in params.items()]
        last = [RunTag(name, value) for name, value in tags.items()]
        while points or leaves or last:
            few, leaves = leaves[:PARAMS], leaves[PARAMS:]
            room = BATCH - len(few) - len(last)
            many, points = points[:room], points[room:]
            marks = [] if points or leaves else last
            self.client.log_batch(run_id, metrics=many, params=few, tags=marks)
            last = [] if marks else last

    def _experiment(self, name: str) -> str:
        known = self.client.get_experiment_by_name(name)
        if known is not None:
            return known.experiment_id
        beside = (database(self.uri).parent / "mlartifacts").as_uri() if self.uri.startswith(SQLITE) else None
        return self.client.create_experiment(name, artifact_location=beside)

    def _search(self, *terms: str) -> list[Any]:
        found, page = [], None
        while True:
            runs = self.client.search_runs(
                [self.experiment_id], " and ".join(terms), max_results=10000, page_token=page
            )
            found += runs
            page = runs.token
            if not page:
                return found


class Stores:
    """Tracking stores by address and experiment, each opened once."""

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], Store] = {}

    def at(self, uri: str, experiment: str) -> Store:
        """Raises ConfigError where the store cannot be opened."""
        key = (uri, experiment)
        if key not in self.opened:
            self.opened[key] = Store(uri, experiment)
        return self.opened[key]

    def of(self, run: TrackedRun) -> Store:
        """Where a run belongs; raises ConfigError as `at` does."""
        uri, experiment, _ = run.key
        return self.at(uri, experiment)


def _reached(run: Any) -> float | None:
    return None if run.data.tags.get("status") == "diverged" else run.data.metrics.get("final/train_loss")


def _shortened(note: str) -> str:
    """A note in Markdown, cut at the end of a line to what a tag may hold."""
    return note if len(note) <= NOTE else note[:NOTE].rpartition("\n")[0]


def _slug(uri: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in uri)


@cache
def _spare_the_disk() -> None:
    """SQLite waits for the disk at every commit, ten times a run; with a write-ahead log only now and then.

    A killed process loses nothing. A machine that loses power may lose its last runs, and no more.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA busy_timeout=60000")  # first: the next one may have to wait
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")


def _knock(uri: str) -> None:
    """Raise OSError soon if nobody answers at the address of a tracking server."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=5).close()


def _writer() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_gone(writer: str) -> bool:
    host, _, pid = writer.rpartition(":")
    return host == socket.gethostname() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid)))


def _is_being_written(run: Any) -> bool:
    """Whether its process is alive and has it whole in its outbox; not one that still trains."""
    return run.info.status == "RUNNING" and "parcel" in run.data.tags and not _is_gone(run.data.tags["writer"])


def _points(curves: Mapping[str, np.ndarray], started: float) -> list[tuple[str, float, int, int]]:
    """(name, value, time in ms, step) of every finite value, at most MAX_POINTS a curve; the last one always."""
    steps = curves["step"]
    times = (1000 * (started + curves["time/step_seconds"])).astype(np.int64)
    entries = []
    for name, values in curves.items():
        if name not in ("step", "epoch"):
            keep = _thinned(np.flatnonzero(np.isfinite(values)))
            entries += [(name, float(values[i]), int(times[i]), int(steps[i])) for i in keep]
    return entries


def _thinned(places: np.ndarray) -> np.ndarray:
    if len(places) <= MAX_POINTS:
        return places
    spaced = np.geomspace(1, len(places), MAX_POINTS).round().astype(int) - 1
    return places[np.unique(spaced)]
