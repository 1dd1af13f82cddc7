"""Event sourcing: record what happened, and derive the state from it.

    store = EventStore("tienda.db")
    store.append("libro-42", [Event("Recibido", {"unidades": 10})], expected_version=0)
    decide(store, "libro-42", sell, evolve, initial=0)      # read, decide, append; again after a conflict
    rebuild(store, "libro-42", evolve, initial=0, until=3)  # the state as it was at version 3

Around the store:

- `Upcasters`: old events read in today's shape. `Snapshots`: states kept, so that long streams load fast.
- `Projection`: a view that catches up and can be rebuilt. `Reaction`: an effect elsewhere, never replayed.
  `Partitions`: many streams at once, each in order.
- `Sqlite`, and `Postgres` in `postgres.py`: where it all is kept.
- `store_app` and `RemoteStore`: the store as a service and its client; Flask and requests load when used.

Sources: Fowler, "Event Sourcing", 2005; Young, "CQRS Documents", 2010, and "Versioning in an Event Sourced
System", 2017; Kleppmann, "Designing Data-Intensive Applications", ch. 11; the recorders of the
`eventsourcing` package, whose own tests this store passes.
"""

import logging
from typing import TYPE_CHECKING, Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.event_sourcing.database import Cursor, Database, Sqlite
from labkit.patterns.event_sourcing.errors import (
    DuplicateEvent,
    EventSourcingError,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    UnknownSchema,
    VersionConflict,
)
from labkit.patterns.event_sourcing.event import Event, RecordedEvent, new_id
from labkit.patterns.event_sourcing.readers import Partitions, Projection, Reaction, partition_of
from labkit.patterns.event_sourcing.snapshots import Snapshot, Snapshots
from labkit.patterns.event_sourcing.state import Rebuilt, decide, rebuild
from labkit.patterns.event_sourcing.store import EventStore
from labkit.patterns.event_sourcing.upcasting import Upcasters

if TYPE_CHECKING:
    from labkit.patterns.event_sourcing.client import RemoteStore
    from labkit.patterns.event_sourcing.postgres import Postgres
    from labkit.patterns.event_sourcing.server import store_app

__all__ = [
    "Cursor",
    "Database",
    "DuplicateEvent",
    "Event",
    "EventSourcingError",
    "EventStore",
    "InvalidInput",
    "Partitions",
    "Postgres",
    "Projection",
    "Reaction",
    "Rebuilt",
    "RecordedEvent",
    "RemoteStore",
    "Snapshot",
    "Snapshots",
    "Sqlite",
    "StoreBusy",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "UnknownSchema",
    "Upcasters",
    "VersionConflict",
    "decide",
    "new_id",
    "partition_of",
    "rebuild",
    "store_app",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # Flask, requests and psycopg cost a tenth of a second each: only who uses one pays for it.
    if name == "store_app":
        from labkit.patterns.event_sourcing.server import store_app

        return store_app
    if name == "RemoteStore":
        from labkit.patterns.event_sourcing.client import RemoteStore

        return RemoteStore
    if name == "Postgres":
        from labkit.patterns.event_sourcing.postgres import Postgres

        return Postgres
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
