"""The store's promises, on SQLite in memory and in a file, and on PostgreSQL."""

from __future__ import annotations

import math
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from event_sourcing_support import own_schema, postgres_programs, running_postgres

from labkit.patterns.event_sourcing import (
    DuplicateEvent,
    Event,
    EventStore,
    InvalidInput,
    Postgres,
    Sqlite,
    StoreBusy,
    StoreUnavailable,
    UnknownSchema,
    Upcasters,
    VersionConflict,
    new_id,
)


@pytest.fixture(scope="module")
def server():
    with running_postgres() as conninfo:
        yield conninfo


def open_store(place: str, request: pytest.FixtureRequest, **how) -> EventStore:
    if place == "postgres":
        return EventStore(Postgres(own_schema(request.getfixturevalue("server"))), **how)
    if place == "file":
        return EventStore(request.getfixturevalue("tmp_path") / "hechos.db", **how)
    return EventStore(**how)


@pytest.fixture(params=["memory", "file", "postgres"])
def place(request) -> str:
    return request.param


@pytest.fixture
def store(place, request):
    ticks = iter(range(1_000_000))
    with open_store(place, request, clock=lambda: float(next(ticks))) as store:
        yield store


@pytest.fixture
def memory():
    with EventStore() as store:
        yield store


def sold(units: int = 1, **more) -> Event:
    return Event("Vendido", {"unidades": units}, **more)


# Appending and reading


def test_events_get_a_version_in_their_stream_and_a_position_among_all(store):
    store.append("libro-1", [Event("Recibido", {"unidades": 3}), sold()], expected_version=0)
    store.append("libro-2", [Event("Recibido", {"unidades": 9})], expected_version=0)
    store.append("libro-1", [sold()], expected_version=2)

    assert [(event.version, event.type) for event in store.read("libro-1")] == [
        (1, "Recibido"), (2, "Vendido"), (3, "Vendido"),
    ]  # fmt: skip
    everything = [(event.position, event.stream, event.version) for event in store.read_all()]
    assert everything == [(1, "libro-1", 1), (2, "libro-1", 2), (3, "libro-2", 1), (4, "libro-1", 3)]
    assert (store.version("libro-1"), store.version("libro-9"), store.head()) == (3, 0, 4)
    assert store.read("libro-9") == []


def test_what_append_returns_is_what_is_read(store):
    event = Event(
        "Ñandú", {"título": "«Años» ☃ \x00 \n", "n": [1, 2.5, None, True, {"a": {}}]}, {"por": "Ana"}
    )
    (recorded,) = store.append("libro-1", [event], 0)
    assert store.read("libro-1") == [recorded]
    assert (recorded.data, recorded.metadata, recorded.id) == (event.data, event.metadata, event.id)
    assert recorded.recorded_at == 0.0


def test_a_stream_is_read_between_two_versions(store):
    store.append("libro-1", [sold(n) for n in range(1, 6)], 0)
    assert [event.data["unidades"] for event in store.read("libro-1", after=1, until=4)] == [2, 3, 4]


def test_the_global_order_is_read_in_pages_and_up_to_a_limit(store):
    for start in range(0, 2500, 500):
        store.append("libro-1", [sold(start + n) for n in range(500)], start)
    assert [event.position for event in store.read_all()] == list(range(1, 2501))
    assert [event.position for event in store.read_all(after=1998, limit=3)] == [1999, 2000, 2001]
    assert [event.position for event in store.read_all(after=999, limit=1001)] == list(range(1000, 2001))
    assert list(store.read_all(limit=0)) == []
    assert list(store.read_all(after=2500)) == []


def test_no_events_are_no_change(store):
    assert store.append("libro-1", [], 0) == []
    assert store.head() == 0


def test_many_ids_are_looked_up_at_once(store):
    events = [sold() for _ in range(1201)]
    store.append("libro-1", events, 0)
    assert [event.id for event in store.append("libro-1", events, 0)] == [event.id for event in events]
    assert store.head() == 1201


# Expected versions


def test_of_two_who_read_the_same_version_one_wins(store):
    store.append("libro-1", [Event("Recibido", {"unidades": 1})], 0)
    store.append("libro-1", [sold()], 1)
    with pytest.raises(VersionConflict, match="va por la versión 2 y se esperaba la 1") as caught:
        store.append("libro-1", [sold(), sold()], 1)
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("libro-1", 1, 2)
    assert store.head() == 2


def test_a_stream_that_must_be_new_conflicts_when_it_is_there(store):
    store.append("libro-1", [sold()], 0)
    with pytest.raises(VersionConflict):
        store.append("libro-1", [sold()], 0)


def test_none_appends_at_any_version(store):
    for version in range(1, 4):
        assert store.append("libro-1", [sold()], None)[0].version == version


@pytest.mark.parametrize("given", [-1, True, 1.0, "1", math.nan])
def test_a_version_that_is_no_count_is_refused(memory, given):
    with pytest.raises(InvalidInput, match="expected_version vale"):
        memory.append("libro-1", [sold()], given)
    assert memory.head() == 0


def test_a_version_ahead_of_the_stream_was_never_read_here(store):
    store.append("libro-1", [sold()], 0)
    with pytest.raises(InvalidInput, match="Se espera la versión 2 de «libro-1», que solo va por la 1"):
        store.append("libro-1", [sold()], 2)
    assert store.head() == 1


def test_threads_conflict_and_none_is_lost(store):
    barrier = threading.Barrier(8)
    conflicts = []

    def seller(number: int) -> None:
        version = store.version("libro-1")
        barrier.wait()
        for _ in range(20):
            while True:
                try:
                    version = store.append("libro-1", [sold(number)], version)[-1].version
                    break
                except VersionConflict as conflict:
                    conflicts.append(number)
                    version = conflict.actual

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(seller, range(8)))
    assert [event.version for event in store.read("libro-1")] == list(range(1, 161))
    assert len(conflicts) >= 7  # all eight had read version 0


# Ids


def test_an_append_that_is_repeated_is_done_once(store):
    events = [sold(1), sold(2)]
    first = store.append("libro-1", events, 0)
    store.append("libro-1", [sold(3)], 2)
    assert store.append("libro-1", events, 0) == first
    assert store.append("libro-1", events, None) == first
    assert store.head() == 3


def test_a_repeated_append_that_expected_another_version_conflicts(store):
    event = sold()
    store.append("libro-1", [sold(), event], 0)
    with pytest.raises(VersionConflict):
        store.append("libro-1", [event], 0)
    assert len(store.append("libro-1", [event], 1)) == 1


@pytest.mark.parametrize("other", ["other stream", "other data", "other type", "not all", "other order"])
def test_a_taken_id_is_refused_unless_it_is_the_same_append(memory, other):
    one, two = sold(1, id="uno"), sold(2, id="dos")
    memory.append("libro-1", [one, two], 0)
    stream, again = {
        "other stream": ("libro-2", [one]),
        "other data": ("libro-1", [sold(7, id="uno")]),
        "other type": ("libro-1", [Event("Devuelto", one.data, id="uno")]),
        "not all": ("libro-1", [two, sold(3)]),
        "other order": ("libro-1", [two, one]),
    }[other]
    with pytest.raises(DuplicateEvent, match="ya está en «libro-1»"):
        memory.append(stream, again, None)
    assert memory.head() == 2


def test_an_id_twice_in_one_append_is_refused(store):
    with pytest.raises(InvalidInput, match="está dos veces"):
        store.append("libro-1", [sold(1, id="uno"), sold(2, id="uno")], 0)
    assert store.head() == 0


def test_later_ids_sort_later_and_none_repeats():
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)  # the milliseconds
    assert {(one[14], one[19] in "89ab") for one in ids} == {("7", True)}  # version and variant, RFC 9562


# What is no event


class Money:
    pass


endless: dict = {}
endless["de nuevo"] = endless
deep: list = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    "data",
    [
        {"importe": Money()}, {"importe": math.nan}, {"importe": math.inf}, {"claves": {1: 2}}, {"a": (1, 2)},
        {"texto": "\ud800"}, {"datos": b"x"}, {"conjunto": {1}}, endless, {"hondo": deep}, {None: 1}, [1, 2],
        "texto", None, 7,
    ],
    ids=lambda data: type(data).__name__,
)  # fmt: skip
def test_an_event_that_is_not_json_is_refused_and_nothing_is_written(memory, data):
    with pytest.raises(InvalidInput, match=r"«Vendido»"):
        memory.append("libro-1", [sold(), Event("Vendido", data)], 0)
    assert memory.head() == 0
    with pytest.raises(InvalidInput, match="metadata de «Vendido»"):
        memory.append("libro-1", [Event("Vendido", {}, data)], 0)


@pytest.mark.parametrize(
    "stream", ["", "x" * 201, "a/b", "a b", "..", ".a", "a\n", "a?b", "a%20b", None, 7, b"libro"]
)
def test_a_stream_is_named_so_that_a_url_can_carry_it(memory, stream):
    for verb in (
        lambda: memory.append(stream, [sold()], 0),
        lambda: memory.read(stream),
        lambda: memory.version(stream),
    ):
        with pytest.raises(InvalidInput, match="El flujo"):
            verb()


@pytest.mark.parametrize(
    "stream", ["libro-42", "correo-ana@ejemplo.es", "año-2025", "a:b+c=d~e_f", "x" * 200]
)
def test_names_that_are_streams(memory, stream):
    memory.append(stream, [sold()], 0)
    assert memory.read(stream)[0].stream == stream


@pytest.mark.parametrize(
    "events", [None, "texto", sold(), {1: sold()}, [{"type": "Vendido"}], ["Vendido"], [None]]
)
def test_what_is_no_list_of_events_is_refused(memory, events):
    with pytest.raises(InvalidInput):
        memory.append("libro-1", events, 0)
    assert memory.head() == 0


@pytest.mark.parametrize(
    "how", [{"type": ""}, {"type": None}, {"type": "x" * 201}, {"type": "a\nb"}, {"id": ""}, {"id": 7},
            {"schema_version": 0}, {"schema_version": "1"}, {"schema_version": True}]
)  # fmt: skip
def test_an_event_is_refused_when_it_is_made(how):
    with pytest.raises(InvalidInput):
        Event(**{"type": "Vendido", **how})


@pytest.mark.parametrize("given", [-1, 1.5, "1", None, True])
def test_a_place_to_read_from_is_a_count(memory, given):
    with pytest.raises(InvalidInput):
        memory.read("libro-1", after=given)
    with pytest.raises(InvalidInput):
        memory.read_all(given)
    if given is not None:
        with pytest.raises(InvalidInput):
            memory.read_all(0, given)
        with pytest.raises(InvalidInput):
            memory.read("libro-1", until=given)


# Append-only


@pytest.mark.parametrize("sql", ["update events set type = 'Otro'", "delete from events"])
def test_what_is_recorded_cannot_be_changed_by_sql_either(store, sql):
    store.append("libro-1", [sold()], 0)
    with pytest.raises(Exception, match="never"), store.transaction() as cursor:
        cursor.execute(sql)
    assert [event.type for event in store.read_all()] == ["Vendido"]


# Transactions and checkpoints


def test_several_streams_and_a_table_are_written_together_or_not_at_all(store):
    with store.transaction() as cursor:
        cursor.execute("create table ventas (isbn text, unidades integer)")
        store.append("libro-1", [sold()], 0)
        store.append("libro-2", [sold()], 0)
        cursor.execute("insert into ventas values (?, ?)", ("1", 1))
        assert store.head() == 2  # it sees what it writes

    def fail() -> None:
        with store.transaction() as cursor:
            store.append("libro-1", [sold()], 1)
            cursor.execute("insert into ventas values (?, ?)", ("2", 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.head() == 2
    with store.reading() as cursor:
        assert cursor.execute("select isbn from ventas").fetchall() == [("1",)]


def test_a_transaction_inside_another_is_a_part_of_it(store):
    def fail() -> None:
        with store.transaction():
            with store.transaction():
                store.append("libro-1", [sold()], 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.head() == 0


def test_a_conflict_inside_a_transaction_may_be_answered_there(store):
    store.append("libro-1", [sold()], 0)
    with store.transaction():
        with pytest.raises(VersionConflict):
            store.append("libro-1", [sold()], 0)
        store.append("libro-1", [sold()], 1)
    assert store.head() == 2


def test_a_transaction_is_its_threads_own(store, place):
    if place == "memory":
        pytest.skip("one connection: the other thread waits")
    seen = []
    with store.transaction():
        store.append("libro-1", [sold()], 0)
        other = threading.Thread(target=lambda: seen.append(store.head()))
        other.start()
        other.join()
    assert seen == [0]
    assert store.head() == 1


def test_a_mistake_in_ones_own_sql_is_shown_as_it_is(store, place):
    with pytest.raises(Exception, match="ventas") as caught, store.transaction() as cursor:
        cursor.execute("insert into ventas values (1)")
    assert type(caught.value).__module__.startswith(("sqlite3", "psycopg"))
    store.append("libro-1", [sold()], 0)


def test_a_checkpoint_moves_forward_only(store):
    assert store.checkpoint("ventas") == 0
    store.advance("ventas", 7)
    for behind in (7, 6):
        with pytest.raises(InvalidInput, match=f"va por 7 y no puede ir a {behind}"):
            store.advance("ventas", behind)
    store.advance("ventas", 8)
    store.begin_checkpoint("ventas", 3)
    assert store.checkpoint("ventas") == 8
    store.forget_checkpoint("ventas")
    assert store.checkpoint("ventas") == 0


# Following


def test_a_subscriber_gets_what_is_there_and_then_what_comes(store):
    store.append("libro-1", [sold(1), sold(2)], 0)
    stop, seen, first = threading.Event(), [], threading.Event()

    def follow() -> None:
        for event in store.subscribe(after=1, poll=0.001, stop=stop):
            seen.append(event.position)
            first.set()
            if len(seen) == 3:
                stop.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert first.wait(10)
    store.append("libro-1", [sold(3), sold(4)], 2)
    follower.join(10)
    assert seen == [2, 3, 4]


# Upcasting


def test_an_old_event_is_read_in_todays_shape(place, request):
    upcasters = Upcasters()

    @upcasters.step("Vendido", 1)
    def with_currency(data):
        return {**data, "moneda": "EUR"}

    @upcasters.step("Vendido", 2)
    def in_cents(data):
        return {"céntimos": round(100 * data["precio"]), "moneda": data["moneda"]}

    with open_store(place, request, upcasters=upcasters) as store:
        store.append("libro-1", [Event("Vendido", {"precio": 9.5})], 0)
        store.append("libro-1", [Event("Vendido", {"precio": 8, "moneda": "MXN"}, schema_version=2)], 1)
        store.append("libro-1", [Event("Vendido", {"céntimos": 1, "moneda": "EUR"}, schema_version=3)], 2)
        store.append("libro-1", [Event("Otro", {"precio": 9.5})], 3)
        for events in (store.read("libro-1"), list(store.read_all())):
            assert [event.data for event in events] == [
                {"céntimos": 950, "moneda": "EUR"}, {"céntimos": 800, "moneda": "MXN"},
                {"céntimos": 1, "moneda": "EUR"}, {"precio": 9.5},
            ]  # fmt: skip
            assert [event.schema_version for event in events] == [3, 3, 3, 1]
        with store.reading() as cursor:  # what is recorded stays as it was
            assert cursor.execute("select data from events where position = 1").fetchone() == (
                '{"precio":9.5}',
            )


def test_an_event_of_a_later_version_than_the_code_is_not_guessed_at():
    upcasters = Upcasters()
    upcasters.step("Vendido", 1)(lambda data: data)
    store = EventStore(upcasters=upcasters)
    store.append("libro-1", [Event("Vendido", {}, schema_version=3)], 0)
    with pytest.raises(UnknownSchema, match="es de la versión 3 y este código conoce hasta la 2"):
        store.read("libro-1")


def test_a_step_that_is_missing_or_wrong_is_told():
    upcasters = Upcasters()
    upcasters.step("Vendido", 2)(lambda data: None)
    with pytest.raises(UnknownSchema, match="de la versión 1 a la siguiente"):
        upcasters.upcast("Vendido", 1, {})
    with pytest.raises(InvalidInput, match="devolvió None"):
        upcasters.upcast("Vendido", 2, {})
    with pytest.raises(InvalidInput, match="Ya hay"):
        upcasters.step("Vendido", 2)(lambda data: data)


# Opening and closing


def test_a_file_is_opened_again_with_what_it_held(tmp_path):
    with EventStore(tmp_path / "a.db") as store:
        store.append("libro-1", [sold()], 0)
    with EventStore(str(tmp_path / "a.db")) as store:
        assert [event.version for event in store.read("libro-1")] == [1]


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StoreUnavailable):
        store.append("libro-1", [sold()], 0)


def test_threads_that_ended_leave_no_connection_behind(tmp_path):
    store = EventStore(tmp_path / "a.db")
    for _ in range(30):
        thread = threading.Thread(target=store.head)
        thread.start()
        thread.join()
    assert len(store.database._idle) == 1
    store.close()


@pytest.mark.parametrize("given", [0, -1, math.inf, math.nan, "5", True, None])
def test_a_timeout_is_a_number_of_seconds(given):
    with pytest.raises(InvalidInput, match="lock_timeout"):
        Sqlite(lock_timeout=given)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreUnavailable, match="no se puede abrir"):
        EventStore(tmp_path / "no" / "a.db")


@pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL server is installed")
def test_a_postgres_that_does_not_answer_is_told(tmp_path):
    with pytest.raises(StoreUnavailable):
        Postgres(f"host={tmp_path} user=nadie dbname=nada connect_timeout=1")


def test_a_postgres_writer_waits_for_the_other_no_longer_than_it_was_told(server):
    conninfo = own_schema(server)
    with EventStore(Postgres(conninfo)) as one, EventStore(Postgres(conninfo, lock_timeout=0.05)) as other:
        with one.transaction():
            with pytest.raises(StoreBusy):
                other.append("libro-1", [sold()], 0)
            assert other.head() == 0  # readers do not wait
        other.append("libro-1", [sold()], 0)


def test_a_postgres_connection_that_was_cut_is_replaced(server):
    conninfo = own_schema(server)
    with EventStore(Postgres(conninfo)) as store, EventStore(Postgres(conninfo)) as other:
        store.append("libro-1", [sold()], 0)
        with other.reading() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and backend_type = 'client backend'"
            ).fetchall()
        with pytest.raises(StoreUnavailable):
            store.append("libro-1", [sold()], 1)
        assert store.append("libro-1", [sold()], 1)[0].version == 2


def test_a_file_made_by_somebody_else_is_not_taken_for_a_store(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("create table events (texto text)")
    connection.commit()
    connection.close()
    with pytest.raises(sqlite3.OperationalError, match="position"):
        EventStore(tmp_path / "a.db").head()
