"""Readers of the one global order: projections, reactions, and many workers at once.

Each has a name, and under it a checkpoint: the position up to which it is done. What differs is when that
moves.

- `Projection`: a view in the same database. View and checkpoint are committed together, so each event counts
  exactly once, whatever is killed when. It can be thrown away and rebuilt.
- `Reaction`: an effect elsewhere, a mail or a call. It acts first and moves the checkpoint then: at least
  once, so the effect is asked for with the event's id, which makes it once. It is never replayed, and a new
  one begins at the store's end: no mail is sent again because a view was rebuilt.
- `Partitions`: the same at least once, by several threads; each stream keeps its order.
"""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.database import Cursor
from labkit.patterns.event_sourcing.event import RecordedEvent, valid_text
from labkit.patterns.event_sourcing.store import EventStore


class Reader:
    """What the readers have in common: a name, a checkpoint, a lag."""

    def __init__(self, store: EventStore, name: str, *, page: int = 100) -> None:
        """`page`: events handled between two moves of the checkpoint, at most."""
        self.store = store
        self.name = valid_text("name", name)
        self.page = valid_count("page", page)

    @property
    def position(self) -> int:
        """Position up to which it is done."""
        return self.store.checkpoint(self.name)

    @property
    def lag(self) -> int:
        """Number of events that it has not handled yet."""
        return self.store.head() - self.position

    def catch_up(self) -> int:
        """Handle what is new and return how many events that were; an error of the function is raised."""
        total = 0
        while handled := self._handle_page():
            total += handled
        return total

    def run(self, stop: threading.Event, *, poll: float = 0.05) -> None:
        """Keep up until `stop` is set, with `poll` seconds between two looks."""
        while not stop.is_set():
            self.catch_up()
            stop.wait(poll)

    def _handle_page(self) -> int:
        raise NotImplementedError


class Projection(Reader):
    """A view made of events, in tables of its own.

        def count(cursor, event):
            if event.type == "Vendido":
                cursor.execute("insert into ventas values (?, 1) on conflict (isbn)"
                               " do update set unidades = ventas.unidades + 1", (event.stream,))

        Projection(store, "ventas", count, {"ventas": "isbn text primary key, unidades integer"})

    The function has the cursor of the transaction and needs nothing else: what it did elsewhere would be done
    again by a rebuild. It may append events with `store.append`: they too are committed with the checkpoint.
    Any number of processes may run the same projection; they take turns.
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        handle: Callable[[Cursor, RecordedEvent], object],
        tables: Mapping[str, str] | None = None,
        *,
        page: int = 100,
    ) -> None:
        """`tables`: the view's tables by name, with their columns as SQL; they are made where missing."""
        super().__init__(store, name, page=page)
        self._handle = handle
        self._tables = dict(tables or {})
        for table in self._tables:
            if not re.fullmatch(r"[a-z_][a-z0-9_]*", table):
                raise InvalidInput(messages.BAD_TABLE.format(given=table))
        self._make_tables()

    def rebuild(self) -> int:
        """Throw the view away and make it anew from the first event; return how many events that took.

        Meanwhile it lags behind. Where nobody may see that, build a second projection under another name and
        let the readers change over when its lag is 0.
        """
        self._make_tables(anew=True)
        return self.catch_up()

    def _make_tables(self, *, anew: bool = False) -> None:
        with self.store.transaction() as cursor:
            if anew:
                self.store.forget_checkpoint(self.name)
            for table, columns in self._tables.items():
                if anew:
                    cursor.execute(f"drop table if exists {table}")
                cursor.execute(f"create table if not exists {table} ({columns})")

    def _handle_page(self) -> int:
        if self.lag <= 0:
            return 0  # without taking the write lock
        events: list[RecordedEvent] = []
        done = 0
        try:
            with self.store.transaction() as cursor:
                events = list(self.store.read_all(self.position, self.page))
                for event in events:
                    self._handle(cursor, event)
                    done += 1
                if events:
                    self.store.advance(self.name, events[-1].position)
        except Exception as error:
            if done < len(events):
                error.add_note(_stopped(self.name, events[done]))
            if done:  # keep what went well, so that the one bad event is the next
                self._handle_again(events[:done])
            raise
        return done

    def _handle_again(self, events: list[RecordedEvent]) -> None:
        with self.store.transaction() as cursor:
            if self.position == events[0].position - 1:  # else another process has been here
                for event in events:
                    self._handle(cursor, event)
                self.store.advance(self.name, events[-1].position)


class Reaction(Reader):
    """An effect outside of the store for each new event, at least once, in order.

    It begins where the store ends when it is first made; `from_start=True`: with the first event. One process
    runs it at a time: the checkpoint of a second would not move, and tell.
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        act: Callable[[RecordedEvent], object],
        *,
        from_start: bool = False,
    ) -> None:
        """`act`: does the effect; give it the event's id as the idempotency key."""
        super().__init__(store, name)
        self._act = act
        store.begin_checkpoint(self.name, 0 if from_start else store.head())

    def _handle_page(self) -> int:
        done = 0
        for event in self.store.read_all(self.position, self.page):
            try:
                self._act(event)
            except Exception as error:
                error.add_note(_stopped(self.name, event))
                raise
            self.store.advance(self.name, event.position)
            done += 1
        return done


class Partitions(Reader):
    """Events handled by several threads, at least once; the events of one stream by one thread, in order.

    A page is shared out by the streams' names and awaited as a whole: its slowest share is its time. When the
    function fails, its share stops there, the others end, and the checkpoint stays before the failed event;
    what the others did beyond it is done again next time.
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        handle: Callable[[RecordedEvent], object],
        *,
        workers: int = 4,
        page: int = 100,
    ) -> None:
        """`workers`: threads, and shares of a page."""
        super().__init__(store, name, page=page)
        self.workers = valid_count("workers", workers)
        self._handle = handle

    def catch_up(self) -> int:
        """Handle what is new and return how many events that were; an error of the function is raised."""
        with ThreadPoolExecutor(self.workers, thread_name_prefix=self.name) as self._pool:
            return super().catch_up()

    def _handle_page(self) -> int:
        events = list(self.store.read_all(self.position, self.page))
        if not events:
            return 0
        shares = defaultdict(list)
        for event in events:
            shares[partition_of(event.stream, self.workers)].append(event)
        failures = [failure for failure in self._pool.map(self._handle_share, shares.values()) if failure]
        done = min((event.position for event, _ in failures), default=events[-1].position + 1) - 1
        if done >= events[0].position:
            self.store.advance(self.name, done)
        if failures:
            raise min(failures, key=lambda failure: failure[0].position)[1]
        return len(events)

    def _handle_share(self, events: Iterable[RecordedEvent]) -> tuple[RecordedEvent, Exception] | None:
        for event in events:
            try:
                self._handle(event)
            except Exception as error:
                error.add_note(_stopped(self.name, event))
                return event, error
        return None


def partition_of(stream: str, partitions: int) -> int:
    """Return the number of the share that a stream belongs to, the same in every process and on every day.

    Python's own `hash` of a text is another one in each process.
    """
    return crc32(stream.encode()) % partitions


def _stopped(name: str, event: RecordedEvent) -> str:
    return messages.STOPPED_AT.format(
        name=name, position=event.position, type=event.type, stream=event.stream
    )
