"""PostgreSQL beneath the same store: `EventStore(Postgres("postgresql:///tienda"))`.

What SQLite does by itself is asked for here: an advisory lock lets one transaction write at a time, so that
positions are given out in the order of the commits. A `bigserial` column would not do: its numbers are taken
before the commit, and a reader that has seen 7 would never look for the 6 that commits later.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

try:
    import psycopg
except ImportError as error:
    from labkit.patterns.event_sourcing import messages

    raise ImportError(messages.PSYCOPG_MISSING) from error

from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.database import SCHEMA, Cursor, Pooled, Trouble
from labkit.patterns.event_sourcing.errors import StoreBusy, StoreDamaged, StoreFull, StoreUnavailable

_ONE_WRITER = "select pg_advisory_xact_lock(hashtext('events'), hashtext(current_schema()))"
_APPEND_ONLY = (
    "create or replace function events_stay() returns trigger language plpgsql as"
    " $$ begin raise exception 'events are never changed'; end $$",
    "create or replace trigger events_stay before update or delete or truncate on events"
    " execute function events_stay()",
)


class Postgres(Pooled):
    """A PostgreSQL database (14 or newer), for any number of threads, processes and machines.

    `conninfo`: as libpq takes it. `lock_timeout`: as in `Sqlite`.
    """

    errors = psycopg.Error

    def __init__(self, conninfo: str, *, lock_timeout: float = 5.0) -> None:
        """Connect, and make the tables where they are missing. Raises StoreUnavailable."""
        super().__init__("PostgreSQL", lock_timeout)  # for a name: the conninfo may hold a password
        self._conninfo = conninfo
        with self.reading() as cursor:
            made = cursor.execute("select to_regclass('events')").fetchone()[0]
        if made is None:
            with self.writing() as cursor:
                for statement in SCHEMA.format(integer="bigint").split(";"):
                    cursor.execute(statement)
                for statement in _APPEND_ONLY:
                    cursor.execute(statement)

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """Lend a cursor; each statement sees what was committed before it."""
        with self._borrowed() as connection, connection.cursor() as cursor:
            yield _QuestionMarks(cursor)

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """Lend a cursor inside the one transaction that writes; commit at the end, roll back on an error."""
        with self._borrowed() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_ONE_WRITER)
            yield _QuestionMarks(cursor)

    def _connect(self) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(self._conninfo, autocommit=True)
        connection.execute(f"set lock_timeout = {round(1000 * self.lock_timeout)}")
        return connection

    def _give_back(self, connection: "psycopg.Connection[Any]") -> None:
        if not connection.closed:  # else the server is gone, or was restarted
            super()._give_back(connection)

    def _trouble(self, error: "psycopg.Error") -> Trouble | None:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return StoreBusy, messages.BUSY
        if isinstance(error, psycopg.errors.DiskFull):
            return StoreFull, messages.FULL
        if isinstance(error, psycopg.errors.DataCorrupted | psycopg.errors.IndexCorrupted):
            return StoreDamaged, messages.DAMAGED
        return (
            (StoreUnavailable, messages.UNAVAILABLE) if isinstance(error, psycopg.OperationalError) else None
        )


class _QuestionMarks:
    """A cursor that takes `?` for parameters, as SQLite's does, where psycopg takes `%s`."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        return self._cursor.execute(_translated(sql), parameters)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Any:
        return self._cursor.executemany(_translated(sql), parameters)

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return list(self._cursor.fetchall())

    @property
    def rowcount(self) -> int:
        return int(self._cursor.rowcount)


def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
