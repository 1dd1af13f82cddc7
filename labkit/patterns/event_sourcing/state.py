"""State out of events, and decisions on it.

    def evolve(stock, event):                      # what an event means; never fails, has no effects
        return stock + event.data["unidades"] if event.type == "Recibido" else stock - event.data["unidades"]

    def sell(stock):                               # may refuse; returns what happens, and changes nothing
        if not stock:
            raise SoldOut
        return [Event("Vendido", {"unidades": 1})]

    decide(store, "libro-42", sell, evolve, initial=0)

Two functions without a store in them: they can be tried with lists (the «decider», Chassaing 2021). A state
is plain JSON when snapshots are used, and `evolve` returns a new one and leaves the old as it was.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from labkit.patterns._given import valid_count
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import VersionConflict
from labkit.patterns.event_sourcing.event import Event, RecordedEvent
from labkit.patterns.event_sourcing.snapshots import Snapshots

State = TypeVar("State")


class Streams(Protocol):
    """What is needed of a store, be it an EventStore or a RemoteStore."""

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> list[RecordedEvent]:
        """Return a stream's events with `after` < version ≤ `until`."""

    def append(
        self, stream: str, events: Sequence[Event], expected_version: int | None
    ) -> list[RecordedEvent]:
        """Append events to a stream, all or none."""


class Rebuilt(NamedTuple, Generic[State]):
    """A stream's state, the version it is of, and how many events were read for it."""

    state: State
    version: int
    replayed: int


def rebuild(
    store: Streams,
    stream: str,
    evolve: Callable[[State, RecordedEvent], State],
    initial: State,
    *,
    until: int | None = None,
    snapshots: Snapshots | None = None,
) -> Rebuilt[State]:
    """Return a stream's state now, or as it was at version `until`, by replaying its events.

    With `snapshots` from the last one on, and a new one is kept when due.
    """
    kept = snapshots.load(stream, until) if snapshots else None
    state, start = (kept.state, kept.version) if kept else (initial, 0)
    events = store.read(stream, after=start, until=until)
    for event in events:
        state = evolve(state, event)
    version = start + len(events)
    if snapshots and until is None:
        snapshots.save_if_due(stream, version, state, since=start)
    return Rebuilt(state, version, len(events))


def decide(
    store: Streams,
    stream: str,
    decision: Callable[[State], Sequence[Event]],
    evolve: Callable[[State, RecordedEvent], State],
    initial: State,
    *,
    attempts: int = 10,
    snapshots: Snapshots | None = None,
) -> list[RecordedEvent]:
    """Append what `decision` makes of the state; when another writer was quicker, decide again.

    The decision is made anew each time and not the append repeated: the last book may be gone by now. Raises
    what the decision raises, and VersionConflict after so many attempts.
    """
    valid_count("attempts", attempts)
    for attempt in range(1, attempts + 1):
        state, version, _ = rebuild(store, stream, evolve, initial, snapshots=snapshots)
        try:
            return store.append(stream, decision(state), version)
        except VersionConflict as conflict:
            if attempt == attempts:
                conflict.add_note(messages.ALWAYS_BEATEN.format(stream=stream, attempts=attempts))
                raise
    raise AssertionError("unreachable")
