"""Event sourcing: record what happened, and derive the state from it."""

from labkit.patterns.event_sourcing.database import Cursor, Database, Sqlite
from labkit.patterns.event_sourcing.errors import (
    DuplicateEvent,
    EventSourcingError,
    InvalidInput,
    NameTaken,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    UnknownSchema,
    VersionConflict,
)
from labkit.patterns.event_sourcing.event import Event, RecordedEvent, new_id
from labkit.patterns.event_sourcing.store import EventStore
from labkit.patterns.event_sourcing.upcasting import Upcasters

__all__ = [
    "Cursor",
    "Database",
    "DuplicateEvent",
    "Event",
    "EventSourcingError",
    "EventStore",
    "InvalidInput",
    "NameTaken",
    "RecordedEvent",
    "Sqlite",
    "StoreBusy",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "UnknownSchema",
    "Upcasters",
    "VersionConflict",
    "new_id",
]
