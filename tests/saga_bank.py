"""A bank to break sagas on: two houses and a service of limits, a network that loses, and a power cut.

A transfer reserves a part of the day's limit, withdraws at one house, deposits at the other and confirms. It
stands here in both forms, orchestrated and choreographed, over the same three services. Every transaction
and every call is a point at which the process can be killed.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.patterns.event_sourcing import Event, EventStore, RecordedEvent
from labkit.patterns.saga import (
    Call,
    Database,
    Inbox,
    Notice,
    Orchestrator,
    Participant,
    Refused,
    Retry,
    Saga,
    SagaLog,
    Step,
    unfinished,
)

HOUSES = ("norte", "sur")
ACCOUNTS = {"norte": ("ana", "luis"), "sur": ("eva", "juan")}
BALANCE, LIMIT = 100, 150
ENDS = ("Completed", "LimitRefused", "LimitReleased")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Death:
    """Die at the n-th point that the process passes; at none when n is None."""

    def __init__(self, at: int | None = None, *, really: bool = False) -> None:
        self.at, self.really, self.passed = at, really, 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            if self.really:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed


class MortalDatabase(Database):
    """A database whose process may die before a transaction and right after its commit."""

    death = Death()
    _deep = False

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        if self._deep:
            with super().transaction() as connection:
                yield connection
            return
        self.death.point()
        self._deep = True
        try:
            with super().transaction() as connection:
                yield connection
        finally:
            self._deep = False
        self.death.point()


class MortalStore(EventStore):
    """An event store behind a network: an append may get lost, or its answer; and the client may die."""

    death = Death()
    faults = random.Random(0)
    rate = 0.0

    def append(self, *args: Any, **kwargs: Any) -> list[RecordedEvent]:
        self.death.point()
        if self.faults.random() < self.rate:
            raise ConnectionError("lost")
        answer = super().append(*args, **kwargs)
        self.death.point()
        if self.faults.random() < self.rate:
            raise ConnectionError("unanswered")
        return answer


class Service:
    """Accounts, or the day's limit, with an inbox beside them; every move is written down."""

    def __init__(self, name: str, database: Database) -> None:
        self.name, self.database, self.inbox = name, database, Inbox(database)
        with database.transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, balance INTEGER)")
            connection.execute("CREATE TABLE IF NOT EXISTS moves (transfer TEXT, what TEXT, amount INTEGER)")
            for account in ACCOUNTS.get(name, ("limit",)):
                balance = LIMIT if account == "limit" else BALANCE
                connection.execute("INSERT OR IGNORE INTO accounts VALUES (?, ?)", (account, balance))

    def move(
        self, connection: sqlite3.Connection, transfer: str, what: str, account: str, amount: int
    ) -> int:
        (balance,) = connection.execute("SELECT balance FROM accounts WHERE name = ?", (account,)).fetchone()
        if balance + amount < 0:
            raise Refused(f"{account}: {balance} < {-amount}")
        connection.execute("UPDATE accounts SET balance = ? WHERE name = ?", (balance + amount, account))
        connection.execute("INSERT INTO moves VALUES (?, ?, ?)", (transfer, what, amount))
        return int(balance + amount)

    def do(self, key: str, transfer: str, what: str, account: str, amount: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return self.move(connection, transfer, what, account, amount)

        answer: int = self.inbox.once(key, work, request=[account, amount])
        return answer

    def undo(self, key: str, transfer: str, what: str, account: str, amount: int) -> bool:
        return self.inbox.undo(key, lambda db, _: self.move(db, transfer, f"undo {what}", account, -amount))

    def moves(self) -> Counter[tuple[str, str]]:
        return Counter(self.database.query("SELECT transfer, what FROM moves"))

    def total(self) -> int:
        return int(self.database.query("SELECT sum(balance) FROM accounts")[0][0])


class Network:
    """Hand calls to the services, or not: lost, unanswered, delayed, doubled, as a seeded random says.

    `dead`: calls that never get through, `refused`: those that are told no; each (transfer, "doing" or
    "undoing", step).
    """

    def __init__(self, seed: int, rate: float = 0.0) -> None:
        self.random, self.rate = random.Random(seed), rate
        self.dead: set[tuple[str, str, str]] = set()
        self.refused: set[tuple[str, str, str]] = set()
        self.kinds = ["lost", "unanswered", "delayed", "twice"]
        self.delayed: list[Callable[[], object]] = []

    def call(self, name: tuple[str, str, str], function: Callable[[], Any]) -> Any:
        if self.delayed and self.random.random() < 0.3:
            self.deliver(self.delayed.pop(self.random.randrange(len(self.delayed))))
        if name in self.dead:
            raise ConnectionError("nobody answers")
        if name in self.refused:
            raise Refused("account closed")
        if self.random.random() >= self.rate:
            return function()
        match self.random.choice(self.kinds):
            case "lost":
                raise TimeoutError("lost")
            case "unanswered":
                function()
                raise TimeoutError("unanswered")
            case "delayed":
                self.delayed.append(function)
                raise TimeoutError("delayed")
        self.deliver(function)
        return function()

    def deliver(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Refused:
            pass  # it comes too late, and nobody listens any more

    def settle(self) -> None:
        while self.delayed:
            self.deliver(self.delayed.pop())


class Bank:
    """The three services and what a test needs to see of them."""

    def __init__(self, network: Network, folder: Path | None = None) -> None:
        self.network, self.folder = network, folder
        self.services = {name: Service(name, self.open(name)) for name in (*HOUSES, "limits")}
        self.notices: list[Notice] = []

    def open(self, name: str) -> Database:
        return MortalDatabase(self.folder / f"{name}.db" if self.folder else ":memory:")

    def moved(self) -> Counter[tuple[str, str]]:
        return sum((service.moves() for service in self.services.values()), Counter())

    def check(self, transfers: list[dict[str, Any]], states: dict[str, str]) -> None:
        """Money conserved; each effect once, all of them or none; whatever stopped half-way has told so."""
        moved = self.moved()
        assert max(moved.values(), default=1) == 1, moved
        under_way = 0
        for transfer in transfers:
            name, state = transfer["id"], states[transfer["id"]]
            effects = {
                what: moved[name, what] - moved[name, f"undo {what}"] for what in ("limit", "out", "in")
            }
            if state in ("completed", "compensated"):
                wanted = int(state == "completed")
                assert effects == dict.fromkeys(effects, wanted), (name, state, effects)
            else:
                assert state == "stuck", (name, state)
                assert name in {notice.saga for notice in self.notices}
            under_way += transfer["amount"] * (effects["out"] - effects["in"])
        assert sum(self.services[name].total() for name in HOUSES) + under_way == 4 * BALANCE


class Orchestrated:
    """Transfers as orchestrated sagas; a new one on the same files is a process started again."""

    def __init__(self, bank: Bank, log: Database | None = None, attempts: int = 3) -> None:
        self.bank, self.database = bank, log or bank.open("log")
        definition = Saga("transfer", [
            Step("limit", self.action("limits", "limit"), self.undo("limits", "limit")),
            Step("out", self.action("from", "out"), self.undo("from", "out")),
            Step("in", self.action("to", "in"), pivot=True),
            Step("confirm", self.action("limits", "confirm"), retriable=True),
        ])  # fmt: skip
        self.orchestrator = Orchestrator(
            SagaLog(self.database), [definition], retry=Retry(2), insist=Retry(attempts),
            on_stuck=bank.notices.append, sleep=lambda seconds: None, seed=1,
        )  # fmt: skip

    def action(self, house: str, what: str) -> Callable[[Call], Any]:
        return lambda call: self._ask("doing", house, what, call)

    def undo(self, house: str, what: str) -> Callable[[Call], Any]:
        return lambda call: self._ask("undoing", house, what, call)

    def _ask(self, kind: str, house: str, what: str, call: Call) -> Any:
        asked = order(call.data, house, what)
        service = self.bank.services[asked[0]]
        function = service.do if kind == "doing" else service.undo
        key, transfer = call.key, call.saga
        return self.bank.network.call(
            (transfer, kind, what), lambda: function(key, transfer, what, *asked[1:])
        )

    def begin(self, transfers: list[dict[str, Any]]) -> None:
        for transfer in transfers:
            self.orchestrator.start("transfer", transfer, saga=transfer["id"])

    def work(self) -> None:
        self.orchestrator.recover()

    def states(self, transfers: list[dict[str, Any]]) -> dict[str, str]:
        return {transfer["id"]: self.orchestrator.outcome(transfer["id"]).state for transfer in transfers}


def order(data: dict[str, Any], house: str, what: str) -> tuple[str, str, int]:
    """Which service a step asks, about which account, and how much it moves there."""
    if house == "limits":
        return "limits", "limit", -data["amount"] if what == "limit" else 0
    service, account = data[house]
    return service, account, -data["amount"] if what == "out" else data["amount"]


class Choreographed:
    """The same transfers, where each service hears events and tells its own."""

    def __init__(self, bank: Bank, store: EventStore, attempts: int = 3) -> None:
        self.bank, self.store = bank, store
        bank.network.kinds = ["lost", "unanswered", "twice"]  # the work is local: nothing of it is under way
        self.participants = {
            name: Participant(
                name, store, service.database, insist=Retry(attempts), on_stuck=self._stuck,
                sleep=lambda seconds: None,
            )
            for name, service in bank.services.items()
        }  # fmt: skip
        limits = self.participants["limits"]
        limits.on("Requested", self._reaction("limits", "limit", "LimitReserved", "LimitRefused"))
        limits.on("Deposited", self._reaction("limits", "confirm", "Completed", ""))
        for failure in ("WithdrawalRefused", "PutBack"):
            limits.on(failure, self._undoing("limits", "limit", "LimitReleased"))
        for name in HOUSES:
            house = self.participants[name]
            house.on("LimitReserved", self._reaction("from", "out", "Withdrawn", "WithdrawalRefused", name))
            house.on("Withdrawn", self._reaction("to", "in", "Deposited", "DepositRefused", name))
            house.on("DepositRefused", self._undoing("from", "out", "PutBack", name))
            house.on("Cancelled", self._close(name))

    def _stuck(self, notice: Notice) -> None:
        self.bank.notices.append(notice)

    def _reaction(self, house: str, what: str, well: str, refused: str, at: str = "limits") -> Any:
        def react(connection: sqlite3.Connection, event: RecordedEvent) -> Event | None:
            service, account, amount = order(dict(event.data), house, what)
            if service != at:
                return None
            ask = self.bank.services[service].do
            try:
                self.bank.network.call(
                    (event.stream, "doing", what),
                    lambda: ask(f"{event.stream}/{what}", event.stream, what, account, amount),
                )
            except Refused:
                return Event(refused, dict(event.data))
            return Event(well, dict(event.data))

        return react

    def _undoing(self, house: str, what: str, told: str, at: str = "limits") -> Any:
        def react(connection: sqlite3.Connection, event: RecordedEvent) -> Event | None:
            service, account, amount = order(dict(event.data), house, what)
            if service != at:
                return None
            undo = self.bank.services[service].undo
            self.bank.network.call(
                (event.stream, "undoing", what),
                lambda: undo(f"{event.stream}/{what}", event.stream, what, account, amount),
            )
            return Event(told, dict(event.data))

        return react

    def _close(self, at: str) -> Any:
        """A cancellation is heard before the withdrawal, or comes too late: then nothing changes."""

        def react(connection: sqlite3.Connection, event: RecordedEvent) -> None:
            inbox = self.bank.services[at].inbox
            key = f"{event.stream}/out"
            if event.data["from"][0] == at and inbox.state(key) is None:
                inbox.undo(key, lambda connection, answer: None)

        return react

    def begin(self, transfers: list[dict[str, Any]]) -> None:
        for transfer in transfers:
            self._ask(transfer, Event("Requested", transfer, id=f"{transfer['id']}-start"))

    def cancel(self, transfer: dict[str, Any]) -> None:
        self._ask(transfer, Event("Cancelled", transfer))

    def _ask(self, transfer: dict[str, Any], event: Event) -> None:
        while True:
            try:
                self.store.append(transfer["id"], [event], None)
            except ConnectionError:
                continue  # the same event once more: the store keeps one
            return

    def work(self) -> None:
        busy = True
        while busy:
            done = [participant.step() for participant in self.participants.values()]
            busy = any(done) or any(one.outbox.pending(1) for one in self.participants.values())

    def states(self, transfers: list[dict[str, Any]]) -> dict[str, str]:
        waiting = unfinished(self.store, begin="Requested", end=ENDS)
        parked = {event.stream for one in self.participants.values() for event in one.parked()}
        states = {}
        for transfer in transfers:
            name = transfer["id"]
            told = {event.type for event in self.store.read(name)}
            if name in waiting:
                states[name] = "stuck" if name in parked else "running"
            else:
                states[name] = "completed" if "Completed" in told else "compensated"
        return states


def transfers(seed: int, count: int) -> list[dict[str, Any]]:
    """Random transfers between the houses; some ask for more than there is, or than the limit leaves."""
    choice = random.Random(seed)
    made = []
    for number in range(count):
        here, there = choice.sample(HOUSES, 2)
        made.append({
            "id": f"t{number}",
            "from": [here, choice.choice(ACCOUNTS[here])],
            "to": [there, choice.choice(ACCOUNTS[there])],
            "amount": choice.choice([5, 30, 70, 120]),
        })  # fmt: skip
    return made
