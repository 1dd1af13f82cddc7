"""The protocol's small model, explored to its last state: every crash, every fault, every order of two sagas.

The code is the real one, orchestrator, log, inbox and all. A state is what survives a crash (the log's and
the participants' rows) and the calls that are still under way in the network. From each state everything
that can happen is tried: a step of either saga with each way in which its call can end, the arrival of a
delayed call, a cancellation. States met before are not explored again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support import soak

from labkit.patterns.saga import (
    Call,
    Database,
    Entry,
    Inbox,
    Notice,
    Orchestrator,
    Progress,
    Refused,
    Retry,
    Saga,
    SagaLog,
    Step,
)

# How a call can end; the last three kill the orchestrator before it, after it, with it still under way.
FAULTS = ("lost", "unanswered", "delayed", "killed before", "killed after", "killed under way")
Request = tuple[str, str, str]  # saga, "doing" or "undoing", step
STOCK = 1  # two sagas, one last book


class Killed(BaseException):
    pass


@dataclass(frozen=True)
class State:
    log: tuple[tuple[Any, ...], ...]
    entries: tuple[tuple[Any, ...], ...]
    inbox: tuple[tuple[Any, ...], ...]
    moves: tuple[tuple[Any, ...], ...]
    under_way: tuple[Request, ...]
    faults: int  # so far


TABLES = {"log": "sagas", "entries": "entries", "inbox": "inbox", "moves": "moves"}


class Model:
    """Two sagas for the last book: reserve it, charge it (pivot), write to the customer."""

    def __init__(self, sagas: tuple[str, ...], *, faults: int, insist: int = 2, cancel: bool = True) -> None:
        self.sagas, self.faults, self.cancel = sagas, faults, cancel
        self.database = Database()
        self.inbox = Inbox(self.database, clock=lambda: 0)
        with self.database.transaction() as connection:
            connection.execute("CREATE TABLE moves (saga TEXT, what TEXT)")
        self.log = SagaLog(self.database, clock=lambda: 0)
        definition = Saga("order", [
            Step("check", self.asks("doing"), self.asks("undoing")),
            Step("stock", self.asks("doing"), self.asks("undoing")),
            Step("charge", self.asks("doing"), pivot=True),
            Step("write", self.asks("doing"), retriable=True),
        ])  # fmt: skip
        self.orchestrator = Orchestrator(
            self.log, [definition], retry=Retry(2), insist=Retry(insist), sleep=lambda seconds: None,
            on_stuck=self.notice,
        )  # fmt: skip
        self.ending = "well"
        self.sent: list[Request] = []
        self.noticed: list[str] = []
        for saga in sagas:
            self.orchestrator.start("order", saga=saga)

    def notice(self, notice: Notice) -> None:
        self.noticed.append(notice.saga)

    def asks(self, kind: str) -> Callable[[Call], None]:
        def ask(call: Call) -> None:
            request = (call.saga, kind, call.step)
            match self.ending:
                case "lost":
                    raise TimeoutError
                case "killed before":
                    raise Killed
                case "delayed" | "killed under way":
                    self.sent.append(request)
                    raise TimeoutError if self.ending == "delayed" else Killed
            self.serve(request)
            if self.ending == "unanswered":
                raise TimeoutError
            if self.ending == "killed after":
                raise Killed

        return ask

    def serve(self, request: Request) -> None:
        saga, kind, step = request
        key = f"{saga}/{step}"
        if kind == "doing":
            self.inbox.once(key, lambda connection: self.work(connection, saga, step))
        else:
            self.inbox.undo(key, lambda connection, answer: self.move(connection, saga, f"undo {step}"))

    def work(self, connection: Any, saga: str, step: str) -> None:
        taken = connection.execute(
            "SELECT sum(iif(what = 'stock', 1, -1)) FROM moves WHERE what LIKE '%stock'"
        )
        if step == "stock" and (taken.fetchone()[0] or 0) >= STOCK:
            raise Refused("sold out")
        if step == "charge" and saga == "b":
            raise Refused("card declined")  # the second customer's; who still may leave the book to the first
        self.move(connection, saga, step)

    def move(self, connection: Any, saga: str, what: str) -> None:
        connection.execute("INSERT INTO moves VALUES (?, ?)", (saga, what))

    def state(self, under_way: tuple[Request, ...], faults: int) -> State:
        rows = {
            name: tuple(self.database.query(f"SELECT * FROM {table} ORDER BY 1, 2"))
            for name, table in TABLES.items()
        }
        return State(**rows, under_way=tuple(sorted(under_way)), faults=faults)

    def put(self, state: State) -> None:
        with self.database.transaction() as connection:
            for table in reversed(TABLES.values()):
                connection.execute(f"DELETE FROM {table}")
            for name, table in TABLES.items():
                rows = getattr(state, name)
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def next(self, state: State) -> Iterator[State]:
        """Everything that can happen in a state."""
        for position, request in enumerate(state.under_way):
            self.put(state)
            try:
                self.serve(request)
            except Refused:
                pass
            yield self.state(state.under_way[:position] + state.under_way[position + 1 :], state.faults)
        for saga in self.sagas:
            self.put(state)
            if self.log.state(saga) not in ("running", "compensating"):
                continue
            if self.cancel:
                before = len(self.log.read(saga))
                accepted = self.orchestrator.cancel(saga)
                self.promise(saga, accepted)
                if len(self.log.read(saga)) > before:
                    yield self.state(state.under_way, state.faults)
            for ending in ("well", *(FAULTS if state.faults < self.faults else ())):
                self.put(state)
                self.ending, self.sent, self.noticed = ending, [], []
                try:
                    self.orchestrator.step(saga)
                except Killed:
                    pass
                if self.log.state(saga) == "stuck":
                    assert self.noticed == [saga]
                yield self.state(state.under_way + tuple(self.sent), state.faults + (ending != "well"))

    def promise(self, saga: str, accepted: bool) -> None:
        """A cancellation is accepted until the pivot is begun, and only then."""
        begun = {entry.step for entry in self.log.read(saga) if entry.kind == "doing"}
        turned = self.log.state(saga) == "compensating"
        assert accepted == ("charge" not in begun or turned)


def canonical(state: State) -> Any:
    """What of a state can make a difference: of the log, not how it came there."""
    logs: dict[int, list[Entry]] = {}
    for saga, _, _, kind, step, attempt, detail in state.entries:
        told = {"data": None, "steps": SHAPE} if kind == "started" else detail
        logs.setdefault(saga, []).append(Entry(kind, step, attempt, told))
    folded = []
    for history in logs.values():
        one = Progress(history)
        folded.append((
            one.state, tuple(one.results), tuple(one.pending), frozenset(one.begun), one.cancelled,
            one.refused, tuple(sorted(one._attempts.items())), tuple(sorted((+one._unanswered).items())),
        ))  # fmt: skip
    return tuple(folded), state.inbox, frozenset(Counter(state.moves).items()), state.under_way, state.faults


SHAPE = [["check", "compensable"], ["stock", "compensable"], ["charge", "pivot"], ["write", "retriable"]]


def explore(model: Model) -> tuple[int, Counter[tuple[str, ...]]]:
    """Visit every state; return how many there are and, of the ends, how many of each kind."""
    first = model.state((), 0)
    seen = {canonical(first)}
    queue = deque([first])
    leads_to: dict[Any, set[Any]] = {}
    ends: Counter[tuple[str, ...]] = Counter()
    good = set()
    while queue:
        state = queue.popleft()
        here = canonical(state)
        always(model, state)
        leads_to[here] = set()
        for after in model.next(state):
            there = canonical(after)
            leads_to[here].add(there)
            if there not in seen:
                seen.add(there)
                queue.append(after)
        if not leads_to[here]:
            ends[at_the_end(model, state)] += 1
            good.add(here)
    # Wherever a saga is, an end can be reached from there.
    comes_from: dict[Any, set[Any]] = {}
    for here, there in leads_to.items():
        for one in there:
            comes_from.setdefault(one, set()).add(here)
    reach = deque(good)
    while reach:
        for before in comes_from.get(reach.popleft(), ()):
            if before not in good:
                good.add(before)
                reach.append(before)
    assert good == seen
    return len(seen), ends


def always(model: Model, state: State) -> None:
    """What holds in every state."""
    moves = Counter(state.moves)
    assert max(moves.values(), default=1) == 1, "an effect happened twice"
    for saga in model.sagas:
        for step in ("check", "stock"):
            assert moves[saga, f"undo {step}"] <= moves[saga, step], "undone what was not done"
    taken = sum(moves[saga, "stock"] - moves[saga, "undo stock"] for saga in model.sagas)
    assert 0 <= taken <= STOCK, "the last book was sold twice"


def at_the_end(model: Model, state: State) -> tuple[str, ...]:
    """What holds where nothing more can happen; returns the sagas' states."""
    model.put(state)
    moves = Counter(state.moves)
    states = []
    for saga in model.sagas:
        history = model.log.read(saga)
        progress = Progress(history)
        left = {step for step, _ in SHAPE if moves[saga, step] - moves[saga, f"undo {step}"]}
        if progress.state == "completed":
            assert left == {step for step, _ in SHAPE}
        elif progress.state == "compensated":
            assert left == set()
        else:
            assert progress.state == "stuck"
        undone = [entry.step for entry in history if entry.kind == "undone"]
        assert undone == [step for step in ("stock", "check") if step in undone], "not in reverse"
        states.append(progress.state)
    return tuple(states)


@pytest.mark.parametrize("faults", [2, soak(3)])
def test_one_saga_with_some_faults_or_crashes_anywhere(faults: int) -> None:
    states, ends = explore(Model(("a",), faults=faults))
    assert states > 500
    assert set(ends) == {("completed",), ("compensated",), ("stuck",)}


def test_one_saga_whose_pivot_is_refused_with_two_faults_anywhere() -> None:
    _, ends = explore(Model(("b",), faults=2))
    assert set(ends) == {("compensated",), ("stuck",)}


def test_two_sagas_for_the_last_book_in_every_order_with_one_fault_anywhere() -> None:
    states, ends = explore(Model(("a", "b"), faults=1, cancel=False))
    assert states > 500
    assert {("completed", "compensated"), ("compensated", "compensated")} <= set(ends)


@pytest.mark.soak
@pytest.mark.limit(1800)
@pytest.mark.parametrize("saga", ["a", "b"])
def test_one_saga_with_any_number_of_faults_and_crashes(saga: str) -> None:
    states, _ = explore(Model((saga,), faults=99))
    assert states > 5000


@pytest.mark.soak
@pytest.mark.limit(1800)
@pytest.mark.parametrize(("faults", "cancel"), [(1, True), (2, False)])
def test_two_sagas_for_the_last_book_in_every_order_with_more(faults: int, cancel: bool) -> None:
    states, ends = explore(Model(("a", "b"), faults=faults, cancel=cancel))
    assert states > 2000
    assert {("completed", "compensated"), ("compensated", "compensated")} <= set(ends)
