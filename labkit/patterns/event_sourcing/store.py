"""The event store: facts are appended, read, and never changed.

    store = EventStore("tienda.db")
    store.append("libro-42", [Event("Recibido", {"unidades": 10})], expected_version=0)
    store.read("libro-42")            # this stream, in its order
    store.read_all(after=position)    # every stream, in the one global order

A stream's version is the number of its events. Whoever decides from version n appends with
`expected_version=n`; when another writer was quicker, VersionConflict is raised and nothing is written. That
is optimistic concurrency control: nobody waits while somebody thinks.

One transaction writes at a time and gives out positions under its lock. So a position becomes visible only
when every lower one is, and a reader that follows `read_all` never finds an event behind it. A sequence or an
identity column would promise less: those numbers are given out before the commit, and commits overtake each
other.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.database import Cursor, Database, Sqlite
from labkit.patterns.event_sourcing.errors import DuplicateEvent, VersionConflict
from labkit.patterns.event_sourcing.event import Event, RecordedEvent, encode, valid_stream, valid_text
from labkit.patterns.event_sourcing.upcasting import Upcasters

PAGE = 1000  # events fetched at a time by read_all
_CHUNK = 500  # ids looked up at a time: old SQLites take 999 parameters

_COLUMNS = "stream, version, position, type, data, metadata, schema_version, id, recorded_at"
_INSERT = (
    "insert into events (position, stream, version, recorded_at, id, type, schema_version, data, metadata)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_HEADS = (
    "select (select coalesce(max(position), 0) from events),"
    " (select coalesce(max(version), 0) from events where stream = ?)"
)

Encoded = tuple[str, str, int, str, str]


class EventStore:
    """An append-only store of events, safe for threads; on a file, for processes too."""

    def __init__(
        self,
        database: Database | str | Path = ":memory:",
        *,
        upcasters: Upcasters | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open a store.

        `database`: the path of an SQLite file, ":memory:", or a Database such as `Postgres(conninfo)`.
        `upcasters`: bring old events to today's shape when they are read. `clock`: Unix time in seconds.
        """
        self.database = Sqlite(database) if isinstance(database, str | Path) else database
        self._upcast = (upcasters or Upcasters()).upcast
        self._clock = clock
        self._open = threading.local()

    def append(
        self, stream: str, events: Sequence[Event], expected_version: int | None
    ) -> list[RecordedEvent]:
        """Append events to a stream, all or none, and return them in their places.

        `expected_version`: the stream's version that the decision was made on, 0 for a stream that must be
        new, None where it does not matter. Raises VersionConflict when the stream has another version by now,
        InvalidInput when it has not come so far or an event is not JSON, DuplicateEvent when an id is taken.
        The same append again (the same ids and content) writes nothing and returns what is recorded: a client
        that got no answer may repeat it.
        """
        valid_stream(stream)
        if expected_version is not None:
            _valid_expected(expected_version)
        if isinstance(events, str | bytes | Event) or not isinstance(events, Sequence):
            raise InvalidInput(messages.NOT_A_LIST.format(given=events))
        encoded = [encode(event) for event in events]
        ids = [row[0] for row in encoded]
        if len(set(ids)) < len(ids):
            repeated = next(one for one in ids if ids.count(one) > 1)
            raise InvalidInput(messages.REPEATED_ID.format(given=repeated))
        with self.transaction() as cursor:
            if known := _recorded(cursor, ids):
                return self._repeated(stream, encoded, known, expected_version)
            position, version = cursor.execute(_HEADS, (stream,)).fetchone()
            if expected_version is not None and expected_version != version:
                _refuse(stream, expected_version, version)
            now = self._clock()
            cursor.executemany(
                _INSERT,
                [(position + n, stream, version + n, now, *row) for n, row in enumerate(encoded, start=1)],
            )
        return [
            RecordedEvent(
                stream, version + n, position + n, event.type, event.data, event.metadata,
                event.schema_version, event.id, now,
            )
            for n, event in enumerate(events, start=1)
        ]  # fmt: skip

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> list[RecordedEvent]:
        """Return a stream's events with `after` < version ≤ `until`, upcast; of an unknown stream, none."""
        valid_stream(stream)
        sql = f"select {_COLUMNS} from events where stream = ? and version > ?"
        parameters: list[Any] = [stream, valid_count("after", after, minimum=0)]
        if until is not None:
            sql += " and version <= ?"
            parameters.append(valid_count("until", until, minimum=0))
        with self.reading() as cursor:
            rows = cursor.execute(f"{sql} order by version", parameters).fetchall()
        return [self._event(row) for row in rows]

    def read_all(self, after: int = 0, limit: int | None = None) -> Iterator[RecordedEvent]:
        """Yield the events of every stream with position > `after`, in the global order, upcast.

        Ends where the store ends. `limit`: at most so many.
        """
        valid_count("after", after, minimum=0)
        left = PAGE if limit is None else valid_count("limit", limit, minimum=0)
        return self._pages(after, left, endless=limit is None)

    def _pages(self, after: int, left: int, *, endless: bool) -> Iterator[RecordedEvent]:
        while left > 0:
            wanted = min(left, PAGE)
            with self.reading() as cursor:
                rows = cursor.execute(
                    f"select {_COLUMNS} from events where position > ? order by position limit ?",
                    (after, wanted),
                ).fetchall()
            for row in rows:
                yield self._event(row)
            if len(rows) < wanted:
                return
            after = rows[-1][2]
            left -= 0 if endless else len(rows)

    def subscribe(
        self, after: int = 0, *, poll: float = 0.05, stop: threading.Event | None = None
    ) -> Iterator[RecordedEvent]:
        """Yield every event after a position, then the new ones as they come, until `stop` is set.

        `poll`: seconds between two looks at a store that has nothing new.
        """
        stop = stop or threading.Event()
        while not stop.is_set():
            for event in self.read_all(after):
                yield event
                after = event.position
                if stop.is_set():
                    return
            stop.wait(poll)

    def version(self, stream: str) -> int:
        """Return the number of a stream's events; 0 when there is no such stream."""
        with self.reading() as cursor:
            return int(cursor.execute(_HEADS, (valid_stream(stream),)).fetchone()[1])

    def head(self) -> int:
        """Return the position of the last event; 0 when there is none."""
        with self.reading() as cursor:
            return int(cursor.execute("select coalesce(max(position), 0) from events").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Have all that is appended and written inside, by this thread, committed together or not at all.

        Yields a cursor for tables of one's own in the same database (`?` for parameters in every database): a
        view and its checkpoint, events of several streams, an outbox. Keep it short: nobody else writes
        meanwhile. Inside another transaction it is a part of that one.
        """
        outer: Cursor | None = getattr(self._open, "cursor", None)
        if outer is not None:
            yield outer
            return
        with self.database.writing() as cursor:
            self._open.cursor = cursor
            try:
                yield cursor
            finally:
                self._open.cursor = None

    def checkpoint(self, name: str) -> int:
        """Return the position up to which a reader of that name is done; 0 at its beginning."""
        with self.reading() as cursor:
            row = cursor.execute("select position from checkpoints where name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def advance(self, name: str, position: int) -> None:
        """Move a checkpoint forward, in the transaction that is open here if there is one.

        Raises InvalidInput when it is there already: another process runs the same reader.
        """
        valid_text("name", name)
        valid_count("position", position, minimum=0)
        with self.transaction() as cursor:
            cursor.execute(
                "insert into checkpoints (name, position) values (?, ?) on conflict (name) do update"
                " set position = excluded.position where checkpoints.position < excluded.position",
                (name, position),
            )
            if cursor.rowcount != 1:
                actual = self.checkpoint(name)
                raise InvalidInput(messages.BACKWARDS.format(name=name, actual=actual, given=position))

    def begin_checkpoint(self, name: str, position: int) -> None:
        """Set a checkpoint that is not there yet; leave one that is."""
        with self.transaction() as cursor:
            cursor.execute(
                "insert into checkpoints (name, position) values (?, ?) on conflict (name) do nothing",
                (name, position),
            )

    def forget_checkpoint(self, name: str) -> None:
        """Put a checkpoint back to the beginning, for a view that is to be rebuilt."""
        with self.transaction() as cursor:
            cursor.execute("delete from checkpoints where name = ?", (name,))

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> "EventStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """Lend a cursor that queries a view's tables; in a transaction it sees what was written there."""
        inside: Cursor | None = getattr(self._open, "cursor", None)
        if inside is not None:
            yield inside
            return
        with self.database.reading() as cursor:
            yield cursor

    def _event(self, row: Sequence[Any]) -> RecordedEvent:
        stream, version, position, type, data, metadata, schema_version, id, recorded_at = row
        schema_version, fields = self._upcast(type, schema_version, json.loads(data))
        about = {} if metadata == "{}" else json.loads(metadata)
        return RecordedEvent(stream, version, position, type, fields, about, schema_version, id, recorded_at)

    def _repeated(
        self, stream: str, encoded: list[Encoded], known: dict[str, Any], expected: int | None
    ) -> list[RecordedEvent]:
        """Return what an earlier append of the same events recorded. Raises DuplicateEvent."""
        rows = sorted(known.values(), key=lambda row: row[1])
        first = rows[0][1]
        content = [(id, type, schema, data, meta) for _, _, _, type, data, meta, schema, id, _ in rows]
        places = [(row[0], row[1]) for row in rows]
        if content != encoded or places != [(stream, first + n) for n in range(len(rows))]:
            raise DuplicateEvent(messages.DUPLICATE.format(given=rows[0][7], stream=rows[0][0]))
        if expected is not None and expected != first - 1:
            raise VersionConflict(stream, expected, self.version(stream))
        return [self._event(row) for row in rows]


def _recorded(cursor: Cursor, ids: list[str]) -> dict[str, Any]:
    found = {}
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        marks = ", ".join("?" * len(some))
        rows = cursor.execute(f"select {_COLUMNS} from events where id in ({marks})", some).fetchall()
        found.update({row[7]: row for row in rows})
    return found


def _valid_expected(given: object) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise InvalidInput(messages.BAD_EXPECTED.format(given=given))


def _refuse(stream: str, expected: int, actual: int) -> None:
    if expected > actual:  # versions never go down: nobody can have read this one here
        raise InvalidInput(messages.AHEAD.format(stream=stream, expected=expected, actual=actual))
    raise VersionConflict(stream, expected, actual)
