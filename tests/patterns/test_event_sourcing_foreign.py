"""The persistence tests that the `eventsourcing` package ships for writers of recorders, on our store."""

from __future__ import annotations

from pathlib import Path

import pytest
from event_sourcing_recorder import OurAggregateRecorder, OurProcessRecorder
from event_sourcing_support import own_schema, running_postgres
from eventsourcing.persistence import StoredEvent
from eventsourcing.tests import persistence

from labkit.patterns.event_sourcing import EventStore, Postgres


@pytest.fixture(scope="module")
def postgres():
    with running_postgres() as conninfo:
        yield conninfo


class InMemory:
    def open_store(self) -> EventStore:
        return EventStore()


class InAFile:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "hechos.db"

    def open_store(self) -> EventStore:
        return EventStore(self.path)


class InPostgres:
    @pytest.fixture(autouse=True)
    def server(self, postgres: str) -> None:
        self.conninfo = postgres

    def open_store(self) -> EventStore:
        return EventStore(Postgres(own_schema(self.conninfo), lock_timeout=30))


class Opened:
    """Close what a test has opened."""

    @pytest.fixture(autouse=True)
    def opened(self):
        self.stores: list[EventStore] = []
        yield
        for store in self.stores:
            store.close()

    def create_recorder(self) -> OurProcessRecorder:
        self.stores.append(self.open_store())
        return OurProcessRecorder(self.stores[-1])


class Aggregate(Opened, persistence.AggregateRecorderTestCase):
    def create_recorder(self) -> OurAggregateRecorder:
        return OurAggregateRecorder(super().create_recorder().store)


class Application(Opened, persistence.ApplicationRecorderTestCase[OurProcessRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class Tracking(Opened, persistence.TrackingRecorderTestCase):
    pass


class Process(Opened, persistence.ProcessRecorderTestCase):
    pass


class NonInterleaving(Opened, persistence.NonInterleavingNotificationIDsBaseCase):
    insert_num = 1000

    def create_stack(self, originator_id):
        return [StoredEvent(originator_id, number, "topic", b"state") for number in range(self.insert_num)]


CASES = (Aggregate, Application, Tracking, Process, NonInterleaving)
for case in CASES:
    for place in (InMemory, InAFile, InPostgres):
        name = f"Test{case.__name__}{place.__name__}"
        globals()[name] = type(name, (place, case), {})
# Abstract ones are no tests of their own: pytest would collect whatever is a TestCase here.
del case, Aggregate, Application, Tracking, Process, NonInterleaving, CASES
