"""Writes to MLflow, and asks it, through MLflow's own client."""

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from random import uniform
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
from filelock import FileLock

from descent_lab.errors import ConfigError
from descent_lab.paths import CACHE
from descent_lab.tracking.address import SQLITE, database
from descent_lab.tracking.entry import Entry, Input, Point, entry_of
from descent_lab.tracking.provenance import is_gone
from descent_lab.tracking.record import KnownRun, TrackedRun
from descent_lab.tracking.stores import Delivery

if TYPE_CHECKING:
    from mlflow.entities import Run, RunInfo

BATCH_ENTRIES, BATCH_PARAMS = 1000, 100  # the most entries, and the most params among them, of one log_batch call
COMMON_PARAMS = ("backend", "dataset", "optimizer", "model", "init", "batching", "epochs")  # those that narrow a search
OTHER_WRITER_SECONDS = 10.0  # how long to wait for another process that writes the same run
CONNECT_SECONDS = 5  # how long to wait until a tracking server accepts a connection


class ServerStore:
    """An open MLflow tracking store and one experiment in it. Raises ConfigError if it cannot be opened.

    write_token: written to a file beside the store when `finished` looks at the store. While the file holds this
    token, no other process of this machine has written runs since then. None: another process may have.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment, self.batch_size = uri, experiment, 1
        self.remote = not uri.startswith(SQLITE)  # other machines may write to it, whatever is locked here
        self.write_token: str | None = None
        if not self.remote and not database(uri).parent.is_dir():
            raise ConfigError(f"tracking.uri={uri}: there is no folder {database(uri).parent}")
        _use_write_ahead_log()
        try:
            _check_answer(uri)
            import mlflow  # imported here because it takes seconds

            mlflow.set_tracking_uri(uri)
            with self.alone(), _only_warnings():
                self.client = mlflow.MlflowClient(uri)
                self.experiment_id = self._open_experiment(experiment)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            message = f"tracking.uri={uri}: cannot be opened ({reason}); tracking.offline=true keeps runs in the outbox"
            raise ConfigError(message) from error

    def finished(self, runs: Sequence[TrackedRun]) -> dict[str, KnownRun]:
        """The complete runs that resemble these, by identity.

        It takes two queries, whatever the number of runs: one for runs that are being written, and one for complete
        runs with the params that all of `runs` share. So the answer may hold more runs than were asked for.
        """
        shared = set.intersection(*({(name, run.params[name]) for name in COMMON_PARAMS} for run in runs))
        with self.alone():
            self.write_token = uuid4().hex  # from here on, runs written by this process need not be searched for
            self._token_file().write_text(self.write_token)
        unfinished = self._search("attributes.status = 'RUNNING'", "tags.parcel LIKE '%'")  # these have no params yet
        if any(_is_being_written(run) for run in unfinished):
            self.write_token = None
        terms = (f"params.`{name}` = '{value}'" for name, value in sorted(shared))
        complete = self._search("attributes.status = 'FINISHED'", "tags.identity LIKE '%'", *terms)
        return {run.data.tags["identity"]: self._known(run) for run in complete}

    def _known(self, run: "Run") -> KnownRun:
        diverged = run.data.tags.get("status") == "diverged"
        return KnownRun(diverged, run.data.metrics, partial(self._curves, run))

    def _curves(self, run: "Run") -> dict[str, np.ndarray]:
        """The curves of a run, each (n_records,)."""
        from descent_lab.tracking.reader.arrays import Artifacts, curves_of  # imported here because it loads pandas

        artifacts = Artifacts(self.uri, {run.info.run_id: run.info.artifact_uri})
        return curves_of(artifacts, run.info.run_id, float(run.data.params["epochs"]))

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Write runs from the outbox unless the store holds them already."""
        for delivery in batch:
            self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.again and self._holds(delivery.folder.name):
            return
        begin = perf_counter()
        entry = entry_of(delivery.finished, delivery.folder)
        run = self._claim(entry, delivery.finished.force, delivery.live_run)
        if run is not None:
            self._copy_files(run.info, entry)
            entry = entry.with_log(delivery.log_seconds + perf_counter() - begin)
            self._log(run.info.run_id, entry.params, entry.points, {})
            self._log_inputs(run.info.run_id, entry.inputs)
            self.client.set_terminated(run.info.run_id, end_time=entry.ended)
        elif delivery.live_run is not None:
            self.drop(delivery.live_run)

    def _holds(self, folder_name: str) -> bool:
        """Whether the store holds the run of that folder completely; what it holds of it in part is deleted."""
        runs = self._search(f"tags.parcel = '{folder_name}'")
        for run in runs:
            if run.info.status != "FINISHED":
                self.client.delete_run(run.info.run_id)
        return any(run.info.status == "FINISHED" for run in runs)

    def _is_only_writer(self) -> bool:
        """Whether no other process can have written since `finished` looked.

        If one can have, the token file gets a new token, which tells the other process the same.
        """
        file = self._token_file()
        if self.write_token is None or not file.exists() or file.read_text() != self.write_token:
            file.write_text(uuid4().hex)
            self.write_token = None
        return self.write_token is not None and not self.remote

    def _token_file(self) -> Path:
        return Path(f"{self._lock_path()}.writer")

    def _claim(self, entry: Entry, force: bool, live_run: str | None) -> "Run | None":
        """An MLflow run to be filled, with the tags of the entry, or None where another process has written it.

        A run that another process is writing is waited for. After OTHER_WRITER_SECONDS it is deleted: its writer gets
        an error, and finds this process's run when it tries again. Two machines may claim the same run at once. Each
        then sees the other's claim, deletes its own, and tries again after a random time.
        """
        deadlines: dict[str, float] = {}  # by run id: until when to wait for its writer
        while True:
            with self.alone():
                same = [] if self._is_only_writer() or force else self._with_identity(entry.tags["identity"])
                if any(run.info.status == "FINISHED" for run in same):
                    return None
                others = [run.info.run_id for run in same]
                now = monotonic()
                if all(now > deadlines.setdefault(run_id, now + OTHER_WRITER_SECONDS) for run_id in others):
                    for run_id in others:
                        self.client.delete_run(run_id)
                    run = self._tag(live_run, entry.tags) if live_run else self._create(entry)
                    if force or not self.remote:
                        return run
                    if not self._with_identity(entry.tags["identity"], but=run.info.run_id):
                        return run
                    self.client.delete_run(run.info.run_id)
                    live_run = None
            sleep(uniform(0.05, 0.5 if self.remote else 0.1))

    def _with_identity(self, identity: str, but: str = "") -> list["Run"]:
        """The runs of that identity that are complete or are being written; not those that still train."""
        runs = self._search(f"tags.identity = '{identity}'", "tags.parcel LIKE '%'")
        others = (run for run in runs if run.info.run_id != but)
        return [run for run in others if run.info.status == "FINISHED" or _is_being_written(run)]

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> "Run":
        self._log(run_id, {}, [], tags)
        return self.client.get_run(run_id)

    def delete_orphans(self) -> None:
        """Delete runs that were begun by processes of this machine which ended before completing them.

        Call it before this process begins a run: a run that carries this process's number was begun by an earlier
        process of that number.
        """
        for run in self._search("attributes.status = 'RUNNING'", "tags.writer LIKE '%'"):
            if is_gone(run.data.tags["writer"]):
                self.client.delete_run(run.info.run_id)

    def begin(self, run_id: str, entry: Entry) -> str:
        """Create a run that can be watched while it trains, and return its id, which MLflow chooses."""
        begun = str(self._create(entry).info.run_id)
        self._log(begun, entry.params, [], {})
        self._log_inputs(begun, entry.inputs)
        return begun

    def extend(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points to a run that was begun."""
        self._log(run_id, {}, points, {})

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""
        self.client.delete_run(run_id)

    def add(self, entry: Entry) -> str:
        """Write an entry that is no trained run, and return its id. It replaces those with the same tag `entry.kind`.

        They are deleted as MLflow deletes runs, which keeps their files: what a store says about the place of files is
        not trusted with deleting or overwriting.
        """
        kind = str(entry.kind)
        earlier = [run for run in self._search(f"tags.{kind} LIKE '%'") if run.data.tags[kind] == entry.tags[kind]]
        run = self._create(entry)
        self._copy_files(run.info, entry)
        self._log(run.info.run_id, entry.params, entry.points, {})
        self._log_inputs(run.info.run_id, entry.inputs)
        self.client.set_terminated(run.info.run_id, end_time=entry.ended)
        for old in earlier:
            self.client.delete_run(old.info.run_id)
        return str(run.info.run_id)

    def alone(self) -> AbstractContextManager[Any]:
        """A lock that one process of this machine holds at a time: to create the store, and to claim a run."""
        return FileLock(self._lock_path())

    def _lock_path(self) -> str:
        path = database(self.uri) if self.uri.startswith(SQLITE) else CACHE / f"store-{_slug(self.uri)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"{path}.lock"

    def _create(self, entry: Entry) -> "Run":
        return self.client.create_run(self.experiment_id, entry.started, dict(entry.tags), entry.name)

    def _copy_files(self, info: "RunInfo", entry: Entry) -> None:
        """Copy the files of an entry. The client's log_artifacts would query the whole run to find the place."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        artifacts = get_artifact_repository(info.artifact_uri, tracking_uri=self.uri)
        if entry.artifacts is not None and entry.files is None:
            artifacts.log_artifacts(str(entry.artifacts))
        elif entry.artifacts is not None:
            for name in entry.files or ():
                artifacts.log_artifact(str(entry.artifacts / name), str(Path(name).parent) if "/" in name else None)

    def _log_inputs(self, run_id: str, inputs: Sequence[Input]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        logged = [
            DatasetInput(
                Dataset(one.name, one.digest, one.source_type, one.source, one.schema, one.profile),
                [InputTag(name, value) for name, value in (one.tags or {}).items()],
            )
            for one in inputs
        ]
        if logged:
            self.client.log_inputs(run_id, logged)

    def _log(self, run_id: str, params: Mapping[str, str], metrics: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Log all in as few calls as MLflow's limits allow; the tags with the last call."""
        from mlflow.entities import Metric, Param, RunTag

        metrics_left = [Metric(*point) for point in metrics]
        params_left = [Param(name, value) for name, value in params.items()]
        tags_left = [RunTag(name, value) for name, value in tags.items()]
        while metrics_left or params_left or tags_left:
            params_now, params_left = params_left[:BATCH_PARAMS], params_left[BATCH_PARAMS:]
            n_metrics = BATCH_ENTRIES - len(params_now) - len(tags_left)
            metrics_now, metrics_left = metrics_left[:n_metrics], metrics_left[n_metrics:]
            tags_now = [] if metrics_left or params_left else tags_left
            self.client.log_batch(run_id, metrics=metrics_now, params=params_now, tags=tags_now)
            tags_left = [] if tags_now else tags_left

    def _open_experiment(self, name: str) -> str:
        """The id of the experiment of that name, which is created where there is none."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        beside = (database(self.uri).parent / "mlartifacts").as_uri() if self.uri.startswith(SQLITE) else None
        return str(self.client.create_experiment(name, artifact_location=beside))

    def _search(self, *terms: str) -> list["Run"]:
        """All runs of the experiment to which all these terms apply."""
        runs: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], " and ".join(terms), max_results=10000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


def _slug(uri: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in uri)


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Log nothing below a warning: MLflow tells of every table that it creates, whatever the level of its loggers."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


@cache
def _use_write_ahead_log() -> None:
    """Let SQLite write to a write-ahead log, because otherwise it waits for the disk about ten times a run.

    A killed process loses nothing. A machine that loses power may lose the last runs, and no more.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        if not type(connection).__module__.startswith("sqlite3"):
            return
        (only_read,) = connection.execute("PRAGMA query_only").fetchone()
        if not only_read:
            connection.execute("PRAGMA busy_timeout=60000")  # milliseconds; first, as the next line may have to wait
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")


def _check_answer(uri: str) -> None:
    """Raise OSError if nothing answers at the address of a tracking server: sooner than MLflow would."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()


def _is_being_written(run: "Run") -> bool:
    """Whether a living process is writing the run from its outbox; a run that still trains does not count."""
    return run.info.status == "RUNNING" and "parcel" in run.data.tags and not is_gone(run.data.tags["writer"])
