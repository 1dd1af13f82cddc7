"""One thread overtakes another at every step: what can go wrong does, and what cannot does not."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext, suppress

import pytest

from labkit.exercises.interleaving import Race, interleavings


class Counter:
    def __init__(self, lock=None):
        self.value, self.lock = 0, lock or nullcontext()

    def add(self):
        with self.lock:
            self.value += 1


def values(make):
    def race():
        counter = make()
        return Race(counter.add, counter.add, counter)

    return [counter.value for counter in interleavings(race)]


def test_a_lost_update_is_seen_every_time():
    for _ in range(5):
        assert {1, 2} == set(values(Counter))


@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock, threading.Condition])
def test_a_lock_that_is_held_is_waited_for(lock):
    found = values(lambda: Counter(lock()))
    assert set(found) == {2}
    assert len(found) > 3


def test_the_thing_is_seen_when_both_have_ended_and_more_was_done():
    def race():
        done = []
        return Race(lambda: done.append("a"), lambda: done.append("b"), done, lambda: done.append("c"))

    seen = list(interleavings(race))
    assert {tuple(done) for done in seen} == {("b", "a", "c"), ("a", "b", "c")}
    assert seen[-1] == ["a", "b", "c"], "the last step is the one that is not there"


@pytest.mark.parametrize("who", ["slow", "quick"])
def test_what_either_raises_is_raised(who):
    def broken():
        raise ZeroDivisionError

    good = list
    race = Race(broken, good, None) if who == "slow" else Race(good, broken, None)
    with pytest.raises(ZeroDivisionError):
        list(interleavings(lambda: race))


def test_a_long_one_is_left_after_a_while():
    def long():
        with suppress(IndexError):
            for _ in range(100_000):
                pass

    began = time.monotonic()
    races = list(interleavings(lambda: Race(long, list, None), seconds=0.2))
    assert races
    assert time.monotonic() - began < 10


def test_no_thread_is_left():
    before = set(threading.enumerate())
    values(lambda: Counter(threading.Lock()))
    assert set(threading.enumerate()) <= before
