"""One SQLite connection that threads share: a transaction at a time, on the disk when it returns.

A service keeps its business tables, its inbox and its outbox in one `Database`: what is written in one
transaction is written together or not at all. That, and no protocol, is what outbox and inbox rest on.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any

from labkit.patterns.saga import messages
from labkit.patterns.saga.errors import StorageError

_STORAGE_CODES = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
)

BUSY_TIMEOUT = 5.0  # seconds that a writer waits for another process's transaction


class Database:
    """Open an SQLite file (or ":memory:") for durable transactions, made if it is not there.

    Usable from any thread; other processes may have the same file open. Raises StorageError for a file that
    is no database, is locked for longer than 5 s, or sits on a full disk.
    """

    def __init__(self, path: str | PathLike[str] = ":memory:") -> None:
        self.path = fspath(path)
        self._lock = threading.RLock()
        try:
            # Transactions are begun by hand: the module's own begin late, and not before a SELECT.
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL would lose the last commits when the machine, not only the process, dies.
            self._connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes when it ends, or roll all of it back when it raises.

        A transaction inside another is a part of it: undone alone if it raises, durable with the outer one.
        """
        with self._lock:
            inner = self._connection.in_transaction
            self._execute("SAVEPOINT inner" if inner else "BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._execute("RELEASE inner" if inner else "COMMIT")
            except BaseException as error:
                # SQLite itself has rolled back where the disk is full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO inner" if inner else "ROLLBACK")
                    if inner:
                        self._connection.execute("RELEASE inner")
                if isinstance(error, sqlite3.Error) and _code(error) in _STORAGE_CODES:
                    raise self._unusable(error) from error
                raise  # of the caller's own SQL, or of the caller

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT: what was committed, and what this thread's transaction has written."""
        with self._lock:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                if _code(error) in _STORAGE_CODES:
                    raise self._unusable(error) from error
                raise

    def close(self) -> None:
        """Close the connection; a transaction that is open elsewhere ends first."""
        with self._lock:
            self._connection.close()

    def _execute(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> StorageError:
        return StorageError(messages.STORAGE.format(path=self.path, error=error))


def _code(error: sqlite3.Error) -> int:
    # The low byte is the kind of error, the rest its detail (https://sqlite.org/rescode.html).
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
