"""The bank's invariant: whatever fails, and whenever the process dies, no money is made or lost."""

from __future__ import annotations

import multiprocessing
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from saga_bank import (
    Bank,
    Choreographed,
    Death,
    Killed,
    MortalDatabase,
    MortalStore,
    Network,
    Orchestrated,
    transfers,
)
from support import soak

FORMS = ("orchestrated", "choreographed")


class World:
    """A bank and its transfers in one form, in memory; a death takes the objects and leaves the data."""

    def __init__(self, form: str, seed: int, *, count: int = 2, rate: float = 0.3) -> None:
        MortalDatabase.death = MortalStore.death = Death()
        MortalStore.faults, MortalStore.rate = random.Random(seed), rate
        self.form = form
        self.transfers = transfers(seed, count)
        self.bank = Bank(Network(seed, rate))
        self.log = MortalDatabase() if form == "orchestrated" else MortalStore()
        self.again()

    def again(self) -> None:
        made: Any = Orchestrated if self.form == "orchestrated" else Choreographed
        self.process = made(self.bank, self.log)

    def live(self, die_at: int | None = None) -> int:
        """Run to the end; with `die_at`, die there once and start again. Returns the points passed."""
        death = MortalDatabase.death = MortalStore.death = Death(die_at)
        try:
            self.process.begin(self.transfers)
            self.process.work()
        except Killed:
            self.again()
            self.process.begin(self.transfers)  # whoever asked got no answer, and asks again
            self.process.work()
        MortalDatabase.death = MortalStore.death = Death()
        self.bank.network.settle()
        return death.passed

    def check(self) -> dict[str, str]:
        states: dict[str, str] = self.process.states(self.transfers)
        self.bank.check(self.transfers, states)
        if self.form == "orchestrated":
            for transfer in self.transfers:
                undone_in_reverse(self.process.orchestrator.history(transfer["id"]))
        return states


def undone_in_reverse(history: list[Any]) -> None:
    begun = list(dict.fromkeys(entry.step for entry in history if entry.kind == "doing"))
    undone = [entry.step for entry in history if entry.kind == "undone"]
    assert undone == [step for step in reversed(begun) if step in undone]


@pytest.mark.parametrize("form", FORMS)
def test_money_is_conserved_whatever_the_network_does(form: str) -> None:
    ended: set[str] = set()
    for seed in range(12):
        world = World(form, seed, count=6)
        world.live()
        ended.update(world.check().values())
    assert ended >= {"completed", "compensated"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_money_is_conserved_when_the_process_dies_at_any_point(form: str, seed: int) -> None:
    every_point(form, seed)


@pytest.mark.soak
@pytest.mark.limit(900)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(2, 42))
def test_money_is_conserved_when_the_process_dies_at_any_point_of_many_histories(
    form: str, seed: int
) -> None:
    every_point(form, seed)


def every_point(form: str, seed: int) -> None:
    points = World(form, seed).live()
    assert points > 20
    for point in range(1, points + 1):
        world = World(form, seed)
        world.live(die_at=point)
        world.check()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "dead",
    [("t0", "undoing", "out"), ("t0", "undoing", "limit"), ("t0", "doing", "in"), ("t0", "doing", "confirm")],
)
def test_a_transfer_that_cannot_end_is_stuck_with_a_notice_and_ends_once_it_is_mended(
    form: str, dead: tuple[str, str, str]
) -> None:
    world = World(form, 3, count=3, rate=0.0)
    for transfer in world.transfers:
        transfer["amount"] = 5
    world.bank.network.dead.add(dead)
    if dead[1] == "undoing":
        world.bank.network.refused.add(("t0", "doing", "in"))  # else it would not turn back
    world.live()
    states = world.check()
    assert states == {"t0": "stuck", "t1": "completed", "t2": "completed"}
    world.bank.network.dead.clear()
    mend(world)
    states = world.check()
    assert states["t0"] == ("compensated" if dead[1] == "undoing" else "completed")


def mend(world: World) -> None:
    if world.form == "orchestrated":
        world.process.orchestrator.resume("t0")
    else:
        for participant in world.process.participants.values():
            participant.retry_parked()
    world.process.work()


@pytest.mark.parametrize("late", [False, True])
def test_a_cancelled_transfer_of_a_choreography_gives_everything_back_or_comes_too_late(late: bool) -> None:
    world = World("choreographed", 0, count=1, rate=0.0)
    transfer = world.transfers[0]
    transfer["amount"] = 5
    world.process.begin(world.transfers)
    if late:
        world.process.work()
    world.process.cancel(transfer)
    world.process.work()
    assert world.check() == {"t0": "completed" if late else "compensated"}


# A death that is none of Python's: the process gets SIGKILL, and another opens its files.


def live_and_die(form: str, folder: Path, seed: int, at: int | None, told: Any) -> None:
    MortalStore.rate = 0.0
    bank = Bank(Network(seed), folder)
    process: Any = (
        Orchestrated(bank) if form == "orchestrated" else Choreographed(bank, MortalStore(folder / "log.db"))
    )
    asked = transfers(seed, 1)
    death = MortalDatabase.death = MortalStore.death = Death(at, really=True)
    process.begin(asked)
    process.work()
    bank.check(asked, process.states(asked))
    told.put(death.passed)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("seed", "stride"), [(0, 5), *(soak(seed, 1) for seed in range(8))])
def test_kill_9_at_every_single_step_or_at_some(form: str, seed: int, stride: int, tmp_path: Path) -> None:
    # Forked, so that a hundred processes take seconds; nothing of this one's threads is used in them.
    context: Any = multiprocessing.get_context("fork")

    def process(folder: Path, at: int | None) -> tuple[int, int | None]:
        told = context.SimpleQueue()
        child = context.Process(target=live_and_die, args=(form, folder, seed, at, told))
        child.start()
        child.join()
        return child.exitcode, None if told.empty() else told.get()

    (tmp_path / "0").mkdir()
    code, points = process(tmp_path / "0", None)
    assert code == 0
    assert points is not None
    for point in range(1, points + 1, stride):
        folder = tmp_path / str(point)
        folder.mkdir()
        assert process(folder, point)[0] == -signal.SIGKILL, point
        assert process(folder, None)[0] == 0, point  # its own check went well
