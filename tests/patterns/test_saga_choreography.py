"""The choreography's participant: what it hears, what it tells, and what waits for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.patterns.event_sourcing import Event, EventStore
from labkit.patterns.saga import Database, InvalidInput, Notice, Participant, Retry, unfinished


class Desk:
    """A participant that writes down what it hears, and answers each order."""

    def __init__(self, store: EventStore, database: Database | None = None, **options: Any) -> None:
        self.database = database or Database()
        self.notices: list[Notice] = []
        self.slept: list[float] = []
        options = {"on_stuck": self.notices.append, "sleep": self.slept.append, "insist": Retry(3), **options}
        self.participant = Participant("desk", store, self.database, **options)
        self.participant.on("Ordered", self.react)
        self.trouble: dict[str, list[BaseException]] = {}
        with self.database.transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS heard_of (stream TEXT, number INTEGER)")

    def react(self, connection: Any, event: Any) -> list[Event]:
        connection.execute("INSERT INTO heard_of VALUES (?, ?)", (event.stream, event.data["number"]))
        if self.trouble.get(event.stream):
            raise self.trouble[event.stream].pop(0)
        return [Event("Booked", {"number": event.data["number"]}), Event("Told", {}, {"by hand": True})]

    def heard(self) -> list[tuple[str, int]]:
        return self.database.query("SELECT stream, number FROM heard_of ORDER BY rowid")  # type: ignore[return-value]


def ordered(store: EventStore, *orders: tuple[str, int]) -> EventStore:
    for stream, number in orders:
        store.append(stream, [Event("Ordered", {"number": number})], None)
    return store


def types(store: EventStore) -> list[str]:
    return [f"{event.stream} {event.type}" for event in store.read_all()]


def test_a_participant_hears_what_it_listens_to_in_order_and_tells_what_it_did() -> None:
    store = ordered(EventStore(), ("o-1", 1), ("o-2", 2))
    store.append("o-1", [Event("Gossip")], None)
    desk = Desk(store)
    assert desk.participant.run() == 2
    assert desk.heard() == [("o-1", 1), ("o-2", 2)]
    assert types(store)[3:] == ["o-1 Booked", "o-1 Told", "o-2 Booked", "o-2 Told"]
    assert desk.participant.step() is False


def test_what_it_tells_names_its_cause_and_its_teller() -> None:
    store = ordered(EventStore(), ("o-1", 1))
    Desk(store).participant.run()
    cause, booked, told = store.read("o-1")
    assert booked.metadata == {"cause": cause.id, "by": "desk"}
    assert told.metadata == {"by hand": True, "cause": cause.id, "by": "desk"}


def test_started_again_it_goes_on_where_it_was() -> None:
    store = ordered(EventStore(), ("o-1", 1))
    desk = Desk(store)
    desk.participant.run()
    ordered(store, ("o-2", 2))
    again = Desk(store, desk.database)
    again.participant.run()
    assert again.heard() == [("o-1", 1), ("o-2", 2)]


def test_killed_between_its_work_and_its_telling_it_tells_when_started_again() -> None:
    store = ordered(EventStore(), ("o-1", 1))
    desk = Desk(store)
    desk.participant._handle(next(store.read_all()))  # and then the process is gone
    assert types(store) == ["o-1 Ordered"]
    assert Desk(store, desk.database).participant.step() is True
    assert types(store) == ["o-1 Ordered", "o-1 Booked", "o-1 Told"]


def test_an_event_told_twice_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ordered(EventStore(), ("o-1", 1))
    desk = Desk(store)
    append = store.append
    lost = [True, True]

    def unanswered(*args: Any) -> Any:
        answer = append(*args)
        if lost and lost.pop():
            raise ConnectionError
        return answer

    monkeypatch.setattr(store, "append", unanswered)
    for _ in range(4):
        desk.participant.step()
    assert types(store) == ["o-1 Ordered", "o-1 Booked", "o-1 Told"]


def test_a_reaction_that_fails_for_a_while_is_tried_again_and_has_its_effect_once() -> None:
    store = ordered(EventStore(), ("o-1", 1))
    desk = Desk(store)
    desk.trouble["o-1"] = [OSError(), TimeoutError()]
    desk.participant.run()
    assert desk.heard() == [("o-1", 1)]
    assert len(desk.slept) == 2
    assert desk.notices == []


def test_a_reaction_that_fails_for_good_parks_its_stream_gives_notice_and_lets_the_others_go_on() -> None:
    store = ordered(EventStore(), ("o-1", 1), ("o-2", 2), ("o-1", 3))
    desk = Desk(store)
    desk.trouble["o-1"] = [OSError("no printer")] * 5
    desk.participant.run()
    assert desk.heard() == [("o-2", 2)]
    assert [event.data["number"] for event in desk.participant.parked()] == [1, 3]
    assert desk.notices == [
        Notice("o-1", "desk", "no printer"),
        Notice("o-1", "desk", "espera a un hecho anterior de su flujo"),
    ]
    assert desk.participant.retry_parked() == 0  # two attempts are left to fail
    assert desk.participant.retry_parked() == 0
    assert desk.participant.retry_parked() == 2
    assert desk.heard() == [("o-2", 2), ("o-1", 1), ("o-1", 3)]
    assert desk.participant.parked() == []
    assert types(store).count("o-1 Booked") == 2


def test_a_notice_is_given_again_until_it_has_been_taken() -> None:
    taken: list[str] = []

    def on_stuck(notice: Notice) -> None:
        taken.append(notice.saga)
        if len(taken) == 1:
            raise ConnectionError("the pager is down")

    desk = Desk(ordered(EventStore(), ("o-1", 1)), on_stuck=on_stuck)
    desk.trouble["o-1"] = [OSError()] * 3
    desk.participant.run()
    desk.participant.run()
    desk.participant.run()
    assert taken == ["o-1", "o-1"]


def test_a_killed_reaction_leaves_nothing_and_is_done_again() -> None:
    class Killed(BaseException):
        pass

    store = ordered(EventStore(), ("o-1", 1))
    desk = Desk(store)
    desk.trouble["o-1"] = [Killed()]
    with pytest.raises(Killed):
        desk.participant.run()
    assert desk.heard() == []
    Desk(store, desk.database).participant.run()
    assert desk.heard() == [("o-1", 1)]


def test_two_participants_on_one_database_keep_their_own_place() -> None:
    store = ordered(EventStore(), ("o-1", 1))
    database = Database()
    first, second = (Participant(name, store, database) for name in ("first", "second"))
    met: list[str] = []
    first.on("Ordered", lambda connection, event: met.append("first"))
    second.on("Ordered", lambda connection, event: met.append("second"))
    assert (first.run(), second.run(), met) == (1, 1, ["first", "second"])


def test_who_looks_at_all_the_streams_sees_which_have_not_ended() -> None:
    store = ordered(EventStore(), ("o-1", 1), ("o-2", 2), ("o-3", 3))
    store.append("o-2", [Event("Booked")], None)
    store.append("o-3", [Event("Paid"), Event("Ended")], None)
    store.append("x-1", [Event("Gossip")], None)
    open_ = unfinished(store, begin="Ordered", end=["Ended"])
    assert {stream: event.type for stream, event in open_.items()} == {"o-1": "Ordered", "o-2": "Booked"}


@pytest.mark.parametrize(
    "make",
    [
        lambda desk: desk.on("", print),
        lambda desk: desk.on("Ordered", print),
        lambda desk: desk.on("New", "print"),
        lambda desk: Participant("", desk.store, desk.database),
    ],
)
def test_nonsense_is_refused_at_once(make: Callable[[Participant], Any]) -> None:
    with pytest.raises(InvalidInput):
        make(Desk(EventStore()).participant)
