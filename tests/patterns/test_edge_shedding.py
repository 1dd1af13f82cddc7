"""Who is let in when there is too much."""

import random
import threading
from contextlib import ExitStack

import pytest

from labkit.patterns.bulkhead import AIMD
from labkit.patterns.edge import Refused, Shedder


@pytest.fixture
def inside():
    """The places that are held until the test ends."""
    with ExitStack() as stack:
        yield stack


def fill(inside, shedder, priority):
    """Take places until there is none; return how many."""
    for taken in range(100):
        try:
            inside.enter_context(shedder.place(priority))
        except Refused:
            return taken
    return None


def test_the_least_important_goes_first(inside):
    shedder = Shedder(10)
    assert [fill(inside, shedder, each) for each in ("low", "normal", "high")] == [6, 3, 1]
    assert shedder.in_flight == 10
    assert shedder.shed == {"low": 1, "normal": 1, "high": 1}
    inside.close()
    assert shedder.in_flight == 0


def test_important_requests_fill_the_place_of_the_others_and_not_the_other_way_round(inside):
    shedder = Shedder(10)
    assert fill(inside, shedder, "high") == 10
    assert fill(inside, shedder, "low") == fill(inside, shedder, "normal") == 0
    inside.close()
    assert fill(inside, shedder, "normal") == 9


def test_what_is_refused_is_503_and_says_when_to_come_back(inside):
    shedder = Shedder(1)
    fill(inside, shedder, "high")
    with pytest.raises(Refused) as refused, shedder.place("high"):
        pass
    assert (refused.value.status, refused.value.retry_after) == (503, 1)


def test_every_priority_has_room_for_one(inside):
    shedder = Shedder(1)
    assert [fill(inside, shedder, each) for each in ("low", "high")] == [1, 0]


def test_a_limit_that_adapts_is_told_how_the_requests_went():
    now = [0.0]
    shedder = Shedder(AIMD(initial=10, timeout=1), clock=lambda: now[0])
    with shedder.place() as answered:
        now[0] += 2
        answered()
    assert shedder.limit == 9
    with shedder.place() as answered:
        now[0] += 0.1
        answered(dropped=True)
    assert shedder.limit == 8
    with shedder.place():
        now[0] += 9  # nobody knows how it went
    assert shedder.limit == 8


def test_from_many_threads_never_more_than_the_limit():
    shedder, most, inside, lock = Shedder(7), [0], [0], threading.Lock()

    def work(seed):
        chance = random.Random(seed)
        for _ in range(300):
            try:
                with shedder.place(chance.choice(["high", "normal", "low"])):
                    with lock:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with lock:
                        inside[0] -= 1
            except Refused:
                continue

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 7
    assert shedder.in_flight == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Shedder(0),
        lambda: Shedder(True),
        lambda: Shedder("muchas"),
        lambda: Shedder(10, shares={"high": 1.0, "normal": 0.5}),
        lambda: Shedder(10, shares={"high": 0.5, "normal": 0.5, "low": 0.1}),
        lambda: Shedder(10, shares={"high": 1.0, "normal": 0.1, "low": 0.5}),
        lambda: Shedder(10, shares={"high": 1.0, "normal": 0.1, "low": 0}),
    ],
)
def test_a_shedder_that_cannot_work_is_refused(make):
    with pytest.raises(ValueError, match="se acepta"):
        make()
