"""What other processes do to a store in the tests. It imports little: each process pays for it."""

from __future__ import annotations

import random
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from labkit.patterns.event_sourcing import (
    Cursor,
    Event,
    EventStore,
    Projection,
    RecordedEvent,
    Sqlite,
    VersionConflict,
)

STREAMS = ("libro-1", "libro-2", "libro-3")


def patient(path: Path) -> EventStore:
    """A store that waits long for the others: eight writers on two cores."""
    return EventStore(Sqlite(path, lock_timeout=30))


def compete(path: Path, worker: int, seconds: float, barrier: Barrier, report: Connection) -> None:
    """Append to a few streams for a while from the version that was read; decide again after a conflict."""
    choice = random.Random(worker)
    acknowledged, conflicts = [], 0
    with patient(path) as store:
        version = store.version("carrera")
        barrier.wait()  # everybody has read version 0: one wins
        end = time.monotonic() + seconds
        stream = "carrera"
        while time.monotonic() < end:
            events = [Event("Vendido", {"por": worker}) for _ in range(choice.randint(1, 3))]
            try:
                acknowledged += [event.id for event in store.append(stream, events, version)]
                stream = choice.choice(STREAMS)
            except VersionConflict:
                conflicts += 1
            version = store.version(stream)
    report.send((acknowledged, conflicts))


def append_until_killed(path: Path, acknowledge: Connection) -> None:
    """Append three events at a time, and tell their ids once the store has acknowledged them."""
    with patient(path) as store:
        version = store.version("libro-1")
        while True:
            batch = [Event("Vendido", {"tanda": version, "n": n}) for n in range(3)]
            recorded = store.append("libro-1", batch, version)
            version = recorded[-1].version
            acknowledge.send([event.id for event in recorded])


def append_until_refused(path: Path, limit: int, report: Connection) -> None:
    """Append where no file may grow beyond `limit` bytes; tell what was acknowledged, and the error."""
    import resource

    acknowledged: list[str] = []
    store = EventStore(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        while True:
            batch = [Event("Vendido", {"texto": "x" * 500}) for _ in range(3)]
            acknowledged += [event.id for event in store.append("libro-1", batch, None)]
    except Exception as error:
        report.send((acknowledged, type(error).__name__))


def project_until_killed(path: Path, report: Connection) -> None:
    """Count sales, and stop for ever inside the transaction of the second page."""
    handled = 0

    def count(cursor: Cursor, event: RecordedEvent) -> None:
        nonlocal handled
        cursor.execute(
            "insert into ventas values (?, ?) on conflict (flujo) do update set unidades = unidades + ?",
            (event.stream, event.data["unidades"], event.data["unidades"]),
        )
        handled += 1
        if handled == 15:
            report.send("a mitad")
            time.sleep(60)

    with patient(path) as store:
        columns = {"ventas": "flujo text primary key, unidades integer"}
        Projection(store, "ventas", count, columns, page=10).catch_up()
