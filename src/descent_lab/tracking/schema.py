"""The tables of an MLflow store in a database, as far as they are read and written here, without importing mlflow.

    tables of MLflow                      what a row is
    experiments, experiment_tags          an experiment; a tag of one
    runs                                  a run: name, status, times, place of its artifacts
    params, tags                          a param or a tag of a run
    metrics, latest_metrics               a point of a metric; its last point
    datasets, inputs, input_tags          a data set; that a run used it; a tag of that use

A store is read and written by these descriptions only where its revision is one of TESTED. MLflow's client is used
for any other.
"""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import NullPool

from descent_lab.tracking.address import SQLITE

TESTED = frozenset({"dc11669786a5"})  # the revision of MLflow 3.17
BUSY_SECONDS = 60  # how long to wait for another program that writes to a SQLite file
WAITS = {
    "connect_timeout": 20,
    "tcp_user_timeout": 60_000,
}  # seconds, and milliseconds: how long to wait for PostgreSQL

_METADATA = MetaData()


def _table(name: str, *columns: Column[Any]) -> Table:
    return Table(name, _METADATA, *columns)


experiments = _table(
    "experiments",
    Column("experiment_id", Integer, primary_key=True),
    Column("name", String(256)),
    Column("workspace", String(63)),
    Column("artifact_location", String(256)),
    Column("lifecycle_stage", String(32)),
    Column("creation_time", BigInteger),  # milliseconds since 1970, like all times of these tables
    Column("last_update_time", BigInteger),
)
experiment_tags = _table(
    "experiment_tags",
    Column("experiment_id", Integer, primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", Text),
)
runs = _table(
    "runs",
    Column("run_uuid", String(32), primary_key=True),
    Column("name", String(250)),
    Column("source_type", String(20)),
    Column("source_name", String(500)),
    Column("entry_point_name", String(50)),
    Column("user_id", String(256)),
    Column("status", String(20)),
    Column("start_time", BigInteger),
    Column("end_time", BigInteger),
    Column("deleted_time", BigInteger),
    Column("source_version", String(50)),
    Column("lifecycle_stage", String(20)),
    Column("artifact_uri", String(200)),
    Column("experiment_id", Integer),
)
params = _table(
    "params",
    Column("run_uuid", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", String(8000)),
)
tags = _table(
    "tags",
    Column("run_uuid", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", String(8000)),
)
metrics = _table(
    "metrics",
    Column("run_uuid", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("timestamp", BigInteger, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("value", Float(53), primary_key=True),  # 0 where the value is not a number
    Column("is_nan", Boolean, primary_key=True),
)
latest_metrics = _table(
    "latest_metrics",
    Column("run_uuid", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("timestamp", BigInteger),
    Column("step", BigInteger),
    Column("value", Float(53)),
    Column("is_nan", Boolean),
)
datasets = _table(
    "datasets",
    Column("dataset_uuid", String(36)),
    Column("experiment_id", Integer, primary_key=True),
    Column("name", String(500), primary_key=True),
    Column("digest", String(36), primary_key=True),
    Column("dataset_source_type", String(36)),
    Column("dataset_source", Text),
    Column("dataset_schema", Text),
    Column("dataset_profile", Text),
)
inputs = _table(
    "inputs",
    Column("input_uuid", String(36)),
    Column("source_type", String(36), primary_key=True),
    Column("source_id", String(36), primary_key=True),
    Column("destination_type", String(36), primary_key=True),
    Column("destination_id", String(36), primary_key=True),
    Column("step", BigInteger),
)
input_tags = _table(
    "input_tags",
    Column("input_uuid", String(36), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", String(500)),
)
_alembic_version = _table("alembic_version", Column("version_num", String(32), primary_key=True))


def engine(uri: str, read_only: bool = False) -> Engine:
    """The database at an address; each connection of it sees or makes whole transactions, and is closed after use.

    read_only: what one transaction reads is the store as it was at one moment, whatever others write meanwhile.
    Otherwise a transaction on a SQLite file locks it for all other writers from its start.
    """
    if not uri.startswith(SQLITE):
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if read_only else {}
        address = make_url(uri)
        waits = WAITS if address.get_driver_name().startswith("psycopg") else {}
        address = address.update_query_dict(
            {name: str(wait) for name, wait in waits.items() if name not in address.query}
        )
        return create_engine(address, poolclass=NullPool, **options)
    path = Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute()
    made = create_engine("sqlite://", creator=lambda: _connect(path, read_only), poolclass=NullPool)

    @event.listens_for(made, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return made


def revision(connection: Connection) -> str | None:
    """The revision of a store's tables, or None where the database holds no MLflow store."""
    if not inspect(connection).has_table(_alembic_version.name):
        return None
    found: str | None = connection.execute(select(_alembic_version.c.version_num)).scalar()
    return found


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection that begins no transaction of its own accord.

    A writer keeps a write-ahead log, because otherwise it waits for the disk about ten times a run. A killed process
    loses nothing by that; a machine that loses power may lose the last runs, and no more.
    """
    if read_only:
        return _connect_to_read(path)
    connection = _opened(path, "mode=rw")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, also to a file that cannot be written.

    SQLite opens such a file for reading although `mode=rw` asks for more. With `mode=ro`, it would leave files of the
    write-ahead log behind. Where these cannot be made, the file is read as one that nobody changes.
    """
    connection = _opened(path, "mode=rw")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        log = Path(f"{path}-wal")
        if "locked" in str(error) or (log.exists() and log.stat().st_size):  # it is being changed
            raise
        return _opened(path, "mode=ro&immutable=1")
    connection.execute("PRAGMA query_only=TRUE")
    return connection


def _opened(path: Path, how: str) -> sqlite3.Connection:
    address = f"{path.as_uri()}?{how}"
    return sqlite3.connect(address, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True)
