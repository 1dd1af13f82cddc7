"""What an event store costs: appends and replay, against the `eventsourcing` library on SQLite.

Both are given events as objects and give events back as objects, on a file, in a write-ahead log, each append
on the disk before it returns. Theirs are found by a mapper that writes and reads the class; ours are JSON.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper
from eventsourcing.persistence import EventStore as TheirStore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from labkit.patterns.event_sourcing import Event, EventStore

OURS, THEIRS = "labkit, EventStore", "eventsourcing, EventStore on SQLite"
BATCH = 100
SIZES = (1_000, 10_000, 100_000, 1_000_000)

Measures = dict[str, Callable[[], float]]


class Sold(DomainEvent):
    isbn: str
    units: int
    price: float


class Ours:
    """Our store, in a file of its own."""

    def __init__(self, folder: Path | None) -> None:
        self.store = EventStore(folder / "ours.db" if folder else ":memory:")
        self.numbers = count()

    def append(self, events: int) -> None:
        stream = f"libro-{next(self.numbers)}"
        made = [Event("Sold", {"isbn": stream, "units": n, "price": 9.5}) for n in range(events)]
        self.store.append(stream, made, 0)

    def replay(self, limit: int, after: int = 0) -> int:
        return sum(1 for _ in self.store.read_all(after, limit))

    def replay_stream(self) -> int:
        return len(self.store.read("libro-0"))

    def close(self) -> None:
        self.store.close()


class Theirs:
    """The library's store, as its applications put it together."""

    def __init__(self, folder: Path | None) -> None:
        self.datastore = SQLiteDatastore(str(folder / "theirs.db") if folder else ":memory:")
        recorder = SQLiteApplicationRecorder(self.datastore)
        recorder.create_table()
        transcoder = JSONTranscoder()
        transcoder.register(DatetimeAsISO())
        self.mapper: Mapper[UUID] = Mapper(transcoder)
        self.store: TheirStore[UUID] = TheirStore(self.mapper, recorder)
        self.recorder = recorder
        self.first: UUID | None = None

    def append(self, events: int) -> None:
        stream = uuid4()
        self.first = self.first or stream
        now = Sold.create_timestamp()
        made = [
            Sold(
                originator_id=stream,
                originator_version=n,
                timestamp=now,
                isbn=str(stream),
                units=n,
                price=9.5,
            )
            for n in range(events)
        ]
        self.store.put(made)

    def replay(self, limit: int, after: int = 0) -> int:
        found = 0
        while found < limit:
            page = self.recorder.select_notifications(after + found + 1, min(1000, limit - found))
            if not page:
                break
            found += sum(1 for one in page if self.mapper.to_domain_event(one))
        return found

    def replay_stream(self) -> int:
        assert self.first is not None
        return sum(1 for _ in self.store.get(self.first))

    def close(self) -> None:
        self.datastore.close()


class Field:
    """Both stores in a folder that is deleted at the end, or in memory: what the disk does not hide."""

    def __init__(self, *, in_memory: bool = False) -> None:
        self.stack = ExitStack()
        folder = None
        if not in_memory:
            folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="labkit-bench-")))
        self.stores = {OURS: Ours(folder), THEIRS: Theirs(folder)}
        for store in self.stores.values():
            self.stack.callback(store.close)
            store.append(BATCH)

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def appends(self, times: int, batch: int) -> Measures:
        """Events per second, `batch` of them in each append."""

        def measure(store: Ours | Theirs) -> float:
            began = time.perf_counter()
            for _ in range(times):
                store.append(batch)
            return times * batch / (time.perf_counter() - began)

        return {name: lambda store=store: measure(store) for name, store in self.stores.items()}

    def replays(self, events: int) -> Measures:
        """Events per second, read in the global order."""

        def measure(store: Ours | Theirs) -> float:
            began = time.perf_counter()
            found = store.replay(events)
            return found / (time.perf_counter() - began)

        return {name: lambda store=store: measure(store) for name, store in self.stores.items()}

    def stream_replays(self, times: int) -> Measures:
        """Events per second, read from one stream of 100."""

        def measure(store: Ours | Theirs) -> float:
            began = time.perf_counter()
            for _ in range(times):
                store.replay_stream()
            return times * BATCH / (time.perf_counter() - began)

        return {name: lambda store=store: measure(store) for name, store in self.stores.items()}

    def grow(self, size: int) -> None:
        """Append until each holds so many events."""
        for store in self.stores.values():
            held = store.store.head() if isinstance(store, Ours) else store.recorder.max_notification_id()
            for start in range(held or 0, size, 1000):
                store.append(min(1000, size - start))

    def at_its_end(self, size: int, times: int) -> tuple[dict[str, float], dict[str, float]]:
        """Microseconds for an append of one event, and for an event read among the last, at that size."""
        appends, reads = {}, {}
        for name, store in self.stores.items():
            took = []
            for _ in range(times):
                began = time.perf_counter()
                store.append(1)
                took.append(time.perf_counter() - began)
            appends[name] = 1e6 * sorted(took)[times // 2]
            began = time.perf_counter()
            found = store.replay(1000, max(0, size - 1000))
            reads[name] = 1e6 * (time.perf_counter() - began) / found
        return appends, reads
