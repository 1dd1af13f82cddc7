"""Many processes on one file, kill -9 amid appends, and files that are locked, full or damaged."""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from event_sourcing_support import processes
from event_sourcing_workers import STREAMS, append_until_killed, append_until_refused, compete, patient

from labkit.patterns.event_sourcing import (
    Event,
    EventStore,
    Sqlite,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)

WRITERS = 8


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "hechos.db"


def several_writers(path: Path, seconds: float) -> None:
    context = processes()
    barrier = context.Barrier(WRITERS)
    running = []
    for worker in range(WRITERS):
        ours, theirs = context.Pipe()
        process = context.Process(target=compete, args=(path, worker, seconds, barrier, theirs))
        process.start()
        running.append((process, ours))
    stop, followed = threading.Event(), []

    def follow() -> None:
        with patient(path) as store:
            for event in store.subscribe(poll=0.001, stop=stop):
                followed.append((event.position, event.id))

    follower = threading.Thread(target=follow)
    follower.start()
    reports = [pipe.recv() for _, pipe in running]
    for process, _ in running:
        process.join()
    with patient(path) as store:
        everything = list(store.read_all())
        while len(followed) < len(everything) and follower.is_alive():
            stop.wait(0.005)
        stop.set()
        follower.join()

        acknowledged = [id for ids, _ in reports for id in ids]
        assert sorted(acknowledged) == sorted(event.id for event in everything)  # none lost, none twice
        assert followed == [(event.position, event.id) for event in everything]  # none behind the reader
        assert [event.position for event in everything] == list(range(1, len(everything) + 1))
        for stream in ("carrera", *STREAMS):
            events = store.read(stream)
            assert [event.version for event in events] == list(range(1, len(events) + 1))
    assert sum(conflicts for _, conflicts in reports) >= WRITERS - 1  # all had read version 0 of «carrera»


def test_eight_processes_append_at_once(path):
    several_writers(path, seconds=1)


@pytest.mark.soak
def test_eight_processes_append_for_ten_seconds(path):
    several_writers(path, seconds=10)


def kill_during_appends(path: Path, times: int) -> None:
    """Kill the writer after some acknowledgement, wherever it is in the next append; count what is there."""
    context, choice = processes(), random.Random(times)
    acknowledged: list[str] = []
    for _ in range(times):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=append_until_killed, args=(path, theirs))
        process.start()
        theirs.close()
        for _ in range(choice.randint(1, 15)):
            acknowledged += ours.recv()
        process.kill()
        process.join()
        try:
            while True:
                acknowledged += ours.recv()
        except EOFError:
            ours.close()

    with patient(path) as store:
        events = store.read("libro-1")
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        assert set(acknowledged) <= {event.id for event in events}
        batches = [(event.data["tanda"], event.data["n"]) for event in events]
        assert batches == [
            (start, n) for start in range(0, len(events), 3) for n in range(3)
        ]  # whole or absent
        assert [event.id for event in store.read_all()] == [event.id for event in events]
    assert len(acknowledged) >= 3 * times


def test_what_was_acknowledged_survives_kill_9_and_the_rest_is_whole_or_absent(path):
    kill_during_appends(path, times=50)


# Locked


def test_a_locked_file_is_told_after_the_timeout_and_readers_do_not_wait(path):
    with EventStore(Sqlite(path, lock_timeout=0.05)) as store:
        store.append("libro-1", [Event("Recibido")], 0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("begin immediate")
            with pytest.raises(StoreBusy, match=r"ocupado por otro escritor desde hace 0\.05 s"):
                store.append("libro-1", [Event("Vendido")], 1)
            assert store.version("libro-1") == 1
            other.execute("rollback")
        store.append("libro-1", [Event("Vendido")], 1)


def test_a_file_that_is_locked_while_it_is_opened_is_told(path):
    EventStore(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("pragma locking_mode=exclusive")
        other.execute("begin exclusive")
        other.execute("create table otra (x)")
        with pytest.raises(StoreBusy):
            EventStore(Sqlite(path, lock_timeout=0.05))


# Full


class Small(Sqlite):
    """A disk of so many pages of 4 KiB."""

    pages = 40

    def _connect(self):
        connection = super()._connect()
        connection.execute(f"pragma max_page_count={self.pages}")
        return connection


def test_a_full_disk_is_told_and_nothing_is_half_written(path):
    with EventStore(Small(path)) as store:
        written = 0

        def batch() -> list[Event]:
            return [Event("Vendido", {"texto": "x" * 1000}) for _ in range(5)]

        def fill() -> None:
            nonlocal written
            while True:
                written = store.append("libro-1", batch(), written)[-1].version

        with pytest.raises(StoreFull, match="no se ha escrito nada"):
            fill()
        assert 0 < written == store.version("libro-1")
    with EventStore(path) as store:  # room again
        assert store.append("libro-1", batch(), written)[-1].version == written + 5


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_system_that_refuses_to_write_leaves_whole_batches(path):
    context = processes()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=append_until_refused, args=(path, 300_000, theirs))
    process.start()
    acknowledged, error = ours.recv()
    process.join()
    assert error in ("StoreFull", "StoreUnavailable")
    with EventStore(path) as store:
        events = store.read("libro-1")
        assert [event.id for event in events][: len(acknowledged)] == acknowledged
        assert len(events) % 3 == 0
        store.append("libro-1", [Event("Vendido")], len(events))


# Damaged


def test_a_file_that_is_no_database_is_told(path):
    path.write_bytes(b"esto no es una base de datos" * 500)
    with pytest.raises(StoreDamaged, match="recupera una copia"):
        EventStore(path)
    assert path.read_bytes().startswith(b"esto no es")


def test_a_damaged_file_is_told_and_not_written_to(path):
    with EventStore(path) as store:
        store.append("libro-1", [Event("Vendido", {"n": n, "texto": "x" * 300}) for n in range(2000)], 0)
    whole = path.read_bytes()
    middle = len(whole) // 8192 * 4096
    path.write_bytes(whole[:4096] + b"\xff" * (middle - 4096) + whole[middle:])
    damaged = path.read_bytes()
    with EventStore(path) as store:
        with pytest.raises(StoreDamaged):
            list(store.read_all())
        with pytest.raises(StoreDamaged):
            store.append("libro-1", [Event("Vendido")], None)
    assert path.read_bytes() == damaged


def test_a_file_that_may_not_be_written_is_told(path, monkeypatch):
    EventStore(path).close()
    monkeypatch.setattr(sqlite3, "connect", lambda name, **how: read_only(path, **how))
    with EventStore(path) as store, pytest.raises(StoreUnavailable, match="readonly"):
        store.append("libro-1", [Event("Vendido")], 0)


real_connect = sqlite3.connect


def read_only(path: Path, **how) -> sqlite3.Connection:
    return real_connect(f"{path.as_uri()}?mode=ro", uri=True, **how)
