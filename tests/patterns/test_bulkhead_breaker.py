"""Retry, circuit breaker, bulkhead and timeout together: what the right order gives and the wrong one costs.

The packages do not know each other; what is tested is what their docstrings promise.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from discovery_support import ManualClock
from support import PATIENCE, eventually

from labkit.patterns.bulkhead import Bulkhead, BulkheadFullError
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError


def fail():
    raise ConnectionError("a propósito")


def a_breaker(**options):
    return CircuitBreaker("pagos", fail_threshold=2, reset_timeout=10, clock=ManualClock(), **options)


def test_an_open_circuit_takes_no_permit():
    breaker, pagos = a_breaker(ignore=BulkheadFullError), Bulkhead(1)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            breaker.call(pagos.call, fail)
    with pytest.raises(CircuitOpenError):
        breaker.call(pagos.call, fail)
    assert pagos.metrics().accepted == 2
    with pagos, pytest.raises(CircuitOpenError):  # and says that it is open, not that there is no room
        breaker.call(pagos.call, fail)


def test_a_full_bulkhead_opens_no_circuit_when_the_breaker_ignores_it():
    breaker, naive, pagos = a_breaker(ignore=BulkheadFullError), a_breaker(), Bulkhead(1)
    with pagos:
        for guard in (breaker, naive):
            for _ in range(2):
                with pytest.raises(BulkheadFullError):
                    guard.call(pagos.call, int)
    assert (breaker.state, naive.state) == ("closed", "open")


def retry(func, pause):
    try:
        return func()
    except ConnectionError:
        pause()
        return func()


def test_a_retry_outside_pauses_without_a_permit_and_inside_with_one():
    for inside in (False, True):
        pagos, go_on, pausing = Bulkhead(1), threading.Event(), threading.Event()
        answers = iter([fail, int])

        def work(answers=answers):
            return next(answers)()

        def pause(go_on=go_on, pausing=pausing):
            pausing.set()
            assert go_on.wait(PATIENCE)

        with ThreadPoolExecutor(1) as other:
            if inside:
                retried = other.submit(pagos.call, retry, work, pause)
            else:
                retried = other.submit(retry, lambda pagos=pagos, work=work: pagos.call(work), pause)
            assert pausing.wait(PATIENCE)
            assert pagos.in_use == inside
            go_on.set()
            assert retried.result(PATIENCE) == 0


def test_a_timeout_inside_that_ends_the_work_frees_the_permit_and_one_outside_does_not():
    pagos, go_on = Bulkhead(1), threading.Event()

    async def impatient(call):
        async with asyncio.timeout(0.01):
            await call()

    async def main():
        with pytest.raises(TimeoutError):
            await pagos.acall(impatient, asyncio.Event().wait)
        assert pagos.in_use == 0
        with pytest.raises(TimeoutError):
            await impatient(lambda: pagos.acall(go_on.wait, PATIENCE))
        assert pagos.in_use == 1  # a thread cannot be cut off: its work goes on

    asyncio.run(main())
    go_on.set()
    eventually(lambda: pagos.in_use == 0)
