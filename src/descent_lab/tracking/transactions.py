"""Transactions that write to a database. Those on a SQLite file share a connection, which knows whether others wrote.

To look for runs of an identity takes 2 seconds in a store of a million runs, because MLflow's tables have no index of
the values of tags. On SQLite a writer need not look again as long as nobody else has written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from weakref import finalize

from sqlalchemy import Connection, func, select, text

from descent_lab.tracking.address import sqlite_file
from descent_lab.tracking.schema import engine

LOCK = 0x64657363656E74  # the number of our advisory lock in PostgreSQL: "descent" in ASCII
LOCK_SECONDS = 60  # how long to wait for it
Version = tuple[int, int]


class Transactions:
    """The transactions of one writer: all or nothing of each is in the database."""

    def __init__(self, uri: str) -> None:
        self._engine, self._file = engine(uri), sqlite_file(uri)
        self._kept: list[Connection] = []  # one or none, and only for SQLite
        self._opened: tuple[int, int] | None = None  # device and number of the file that the connection has opened
        self._n_opened = 0
        self._one_at_a_time = Lock()
        finalize(self, _close, self._kept)  # also at the end of the process

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, which no other program can write beside on SQLite."""
        if self._file is None:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._one_at_a_time:
            try:
                connection = self._connection(self._file)
                with connection.begin():
                    yield connection
            except BaseException:
                _close(self._kept)
                raise

    @contextmanager
    def claiming(self) -> Iterator[Connection]:
        """A transaction beside which no other process claims runs."""
        with self.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
                connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            yield connection

    def version(self, connection: Connection) -> Version | None:
        """What stays the same in this transaction's database while nobody else writes; None where it is not known."""
        if self._file is None:
            return None
        return self._n_opened, connection.exec_driver_sql("PRAGMA data_version").scalar_one()

    def _connection(self, file: Path) -> Connection:
        """The connection that is kept; another one where the file has been replaced. Raises OSError without a file."""
        found = file.stat()
        if (found.st_dev, found.st_ino) != self._opened:
            _close(self._kept)
        if not self._kept:
            self._kept.append(self._engine.connect())
            self._opened, self._n_opened = (found.st_dev, found.st_ino), self._n_opened + 1
        return self._kept[0]


def _close(kept: list[Connection]) -> None:
    while kept:
        kept.pop().close()
