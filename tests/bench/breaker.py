"""What a circuit breaker costs while it is closed, and whether it lets calls overlap.

Every contestant guards the same function that returns at once, in the same process; what is told is the time
of a call, guard included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import circuitbreaker
import pybreaker

from labkit.patterns.circuit_breaker import CircuitBreaker, CountWindow, TimeWindow

LABKIT, COUNT, TIME, SLOW = "labkit", "labkit, count window", "labkit, time window", "labkit, slow calls"
PYBREAKER, CIRCUITBREAKER, BARE = "pybreaker", "circuitbreaker", "no breaker"
THREADS = 8
AT_ONCE, NAP = 10, 0.2  # calls, and seconds that each takes

Call = Callable[[Callable[[], object]], object]
Measures = dict[str, Callable[[], float]]


def contestants() -> dict[str, Call]:
    """Closed breakers; the thresholds are out of reach."""
    return {
        LABKIT: CircuitBreaker().call,
        COUNT: CircuitBreaker(window=CountWindow(100)).call,
        TIME: CircuitBreaker(window=TimeWindow(1.0)).call,
        SLOW: CircuitBreaker(slow_call=60).call,
        PYBREAKER: pybreaker.CircuitBreaker().call,
        CIRCUITBREAKER: circuitbreaker.CircuitBreaker().call,
        BARE: lambda func: func(),
    }


def work() -> None:
    pass


def microseconds(call: Call, calls: int, threads: int = 1) -> float:
    """Time of one call when so many threads share `calls` among them."""
    start = threading.Barrier(threads + 1)

    def run() -> None:
        start.wait()
        for _ in range(calls // threads):
            call(work)

    return 1e6 * _together(run, start, threads) / calls


def seconds_of_naps(call: Call) -> float:
    """Until ten calls of 0.2 s have ended that all begin at once."""
    start = threading.Barrier(AT_ONCE + 1)

    def run() -> None:
        start.wait()
        call(partial(time.sleep, NAP))

    return _together(run, start, AT_ONCE)


def _together(run: Callable[[], None], start: threading.Barrier, number: int) -> float:
    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def single(calls: int) -> Measures:
    return {name: partial(microseconds, call, calls) for name, call in contestants().items()}


def shared(calls: int) -> Measures:
    return {name: partial(microseconds, call, calls, THREADS) for name, call in contestants().items()}


def overlapping() -> Measures:
    field = contestants()
    return {name: partial(seconds_of_naps, field[name]) for name in (LABKIT, PYBREAKER, CIRCUITBREAKER, BARE)}
