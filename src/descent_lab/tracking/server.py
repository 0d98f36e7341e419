"""Writes to MLflow, and asks it, through MLflow's own client: servers, and stores whose tables are not known.

A run is claimed before it is written, in several requests. A process that is killed between them leaves a run that is
not finished, which its next attempt, or the next writer of the same run, deletes.
"""

import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from random import uniform
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from filelock import FileLock

from descent_lab.errors import StoreError
from descent_lab.tracking.address import beside_file, lock_path
from descent_lab.tracking.entry import KIND_OF_EXPERIMENT, Entry, Input, Point, entry_of
from descent_lab.tracking.note import NOTE
from descent_lab.tracking.provenance import is_gone
from descent_lab.tracking.record import KnownRun, TrackedRun
from descent_lab.tracking.stores import Delivery, deleted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH_ENTRIES, BATCH_PARAMS = 1000, 100  # the most entries, and the most params among them, of one log_batch call
COMMON_PARAMS = ("backend", "dataset", "optimizer", "model", "init", "batching", "epochs")  # those that narrow a search
OTHER_WRITER_SECONDS = 10.0  # how long to wait for another process that writes the same run
ANSWER_SECONDS = 10  # how long to wait until a tracking server answers that it is there


class ServerStore:
    """An open MLflow tracking store and one experiment in it."""

    batch_size = 1

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        _check_answer(uri)
        with self._alone():
            self.client = client_of(uri)
            self.experiment_id = self._open_experiment(experiment)

    def finished(self, runs: Iterable[TrackedRun]) -> dict[str, KnownRun]:
        """The complete runs that resemble these, by identity.

        It takes one query for runs with the params that all of `runs` share, whatever their number. So the answer may
        hold more runs than were asked for.
        """
        shared = set.intersection(*({(name, run.params[name]) for name in COMMON_PARAMS} for run in runs))
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

    def deliver(self, batch: Sequence[Delivery]) -> dict[Path, Exception]:
        """Write runs from the outbox unless the store holds them already; none is refused, but for an exception."""
        _check_answer(self.uri)
        for delivery in batch:
            self._deliver(delivery)
        return {}

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.again and self._holds(delivery.folder.name):
            return
        begin = perf_counter()
        entry = entry_of(delivery.finished, delivery.folder)
        run = self._claim(entry, delivery.finished.force, delivery.live_run)
        if run is not None:
            copy_files(entry, run.info.artifact_uri, self.uri)
            entry = entry.with_id(run.info.run_id).with_log(delivery.log_seconds + perf_counter() - begin)
            self._log(run.info.run_id, entry.params, entry.points, {NOTE: entry.tags[NOTE]})
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

    def _claim(self, entry: Entry, force: bool, live_run: str | None) -> "Run | None":
        """An MLflow run to be filled, with the tags of the entry, or None where another process has written it.

        A run that another process is writing is waited for. After OTHER_WRITER_SECONDS it is deleted: its writer gets
        an error, and finds this process's run when it tries again. Two machines may claim the same run at once. Each
        then sees the other's claim, deletes its own, and tries again after a random time.
        """
        deadlines: dict[str, float] = {}  # by run id: until when to wait for its writer
        while True:
            with self._alone():
                same = [] if force else self._with_identity(entry.tags["identity"])
                if any(run.info.status == "FINISHED" for run in same):
                    return None
                others = [run.info.run_id for run in same]
                now = monotonic()
                if all(now > deadlines.setdefault(run_id, now + OTHER_WRITER_SECONDS) for run_id in others):
                    for run_id in others:
                        self.client.delete_run(run_id)
                    run = self._tag(live_run, entry.tags) if live_run else self._create(entry)
                    if force or not self._with_identity(entry.tags["identity"], but=run.info.run_id):
                        return run
                    self.client.delete_run(run.info.run_id)
                    live_run = None
            sleep(uniform(0.05, 0.5))

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
        _check_answer(self.uri)
        begun = str(self._create(entry).info.run_id)
        self._log(begun, entry.params, [], {})
        self._log_inputs(begun, entry.inputs)
        return begun

    def extend(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points to a run that was begun."""
        _check_answer(self.uri)
        self._log(run_id, {}, points, {})

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""
        self.client.delete_run(run_id)

    def add(self, entry: Entry) -> str:
        """Write an entry that is no trained run, and return its id. It replaces those with the same tag `entry.kind`.

        They are deleted as MLflow deletes runs, which keeps their files: what a store says about the place of files is
        not trusted with deleting or overwriting.
        """
        earlier = self._added(str(entry.kind), entry.tags[str(entry.kind)])
        run = self._create(entry)
        copy_files(entry, run.info.artifact_uri, self.uri)
        self._log(run.info.run_id, entry.params, entry.points, {})
        self._log_inputs(run.info.run_id, entry.inputs)
        self.client.set_terminated(run.info.run_id, end_time=entry.ended)
        for old in earlier:
            self.client.delete_run(old.info.run_id)
        return str(run.info.run_id)

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an entry that is no trained run, with this name as its tag `kind`: report or summary."""
        return bool(self._added(kind, name))

    def experiment_tags(self) -> dict[str, str]:
        """The tags of the experiment."""
        return dict(self.client.get_experiment(self.experiment_id).tags)

    def tag_experiment(self, changes: Mapping[str, str | None]) -> None:
        """Set tags of the experiment; None deletes one."""
        for key, value in changes.items():
            if value is None:
                self.client.delete_experiment_tag(self.experiment_id, key)
            else:
                self.client.set_experiment_tag(self.experiment_id, key, value)

    def _added(self, kind: str, name: str) -> list["Run"]:
        return [run for run in self._search(f"tags.{kind} LIKE '%'") if run.data.tags[kind] == name]

    def _alone(self) -> AbstractContextManager[Any]:
        """A lock that one process of this machine holds at a time: to open the store, and to claim a run."""
        return FileLock(lock_path(self.uri))

    def _create(self, entry: Entry) -> "Run":
        return self.client.create_run(self.experiment_id, entry.started, dict(entry.tags), entry.name)

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
        key, value = KIND_OF_EXPERIMENT
        if experiment is None:
            beside = beside_file(self.uri)
            return str(self.client.create_experiment(name, artifact_location=beside, tags={key: value}))
        if experiment.lifecycle_stage != "active":
            raise StoreError(deleted(name, experiment.experiment_id))
        if key not in experiment.tags:
            self.client.set_experiment_tag(experiment.experiment_id, key, value)
        return str(experiment.experiment_id)

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


def client_of(uri: str) -> "MlflowClient":
    """A client of the store at an address, which MLflow creates where there is none."""
    with _only_warnings():
        from mlflow import MlflowClient  # imported here because it takes seconds

        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def copy_files(entry: Entry, place: str, uri: str) -> None:
    """Copy the files of an entry to the address of a run's artifacts, by MLflow. uri: of the tracking store."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    artifacts = get_artifact_repository(place, tracking_uri=uri)
    if entry.artifacts is not None and entry.files is None:
        artifacts.log_artifacts(str(entry.artifacts))
    elif entry.artifacts is not None:
        for name in entry.files or ():
            artifacts.log_artifact(str(entry.artifacts / name), str(Path(name).parent) if "/" in name else None)


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Log nothing below a warning: MLflow tells of every table that it creates, whatever the level of its loggers."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _check_answer(uri: str) -> None:
    """Raise OSError if no server answers at the address of a tracking server: sooner than MLflow would.

    Whom it belongs to is not checked here.
    """
    parts = urlsplit(uri)
    if parts.scheme == "http":
        server = HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    elif parts.scheme == "https":
        anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        server = HTTPSConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS, context=anyone)
    else:
        return
    with closing(server):
        try:
            server.request("GET", f"{parts.path.rstrip('/')}/health")
            status = server.getresponse().status
        except TimeoutError:
            raise TimeoutError(f"no answer in {ANSWER_SECONDS} seconds") from None
        except HTTPException as error:
            raise ConnectionError(f"no answer: {type(error).__name__}") from None
    if status >= 500:
        raise ConnectionError(f"the server answers with the error {status}")


def _is_being_written(run: "Run") -> bool:
    """Whether a living process is writing the run from its outbox; a run that still trains does not count."""
    return run.info.status == "RUNNING" and "parcel" in run.data.tags and not is_gone(run.data.tags["writer"])
