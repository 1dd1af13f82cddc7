"""Inbox, outbox and the database below them: each effect once, each message if and only if it was decided."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from labkit.patterns.saga import (
    Database,
    Inbox,
    InvalidInput,
    KeyReused,
    Message,
    Outbox,
    Refused,
    SagaLog,
    StorageError,
)


class Till:
    """A balance with an inbox."""

    def __init__(self, database: Database | None = None, **options: Any) -> None:
        self.database = database or Database()
        self.inbox = Inbox(self.database, **options)
        with self.database.transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS money (amount INTEGER)")

    def add(self, amount: int) -> Any:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO money VALUES (?)", (amount,))
            return self.balance()

        return work

    def take_back(self, connection: sqlite3.Connection, answer: Any) -> None:
        connection.execute("DELETE FROM money WHERE rowid = (SELECT max(rowid) FROM money)")

    def balance(self) -> int:
        return int(self.database.query("SELECT coalesce(sum(amount), 0) FROM money")[0][0])


def test_a_request_that_comes_twice_is_done_once_and_answered_the_same() -> None:
    till = Till()
    assert [till.inbox.once("k", till.add(5)) for _ in range(3)] == [5, 5, 5]
    assert till.inbox.once("other", till.add(7)) == 12
    assert till.balance() == 12


def test_a_refusal_leaves_no_trace_and_is_remembered() -> None:
    till = Till()

    def work(connection: sqlite3.Connection) -> None:
        till.add(5)(connection)
        raise Refused("no funds")

    for again in (work, till.add(5)):  # the second could be done by now, but the answer has been given
        with pytest.raises(Refused, match="no funds"):
            till.inbox.once("k", again)
    assert till.balance() == 0
    assert till.inbox.undo("k", till.take_back) is False


def test_work_that_breaks_leaves_no_trace_and_is_done_anew() -> None:
    till = Till()

    def work(connection: sqlite3.Connection) -> None:
        till.add(5)(connection)
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        till.inbox.once("k", work)
    assert (till.balance(), till.inbox.state("k")) == (0, None)
    assert till.inbox.once("k", till.add(5)) == 5


def test_an_answer_that_is_no_json_is_no_answer() -> None:
    till = Till()
    with pytest.raises(InvalidInput, match="JSON"):
        till.inbox.once("k", lambda connection: till.add(5)(connection) and {1, 2})
    assert till.balance() == 0


def test_an_undone_key_is_undone_once_and_closed() -> None:
    till = Till()
    seen = []
    till.inbox.once("k", till.add(5))

    def undo(connection: sqlite3.Connection, answer: Any) -> None:
        seen.append(answer)
        till.take_back(connection, answer)

    assert [till.inbox.undo("k", undo) for _ in range(3)] == [True, True, True]
    assert (seen, till.balance(), till.inbox.state("k")) == ([5], 0, "undone")
    with pytest.raises(Refused, match="llega tarde"):
        till.inbox.once("k", till.add(5))


def test_a_compensation_that_comes_before_its_request_closes_the_key() -> None:
    till = Till()
    assert till.inbox.undo("k", till.take_back) is False
    with pytest.raises(Refused):
        till.inbox.once("k", till.add(5))
    assert till.balance() == 0


def test_a_compensation_that_breaks_has_undone_nothing_and_can_be_tried_again() -> None:
    till = Till()
    till.inbox.once("k", till.add(5))

    def breaks(connection: sqlite3.Connection, answer: Any) -> None:
        till.take_back(connection, answer)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        till.inbox.undo("k", breaks)
    assert (till.balance(), till.inbox.state("k")) == (5, "done")
    assert till.inbox.undo("k", till.take_back) is True


def test_in_whatever_order_requests_and_compensations_come_the_end_is_one_effect_or_none() -> None:
    for order in set(permutations(["do", "do", "undo", "undo"])):
        till = Till()
        for message in order:
            try:
                if message == "do":
                    till.inbox.once("k", till.add(5))
                else:
                    till.inbox.undo("k", till.take_back)
            except Refused:
                pass
        assert till.balance() == 0, order


def test_a_key_that_comes_with_another_request_is_refused() -> None:
    till = Till()
    till.inbox.once("k", till.add(5), request={"amount": 5, "to": "ana"})
    assert till.inbox.once("k", till.add(5), request={"to": "ana", "amount": 5}) == 5
    with pytest.raises(KeyReused, match="k"):
        till.inbox.once("k", till.add(6), request={"amount": 6, "to": "ana"})


def test_the_same_request_from_eight_threads_and_two_connections_is_done_once(tmp_path: Path) -> None:
    tills = [Till(Database(tmp_path / "till.db")) for _ in range(2)]
    together = threading.Barrier(8)
    answers = []

    def ask(till: Till) -> None:
        together.wait()
        answers.append(till.inbox.once("k", till.add(5)))

    threads = [threading.Thread(target=ask, args=(tills[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [5] * 8
    assert tills[0].balance() == 5


def test_old_keys_are_forgotten_and_the_younger_kept() -> None:
    now = [0.0]
    till = Till(clock=lambda: now[0])
    till.inbox.once("old", till.add(1))
    now[0] = 100.0
    till.inbox.once("young", till.add(1))
    assert till.inbox.forget(older_than=50) == 1
    assert (till.inbox.state("old"), till.inbox.state("young")) == (None, "done")


@pytest.mark.parametrize("key", ["", "  ", None, 3])
def test_a_key_that_says_nothing_is_refused(key: Any) -> None:
    till = Till()
    with pytest.raises(InvalidInput, match="clave"):
        till.inbox.once(key, till.add(5))
    with pytest.raises(InvalidInput, match="clave"):
        till.inbox.undo(key, till.take_back)


# The outbox


def test_a_message_stands_or_falls_with_the_transaction_that_decided_it() -> None:
    database = Database()
    outbox = Outbox(database)

    def decide(then: Any) -> None:
        with database.transaction():
            outbox.add("order-1", {"paid": True}, id="m-1")
            then()

    with pytest.raises(ZeroDivisionError):
        decide(lambda: 1 / 0)
    assert outbox.pending() == []
    decide(lambda: None)
    decide(lambda: None)  # the same decision, taken again after a crash
    assert outbox.pending() == [Message("m-1", "order-1", {"paid": True})]


def test_messages_are_sent_once_each_in_order() -> None:
    outbox = Outbox(Database())
    for number in range(5):
        outbox.add("order-1", number)
    sent: list[Any] = []
    assert outbox.deliver(lambda message: sent.append(message.body), limit=3) == 3
    assert outbox.deliver(lambda message: sent.append(message.body)) == 2
    assert outbox.deliver(sent.append) == 0
    assert sent == [0, 1, 2, 3, 4]


def test_a_message_that_cannot_be_sent_holds_back_its_topic_and_no_other() -> None:
    outbox = Outbox(Database())
    for topic, body in (("a", 1), ("b", 2), ("a", 3), ("b", 4)):
        outbox.add(topic, body)
    sent: list[Any] = []

    def send(message: Message) -> None:
        if message.body == 1 and message.attempts < 2:
            raise ConnectionError("no broker")
        sent.append(message.body)

    assert [outbox.deliver(send) for _ in range(3)] == [2, 0, 2]
    assert sent == [2, 4, 1, 3]


def test_what_went_wrong_stands_beside_the_message() -> None:
    outbox = Outbox(Database())
    outbox.add("a", 1, id="m-1")

    def send(message: Message) -> None:
        raise ConnectionError("no broker")

    outbox.deliver(send)
    outbox.deliver(send)
    assert outbox.pending() == [Message("m-1", "a", 1, attempts=2, error="no broker")]


def test_a_relay_that_dies_after_sending_sends_again_under_the_same_id() -> None:
    database = Database()
    Outbox(database).add("a", 1, id="m-1")
    sent: list[str] = []

    def send_and_die(message: Message) -> None:
        sent.append(message.id)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Outbox(database).deliver(send_and_die)
    Outbox(database).deliver(lambda message: sent.append(message.id))
    assert sent == ["m-1", "m-1"]


def test_two_relays_of_one_outbox_do_not_send_at_once() -> None:
    outbox = Outbox(Database())
    for number in range(3):
        outbox.add("a", number)
    sent: list[int] = []
    other = threading.Thread(target=lambda: outbox.deliver(lambda message: sent.append(message.body)))

    def send(message: Message) -> None:
        if message.body == 0:
            other.start()
        sent.append(message.body)

    outbox.deliver(send)
    other.join()
    assert sent == [0, 1, 2]


@pytest.mark.parametrize(
    ("topic", "body", "id"), [("", 1, None), (None, 1, None), ("a", {1, 2}, None), ("a", 1, "")]
)
def test_a_message_that_says_nothing_is_refused(topic: Any, body: Any, id: Any) -> None:
    outbox = Outbox(Database())
    with pytest.raises(InvalidInput):
        outbox.add(topic, body, id=id)
    assert outbox.pending() == []


# The database


def test_an_inner_transaction_is_undone_alone_and_kept_with_the_outer_one() -> None:
    till = Till()
    with till.database.transaction() as outer:
        outer.execute("INSERT INTO money VALUES (1)")
        with pytest.raises(ZeroDivisionError), till.database.transaction() as inner:
            inner.execute("INSERT INTO money VALUES (2)") and 1 / 0
        with till.database.transaction() as inner:
            inner.execute("INSERT INTO money VALUES (4)")
    assert till.balance() == 5


def test_an_error_of_ones_own_sql_is_told_as_it_is() -> None:
    database = Database()
    with pytest.raises(sqlite3.OperationalError, match="no such table"), database.transaction() as connection:
        connection.execute("INSERT INTO nowhere VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.query("SELECT * FROM nowhere")


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Ana, " * 100)
    with pytest.raises(StorageError, match=r"letter\.db.*Nada quedó"):
        SagaLog(path)
    assert path.read_text().startswith("Dear Ana")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        Database(tmp_path / "nowhere" / "sagas.db")


def test_a_locked_file_is_told_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.patterns.saga.database.BUSY_TIMEOUT", 0.05)
    till = Till(Database(tmp_path / "till.db"))
    with closing(sqlite3.connect(tmp_path / "till.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            till.inbox.once("k", till.add(5))
        other.execute("ROLLBACK")
    assert till.inbox.state("k") is None
    assert till.inbox.once("k", till.add(5)) == 5


@pytest.fixture
def no_file_above_a_megabyte() -> Iterator[None]:
    resource: Any = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_file_above_a_megabyte")
def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    database = Database(tmp_path / "full.db")
    outbox = Outbox(database)
    written = 0
    with pytest.raises(StorageError, match=r"full\.db"):  # noqa: PT012
        for _ in range(100):
            with database.transaction():
                outbox.add("a", "x" * 50_000)
                outbox.add("a", "y" * 50_000)
            written += 2
    assert len(outbox.pending(1000)) == written
    assert written > 4
