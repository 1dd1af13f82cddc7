"""The ways to call through a breaker: threads, coroutines, decorators, blocks."""

import asyncio
import functools
import threading
from unittest.mock import AsyncMock

import pytest
from breaker_support import (
    PATIENCE,
    Broken,
    Pending,
    outcome,
    run,
    threads,
)
from breaker_support import fail as failing
from breaker_support import work as working

from labkit.patterns.circuit_breaker import (
    CircuitBreaker,
    CircuitOpenError,
    CountWindow,
)

# The call runs outside the lock


def test_ten_calls_at_once_through_a_closed_circuit_overlap(make):
    breaker = make()
    all_inside = threading.Barrier(10)
    outcomes = []

    def call():
        all_inside.wait(PATIENCE)  # breaks, and fails the call, unless all ten are inside at once
        return "done"

    with threads(10, lambda _: outcomes.extend(run(breaker, call))):
        pass
    assert outcomes == ["done"] * 10


def test_a_call_can_use_its_own_breaker(make):
    breaker = make()
    assert breaker.call(lambda: (breaker.call(working), breaker.state, breaker.metrics.successes)) == (
        "done",
        "closed",
        1,
    )
    breaker.call(breaker.force_open)
    assert breaker.state == "forced-open"


def test_no_result_is_lost_between_threads(make):
    breaker = make(window=CountWindow(100_000), minimum_calls=100_000)
    start = threading.Barrier(8)

    def caller(index):
        start.wait(PATIENCE)
        run(breaker, *[failing if index % 2 else working] * 500)

    with threads(8, caller):
        pass
    metrics = breaker.metrics
    assert (metrics.successes, metrics.failures, metrics.calls_in_window) == (2000, 2000, 4000)


# Async


def test_acall_gives_what_the_coroutine_gives(make):
    async def double(number, *, plus=0):
        return 2 * number + plus

    breaker = make()
    assert asyncio.run(breaker.acall(double, 4, plus=1)) == 9
    assert breaker.metrics.successes == 1


def test_acall_takes_whatever_makes_something_to_await(make):
    async def double(number):
        return 2 * number

    async def main():
        breaker = make()
        return [
            await breaker.acall(lambda: double(1)),
            await breaker.acall(functools.partial(double, 2)),
            await breaker.acall(lambda: asyncio.ensure_future(double(3))),
            await breaker.acall(AsyncMock(return_value=8)),
        ]

    assert asyncio.run(main()) == [2, 4, 6, 8]


def test_acall_counts_failures_and_refuses(make):
    async def fail():
        raise Broken

    async def main():
        breaker = make(fail_threshold=2)
        outcomes = []
        for _ in range(4):
            try:
                await breaker.acall(fail)
            except (Broken, CircuitOpenError) as error:
                outcomes.append(type(error))
        return outcomes

    assert asyncio.run(main()) == [Broken, Broken, CircuitOpenError, CircuitOpenError]


def test_a_cancelled_async_call_gives_the_permit_back_and_changes_nothing(half_open):
    breaker = half_open()

    async def main():
        entered = asyncio.Event()

        async def hang():
            entered.set()
            await asyncio.Event().wait()

        for _ in range(3):
            entered.clear()
            probe = asyncio.create_task(breaker.acall(hang))
            await entered.wait()
            with pytest.raises(CircuitOpenError):
                await breaker.acall(asyncio.sleep, 0)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
            assert breaker.state == "half-open"
            assert breaker.retry_after == 0
        await breaker.acall(asyncio.sleep, 0)

    asyncio.run(main())
    assert breaker.state == "closed"
    assert breaker.metrics.ignored == 3


def test_a_cancelled_async_block_gives_the_permit_back(half_open):
    breaker = half_open()

    async def main():
        entered = asyncio.Event()

        async def block():
            async with breaker:
                entered.set()
                await asyncio.Event().wait()

        probe = asyncio.create_task(block())
        await entered.wait()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe

    asyncio.run(main())
    assert (breaker.state, breaker.retry_after) == ("half-open", 0)


def test_a_coroutine_that_is_thrown_away_gives_the_permit_back(half_open):
    breaker = half_open()
    pending = Pending(breaker)
    assert run(breaker, working) == ["rejected"]
    pending.throw_away()
    assert run(breaker, working) == ["done"]


def test_a_call_that_was_never_awaited_takes_no_permit(half_open):
    breaker = half_open()
    breaker.acall(AsyncMock()).close()
    assert run(breaker, working) == ["done"]


def test_a_time_limit_inside_counts_and_outside_does_not(make):
    """Why the timeout belongs inside: outside, it is a cancellation, and says nothing of the service."""

    async def hang():
        await asyncio.Event().wait()

    async def inside(breaker):
        async def limited():
            async with asyncio.timeout(0):
                await hang()

        await breaker.acall(limited)

    async def outside(breaker):
        async with asyncio.timeout(0):
            await breaker.acall(hang)

    async def main(form):
        breaker = make(fail_threshold=2)
        for _ in range(5):
            with pytest.raises((TimeoutError, CircuitOpenError)):
                await form(breaker)
        return breaker.state

    assert asyncio.run(main(inside)) == "open"
    assert asyncio.run(main(outside)) == "closed"


# Decorator and blocks


def test_as_a_decorator_of_functions_methods_and_coroutine_functions(make):
    breaker = make(fail_threshold=2)

    @breaker
    def double(number):
        """Twice as much."""
        return 2 * number

    class Shop:
        @breaker
        def price(self, title):
            return len(title)

        @breaker
        async def fail(self):
            raise Broken

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Twice as much.")
    assert Shop().price("Rayuela") == 7
    for _ in range(2):
        with pytest.raises(Broken):
            asyncio.run(Shop().fail())
    with pytest.raises(CircuitOpenError):
        double(4)


def test_a_decorator_can_be_made_in_place():
    @CircuitBreaker("pagos", fail_threshold=1)
    def fail():
        raise Broken

    assert [outcome(fail), outcome(fail)] == ["broken", "rejected"]


def test_as_a_block(make):
    breaker = make(fail_threshold=2)
    for _ in range(2):
        with pytest.raises(Broken), breaker:
            raise Broken
    entered = False
    with pytest.raises(CircuitOpenError), breaker:
        entered = True
    assert not entered


def test_as_an_async_block(make):
    breaker = make(fail_threshold=1)

    async def main():
        async with breaker:
            await asyncio.sleep(0)
        with pytest.raises(Broken):
            async with breaker:
                raise Broken
        with pytest.raises(CircuitOpenError):
            async with breaker:
                pass

    asyncio.run(main())
    assert breaker.metrics.successes == 1


def test_blocks_nest_also_of_several_breakers(make):
    outer, inner = make(slow_call=5), make(slow_call=5)
    with outer, inner, outer:
        pass
    assert (outer.metrics.successes, inner.metrics.successes) == (2, 1)


def test_a_block_inside_a_block_of_the_same_breaker_has_its_own_duration(make, clock):
    breaker = make(slow_call=5)
    with breaker:
        clock.advance(5)
        with breaker:
            pass
        assert breaker.metrics.slow == 0
    assert breaker.metrics.slow == 1


def test_blocks_of_tasks_and_threads_do_not_meet(make, clock):
    breaker = make(slow_call=5)

    async def main():
        first_in, second_in = asyncio.Event(), asyncio.Event()

        async def first():
            async with breaker:
                first_in.set()
                await second_in.wait()
            assert breaker.metrics.slow == 1, "it began ten seconds ago"

        async def second():
            await first_in.wait()
            clock.advance(10)
            async with breaker:
                second_in.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert breaker.metrics.slow == 1, "it has only begun"

        await asyncio.gather(first(), second())

    asyncio.run(main())
    with breaker:
        with threads(1, lambda _: breaker.__enter__().__exit__(None, None, None)):
            pass
    assert breaker.metrics.successes == 4


def test_a_block_closed_in_another_context_is_told(make):
    breaker = make()
    said = []

    def close(_):
        try:
            breaker.__exit__(None, None, None)
        except RuntimeError as error:
            said.append(str(error))

    with breaker:
        with threads(1, close):
            pass
    assert "otro contexto" in said[0]
