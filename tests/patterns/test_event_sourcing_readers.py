"""States, snapshots, decisions, projections, reactions, partitions and names: what is made of the events."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from event_sourcing_support import processes
from event_sourcing_workers import project_until_killed

from labkit.patterns.event_sourcing import (
    Event,
    EventStore,
    InvalidInput,
    Partitions,
    Projection,
    Reaction,
    Snapshots,
    Sqlite,
    VersionConflict,
    decide,
    partition_of,
    rebuild,
)


@pytest.fixture
def store(tmp_path):
    with EventStore(Sqlite(tmp_path / "hechos.db", lock_timeout=30)) as store:
        yield store


def received(units: int) -> Event:
    return Event("Recibido", {"unidades": units})


def sold(units: int = 1) -> Event:
    return Event("Vendido", {"unidades": units})


def evolve(stock: int, event) -> int:
    return stock + event.data["unidades"] if event.type == "Recibido" else stock - event.data["unidades"]


class SoldOut(Exception):
    pass


def sell(stock: int) -> list[Event]:
    if stock < 1:
        raise SoldOut
    return [sold()]


# State and decisions


def test_the_state_of_any_moment_is_rebuilt(store):
    store.append("libro-1", [received(5), sold(2), sold(1)], 0)
    assert [rebuild(store, "libro-1", evolve, 0, until=n).state for n in range(4)] == [0, 5, 3, 2]
    assert rebuild(store, "libro-1", evolve, 0) == (2, 3, 3)
    assert rebuild(store, "libro-9", evolve, 0) == (0, 0, 0)


def test_the_last_book_is_sold_once_to_eight_who_want_it(store):
    store.append("libro-1", [received(3)], 0)
    barrier = threading.Barrier(8)

    def buy(_: int) -> str:
        barrier.wait()
        try:
            decide(store, "libro-1", sell, evolve, 0)
        except SoldOut:
            return "agotado"
        return "vendido"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(buy, range(8))) == ["agotado"] * 5 + ["vendido"] * 3
    assert rebuild(store, "libro-1", evolve, 0).state == 0


def test_after_a_conflict_the_decision_is_made_anew(store):
    store.append("libro-1", [received(1)], 0)
    seen = []

    def decision(stock: int) -> list[Event]:
        seen.append(stock)
        if len(seen) == 1:  # somebody else is quicker
            store.append("libro-1", [received(4)], 1)
        return [sold()]

    assert decide(store, "libro-1", decision, evolve, 0)[0].version == 3
    assert seen == [1, 5]


def test_who_is_always_beaten_gives_up_and_says_so(store):
    def decision(stock: int) -> list[Event]:
        store.append("libro-1", [received(1)], None)
        return [sold()]

    with pytest.raises(VersionConflict) as caught:
        decide(store, "libro-1", decision, evolve, 0, attempts=3)
    assert caught.value.__notes__ == ["«libro-1» cambió 3 veces mientras se decidía."]
    assert store.version("libro-1") == 3


def test_a_decision_for_nothing_appends_nothing(store):
    assert decide(store, "libro-1", lambda stock: [], evolve, 0) == []


# Snapshots


def test_a_snapshot_spares_the_replay_and_changes_no_result(store):
    snapshots = Snapshots(store, "stock", every=10)
    store.append("libro-1", [received(1) for _ in range(25)], 0)
    assert rebuild(store, "libro-1", evolve, 0, snapshots=snapshots) == (25, 25, 25)
    assert rebuild(store, "libro-1", evolve, 0, snapshots=snapshots) == (25, 25, 0)
    store.append("libro-1", [sold(), sold()], 25)
    assert rebuild(store, "libro-1", evolve, 0, snapshots=snapshots) == (23, 27, 2)
    assert snapshots.load("libro-1").version == 25  # two events are no reason for a new one
    assert rebuild(store, "libro-1", evolve, 0, until=26, snapshots=snapshots) == (24, 26, 1)
    assert rebuild(store, "libro-1", evolve, 0, until=20, snapshots=snapshots) == (20, 20, 20)


def test_snapshots_are_disposable(store, caplog):
    snapshots = Snapshots(store, "stock", every=1)
    store.append("libro-1", [received(1) for _ in range(5)], 0)
    rebuild(store, "libro-1", evolve, 0, snapshots=snapshots)
    with store.transaction() as cursor:
        cursor.execute("update snapshots set state = 'roto'")
    with caplog.at_level(logging.WARNING):
        assert rebuild(store, "libro-1", evolve, 0, snapshots=snapshots) == (5, 5, 5)
    assert "no se puede leer" in caplog.text
    snapshots.forget()
    assert rebuild(store, "libro-1", evolve, 0, snapshots=snapshots) == (5, 5, 5)


def test_another_evolve_keeps_snapshots_of_its_own(store):
    store.append("libro-1", [received(2)], 0)
    rebuild(store, "libro-1", evolve, 0, snapshots=Snapshots(store, "stock", every=1))
    twice = rebuild(store, "libro-1", lambda s, e: s + 2, 0, snapshots=Snapshots(store, "stock-2", every=1))
    assert twice == (2, 1, 1)


def test_an_older_snapshot_does_not_replace_a_later_one(store):
    snapshots = Snapshots(store, "stock")
    snapshots.save("libro-1", 7, 70)
    snapshots.save("libro-1", 5, 50)
    assert snapshots.load("libro-1") == (7, 70)


def test_a_snapshot_that_cannot_be_kept_harms_nobody(tmp_path, caplog):
    with (
        EventStore(Sqlite(tmp_path / "a.db", lock_timeout=0.05)) as store,
        EventStore(tmp_path / "a.db") as other,
    ):
        store.append("libro-1", [received(5)], 0)
        with other.transaction(), caplog.at_level(logging.WARNING):
            assert (
                rebuild(store, "libro-1", evolve, 0, snapshots=Snapshots(store, "stock", every=1)).state == 5
            )
        assert "no se pudo guardar" in caplog.text


# Projections


def count(cursor, event) -> None:
    if event.type == "Vendido":
        cursor.execute(
            "insert into ventas values (?, ?) on conflict (flujo) do update set unidades = unidades + ?",
            (event.stream, event.data["unidades"], event.data["unidades"]),
        )


COLUMNS = {"ventas": "flujo text primary key, unidades integer"}


def sales(store: EventStore) -> dict[str, int]:
    with store.reading() as cursor:
        return dict(cursor.execute("select * from ventas").fetchall())


def test_a_projection_lags_catches_up_and_is_rebuilt(store):
    projection = Projection(store, "ventas", count, COLUMNS, page=2)
    store.append("libro-1", [received(9), sold(1), sold(2)], 0)
    store.append("libro-2", [sold(4)], 0)
    assert (projection.lag, sales(store)) == (4, {})
    assert projection.catch_up() == 4
    assert (projection.lag, projection.position, sales(store)) == (0, 4, {"libro-1": 3, "libro-2": 4})
    assert projection.catch_up() == 0
    with store.transaction() as cursor:
        cursor.execute("update ventas set unidades = 1000")
    assert projection.rebuild() == 4
    assert sales(store) == {"libro-1": 3, "libro-2": 4}


def test_a_bad_event_stops_a_projection_there_and_keeps_what_went_well(store):
    def refuse_seven(cursor, event) -> None:
        if event.data["unidades"] == 7:
            raise ZeroDivisionError
        count(cursor, event)

    projection = Projection(store, "ventas", refuse_seven, COLUMNS)
    store.append("libro-1", [sold(1), sold(2), sold(7), sold(3)], 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            projection.catch_up()
        assert "se detiene en la posición 3 (Vendido de «libro-1»)" in caught.value.__notes__[0]
        assert (projection.position, sales(store)) == (2, {"libro-1": 3})
    projection = Projection(store, "ventas", count, COLUMNS)  # mended
    projection.catch_up()
    assert sales(store) == {"libro-1": 13}


def test_two_who_run_the_same_projection_count_every_event_once(store):
    store.append("libro-1", [sold() for _ in range(300)], 0)
    barrier = threading.Barrier(4)

    def run(_: int) -> int:
        projection = Projection(store, "ventas", count, COLUMNS, page=10)
        barrier.wait()
        return projection.catch_up()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 300
    assert sales(store) == {"libro-1": 300}


def test_a_projection_may_append_and_that_too_is_done_once(store):
    def thank(cursor, event) -> None:
        if event.type == "Vendido":
            store.append("gracias", [Event("Agradecido", {"por": event.id})], None)

    projection = Projection(store, "gracias", thank)
    store.append("libro-1", [sold(), sold()], 0)
    projection.catch_up()
    projection.catch_up()
    assert store.version("gracias") == 2


def test_a_projection_killed_at_any_moment_counts_every_event_once(tmp_path):
    path = tmp_path / "hechos.db"
    context = processes()
    with EventStore(Sqlite(path, lock_timeout=30)) as store:
        store.append("libro-1", [sold() for _ in range(200)], 0)
        for _ in range(10):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=project_until_killed, args=(path, theirs))
            process.start()
            ours.recv()  # it is in the middle of a page
            process.kill()
            process.join()
        Projection(store, "ventas", count, COLUMNS).catch_up()
        assert sales(store) == {"libro-1": 200}


@pytest.mark.parametrize("table", ["", "Ventas", "ventas; drop table events", "1a", "a b"])
def test_a_table_is_named_plainly(store, table):
    with pytest.raises(InvalidInput, match="La tabla"):
        Projection(store, "ventas", count, {table: "x"})


def test_a_projection_runs_until_it_is_stopped(store):
    stop = threading.Event()
    projection = Projection(store, "ventas", count, COLUMNS)
    thread = threading.Thread(target=projection.run, args=(stop,), kwargs={"poll": 0.001})
    thread.start()
    store.append("libro-1", [sold(5)], 0)
    while projection.lag and thread.is_alive():
        stop.wait(0.001)
    stop.set()
    thread.join(10)
    assert sales(store) == {"libro-1": 5}


# Reactions


def test_a_reaction_begins_at_the_end_and_a_rebuild_repeats_none(store):
    store.append("libro-1", [sold(), sold()], 0)
    sent = []
    mails = Reaction(store, "correos", lambda event: sent.append(event.position))
    projection = Projection(store, "ventas", count, COLUMNS)
    mails.catch_up()
    assert sent == []
    store.append("libro-1", [sold()], 2)
    for reader in (mails, projection):
        reader.catch_up()
    projection.rebuild()
    Reaction(store, "correos", lambda event: sent.append(event.position)).catch_up()  # after a restart
    assert (sent, mails.lag) == ([3], 0)


def test_a_reaction_may_begin_with_the_first_event(store):
    store.append("libro-1", [sold(), sold()], 0)
    sent = []
    Reaction(store, "correos", lambda event: sent.append(event.position), from_start=True).catch_up()
    assert sent == [1, 2]


def test_a_reaction_that_fails_is_tried_again_from_there(store):
    attempts = []

    def send(event) -> None:
        attempts.append(event.position)
        if len(attempts) == 2:
            raise ConnectionError

    mails = Reaction(store, "correos", send)
    store.append("libro-1", [sold(), sold(), sold()], 0)
    with pytest.raises(ConnectionError) as caught:
        mails.catch_up()
    assert "se detiene en la posición 2" in caught.value.__notes__[0]
    mails.catch_up()
    assert attempts == [1, 2, 2, 3]


# Partitions


def test_streams_go_on_in_parallel_and_each_keeps_its_order(store):
    streams = [f"libro-{n}" for n in range(12)]
    for version in range(20):
        for stream in streams:
            store.append(stream, [sold()], version)
    workers, seen, both = {}, {stream: [] for stream in streams}, threading.Barrier(2)
    first = {
        min(s for s in streams if partition_of(s, 4) == share)
        for share in {partition_of(s, 4) for s in streams}
    }
    meeting = sorted(first)[:2]

    def handle(event) -> None:
        if event.version == 1 and event.stream in meeting:
            both.wait(10)  # two shares are at work at the same time, or this breaks
        workers.setdefault(event.stream, set()).add(threading.get_ident())
        seen[event.stream].append(event.version)

    partitions = Partitions(store, "parejas", handle, workers=4, page=240)
    assert partitions.catch_up() == 240
    assert all(versions == list(range(1, 21)) for versions in seen.values())
    assert all(len(threads) == 1 for threads in workers.values())
    assert partitions.lag == 0


def test_a_failure_in_one_partition_leaves_the_checkpoint_before_it(store):
    seen = []
    broken = True

    def handle(event) -> None:
        if event.stream == "libro-1" and event.version == 2 and broken:
            raise ZeroDivisionError
        seen.append((event.stream, event.version))

    other = next(
        f"libro-{n}" for n in range(2, 20) if partition_of(f"libro-{n}", 2) != partition_of("libro-1", 2)
    )
    store.append("libro-1", [sold()], 0)  # position 1
    store.append(other, [sold()], 0)  # 2
    store.append("libro-1", [sold(), sold()], 1)  # 3, 4
    store.append(other, [sold()], 1)  # 5
    partitions = Partitions(store, "parejas", handle, workers=2)
    with pytest.raises(ZeroDivisionError):
        partitions.catch_up()
    assert partitions.position == 2
    assert sorted(seen) == sorted([("libro-1", 1), (other, 1), (other, 2)])
    broken = False
    partitions.catch_up()
    assert [version for stream, version in seen if stream == "libro-1"] == [1, 2, 3]
    assert partitions.lag == 0


def test_a_streams_partition_is_the_same_in_every_process():
    script = (
        "from labkit.patterns.event_sourcing import partition_of as of; print([of(s, 64) for s in 'abcdef'])"
    )
    for seed in ("1", "2"):  # what Python's own hash of a text depends on
        command = [sys.executable, "-c", script]
        found = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        assert found.stdout.strip() == str([partition_of(stream, 64) for stream in "abcdef"])
