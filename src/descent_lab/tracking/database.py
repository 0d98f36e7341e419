"""Writes to the tables of MLflow in a database, and asks them, by SQL and without importing mlflow.

Runs are claimed and written in one transaction, so that a store holds each run once and whole, whatever is killed and
whoever writes at the same time. The id of a run is the name of its folder in the outbox: whether an earlier attempt
has written it is whether a run of that id is there. The files of a run are put into place before the transaction.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from math import isfinite, isnan
from pathlib import Path
from time import perf_counter, time
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from filelock import FileLock
from sqlalchemy import Column, Connection, Select, Table, delete, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError

from descent_lab.errors import StoreError
from descent_lab.paths import CACHE
from descent_lab.tracking.address import SQLITE, beside_file, local_path, lock_path, sqlite_file
from descent_lab.tracking.entry import KIND_OF_EXPERIMENT, Entry, Input, Point, entry_of
from descent_lab.tracking.outbox import new_name
from descent_lab.tracking.provenance import is_gone
from descent_lab.tracking.record import KnownRun, TrackedRun
from descent_lab.tracking.schema import (
    datasets,
    engine,
    experiment_tags,
    experiments,
    input_tags,
    inputs,
    latest_metrics,
    metrics,
    params,
    revision,
    runs,
    tags,
)
from descent_lab.tracking.stores import Delivery, deleted
from descent_lab.tracking.transactions import Transactions, Version

BATCH = 32  # the most runs of one transaction, which no other program can write beside on SQLite
ROWS = 500  # of one INSERT: SQLite takes the interpreter's lock once an INSERT, and training waits for that
IDS = 500  # the most ids or identities of one query
LARGEST = 1.7976931348623157e308  # MLflow holds this in place of infinity
MAX_PARAM_LETTERS, MAX_TAG_LETTERS = 6000, 8000  # MLflow cuts longer values
OF_RUN = (params, tags, metrics, latest_metrics)  # the tables whose rows belong to one run


@dataclass(frozen=True)
class _Prepared:
    """A run that can be written: its files are in place, or ready to be copied by `keep_files`."""

    run_id: str
    entry: Entry
    place: str  # the address of its artifacts

    @property
    def identity(self) -> str:
        return self.entry.tags["identity"]


class _Experiment(NamedTuple):
    """An experiment: its id, where the artifacts of its runs are kept, and what MLflow takes it for, if noted."""

    id: int
    location: str
    kind: str | None = None


class DatabaseStore:
    """One experiment of a store in a database, which is created where there is none.

    The store itself must exist, with tables of a revision that was tested. Raises ConfigError for a deleted experiment.
    """

    batch_size = BATCH

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self._transactions, self._reading = Transactions(uri), engine(uri, read_only=True)
        self._free: set[str] = set()  # identities of which no run was there ...
        self._free_at: Version | None = None  # ... when the database had this version
        with self._reading.begin() as connection:
            found = self._found_experiment(connection)
        if found is None or not found.kind:
            with self._transactions.claiming() as connection:
                found = self._made_experiment(connection)
        self.experiment_id, self.location = found.id, found.location

    def finished(self, runs_asked: Iterable[TrackedRun]) -> dict[str, KnownRun]:
        """The complete runs with the identities of these, by identity."""
        asked = {run.identity for run in runs_asked}
        with self._reading.begin() as connection:
            same = self._with_identities(connection, asked)
            self._free |= asked - {row.identity for row in same}
            complete = {row.run_uuid: row for row in same if row.status == "FINISHED"}
            statuses = _tags_of(connection, "status", complete)
            summaries: dict[str, dict[str, float]] = {run_id: {} for run_id in complete}
            query = select(latest_metrics.c.run_uuid, latest_metrics.c.key, latest_metrics.c.value).where(
                latest_metrics.c.key.like("final/%") | latest_metrics.c.key.like("best/%")
            )
            for run_id, name, value in _rows(connection, query, latest_metrics.c.run_uuid, complete):
                summaries[run_id][name] = value
        return {
            row.identity: KnownRun(
                statuses.get(run_id) == "diverged", summaries[run_id], partial(self._curves, run_id, row.artifact_uri)
            )
            for run_id, row in complete.items()
        }

    def _curves(self, run_id: str, place: str) -> dict[str, np.ndarray]:
        """The curves of a run, each (n_records,)."""
        from descent_lab.tracking.reader.arrays import Artifacts, curves_of  # imported here because it loads pandas

        with self._reading.begin() as connection:
            query = select(params.c.value).where(params.c.run_uuid == run_id, params.c.key == "epochs")
            epochs = connection.execute(query).scalar_one()
        return curves_of(Artifacts(self.uri, {run_id: place}), run_id, float(epochs))

    def deliver(self, batch: Sequence[Delivery]) -> dict[Path, Exception]:
        """Write runs from the outbox unless the store holds them already; return why some were refused, by folder.

        All others are written together. Raises whatever a lost database raises, and then none is written.
        """
        refused: dict[Path, Exception] = {}
        ready = []
        for delivery in batch:
            try:
                ready.append(self._prepared(delivery))
            except Exception as error:  # its files cannot be read or copied, which says nothing about other runs
                refused[delivery.folder] = error
        try:
            unused = self._write(ready, {one.folder.name for one in batch if one.finished.force})
        except (DataError, IntegrityError) as error:  # the database does not take a value of one of the runs
            if len(batch) == 1:
                return {batch[0].folder: error}
            return {name: reason for one in batch for name, reason in self.deliver([one]).items()}
        for one in unused:
            _remove_files(one.place)
        return refused

    def _prepared(self, delivery: Delivery) -> _Prepared:
        begin = perf_counter()
        run_id = delivery.folder.name
        entry = entry_of(delivery.finished, delivery.folder)
        place = self._place(run_id)
        _keep_files(entry, place, self.uri, link=True)
        return _Prepared(run_id, entry.with_log(delivery.log_seconds + perf_counter() - begin), place)

    def _write(self, ready: Sequence[_Prepared], forced: Collection[str]) -> list[_Prepared]:
        """Write runs in one transaction; return those that were not needed, as another run of their identity is there.

        forced: the ids of runs that are written even so.
        """
        with self._transactions.claiming() as connection:
            self._refuse_deleted(connection)
            ids = [one.run_id for one in ready]
            query = select(runs.c.run_uuid, runs.c.status)
            stored = dict(map(tuple, _rows(connection, query, runs.c.run_uuid, ids)))
            same = self._same(connection, {one.identity for one in ready if one.run_id not in forced})
            taken = {row.identity for row in same if row.status == "FINISHED"}
            fresh, unused = [], []
            for one in ready:
                if stored.get(one.run_id) == "FINISHED":  # written by an earlier attempt; the user may have deleted it
                    continue
                if one.identity in taken and one.run_id not in forced:
                    unused.append(one)
                else:
                    fresh.append(one)
                    taken.add(one.identity)
            _erase(connection, [one.run_id for one in fresh if one.run_id in stored])
            others = {row.run_uuid for row in same if row.status == "RUNNING"} - set(ids)
            claimed = _tags_of(connection, "parcel", others)  # by MLflow's client, which finds ours when it tries again
            _mark_deleted(connection, [*claimed, *(one.run_id for one in unused if one.run_id in stored)])
            self._insert(connection, fresh)
            self._free -= {one.identity for one in fresh}
        return unused

    def _refuse_deleted(self, connection: Connection) -> None:
        """Raise StoreError where the experiment has been deleted since the store was opened."""
        query = select(experiments.c.lifecycle_stage).where(experiments.c.experiment_id == self.experiment_id)
        if connection.execute(query).scalar() != "active":
            raise StoreError(deleted(self.experiment, self.experiment_id))

    def _same(self, connection: Connection, identities: set[str]) -> list[Any]:
        """The runs with these identities, as `_with_identities` gives them.

        What was not there is not looked for again as long as nobody else has written.
        """
        version = self._transactions.version(connection)
        if version is not None and version == self._free_at and identities <= self._free:
            return []
        self._free |= identities
        found = self._with_identities(connection, self._free if version else identities)
        self._free -= {row.identity for row in found}
        self._free_at = version
        return [row for row in found if row.identity in identities]

    def begin(self, run_id: str, entry: Entry) -> str:
        """Create a run that can be watched while it trains, under this id."""
        with self._transactions.begin() as connection:
            self._insert(connection, [_Prepared(run_id, entry, self._place(run_id))])
        return run_id

    def extend(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points to a run that was begun."""
        rows = _metric_rows(run_id, points)
        latest = {row[1]: row for row in _latest(rows)}
        replaced = [latest_metrics.c.run_uuid == run_id, latest_metrics.c.key.in_(latest)]
        with self._transactions.begin() as connection:
            connection.execute(delete(latest_metrics).where(*replaced))
            _insert(connection, metrics, rows)
            _insert(connection, latest_metrics, list(latest.values()))

    def drop(self, run_id: str) -> None:
        """Delete a run that was begun."""
        with self._transactions.begin() as connection:
            _mark_deleted(connection, [run_id])

    def delete_orphans(self) -> None:
        """Delete runs that were begun by processes of this machine which ended before completing them."""
        query = select(runs.c.run_uuid).where(*self._active("RUNNING"))
        with self._reading.begin() as connection:
            writers = _tags_of(connection, "writer", connection.execute(query).scalars())
        orphans = [run_id for run_id, writer in writers.items() if is_gone(writer)]
        if orphans:
            with self._transactions.begin() as connection:
                _mark_deleted(connection, orphans)

    def add(self, entry: Entry) -> str:
        """Write an entry that is no trained run, and return its id. It replaces those with the same `entry.kind`."""
        kind, run_id = str(entry.kind), new_name()
        place = self._place(run_id)
        _keep_files(entry, place, self.uri, link=False)
        with self._transactions.claiming() as connection:
            _mark_deleted(connection, self._added(connection, kind, entry.tags[kind]))
            self._insert(connection, [_Prepared(run_id, entry, place)])
        return run_id

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an entry that is no trained run, with this name as its tag `kind`: report or summary."""
        with self._reading.begin() as connection:
            return bool(self._added(connection, kind, name))

    def _added(self, connection: Connection, kind: str, name: str) -> Sequence[str]:
        """The ids of the entries with this name as their tag `kind` that are not deleted."""
        query = (
            select(runs.c.run_uuid)
            .join_from(runs, tags, tags.c.run_uuid == runs.c.run_uuid)
            .where(*self._active(), tags.c.key == kind, tags.c.value == name[:MAX_TAG_LETTERS])
        )
        return connection.execute(query).scalars().all()

    def experiment_tags(self) -> dict[str, str]:
        """The tags of the experiment."""
        query = select(experiment_tags.c.key, experiment_tags.c.value).where(self._tagged())
        with self._reading.begin() as connection:
            return dict(map(tuple, connection.execute(query)))

    def tag_experiment(self, changes: Mapping[str, str | None]) -> None:
        """Set tags of the experiment; None deletes one."""
        rows = [(self.experiment_id, key, value) for key, value in changes.items() if value is not None]
        with self._transactions.begin() as connection:
            connection.execute(delete(experiment_tags).where(self._tagged(), experiment_tags.c.key.in_(changes)))
            _insert(connection, experiment_tags, rows)

    def _tagged(self) -> Any:
        """The condition for tags of this experiment."""
        return experiment_tags.c.experiment_id == self.experiment_id

    def _active(self, *statuses: str) -> list[Any]:
        """The conditions for runs of this experiment that are not deleted, of these statuses, or of any."""
        conditions = [runs.c.experiment_id == self.experiment_id, runs.c.lifecycle_stage == "active"]
        return [*conditions, runs.c.status.in_(statuses)] if statuses else conditions

    def _with_identities(self, connection: Connection, identities: Collection[str]) -> list[Any]:
        """Run id, identity, status and place of the files of the runs with these identities that are not deleted."""
        query = (
            select(runs.c.run_uuid, tags.c.value.label("identity"), runs.c.status, runs.c.artifact_uri)
            .join_from(tags, runs, tags.c.run_uuid == runs.c.run_uuid)
            .where(*self._active(), tags.c.key == "identity")
        )
        if len(identities) <= IDS:
            return _rows(connection, query, tags.c.value, identities)
        return [row for row in connection.execute(query) if row.identity in identities]  # each query reads all anyway

    def _found_experiment(self, connection: Connection) -> "_Experiment | None":
        named = select(experiments).where(experiments.c.name == self.experiment, experiments.c.workspace == "default")
        found = connection.execute(named).first()
        if found is None:
            return None
        if found.lifecycle_stage != "active":
            raise StoreError(deleted(self.experiment, found.experiment_id))
        kind = select(experiment_tags.c.value).where(
            experiment_tags.c.experiment_id == found.experiment_id, experiment_tags.c.key == KIND_OF_EXPERIMENT[0]
        )
        return _Experiment(found.experiment_id, found.artifact_location, connection.execute(kind).scalar())

    def _made_experiment(self, connection: Connection) -> "_Experiment":
        """The experiment, which is created where it is missing, and its kind noted where nobody has."""
        found = self._found_experiment(connection)
        if found is None:
            now = int(1000 * time())
            row: dict[str, Any] = {"name": self.experiment, "workspace": "default", "lifecycle_stage": "active"}
            row |= {"creation_time": now, "last_update_time": now}
            made = connection.execute(insert(experiments).returning(experiments.c.experiment_id), row).scalar_one()
            found = _Experiment(made, beside_file(self.uri) or str(Path.cwd() / "mlruns" / str(made)))
            mine = experiments.c.experiment_id == made
            connection.execute(update(experiments).where(mine).values(artifact_location=found.location))
        if not found.kind:
            _insert(connection, experiment_tags, [(found.id, *KIND_OF_EXPERIMENT)])
        return found

    def _place(self, run_id: str) -> str:
        """The address of the artifacts of a run."""
        path, mark, query = self.location.partition("?" if "://" in self.location else "\0")
        return f"{path.rstrip('/')}/{run_id}/artifacts{mark}{query}"

    def _insert(self, connection: Connection, ready: Sequence[_Prepared]) -> None:
        """Insert the rows of runs of which the store holds none yet."""
        points = [_metric_rows(one.run_id, one.entry.points) for one in ready]
        _insert(connection, runs, [self._run_row(one) for one in ready])
        _insert(connection, params, [row for one in ready for row in _param_rows(one)])
        _insert(connection, tags, [row for one in ready for row in _tag_rows(one)])
        _insert(connection, latest_metrics, [row for rows in points for row in _latest(rows)])
        _insert(connection, metrics, sorted(chain.from_iterable(points), key=lambda row: row[1:4]))
        self._insert_inputs(connection, [(one.run_id, used) for one in ready for used in _once(one.entry.inputs)])

    def _run_row(self, one: _Prepared) -> tuple[Any, ...]:
        entry = one.entry
        user, source = entry.tags.get("mlflow.user", "unknown"), ("UNKNOWN", "", "")  # as MLflow's client leaves it
        state = (entry.status, entry.started, entry.ended, None, "", "active")
        return (one.run_id, entry.name, *source, user, *state, one.place, self.experiment_id)

    def _insert_inputs(self, connection: Connection, used: Sequence[tuple[str, Input]]) -> None:
        """Note which run used which data set. used: pairs of run id and data set."""
        if not used:
            return
        names = {data.name for _, data in used}
        known = select(datasets.c.name, datasets.c.digest, datasets.c.dataset_uuid).where(
            datasets.c.experiment_id == self.experiment_id, datasets.c.name.in_(names)
        )
        ids = {(name, digest): dataset_id for name, digest, dataset_id in connection.execute(known)}
        new = {(data.name, data.digest): data for _, data in used if (data.name, data.digest) not in ids}
        ids |= {key: uuid4().hex for key in new}
        rows = [
            (ids[key], self.experiment_id, *key, data.source_type, data.source, data.schema, data.profile)
            for key, data in new.items()
        ]
        uses = [(uuid4().hex, ids[data.name, data.digest], run_id, data) for run_id, data in used]
        _insert(connection, datasets, rows)
        _insert(connection, inputs, [(use, "DATASET", data_id, "RUN", run_id, 0) for use, data_id, run_id, _ in uses])
        _insert(connection, input_tags, [(use, *tag) for use, *_, data in uses for tag in (data.tags or {}).items()])


def prepare(uri: str) -> str | None:
    """The revision of the tables of a store, which MLflow creates where there is none."""
    if (found := _revision(uri)) is not None:
        return found
    with FileLock(lock_path(uri)):  # another process of this machine may be creating it
        if _revision(uri) is None:
            _create(uri)
    return _revision(uri)


def _revision(uri: str) -> str | None:
    path = sqlite_file(uri)
    if path and not path.exists():
        return None
    with engine(uri, read_only=True).begin() as connection:
        return revision(connection)


def _create(uri: str) -> None:
    """Make the tables of a store. A SQLite file is a copy of an empty store, and appears under its name complete."""
    path = sqlite_file(uri)
    if path is None or path.exists():
        _create_tables(uri)
        return
    with _complete(path) as draft:
        shutil.copyfile(_empty_store(), draft)
        now = int(1000 * time())
        own = {"artifact_location": str(Path.cwd() / "mlruns" / "0"), "creation_time": now, "last_update_time": now}
        with engine(f"{SQLITE}{draft}").begin() as connection:
            connection.execute(update(experiments).values(own))  # MLflow's experiment `Default`


def _empty_store() -> Path:
    """A SQLite store without runs. MLflow of this version makes it once on this machine, because that takes seconds."""
    path = CACHE / "stores" / f"empty-{version('mlflow')}.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            with _complete(path) as draft:
                _create_tables(f"{SQLITE}{draft}")
    return path


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """A file to be written, which takes the name `path` when the block ends; drafts of killed processes are removed.

    One process at a time may do this.
    """
    draft = path.with_name(f".{path.name}.{new_name()}.draft")
    try:
        yield draft
        draft.rename(path)
    finally:
        for left in path.parent.iterdir():
            if left.name.startswith(f".{path.name}."):
                left.unlink()


def _create_tables(uri: str) -> None:
    from descent_lab.tracking.server import client_of  # imported here because it imports mlflow, which takes seconds

    client_of(uri).search_experiments(max_results=1)


def _keep_files(entry: Entry, place: str, uri: str, link: bool) -> None:
    """Put the files of an entry where the artifacts of a run are kept; those that are there already stay.

    link: whether the entry gives its files up, so that where links are possible nothing is copied.
    """
    folder = local_path(place)
    if entry.artifacts is None:
        return
    if folder is None:
        from descent_lab.tracking.server import copy_files  # imported here because it imports mlflow

        copy_files(entry, place, uri)
        return
    for name in entry.files or os.listdir(entry.artifacts):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() and not (link and _linked(entry.artifacts / name, target)):
            draft = target.with_name(f"{target.name}.{new_name()}.draft")
            try:
                shutil.copyfile(entry.artifacts / name, draft)
                draft.rename(target)  # so that a file under its name is complete
            except OSError:  # the disk is full
                draft.unlink(missing_ok=True)
                raise


def _linked(source: Path, target: Path) -> bool:
    """Give a file a second name. Return whether that was possible: not between file systems, and on some not at all."""
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _remove_files(place: str) -> None:
    """Remove the files of a run that was not written; on other machines they stay."""
    folder = local_path(place)
    if folder:
        shutil.rmtree(folder.parent, ignore_errors=True)


def _rows(connection: Connection, query: Select[Any], column: Column[Any], values: Iterable[str]) -> list[Any]:
    """The rows of a query in which a column has one of these values."""
    ordered = sorted(values)
    parts = (ordered[i : i + IDS] for i in range(0, len(ordered), IDS))
    return [row for few in parts for row in connection.execute(query.where(column.in_(few)))]


def _tags_of(connection: Connection, key: str, ids: Iterable[str]) -> dict[str, str]:
    """The value of a tag by the ids of those of these runs that have it."""
    query = select(tags.c.run_uuid, tags.c.value).where(tags.c.key == key)
    return dict(map(tuple, _rows(connection, query, tags.c.run_uuid, ids)))


def _erase(connection: Connection, ids: Sequence[str]) -> None:
    """Delete all rows of these runs."""
    if not ids:
        return
    used = select(inputs.c.input_uuid).where(inputs.c.destination_type == "RUN", inputs.c.destination_id.in_(ids))
    connection.execute(delete(input_tags).where(input_tags.c.input_uuid.in_(used)))
    connection.execute(delete(inputs).where(inputs.c.destination_type == "RUN", inputs.c.destination_id.in_(ids)))
    for table in (*OF_RUN, runs):
        connection.execute(delete(table).where(table.c.run_uuid.in_(ids)))


def _mark_deleted(connection: Connection, ids: Sequence[str]) -> None:
    """Mark runs as deleted, as MLflow does: its own garbage collection removes them."""
    if ids:
        deleted = {"lifecycle_stage": "deleted", "deleted_time": int(1000 * time())}
        connection.execute(update(runs).where(runs.c.run_uuid.in_(ids)).values(deleted))


def _param_rows(one: _Prepared) -> list[tuple[str, str, str]]:
    return [(one.run_id, name, value[:MAX_PARAM_LETTERS]) for name, value in one.entry.params.items()]


def _tag_rows(one: _Prepared) -> list[tuple[str, str, str]]:
    named = {"mlflow.runName": one.entry.name, **one.entry.tags}
    return [(one.run_id, name, value[:MAX_TAG_LETTERS]) for name, value in named.items()]


def _metric_rows(run_id: str, points: Iterable[Point]) -> list[tuple[Any, ...]]:
    """Rows of the table metrics, each once."""
    return list(dict.fromkeys(_metric_row(run_id, point) for point in points))


def _metric_row(run_id: str, point: Point) -> tuple[Any, ...]:
    name, value, at, step = point
    if isfinite(value):
        return run_id, name, at, step, value, False
    if isnan(value):
        return run_id, name, at, step, 0.0, True
    return run_id, name, at, step, LARGEST if value > 0 else -LARGEST, False


def _latest(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The row of each metric with the highest step, of equals the latest, of equals the highest value."""
    latest: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        before = latest.get(row[1])
        if before is None or (row[3], row[2], row[4]) > (before[3], before[2], before[4]):
            latest[row[1]] = row
    return list(latest.values())


def _once(used: Iterable[Input]) -> list[Input]:
    """The first of the inputs of each name and digest, in their order: MLflow shows the first one of a run."""
    first: dict[tuple[str, str], Input] = {}
    for data in used:
        first.setdefault((data.name, data.digest), data)
    return list(first.values())


def _insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, whose values are in the order of the table's columns."""
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    row = f"({', '.join([mark] * len(table.columns))})"
    head = f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES "
    for i in range(0, len(rows), ROWS):
        few = rows[i : i + ROWS]
        connection.exec_driver_sql(head + ", ".join([row] * len(few)), tuple(chain.from_iterable(few)))
