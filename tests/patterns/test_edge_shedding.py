"""Who is let in when there is too much."""

import random
import threading

import pytest

from labkit.patterns.bulkhead import AIMD
from labkit.patterns.edge import InvalidInput, Overloaded, Shedder


def fill(shedder, priority):
    places = []
    try:
        while True:
            places.append(shedder.enter(priority))
    except Overloaded:
        return places


def test_the_least_important_goes_first():
    shedder = Shedder(10)
    assert len(fill(shedder, "low")) == 6
    assert len(fill(shedder, "normal")) == 3
    assert len(fill(shedder, "high")) == 1
    assert shedder.in_flight == 10
    assert shedder.shed == {"low": 1, "normal": 1, "high": 1}


def test_important_requests_fill_the_place_of_the_others_and_not_the_other_way_round():
    shedder = Shedder(10)
    places = fill(shedder, "high")
    assert len(places) == 10
    for place in places[:4]:
        shedder.release(place)
    assert not fill(shedder, "low")
    assert len(fill(shedder, "normal")) == 3


def test_every_priority_has_room_for_one():
    shedder = Shedder(1)
    assert len(fill(shedder, "low")) == 1
    assert not fill(shedder, "high")


def test_a_limit_that_adapts_is_told_how_the_requests_went():
    now = [0.0]
    shedder = Shedder(AIMD(initial=10, timeout=1), clock=lambda: now[0])
    place = shedder.enter()
    now[0] += 2
    shedder.answered(place)
    shedder.release(place)
    assert shedder.limit == 9
    place = shedder.enter()
    now[0] += 0.1
    shedder.answered(place, dropped=True)
    assert shedder.limit == 8


def test_from_many_threads_never_more_than_the_limit():
    shedder, most, lock = Shedder(7), [0], threading.Lock()
    inside = [0]

    def work(seed):
        chance = random.Random(seed)
        for _ in range(300):
            try:
                place = shedder.enter(chance.choice(["high", "normal", "low"]))
            except Overloaded:
                continue
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with lock:
                inside[0] -= 1
            shedder.release(place)

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
    with pytest.raises(InvalidInput):
        make()
