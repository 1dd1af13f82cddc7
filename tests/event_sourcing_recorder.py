"""The recorders of the `eventsourcing` package on top of our store, so that its own tests can run on it.

Theirs number a stream from the version that its first event brings, ours from 1: the first event's metadata
keeps the difference. Their state is bytes, ours JSON: a text of the same bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    IntegrityError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
)

from labkit.patterns.event_sourcing import Event, EventStore, InvalidInput, RecordedEvent, VersionConflict


class OurAggregateRecorder(AggregateRecorder):
    def __init__(self, store: EventStore) -> None:
        self.store = store

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        self.append(stored_events)
        return None

    def append(self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        positions = []
        try:
            with self.store.transaction():
                for stream, group in groupby(stored_events, key=lambda event: str(event.originator_id)):
                    positions += self._append_to(stream, list(group))
                if tracking is not None:
                    self.store.advance(tracking.application_name, tracking.notification_id)
        except (VersionConflict, InvalidInput) as error:
            raise IntegrityError(str(error)) from error
        return positions

    def _append_to(self, stream: str, events: list[StoredEvent]) -> list[int]:
        first = events[0].originator_version
        if [event.originator_version for event in events] != list(range(first, first + len(events))):
            raise IntegrityError("not one after the other")
        known = self.store.read(stream, until=1)
        base = known[0].metadata["base"] if known else first
        recorded = self.store.append(
            stream,
            [
                Event(event.topic, {"state": event.state.decode("latin-1")}, {"base": base})
                for event in events
            ],
            first - base,
        )
        return [event.position for event in recorded]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        events = [
            StoredEvent(**fields(event))
            for event in self.store.read(str(originator_id))
            if (gt is None or version(event) > gt) and (lte is None or version(event) <= lte)
        ]
        return (events[::-1] if desc else events)[:limit]


class OurProcessRecorder(OurAggregateRecorder, ProcessRecorder):
    def insert_events(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int]:
        return self.append(stored_events, tracking)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = max((start or 0) - inclusive_of_start, 0)
        events = self.store.read_all(after, None if topics else limit)
        wanted = (
            event
            for event in events
            if (not topics or event.type in topics) and (stop is None or event.position <= stop)
        )
        return [notification(event) for event in islice(wanted, limit)]

    def max_notification_id(self) -> int | None:
        return self.store.head() or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[Any]:
        return OurSubscription(self, gt, topics)

    def insert_tracking(self, tracking: Tracking) -> None:
        self.append([], tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        return self.store.checkpoint(application_name) or None


class OurSubscription(Subscription[OurProcessRecorder]):
    def __init__(self, recorder: OurProcessRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self.stopped = threading.Event()
        events = recorder.store.subscribe(gt or 0, poll=0.001, stop=self.stopped)
        self.events: Iterator[RecordedEvent] = (e for e in events if not topics or e.type in topics)

    def stop(self) -> None:
        super().stop()
        self.stopped.set()

    def __next__(self) -> Notification:
        return notification(next(self.events))


def version(event: RecordedEvent) -> int:
    return int(event.version - 1 + event.metadata["base"])


def fields(event: RecordedEvent) -> dict[str, Any]:
    return {
        "originator_id": UUID(event.stream),
        "originator_version": version(event),
        "topic": event.type,
        "state": event.data["state"].encode("latin-1"),
    }


def notification(event: RecordedEvent) -> Notification:
    return Notification(id=event.position, **fields(event))
