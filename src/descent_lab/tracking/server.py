"""The one place that writes to MLflow."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from random import uniform
from time import monotonic, perf_counter, sleep, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import psutil
from filelock import FileLock

from descent_lab.errors import ConfigError
from descent_lab.paths import CACHE
from descent_lab.tracking import outbox
from descent_lab.tracking.address import SQLITE, database
from descent_lab.tracking.outbox import FinishedRun
from descent_lab.tracking.record import KnownRun, TrackedRun

if TYPE_CHECKING:
    from mlflow.entities import Run, RunInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

Point = tuple[str, float, int, int]  # a value of a metric: name, value, time in milliseconds since 1970, step

MAX_POINTS = 1000  # longer curves are thinned in MLflow; curves.npz holds all points
BATCH_ENTRIES, BATCH_PARAMS = 1000, 100  # the most entries, and the most params among them, of one log_batch call
MAX_TAG_LETTERS = 8000  # the longest value of a tag that MLflow accepts
COMMON_PARAMS = ("backend", "dataset", "optimizer", "model", "init", "batching", "epochs")  # those that narrow a search
OTHER_WRITER_SECONDS = 10.0  # how long to wait for another process that writes the same run
CONNECT_SECONDS = 5  # how long to wait until a tracking server accepts a connection


class Store:
    """An open MLflow tracking store and one experiment in it. Raises ConfigError if it cannot be opened.

    write_token: written to a file beside the store when `finished` looks at the store. While the file holds this
    token, no other process of this machine has written runs since then. None: another process may have.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
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

    def deliver(
        self,
        folder: Path,
        finished: FinishedRun,
        log_seconds: float = 0.0,
        live_run: str | None = None,
        again: bool = False,
    ) -> None:
        """Write a run from the outbox unless the store holds it already.

        folder: of the run in the outbox.
        log_seconds: spent on logging the run so far; the ledger of the run counts them.
        live_run: id of the MLflow run that showed it while it trained.
        again: an earlier attempt may have written the run, in part or completely.
        """
        if again and self._holds(folder.name):
            return
        begin = perf_counter()
        run = self._claim(finished, finished.tags | {"parcel": folder.name}, live_run)
        if run is not None:
            self._fill(run.info, folder, finished, log_seconds + perf_counter() - begin)
        elif live_run is not None:
            self.drop(live_run)

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

    def _claim(self, finished: FinishedRun, tags: Mapping[str, str], live_run: str | None) -> "Run | None":
        """An MLflow run to be filled, or None where another process has written the same run.

        A run that another process is writing is waited for. After OTHER_WRITER_SECONDS it is deleted: its writer gets
        an error, and finds this process's run when it tries again. Two machines may claim the same run at once. Each
        then sees the other's claim, deletes its own, and tries again after a random time.
        """
        deadlines: dict[str, float] = {}  # by run id: until when to wait for its writer
        while True:
            with self.alone():
                same = [] if self._is_only_writer() or finished.force else self._with_identity(tags["identity"])
                if any(run.info.status == "FINISHED" for run in same):
                    return None
                others = [run.info.run_id for run in same]
                now = monotonic()
                if all(now > deadlines.setdefault(run_id, now + OTHER_WRITER_SECONDS) for run_id in others):
                    for run_id in others:
                        self.client.delete_run(run_id)
                    run = self._tag(live_run, tags) if live_run else self._create(finished.name, finished.started, tags)
                    if finished.force or not self.remote:
                        return run
                    if not self._with_identity(tags["identity"], but=run.info.run_id):
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
            if _is_gone(run.data.tags["writer"]):
                self.client.delete_run(run.info.run_id)

    def begin(self, tracked: TrackedRun, started: float, tags: Mapping[str, str]) -> str:
        """Create a run that can be watched while it trains, and return its id.

        `deliver` completes the run, and `drop` deletes it. started: when the run began, in seconds since 1970.
        """
        run = self._create(tracked.name, started, {**tags, "identity": tracked.identity})
        self._log(run.info.run_id, tracked.params, [], {})
        return str(run.info.run_id)

    def extend(self, run_id: str, curves: Mapping[str, np.ndarray], started: float) -> None:
        """Add points to a run that was begun. curves: the new records, each (n_records,)."""
        self._log(run_id, {}, _points(curves, started), {})

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""
        self.client.delete_run(run_id)

    def attach(self, report: str, folder: Path, names: Sequence[str], note: str) -> None:
        """Show a report as an MLflow run of its own, which replaces the earlier run of the same report.

        report: what the report is about. names: of its files, relative to `folder`. note: a text in Markdown.
        The earlier run is deleted as MLflow deletes runs, which keeps their files: what a store says about the place
        of files is not trusted with deleting or overwriting.
        """
        tags = {"report": report, "mlflow.source.name": "reports.build", "mlflow.note.content": _shortened(note)}
        earlier = [run for run in self._search("tags.report LIKE '%'") if run.data.tags["report"] == report]
        run = self._create(f"report: {report}", time(), tags)
        artifacts = self._artifacts(run.info.artifact_uri)
        for name in names:
            artifacts.log_artifact(str(folder / name), str(Path(name).parent) if "/" in name else None)
        self.client.set_terminated(run.info.run_id)
        for old in earlier:
            self.client.delete_run(old.info.run_id)

    def alone(self) -> AbstractContextManager[Any]:
        """A lock that one process of this machine holds at a time: to create the store, and to claim a run."""
        return FileLock(self._lock_path())

    def _lock_path(self) -> str:
        path = database(self.uri) if self.uri.startswith(SQLITE) else CACHE / f"store-{_slug(self.uri)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"{path}.lock"

    def _fill(self, info: "RunInfo", folder: Path, finished: FinishedRun, log_seconds: float) -> None:
        """Complete a run that was created."""
        begin, started = perf_counter(), int(1000 * finished.started)
        self._artifacts(info.artifact_uri).log_artifacts(str(folder / "artifacts"))
        metrics = _points(outbox.curves(folder), finished.started)
        metrics += [(name, value, started, 0) for name, value in finished.summary.items()]
        log = log_seconds + perf_counter() - begin
        ledger = finished.ledger | {purpose: finished.ledger[purpose] + log for purpose in ("log", "wall")}
        metrics += [(f"ledger/{name}_seconds", value, started, 0) for name, value in ledger.items()]
        self._log(info.run_id, finished.params, metrics, {})
        self.client.set_terminated(info.run_id, end_time=int(1000 * (finished.started + ledger["wall"])))

    def _create(self, name: str, started: float, tags: Mapping[str, str]) -> "Run":
        shown = {"mlflow.source.name": "src.run", "mlflow.source.type": "LOCAL", "writer": _writer()}
        if "git.commit" in tags:
            shown["mlflow.source.git.commit"] = tags["git.commit"]
        return self.client.create_run(self.experiment_id, int(1000 * started), {**shown, **tags}, name)

    def _artifacts(self, uri: str) -> "ArtifactRepository":
        """The place for the files of a run. The client's log_artifacts would query the whole run to find it."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(uri, tracking_uri=self.uri)

    def _log(self, run_id: str, params: Mapping[str, str], metrics: list[Point], tags: Mapping[str, str]) -> None:
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


class Stores:
    """Tracking stores by address and experiment, each opened once."""

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], Store] = {}

    def at(self, uri: str, experiment: str) -> Store:
        """The store at an address. Raises ConfigError where it cannot be opened."""
        key = (uri, experiment)
        if key not in self.opened:
            self.opened[key] = Store(uri, experiment)
        return self.opened[key]

    def of(self, tracked: TrackedRun) -> Store:
        """The store to which a run belongs. Raises ConfigError where it cannot be opened."""
        uri, experiment, _ = tracked.key
        return self.at(uri, experiment)


def _shortened(note: str) -> str:
    """A note in Markdown, cut at the end of a line to what a tag may hold."""
    return note if len(note) <= MAX_TAG_LETTERS else note[:MAX_TAG_LETTERS].rpartition("\n")[0]


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
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA busy_timeout=60000")  # milliseconds; first, as the next line may have to wait
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")


def _check_answer(uri: str) -> None:
    """Raise OSError if nothing answers at the address of a tracking server: sooner than MLflow would."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()


def _writer() -> str:
    """This process, as the tag `writer` names it: host:process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_gone(writer: str) -> bool:
    """Whether a process of this machine has ended. One with this process's number was an earlier process."""
    host, _, pid = writer.rpartition(":")
    return host == socket.gethostname() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid)))


def _is_being_written(run: "Run") -> bool:
    """Whether a living process is writing the run from its outbox; a run that still trains does not count."""
    return run.info.status == "RUNNING" and "parcel" in run.data.tags and not _is_gone(run.data.tags["writer"])


def _points(curves: Mapping[str, np.ndarray], started: float) -> list[Point]:
    """The finite values of every curve, at most MAX_POINTS of each; the first and the last are always among them."""
    steps = curves["step"]
    times = (1000 * (started + curves["time/step_seconds"])).astype(np.int64)
    points = []
    for name, values in curves.items():
        if name not in ("step", "epoch"):
            indices = _thinned(np.flatnonzero(np.isfinite(values)))
            points += [(name, float(values[i]), int(times[i]), int(steps[i])) for i in indices]
    return points


def _thinned(indices: np.ndarray) -> np.ndarray:
    """At most MAX_POINTS of these indices, log-spaced, with the first and the last."""
    if len(indices) <= MAX_POINTS:
        return indices
    spaced = np.geomspace(1, len(indices), MAX_POINTS).round().astype(int) - 1
    thinned: np.ndarray = indices[np.unique(spaced)]
    return thinned
