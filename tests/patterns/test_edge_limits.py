"""Rate limits: over any window never more than allowed, by a manual clock and for real."""

import itertools
import random
import threading
import time

import pytest

from labkit.patterns.edge import SlidingWindow, TokenBucket


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def most_in_a_window(times, seconds):
    """The most events that any half-open window of so many seconds holds."""
    times, most, first = sorted(times), 0, 0
    for last, end in enumerate(times):
        while end - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def admitted(limit, clock, arrivals, client="a"):
    times = []
    for clock.now in arrivals:
        if limit.admit(client).admitted:
            times.append(clock.now)
    return times


def test_a_bucket_lets_a_burst_in_and_then_an_even_rate(clock):
    bucket = TokenBucket(2, per=1, burst=5, clock=clock)
    assert [bucket.admit("a").admitted for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 0.5
    assert [bucket.admit("a").admitted for _ in range(2)] == [True, False]
    clock.now += 60
    assert [bucket.admit("a").admitted for _ in range(7)] == [True] * 5 + [False] * 2


def test_a_window_slides_and_does_not_begin_on_the_minute(clock):
    window = SlidingWindow(4, per=10, clock=clock)
    arrivals = [1009.0, 1009.1, 1009.2, 1009.3, 1011.0, 1012.0, 1019.0, 1019.05, 1019.1]
    assert admitted(window, clock, arrivals) == [1009.0, 1009.1, 1009.2, 1009.3, 1019.0, 1019.1]


@pytest.mark.parametrize("seed", range(20))
def test_over_any_window_never_more_than_allowed(clock, seed):
    chance = random.Random(seed)
    limit, per, burst = chance.randint(1, 20), chance.choice([0.1, 0.3, 1, 7, 60]), chance.randint(1, 30)
    bucket = TokenBucket(limit, per, burst=burst, clock=clock)
    window = SlidingWindow(limit, per, clock=clock)
    now, arrivals = 1000.0, []
    for _ in range(2000):
        now += chance.choice([0, 0, chance.random() * per / limit, chance.random() * per])
        arrivals.append(now)
    passed = admitted(window, clock, arrivals)
    assert most_in_a_window(passed, per) <= limit
    passed = admitted(bucket, clock, arrivals)
    for seconds in (per / limit, per, 3 * per, 10 * per):
        assert most_in_a_window(passed, seconds) <= burst + round(seconds * limit / per + 1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_who_waits_as_long_as_told_is_admitted_and_who_comes_sooner_is_not(clock, seed):
    chance = random.Random(seed)
    for limit in (
        TokenBucket(chance.randint(1, 9), chance.choice([1, 7]), burst=chance.randint(1, 9), clock=clock),
        SlidingWindow(chance.randint(1, 9), chance.choice([1, 7]), clock=clock),
    ):
        for _ in range(200):
            verdict = limit.admit("a")
            if verdict.admitted:
                clock.now += chance.choice([0, 0, 0.01])
                continue
            assert verdict.retry_after > 0
            clock.now += verdict.retry_after - 1e-6
            assert not limit.admit("a").admitted
            clock.now += 2e-6
            assert limit.admit("a").admitted


def test_what_remains_is_what_would_still_be_admitted(clock):
    for limit in (TokenBucket(3, burst=3, clock=clock), SlidingWindow(3, clock=clock)):
        assert [limit.admit("a").remaining for _ in range(5)] == [2, 1, 0, 0, 0]


def test_what_is_refused_costs_nothing(clock):
    for limit in (TokenBucket(1, per=10, clock=clock), SlidingWindow(1, per=10, clock=clock)):
        limit.admit("a")
        for _ in range(100):
            assert limit.admit("a").retry_after == pytest.approx(10)
        clock.now += 10.000001
        assert limit.admit("a").admitted


def test_one_client_takes_nothing_of_another(clock):
    for limit in (TokenBucket(2, clock=clock), SlidingWindow(2, clock=clock)):
        for _ in range(100):
            limit.admit("flood")
        assert [limit.admit("b").admitted for _ in range(3)] == [True, True, False]


def test_a_client_is_forgotten_when_its_history_no_longer_matters(clock):
    for limit in (TokenBucket(1, per=10, burst=2, clock=clock), SlidingWindow(2, per=20, clock=clock)):
        for number in range(50):
            limit.admit(number)
            clock.now += 1
        assert len(limit) == 20


def test_who_invents_names_shares_one_allowance_and_the_memory_stays_bounded(clock):
    for kind in (TokenBucket, SlidingWindow):
        limit = kind(5, per=10, max_clients=100, clock=clock)
        assert all(limit.admit(number).admitted for number in range(100))
        assert sum(limit.admit(f"new {number}").admitted for number in range(1000)) == 5
        assert len(limit) == 101
        assert limit.admit(7).admitted
        clock.now += 10.1
        assert limit.admit("new 1").admitted
        assert len(limit) == 1


@pytest.mark.parametrize("kind", [TokenBucket, SlidingWindow])
def test_a_hundred_callers_at_once_are_never_let_through_more_than_allowed(kind):
    limit = kind(50, per=0.2)
    ready, stop = threading.Barrier(101), threading.Event()
    passed = [[] for _ in range(100)]

    def call(mine):
        ready.wait()
        while not stop.is_set():
            began = time.monotonic()
            if limit.admit("a").admitted:
                mine.append((began, time.monotonic()))

    threads = [threading.Thread(target=call, args=[mine]) for mine in passed]
    for thread in threads:
        thread.start()
    ready.wait()
    stop.wait(0.7)
    stop.set()
    for thread in threads:
        thread.join()
    # The admission lies between the two times. The longest gap that they allow between the first and the last
    # of so many must not fall short of the window.
    calls = sorted(itertools.chain(*passed), key=lambda call: call[1])
    most = 50 if kind is SlidingWindow else 100
    assert len(calls) >= most
    for first, last in zip(calls, calls[most:], strict=False):
        assert last[1] - first[0] >= 0.2


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: kind(0),
        lambda kind: kind(-1),
        lambda kind: kind(1.5),
        lambda kind: kind(True),
        lambda kind: kind("5"),
        lambda kind: kind(5, per=0),
        lambda kind: kind(5, per=float("inf")),
        lambda kind: kind(5, per="1"),
        lambda kind: kind(5, max_clients=0),
    ],
)
def test_a_limit_that_cannot_be_is_refused(make):
    for kind in (TokenBucket, SlidingWindow):
        with pytest.raises(ValueError, match="se acepta un"):
            make(kind)
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(5, burst=0)
