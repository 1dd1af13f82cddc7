"""Bulkheads in the caller's own thread or task: who gets in, who waits, who is refused."""

import asyncio
import contextvars
import inspect
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bulkhead_support import Inside, all_permits_are_there, held, in_threads, until
from discovery_support import ManualClock
from support import PATIENCE, eventually

from labkit.patterns.bulkhead import (
    Bulkhead,
    BulkheadFullError,
)

# Calling


def test_a_call_gives_what_the_function_gives():
    assert Bulkhead(1).call(lambda a, b=0: a + b, 1, b=2) == 3


def test_acall_gives_what_the_coroutine_function_gives():
    async def add(a, b=0):
        await asyncio.sleep(0)
        return a + b

    assert asyncio.run(Bulkhead(1).acall(add, 1, b=2)) == 3


def test_acall_runs_a_plain_function_in_a_thread_with_the_callers_context():
    language = contextvars.ContextVar("language", default="?")

    async def main():
        language.set("es")
        return await Bulkhead(1, name="pagos").acall(
            lambda: (language.get(), threading.current_thread().name)
        )

    assert asyncio.run(main()) == ("es", "pagos-1")


def test_a_decorated_function_stays_what_it_is():
    bulkhead = Bulkhead(1)

    @bulkhead
    def plain(a):
        """Plain."""
        return bulkhead.in_use, a

    @bulkhead
    async def coroutine(a):
        return bulkhead.in_use, a

    assert (plain(1), asyncio.run(coroutine(2))) == ((1, 1), (1, 2))
    assert (plain.__name__, plain.__doc__) == ("plain", "Plain.")
    assert inspect.iscoroutinefunction(coroutine)


def test_a_method_can_be_decorated():
    class Till:
        @Bulkhead(1)
        def charge(self, amount):
            return amount

    assert Till().charge(3) == 3


def test_with_blocks_nest_and_each_takes_a_permit():
    bulkhead = Bulkhead(2)
    with bulkhead, bulkhead:
        assert bulkhead.in_use == 2
        with pytest.raises(BulkheadFullError), bulkhead:
            pytest.fail("a third permit")
    assert all_permits_are_there(bulkhead)


def test_it_reads_the_same_at_any_time_of_day():
    bulkhead = Bulkhead(3, name="pagos", max_wait=PATIENCE)
    assert repr(bulkhead) == "Bulkhead(pagos: 0 de 3 en uso)"
    with bulkhead:
        assert repr(bulkhead) == "Bulkhead(pagos: 1 de 3 en uso)"


# Never more than the limit


@pytest.mark.parametrize("form", ["call", "with", "decorator", "acquire"])
def test_never_more_than_the_limit_inside_under_200_threads(form):
    bulkhead, inside = Bulkhead(7, max_wait=PATIENCE), Inside()

    def work():
        with inside:
            time.sleep(0)

    def enter():
        with bulkhead:
            work()

    def by_hand():
        permit = bulkhead.acquire()
        work()
        permit.release()

    once = {
        "call": lambda: bulkhead.call(work),
        "with": enter,
        "decorator": bulkhead(work),
        "acquire": by_hand,
    }[form]
    in_threads(200, lambda _: [once() for _ in range(3)])
    assert inside.total == 600
    assert inside.most <= bulkhead.metrics().max_in_use <= 7
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("form", ["acall", "with", "thread"])
def test_never_more_than_the_limit_inside_under_1000_tasks(form):
    bulkhead, inside = Bulkhead(7, max_wait=PATIENCE), Inside()
    all_are_there = threading.Event()

    async def work():
        with inside:
            await asyncio.sleep(0)

    def plainly():
        with inside:
            assert all_are_there.wait(PATIENCE)

    async def once():
        if form == "acall":
            await bulkhead.acall(work)
        elif form == "thread":
            await bulkhead.acall(plainly)
        else:
            async with bulkhead:
                await work()

    async def main():
        everyone = asyncio.gather(*(once() for _ in range(1000)))
        await until(lambda: bulkhead.waiting == 993)
        all_are_there.set()
        await everyone

    asyncio.run(main())
    assert (inside.total, inside.most, bulkhead.metrics().max_in_use) == (1000, 7, 7)
    assert all_permits_are_there(bulkhead)


def test_threads_and_tasks_of_several_loops_share_one_limit():
    bulkhead, inside = Bulkhead(5, max_wait=PATIENCE), Inside()

    def plain():
        with inside:
            time.sleep(0)

    async def coroutine():
        with inside:
            await asyncio.sleep(0)

    async def tasks():
        await asyncio.gather(*(bulkhead.acall(coroutine) for _ in range(100)))

    def either(n):
        if n < 3:
            asyncio.run(tasks())
        else:
            for _ in range(10):
                bulkhead.call(plain)

    in_threads(33, either)
    assert inside.total == 600
    assert inside.most <= 5
    assert all_permits_are_there(bulkhead)


# Waiting and being refused


def test_full_without_waiting_refuses_at_once_and_calls_nothing():
    bulkhead = Bulkhead(1, name="pagos")
    with held(bulkhead), pytest.raises(BulkheadFullError, match=r"«pagos» está lleno: 1 de 1") as refusal:
        bulkhead.call(pytest.fail)
    assert (refusal.value.name, refusal.value.waited) == ("pagos", False)
    assert bulkhead.call(lambda: "dentro") == "dentro"


def test_who_waits_gets_the_permit_that_comes_back():
    bulkhead = Bulkhead(1, max_wait=PATIENCE)
    with ThreadPoolExecutor(1) as other:
        with held(bulkhead):
            waiting = other.submit(bulkhead.call, lambda: "dentro")
            eventually(lambda: bulkhead.waiting == 1)
            assert not waiting.done()
        assert waiting.result(PATIENCE) == "dentro"


@pytest.mark.parametrize("side", ["thread", "task"])
def test_nobody_waits_beyond_the_limit(side):
    bulkhead = Bulkhead(1, max_wait=0.05)

    async def nothing():
        pytest.fail("got in")

    def ask():
        if side == "thread":
            bulkhead.call(pytest.fail)
        else:
            asyncio.run(bulkhead.acall(nothing))

    began = time.monotonic()
    with held(bulkhead), pytest.raises(BulkheadFullError, match=r"0\.05 s") as refusal:
        ask()
    assert 0.05 <= time.monotonic() - began < PATIENCE
    assert refusal.value.waited
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("side", ["thread", "task"])
def test_a_permit_that_comes_too_late_by_the_clock_goes_to_the_next(side):
    clock = ManualClock(1000.0)
    bulkhead = Bulkhead(1, max_wait=30, clock=clock)

    async def coroutine(name):
        return name

    def ask(name):
        if side == "task":
            return asyncio.run(bulkhead.acall(coroutine, name))
        return bulkhead.call(lambda: name)

    with ThreadPoolExecutor(2) as others:
        with held(bulkhead):
            first = others.submit(ask, "primera")
            eventually(lambda: bulkhead.waiting == 1)
            clock.advance(20)
            second = others.submit(ask, "segunda")
            eventually(lambda: bulkhead.waiting == 2)
            clock.advance(10.001)
        with pytest.raises(BulkheadFullError):
            first.result(PATIENCE)
        assert second.result(PATIENCE) == "segunda"
    assert all_permits_are_there(bulkhead)


def test_who_has_waited_exactly_the_limit_still_gets_in():
    clock = ManualClock(1000.0)
    bulkhead = Bulkhead(1, max_wait=30, clock=clock)
    with ThreadPoolExecutor(1) as other:
        with held(bulkhead):
            waiting = other.submit(bulkhead.call, lambda: "dentro")
            eventually(lambda: bulkhead.waiting == 1)
            clock.advance(30)
        assert waiting.result(PATIENCE) == "dentro"


@pytest.mark.parametrize("sides", ["threads", "tasks", "both"])
def test_first_come_first_served(sides):
    bulkhead, order = Bulkhead(1, max_wait=PATIENCE), []

    async def coroutine(n):
        order.append(n)

    def ask(n):
        if sides == "tasks" or (sides == "both" and n % 2):
            asyncio.run(bulkhead.acall(coroutine, n))
        else:
            bulkhead.call(order.append, n)

    with ThreadPoolExecutor(20) as others:
        with held(bulkhead):
            asked = []
            for n in range(20):
                asked.append(others.submit(ask, n))
                eventually(lambda n=n: bulkhead.waiting == n + 1)
        for future in asked:
            future.result(PATIENCE)
    assert order == list(range(20))


def test_tasks_of_one_loop_are_served_first_come_first_served():
    bulkhead, order = Bulkhead(1, max_wait=PATIENCE), []

    async def coroutine(n):
        order.append(n)
        await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(bulkhead.acall(coroutine, n) for n in range(100)))

    asyncio.run(main())
    assert order == list(range(100))


def test_a_newcomer_does_not_overtake_who_waits():
    """The permit is handed over, so that between its return and the waiter's waking nobody can take it."""
    bulkhead, order = Bulkhead(1, max_wait=PATIENCE), []

    async def enter(name):
        async with bulkhead:
            order.append(name)

    async def main():
        permit = bulkhead.acquire()
        waiting = asyncio.create_task(enter("la que esperaba"))
        await until(lambda: bulkhead.waiting == 1)
        permit.release()
        await asyncio.gather(enter("la que llega"), waiting)

    asyncio.run(main())
    assert order == ["la que esperaba", "la que llega"]


def test_the_queue_has_a_limit_too():
    bulkhead = Bulkhead(1, max_wait=PATIENCE, max_queue=2)
    with ThreadPoolExecutor(2) as others:
        with held(bulkhead):
            waiting = [others.submit(bulkhead.call, int) for _ in range(2)]
            eventually(lambda: bulkhead.waiting == 2)
            with pytest.raises(BulkheadFullError, match="2 esperando") as refusal:
                bulkhead.call(pytest.fail)
            assert not refusal.value.waited
        assert [future.result(PATIENCE) for future in waiting] == [0, 0]


def test_it_says_when_to_try_again_by_what_calls_take():
    clock = ManualClock(1000.0)
    bulkhead = Bulkhead(2, clock=clock)

    def refusal():
        with held(bulkhead, 2), pytest.raises(BulkheadFullError) as refused:
            bulkhead.call(pytest.fail)
        return refused.value.retry_after

    assert refusal() == 1  # nothing is known yet
    bulkhead = Bulkhead(2, clock=clock)
    bulkhead.call(clock.advance, 6)
    assert refusal() == 3  # two permits, six seconds each: one comes back every three


def test_a_changed_wait_is_for_who_comes_from_then_on():
    clock = ManualClock(1000.0)
    bulkhead = Bulkhead(1, max_wait=30, clock=clock)
    with ThreadPoolExecutor(2) as others:
        with held(bulkhead):
            patient = others.submit(bulkhead.call, lambda: "dentro")
            eventually(lambda: bulkhead.waiting == 1)
            bulkhead.max_wait = 5
            hasty = others.submit(bulkhead.call, lambda: "dentro")
            eventually(lambda: bulkhead.waiting == 2)
            bulkhead.max_wait = 0
            with pytest.raises(BulkheadFullError) as refusal:
                bulkhead.call(pytest.fail)
            assert not refusal.value.waited
            clock.advance(6)
        assert patient.result(PATIENCE) == "dentro"
        with pytest.raises(BulkheadFullError, match="en 5 s"):
            hasty.result(PATIENCE)


# What it costs to import


def test_the_core_needs_the_standard_library_only():
    code = (
        "import sys; import labkit.patterns.bulkhead as b; b.Bulkhead(1).call(int); b.full_response;"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & "
        "{'flask', 'werkzeug', 'aiohttp', 'requests', 'anyio'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
