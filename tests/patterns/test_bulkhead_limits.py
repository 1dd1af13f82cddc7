"""A bulkhead's limit, changed by hand or by an algorithm while calls run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bulkhead_support import Crash, Inside, all_permits_are_there, held, in_threads
from discovery_support import ManualClock
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PATIENCE, eventually

from labkit.patterns.bulkhead import (
    AIMD,
    Bulkhead,
    BulkheadFullError,
    InvalidInput,
    Sample,
    Vegas,
)

# The limit, changed while it runs


def test_a_raised_limit_lets_in_who_waits():
    bulkhead = Bulkhead(1, max_wait=PATIENCE)
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as others:
        inside = [others.submit(bulkhead.call, barrier.wait, PATIENCE) for _ in range(4)]
        eventually(lambda: bulkhead.waiting == 3)
        bulkhead.limit = 4
        for future in inside:
            future.result(PATIENCE)  # the barrier opens when all four are inside
    assert all_permits_are_there(bulkhead)


def test_a_lowered_limit_puts_nobody_out_and_holds_for_the_next():
    bulkhead = Bulkhead(3)
    permits = [bulkhead.acquire() for _ in range(3)]
    bulkhead.limit = 1
    assert bulkhead.in_use == 3
    for permit in permits:
        with pytest.raises(BulkheadFullError):
            bulkhead.acquire()
        permit.release()
    assert all_permits_are_there(bulkhead)


def test_a_limit_that_changes_all_the_time_loses_no_permit():
    bulkhead, inside = Bulkhead(9, max_wait=PATIENCE), Inside()

    def work(n):
        if n == 0:
            for limit in [1, 9, 4, 2, 7] * 20:
                bulkhead.limit = limit
                time.sleep(0)
        else:
            for _ in range(10):
                with bulkhead, inside:
                    time.sleep(0)

    in_threads(50, work)
    assert inside.total == 490
    assert inside.most <= 9
    assert bulkhead.limit == 7
    assert all_permits_are_there(bulkhead)


# Limits that adapt themselves


def sample(duration, in_flight, start=0.0, dropped=False):
    return Sample(start, start + duration, in_flight, dropped)


def test_aimd_grows_by_one_for_each_round_without_trouble():
    aimd = AIMD(4, timeout=1)
    limits = [aimd.update(sample(0.1, 4)) for _ in range(4 + 5 + 6)]
    assert limits == [4] * 3 + [5] * 5 + [6] * 6 + [7]


def test_aimd_shrinks_once_for_each_round_of_trouble():
    aimd = AIMD(20, timeout=1, backoff=0.5)
    # Ten calls that began together and were all slow.
    assert [aimd.update(sample(2 + n, 20)) for n in range(10)] == [10] * 10
    assert aimd.update(sample(2, 10, start=2)) == 5
    assert aimd.update(sample(0.01, 5, start=9, dropped=True)) == 2


def test_aimd_stays_within_its_bounds():
    aimd = AIMD(3, timeout=1, min_limit=2, max_limit=4)
    assert {aimd.update(sample(0.1, 9)) for _ in range(50)} == {3, 4}
    assert {aimd.update(sample(9, 9, start=10.0 * n)) for n in range(50)} == {3, 2}


@pytest.mark.parametrize("algorithm", [AIMD(10, timeout=1), Vegas(10)])
def test_a_limit_that_is_not_half_used_does_not_grow(algorithm):
    assert {algorithm.update(sample(0.1, 4)) for _ in range(50)} == {10}


def test_vegas_grows_while_there_is_no_queue_and_shrinks_when_there_is():
    vegas = Vegas(10)
    vegas.update(sample(0.1, 10))  # the best so far
    assert vegas.update(sample(0.1, 10)) == 16  # no queue: six more
    assert vegas.update(sample(0.1 * 16 / 14, 16)) == 17  # two of sixteen in a queue: one more
    assert vegas.update(sample(0.1 * 17 / 12, 17)) == 17  # five: just right
    assert vegas.update(sample(0.1 * 17 / 10, 17)) == 16  # seven: one less
    assert vegas.update(sample(0.1, 16, dropped=True)) == 15


def test_vegas_finds_the_capacity_of_a_dependency():
    """One that serves ten at a time, 0.1 s each: from eleven on the others wait in its own queue."""
    vegas, limit = Vegas(2), 2
    for _ in range(200):
        limit = vegas.update(sample(0.1 * max(1, limit / 10), limit))
    assert 10 <= limit <= 20


def test_vegas_forgets_its_best_after_a_while():
    vegas = Vegas(10, probe_multiplier=3)
    vegas.update(sample(0.1, 10))
    for _ in range(200):
        vegas.update(sample(5.0, vegas.limit))  # slower for good
    assert vegas.best == 5


def test_vegas_takes_a_part_of_each_step_when_smooth():
    vegas = Vegas(10, smoothing=0.5)
    vegas.update(sample(0.1, 10))
    assert vegas.update(sample(0.1, 10)) == 13


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 500), st.booleans()), max_size=200
    ),
    st.sampled_from([AIMD, Vegas]),
)
@settings(max_examples=100, deadline=None)
def test_an_adaptive_limit_stays_within_its_bounds_whatever_is_measured(samples, make):
    algorithm = make(5, min_limit=2, max_limit=50, **({"timeout": 1} if make is AIMD else {}))
    for start, duration, in_flight, dropped in samples:
        limit = algorithm.update(Sample(start, start + duration, in_flight, dropped))
        assert 2 <= limit <= 50
        assert limit == algorithm.limit


def test_a_bulkhead_takes_its_limit_from_an_algorithm():
    clock, events = ManualClock(1000.0), []
    bulkhead = Bulkhead(AIMD(2, timeout=1), clock=clock, name="pagos", listener=events.append)
    for _ in range(3):
        with held(bulkhead, bulkhead.limit):
            clock.advance(0.1)
    assert bulkhead.limit == 4
    with held(bulkhead, 4):
        clock.advance(5)
    assert bulkhead.limit == 3
    assert [event.limit for event in events if event.kind == "limit"] == [3, 4, 3]
    with pytest.raises(InvalidInput, match="AIMD"):
        bulkhead.limit = 9


@pytest.mark.parametrize(
    ("error", "limit"), [(TimeoutError, 9), (ConnectionRefusedError, 9), (ValueError, 10), (Crash, 10)]
)
def test_only_signs_of_overload_lower_an_adaptive_limit(error, limit):
    bulkhead = Bulkhead(AIMD(10, timeout=1))

    def fail():
        raise error

    with pytest.raises(error):
        bulkhead.call(fail)
    assert bulkhead.limit == limit


def test_a_restless_algorithm_under_many_threads_loses_no_permit():
    class Restless:
        limit = 5
        updates = 0

        def update(self, sample):
            self.updates += 1
            if self.updates % 7 == 0:
                raise ValueError("a propósito")
            self.limit = 1 + self.updates * 5 % 9
            return self.limit

    restless, inside = Restless(), Inside()
    bulkhead = Bulkhead(restless, max_wait=PATIENCE)

    def work(_):
        for _ in range(10):
            with bulkhead, inside:
                time.sleep(0)

    in_threads(50, work)
    assert restless.updates == inside.total == 500
    assert inside.most <= 9
    assert bulkhead.in_use == bulkhead.waiting == 0
