"""Databases: one writer at a time, and everything that it writes at once or not at all.

The store speaks the SQL that SQLite and PostgreSQL share, with `?` for parameters. Here is SQLite; PostgreSQL
stands in `postgres.py`.

A connection is borrowed for each operation, from those that lie idle: it is never used by two threads at
once, and a thread that ends leaves nothing behind. A database in memory belongs to its connection, so there
all share one, behind a lock.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from labkit.patterns._given import valid_seconds
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import (
    EventSourcingError,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)

# The type of positions and versions is named `bigint` in PostgreSQL; in SQLite only `integer primary key` is
# the row's own number, which costs no index. Nothing that is recorded is changed: the triggers tell others.
SCHEMA = """
create table if not exists events (
    position {integer} primary key, stream text not null, version {integer} not null, id text not null unique,
    type text not null, schema_version integer not null, data text not null, metadata text not null,
    recorded_at double precision not null, unique (stream, version));
create table if not exists checkpoints (name text primary key, position {integer} not null);
create table if not exists snapshots (
    stream text not null, name text not null, version {integer} not null, state text not null,
    primary key (stream, name));
"""
_APPEND_ONLY = """
create trigger if not exists events_stay before update on events begin
    select raise(abort, 'events are never changed'); end;
create trigger if not exists events_remain before delete on events begin
    select raise(abort, 'events are never deleted'); end;
"""


Trouble = tuple[type[EventSourcingError], str]  # what is raised, and the message for it


class Cursor(Protocol):
    """What SQLite's cursor and PostgreSQL's have in common."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Run one statement, with `?` for parameters."""

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Any:
        """Run one statement for each set of parameters."""

    def fetchone(self) -> Any:
        """Return the next row, a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left, tuples."""

    @property
    def rowcount(self) -> int:
        """Number of rows that the last statement changed."""


class Database(Protocol):
    """What a store needs of its database."""

    def reading(self) -> AbstractContextManager[Cursor]:
        """Lend a cursor; each statement sees what was committed before it."""

    def writing(self) -> AbstractContextManager[Cursor]:
        """Lend a cursor inside the one transaction that writes; commit at the end, roll back on an error."""

    def close(self) -> None:
        """Close every connection."""


class Pooled:
    """Connections of one driver, each lent for one operation; its errors are told in the store's words."""

    errors: type[Exception]  # what the driver raises

    def __init__(self, name: str, lock_timeout: float) -> None:
        self.name = name
        self.lock_timeout = valid_seconds("lock_timeout", lock_timeout)
        self._idle: deque[Any] = deque()
        self._closed = False

    def close(self) -> None:
        """Close every connection; one that is in use, when it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> Any:
        raise NotImplementedError

    def _trouble(self, error: Any) -> Trouble | None:
        """Return what an error says of the database; None: it is of the caller's own SQL."""
        raise NotImplementedError

    @contextmanager
    def _borrowed(self) -> Iterator[Any]:
        if self._closed:
            raise StoreUnavailable(messages.CLOSED.format(name=self.name))
        connection = None
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            yield connection
        except self.errors as error:
            if (trouble := self._trouble(error)) is None:
                raise
            kind, message = trouble
            raise kind(message.format(name=self.name, seconds=self.lock_timeout, reason=error)) from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def _give_back(self, connection: Any) -> None:
        self._idle.append(connection)
        if self._closed:  # meanwhile
            self.close()


class Sqlite(Pooled):
    """A database in a file, for any number of threads and processes of one machine, or in memory.

    `lock_timeout`: seconds to wait for another writer before StoreBusy.
    A commit is on the disk when it returns (`synchronous=full`), through a write-ahead log, so that readers
    and the writer do not wait for each other (https://sqlite.org/wal.html).
    """

    errors = sqlite3.Error

    def __init__(self, path: str | Path = ":memory:", *, lock_timeout: float = 5.0) -> None:
        """Open the file, which is made where it is missing.

        Raises StoreUnavailable, StoreDamaged or StoreBusy.
        """
        super().__init__(str(path), lock_timeout)
        in_memory = self.name == ":memory:"
        self._one_at_a_time: AbstractContextManager[Any] = threading.RLock() if in_memory else nullcontext()
        self._make_tables()

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """Lend a cursor; each statement sees what was committed before it."""
        with self._one_at_a_time, self._borrowed() as connection:
            yield connection.cursor()

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """Lend a cursor inside the one transaction that writes; commit at the end, roll back on an error."""
        with self._one_at_a_time, self._borrowed() as connection:
            try:
                # `immediate` takes the write lock now: what is read inside stays true until the commit.
                connection.execute("begin immediate")
                yield connection.cursor()
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back after some errors
                    connection.execute("rollback")
                raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.name, timeout=self.lock_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            self._use_write_ahead_log(connection)
            connection.execute("pragma synchronous=full")
        except BaseException:
            connection.close()
            raise
        return connection

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        # Two processes that make the same file: SQLite tells the second that it is busy without waiting.
        patience = time.monotonic() + self.lock_timeout
        while True:
            try:
                connection.execute("pragma journal_mode=wal")
                return
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise
                time.sleep(0.005)

    def _make_tables(self) -> None:
        tables = [table for table in SCHEMA.format(integer="integer").split(";") if table.strip()]
        triggers = [trigger + "end;" for trigger in _APPEND_ONLY.split("end;") if trigger.strip()]
        try:
            with self.reading() as cursor:
                cursor.execute("select count(*) from sqlite_master where name = 'events_remain'")
                if cursor.fetchone()[0]:
                    return
            with self.writing() as cursor:
                for statement in tables + triggers:
                    cursor.execute(statement)
        except BaseException:
            self.close()
            raise

    def _trouble(self, error: sqlite3.Error) -> Trouble | None:
        return _TROUBLES.get(_code(error))


_BUSY: Trouble = (StoreBusy, messages.BUSY)
_DAMAGED: Trouble = (StoreDamaged, messages.DAMAGED)
_UNAVAILABLE: Trouble = (StoreUnavailable, messages.UNAVAILABLE)
_TROUBLES: dict[int, Trouble] = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_FULL: (StoreFull, messages.FULL),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: _UNAVAILABLE,
    sqlite3.SQLITE_READONLY: _UNAVAILABLE,
    sqlite3.SQLITE_IOERR: _UNAVAILABLE,
}


def _code(error: sqlite3.Error) -> int:
    # The low byte is the kind of error, the rest its detail (https://sqlite.org/rescode.html).
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
