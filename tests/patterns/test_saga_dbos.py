"""The same faults given to `dbos` and to our orchestrator leave the same effects.

Both drive the bank's transfer over the same three services on files, each in processes of its own that are
killed with SIGKILL where the schedule says so. What is compared is what the services hold afterwards: every
move, and every balance.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from saga_bank import Bank, Network, order

from labkit.patterns.saga import Call, Database, Orchestrator, Refused, Retry, Saga, SagaLog, Step

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

TRANSFER = {"id": "t0", "from": ["norte", "ana"], "to": ["sur", "eva"], "amount": 30}
COMPENSABLE = {"limit": ("limits", "limit"), "out": ("from", "out")}
PIVOT, RETRIABLE = ("to", "in"), ("limits", "confirm")
# The n-th call of that kind for that step, both engines and all processes counted alike → what happens to it.
Schedule = dict[tuple[str, str, int], str]
WAYS = ("lost", "unanswered", "killed before", "killed after")


class Wire:
    """Call the services, and do to each call what the schedule says."""

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        self.bank, self.schedule = Bank(Network(0), folder), schedule
        self.counts = Database(folder / "counts.db")
        with self.counts.transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS calls (kind TEXT, step TEXT)")

    def call(self, kind: str, house: str, what: str) -> None:
        with self.counts.transaction() as connection:
            connection.execute("INSERT INTO calls VALUES (?, ?)", (kind, what))
        calls = "SELECT count(*) FROM calls WHERE kind = ? AND step = ?"
        way = self.schedule.get((kind, what, self.counts.query(calls, kind, what)[0][0]))
        if way == "killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "lost":
            raise TimeoutError(way)
        if way == "refused":
            raise Refused(way)
        service, account, amount = order(TRANSFER, house, what)
        function = getattr(self.bank.services[service], {"doing": "do", "undoing": "undo"}[kind])
        function(f"t0/{what}", "t0", what, account, amount)
        if way == "killed after":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "unanswered":
            raise TimeoutError(way)


def with_labkit(folder: Path, schedule: Schedule) -> None:
    wire = Wire(folder, schedule)

    def calls(kind: str, house: str, what: str) -> Callable[[Call], None]:
        return lambda call: wire.call(kind, house, what)

    steps = [Step(step, calls("doing", *of), calls("undoing", *of)) for step, of in COMPENSABLE.items()]
    steps.append(Step("in", calls("doing", *PIVOT), pivot=True))
    steps.append(Step("confirm", calls("doing", *RETRIABLE), retriable=True))
    orchestrator = Orchestrator(
        SagaLog(folder / "sagas.db"), [Saga("transfer", steps)], retry=Retry(2), insist=Retry(8),
        sleep=lambda seconds: None,
    )  # fmt: skip
    orchestrator.execute("transfer", TRANSFER, saga="t0")


def with_dbos(folder: Path, schedule: Schedule) -> None:
    from dbos import DBOS, DBOSConfig, SetWorkflowID

    wire = Wire(folder, schedule)
    config: DBOSConfig = {
        "name": "bank", "system_database_url": f"sqlite:///{folder}/dbos.db", "log_level": "CRITICAL",
        "run_admin_server": False, "application_version": "1", "executor_id": "1",
    }  # fmt: skip
    DBOS(config=config)
    waits: Any = {"interval_seconds": 0.001, "backoff_rate": 1.0, "retries_allowed": True}

    def ask(kind: str, house: str, what: str) -> bool:
        try:
            wire.call(kind, house, what)
        except Refused:
            return False  # an answer, and no reason to ask again
        return True

    @DBOS.step(max_attempts=2, **waits)
    def once_or_twice(kind: str, house: str, what: str) -> bool:
        return ask(kind, house, what)

    @DBOS.step(max_attempts=8, **waits)
    def insist(kind: str, house: str, what: str) -> bool:
        return ask(kind, house, what)

    @DBOS.workflow()
    def transfer() -> None:
        noted = []
        for of in COMPENSABLE.values():
            noted.append(of)
            try:
                refused = not once_or_twice("doing", *of)
            except Exception:  # an unknown outcome: this step is to be undone as well
                break
            if refused:
                noted.pop()
                break
        else:
            if insist("doing", *PIVOT):
                insist("doing", *RETRIABLE)
                return
        for of in reversed(noted):
            insist("undoing", *of)

    DBOS.launch()
    with SetWorkflowID("t0"):
        DBOS.start_workflow(transfer).get_result()
    DBOS.destroy()


def effects(engine: Callable[[Path, Schedule], None], folder: Path, schedule: Schedule) -> Any:
    """Run it, once more after each death, to its end."""
    folder.mkdir()
    context: Any = multiprocessing.get_context("fork")
    for _ in range(1 + sum("killed" in way for way in schedule.values())):
        child = context.Process(target=engine, args=(folder, schedule))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert child.exitcode == 0
    bank = Bank(Network(0), folder)
    balances = {
        name: dict(service.database.query("SELECT * FROM accounts"))
        for name, service in bank.services.items()
    }
    return bank.moved(), balances


def same(folder: Path, schedule: Schedule) -> Any:
    pytest.importorskip("dbos")  # here, so that the forked children need not load it anew
    ours, theirs = (
        effects(with_labkit, folder / "labkit", schedule),
        effects(with_dbos, folder / "dbos", schedule),
    )
    assert ours == theirs, schedule
    assert max(ours[0].values(), default=1) == 1
    return ours[0]


GOES_BACK: Schedule = {
    ("doing", "limit", 1): "unanswered",
    ("doing", "out", 1): "unanswered",
    ("doing", "out", 2): "lost",
    ("undoing", "out", 1): "killed after",
}
GOES_ON: Schedule = {
    ("doing", "out", 1): "unanswered",
    ("doing", "in", 1): "killed after",
    ("doing", "confirm", 1): "killed before",
}
REFUSED: Schedule = {("doing", "in", 1): "refused", ("undoing", "limit", 1): "killed before"}


@pytest.mark.parametrize(
    ("schedule", "left"),
    [
        (GOES_BACK, set()),
        pytest.param(GOES_ON, {"limit", "out", "in", "confirm"}, marks=pytest.mark.soak),
        pytest.param(REFUSED, set(), marks=pytest.mark.soak),
    ],
)
def test_the_same_faults_leave_the_same_effects(tmp_path: Path, schedule: Schedule, left: set[str]) -> None:
    moved = same(tmp_path, schedule)
    assert {what for _, what in moved if "undo" not in what and not moved["t0", f"undo {what}"]} == left


def random_schedule(seed: int) -> Schedule:
    choice = random.Random(seed)
    calls = [*itertools.product(["doing"], ["limit", "out", "in", "confirm"], [1, 2])]
    calls += itertools.product(["undoing"], ["out", "limit"], [1, 2])
    schedule: Schedule = {call: choice.choice(WAYS) for call in choice.sample(calls, 4)}
    if seed % 3 == 0:
        schedule["doing", choice.choice(["limit", "out", "in"]), 1] = "refused"
    # After a death dbos counts the attempts of a step anew, and we go on counting: only one of a step's two
    # attempts may kill, and then the other must go well.
    for kind, step, number in list(schedule):
        if "killed" in schedule.get((kind, step, number), "") and kind == "doing":
            schedule.pop((kind, step, 3 - number), None)
    return schedule


@pytest.mark.soak
@pytest.mark.limit(120)
@pytest.mark.parametrize("seed", range(30))
def test_random_faults_leave_the_same_effects(tmp_path: Path, seed: int) -> None:
    same(tmp_path, random_schedule(seed))


def test_the_random_schedules_are_of_every_kind() -> None:
    ways = Counter(way for seed in range(30) for way in random_schedule(seed).values())
    assert set(ways) == {*WAYS, "refused"}
    assert min(ways.values()) >= 5
