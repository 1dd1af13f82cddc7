"""Bulkheads in the caller's own thread or task: who gets in, who waits, who is refused, what comes back."""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from discovery_support import ManualClock
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import PATIENCE, eventually, soak

from labkit.patterns.bulkhead import (
    AIMD,
    Bulkhead,
    BulkheadError,
    BulkheadFullError,
    BulkheadPool,
    InvalidInput,
    Outcome,
    Sample,
    Vegas,
    calls,
)
from labkit.patterns.bulkhead.gate import Gate, State


class Crash(BaseException):
    """Not an Exception: nobody catches it by mistake."""


class Inside:
    """How many are in a piece of work now, and the most there ever were."""

    def __init__(self):
        self._lock = threading.Lock()
        self.now = self.most = self.total = 0

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *exc_info):
        with self._lock:
            self.now -= 1


@contextlib.contextmanager
def held(bulkhead, number=1):
    """Permits held by others while the block runs."""
    permits = [bulkhead.acquire() for _ in range(number)]
    try:
        yield permits
    finally:
        for permit in permits:
            permit.release()


def all_permits_are_there(bulkhead):
    """Whether nothing is in use and exactly `limit` calls get in."""
    assert (bulkhead.in_use, bulkhead.waiting) == (0, 0)
    with held(bulkhead, bulkhead.limit):
        assert bulkhead.in_use == bulkhead.limit
    return bulkhead.in_use == 0


def in_threads(number, func):
    """Call `func(n)` in so many threads that all start at the same moment; raises what they raise."""
    barrier = threading.Barrier(number)

    def run(n):
        barrier.wait(PATIENCE)
        return func(n)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number)))


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


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


# The permit stays with the work


def test_a_cancelled_call_keeps_its_permit_until_its_thread_ends():
    bulkhead, go_on = Bulkhead(1), threading.Event()
    ended = threading.Event()

    def work():
        go_on.wait(PATIENCE)
        ended.set()

    async def main():
        call = asyncio.create_task(bulkhead.acall(work))
        await until(lambda: bulkhead.in_use == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert bulkhead.in_use == 1
        with pytest.raises(BulkheadFullError):
            await bulkhead.acall(work)
        assert not ended.is_set()
        go_on.set()
        await until(lambda: bulkhead.in_use == 0)
        assert ended.is_set()

    asyncio.run(main())
    assert all_permits_are_there(bulkhead)


def test_a_caller_that_timed_out_still_occupies_its_place_though_its_loop_is_gone():
    bulkhead, go_on = Bulkhead(1), threading.Event()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bulkhead.acall(go_on.wait, PATIENCE)

    asyncio.run(main())
    assert bulkhead.in_use == 1
    go_on.set()
    eventually(lambda: bulkhead.in_use == 0)
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("error", [ValueError, StopIteration, KeyboardInterrupt, SystemExit, Crash])
def test_no_permit_is_lost_by_what_the_work_raises(error):
    bulkhead = Bulkhead(2)

    def fail():
        raise error("a propósito")

    async def fail_async():
        if error not in (StopIteration, KeyboardInterrupt, SystemExit):  # these end asyncio's loop
            raise error("a propósito")
        raise Crash

    for _ in range(5):
        with pytest.raises(error):
            bulkhead.call(fail)
        with pytest.raises(error), bulkhead:
            fail()
        with pytest.raises((error, Crash)):
            asyncio.run(bulkhead.acall(fail_async))
    assert bulkhead.metrics().failed == 15
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize(("raised", "seen"), [(ValueError, ValueError), (StopIteration, RuntimeError)])
def test_what_a_plain_function_raises_comes_out_of_acall(raised, seen):
    bulkhead = Bulkhead(1)

    def fail():
        raise raised("a propósito")

    with pytest.raises(seen):
        asyncio.run(bulkhead.acall(fail))
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("form", ["acall", "with", "thread"])
def test_no_permit_is_lost_by_a_cancellation_at_any_await(form):
    """The victim waits, is handed the permit, works, and ends; it is cancelled after each step of that."""

    async def work():
        for _ in range(3):
            await asyncio.sleep(0)

    async def enter(bulkhead):
        if form == "acall":
            await bulkhead.acall(work)
        elif form == "thread":
            await bulkhead.acall(int)
        else:
            async with bulkhead:
                await work()

    async def main(steps):
        bulkhead = Bulkhead(1, max_wait=PATIENCE)
        permit = bulkhead.acquire()
        victim = asyncio.create_task(enter(bulkhead))
        for step in range(steps):
            await asyncio.sleep(0)
            if step == 2:
                permit.release()
        # At steps == 3 the victim has been handed the permit and does not know it yet.
        holding = steps == 3
        assert not holding or bulkhead.in_use == 1
        victim.cancel()
        behind = asyncio.create_task(enter(bulkhead))
        permit.release()
        await asyncio.gather(victim, return_exceptions=True)
        await asyncio.wait_for(behind, PATIENCE)
        await until(lambda: bulkhead.in_use == 0)
        assert all_permits_are_there(bulkhead)
        return victim.cancelled()

    assert [asyncio.run(main(steps)) for steps in range(4)] == [True] * 4
    for steps in range(4, 14):
        asyncio.run(main(steps))


def test_a_thousand_cancelled_waiters_leave_the_queue():
    bulkhead = Bulkhead(1, max_wait=PATIENCE)

    async def main():
        with held(bulkhead):
            waiting = [asyncio.create_task(bulkhead.acall(asyncio.sleep, 0)) for _ in range(1000)]
            await until(lambda: bulkhead.waiting == 1000)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert bulkhead.waiting == 0

    asyncio.run(main())
    assert bulkhead.metrics().abandoned == 1000
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("form", ["acall", "with"])
def test_a_coroutine_dropped_in_the_middle_gives_its_permit_back(form):
    bulkhead = Bulkhead(1)

    class Never:
        def __await__(self):
            yield

    async def never():
        await Never()

    async def enter():
        async with bulkhead:
            await never()

    async def main():
        dropped = bulkhead.acall(never) if form == "acall" else enter()
        dropped.send(None)
        assert bulkhead.in_use == 1
        del dropped
        assert all_permits_are_there(bulkhead)

    asyncio.run(main())


def test_a_waiter_whose_loop_was_closed_is_passed_over():
    bulkhead = Bulkhead(1, max_wait=PATIENCE)
    with ThreadPoolExecutor(1) as other:
        with held(bulkhead):
            loop = asyncio.new_event_loop()
            gone = loop.create_task(bulkhead.acall(asyncio.sleep, 0))
            loop.run_until_complete(asyncio.sleep(0))
            eventually(lambda: bulkhead.waiting == 1)
            loop.close()
            behind = other.submit(bulkhead.call, lambda: "dentro")
            eventually(lambda: bulkhead.waiting == 2)
        assert behind.result(PATIENCE) == "dentro"
    assert all_permits_are_there(bulkhead)
    gone._log_destroy_pending = False


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent to a thread")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("form", ["call", "with", "acquire"])
def test_an_interrupt_while_waiting_leaves_the_queue(form):
    """What the stop button of a notebook does."""
    bulkhead = Bulkhead(1, max_wait=PATIENCE)
    attempt = {
        "call": lambda: bulkhead.call(pytest.fail),
        "with": bulkhead.__enter__,
        "acquire": bulkhead.acquire,
    }[form]
    main = threading.main_thread().ident
    assert threading.get_ident() == main

    def interrupt():
        eventually(lambda: bulkhead.waiting == 1)
        signal.pthread_kill(main, signal.SIGINT)

    with held(bulkhead):
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            attempt()
        thread.join()
        assert (bulkhead.waiting, bulkhead.in_use) == (0, 1)
    assert all_permits_are_there(bulkhead)


def test_interrupts_at_any_moment_of_a_call_lose_no_permit():
    """An exception is thrown into the thread after each line of ours that a call goes through."""
    outcomes = set()
    for moment in range(200):
        bulkhead = Bulkhead(1)
        lines = 0

        def trace(frame, event, arg, moment=moment):
            nonlocal lines
            if "patterns/bulkhead" not in frame.f_code.co_filename.replace("\\", "/"):
                return None
            if event == "line":
                lines += 1
                if lines == moment:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            outcomes.add(bulkhead.call(lambda: "hecho"))
        except KeyboardInterrupt:
            outcomes.add("interrumpida")
        finally:
            sys.settrace(before)
        assert bulkhead.in_use == 0, f"lost at line {moment}"
        if lines < moment:
            break
    assert outcomes == {"hecho", "interrumpida"}
    assert lines < moment, "the last moment was after the end of the call"


def test_a_with_block_left_in_another_thread_gives_its_permit_back():
    bulkhead = Bulkhead(2)
    with bulkhead:
        stack = contextlib.ExitStack()
        in_threads(1, lambda _: stack.enter_context(bulkhead))
        stack.close()
        assert bulkhead.in_use == 1
    assert all_permits_are_there(bulkhead)


def test_leaving_without_having_entered_is_an_error():
    with pytest.raises(BulkheadError, match="sin haber entrado"):
        Bulkhead(1).__exit__(None, None, None)


def test_a_permit_can_be_given_back_only_once():
    bulkhead = Bulkhead(2)
    with held(bulkhead):
        permit = bulkhead.acquire()
        permit.release()
        permit.release()
        assert bulkhead.in_use == 1
    assert all_permits_are_there(bulkhead)


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


# What it tells


def test_events_tell_of_each_admission_and_each_end():
    events, clock = [], ManualClock(1000.0)
    bulkhead = Bulkhead(1, name="pagos", clock=clock, listener=events.append)
    bulkhead.call(clock.advance, 2)
    with pytest.raises(ZeroDivisionError):
        bulkhead.call(lambda: 1 // 0)
    with held(bulkhead), pytest.raises(BulkheadFullError):
        bulkhead.call(int)
    bulkhead.limit = 2
    assert [(event.kind, event.name, event.outcome, event.in_use) for event in events] == [
        ("admitted", "1", None, 1),
        ("released", "1", "ok", 0),
        ("admitted", "2", None, 1),
        ("released", "2", "error", 0),
        ("admitted", "3", None, 1),
        ("rejected", "4", "rechazada", 1),
        ("released", "3", "ok", 0),
        ("limit", "", None, 0),
    ]
    first = events[1]
    assert (first.arrival, first.start, first.end, first.t) == (1000, 1000, 1002, 1002)
    assert (first.bulkhead, first.worker) == ("pagos", threading.current_thread().name)
    assert isinstance(events[3].error, ZeroDivisionError)
    assert events[-1].limit == 2


def test_one_record_for_each_call_as_figures_want_them():
    events, clock = [], ManualClock(1000.0)
    bulkhead = Bulkhead(1, max_wait=PATIENCE, max_queue=1, clock=clock, listener=events.append)
    with ThreadPoolExecutor(1) as other:
        with held(bulkhead):
            waiting = other.submit(bulkhead.call, clock.advance, 3)
            eventually(lambda: bulkhead.waiting == 1)
            with pytest.raises(BulkheadFullError):
                bulkhead.call(int)
            clock.advance(1)
        waiting.result(PATIENCE)
    running = bulkhead.acquire()
    records = [(r.arrival, r.start, r.end, r.outcome) for r in calls(events)]
    assert records == [
        (1000, 1000, 1001, Outcome.OK),
        (1000, 1001, 1004, Outcome.OK),
        (1000, None, 1000, Outcome.REJECTED),
        (1004, 1004, None, None),
    ]
    running.release()


def test_events_come_in_order_and_one_at_a_time_under_many_threads():
    events, inside = [], Inside()

    def listen(event):
        with inside:
            events.append(event)

    bulkhead = Bulkhead(3, max_wait=PATIENCE, listener=listen)
    in_threads(50, lambda _: [bulkhead.call(int) for _ in range(10)])
    assert inside.most == 1
    assert len(events) == 1000
    in_use = 0
    for event in events:
        in_use += {"admitted": 1, "released": -1}[event.kind]
        assert event.in_use == in_use <= 3


def test_a_listener_may_use_the_bulkhead_and_may_fail(caplog):
    bulkhead = Bulkhead(2)
    seen = []

    def listen(event):
        seen.append(event.kind)
        if len(seen) == 1:
            bulkhead.call(int)
        raise ValueError("a propósito")

    bulkhead = Bulkhead(2, listener=listen)
    assert bulkhead.call(lambda: "hecho") == "hecho"
    assert seen == ["admitted", "admitted", "released", "released"]
    assert "a propósito" in caplog.text
    assert all_permits_are_there(bulkhead)


def test_metrics_count_what_became_of_each_call():
    clock = ManualClock(1000.0)
    bulkhead = Bulkhead(2, clock=clock)
    bulkhead.call(clock.advance, 3)
    with pytest.raises(ZeroDivisionError):
        bulkhead.call(lambda: 1 // 0)
    with held(bulkhead, 2), pytest.raises(BulkheadFullError):
        bulkhead.call(int)
    metrics = bulkhead.metrics()
    assert (metrics.limit, metrics.in_use, metrics.waiting) == (2, 0, 0)
    assert (metrics.accepted, metrics.completed, metrics.failed) == (4, 3, 1)
    assert (metrics.rejected, metrics.abandoned, metrics.max_in_use) == (1, 0, 2)
    assert metrics.busy == 3


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


# Bad input


@pytest.mark.parametrize("limit", [0, -1, 2.0, True, "3", None, AIMD])
def test_a_limit_is_a_whole_number_above_zero_or_an_algorithm(limit):
    with pytest.raises(InvalidInput, match="de 1 en adelante"):
        Bulkhead(limit)
    with pytest.raises(InvalidInput, match="de 1 en adelante"):
        BulkheadPool(limit, queue=1)
    bulkhead = Bulkhead(2)
    with pytest.raises(InvalidInput, match="de 1 en adelante"):
        bulkhead.limit = limit
    assert bulkhead.limit == 2


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), True, "1", None])
def test_a_wait_is_a_number_of_seconds(seconds):
    with pytest.raises(InvalidInput, match=r"max_wait vale .*segundos"):
        Bulkhead(1, max_wait=seconds)
    bulkhead = Bulkhead(1, max_wait=2)
    with pytest.raises(InvalidInput, match=r"max_wait vale .*segundos"):
        bulkhead.max_wait = seconds
    assert bulkhead.max_wait == 2


@pytest.mark.parametrize("queue", [-1, 1.5, True, "1"])
def test_a_queue_is_a_whole_number(queue):
    with pytest.raises(InvalidInput, match="max_queue"):
        Bulkhead(1, max_queue=queue)
    with pytest.raises(InvalidInput, match="queue"):
        BulkheadPool(1, queue=queue)


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_is_a_text(name):
    with pytest.raises(InvalidInput, match="name"):
        Bulkhead(1, name=name)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: AIMD(0, timeout=1), "initial"),
        (lambda: AIMD(5, timeout=0), "timeout"),
        (lambda: AIMD(5, timeout=1, backoff=1), "backoff"),
        (lambda: AIMD(5, timeout=1, min_limit=6), "min_limit"),
        (lambda: AIMD(5, timeout=1, max_limit=4), "max_limit"),
        (lambda: Vegas(0), "initial"),
        (lambda: Vegas(5, smoothing=0), "smoothing"),
        (lambda: Vegas(5, smoothing=1.5), "smoothing"),
        (lambda: Vegas(5, probe_multiplier=0), "probe_multiplier"),
    ],
)
def test_an_algorithm_refuses_what_makes_no_sense(make, word):
    with pytest.raises(InvalidInput, match=word):
        make()


async def coroutine_function():
    pytest.fail("called")


class CalledAsync:
    async def __call__(self):
        pytest.fail("called")


def generator_function():
    yield pytest.fail("called")


async def async_generator_function():
    yield pytest.fail("called")


@pytest.mark.parametrize(
    "func",
    [coroutine_function, functools.partial(coroutine_function), CalledAsync(), CalledAsync().__call__],
)
def test_a_coroutine_function_given_to_call_is_refused_at_once(func):
    bulkhead = Bulkhead(1)
    with pytest.raises(TypeError, match="acall"):
        bulkhead.call(func)
    with BulkheadPool(1, queue=1) as pool, pytest.raises(TypeError, match="acall"):
        pool.submit(func)
    assert bulkhead.metrics().accepted == 0


@pytest.mark.parametrize("func", [generator_function, async_generator_function])
def test_a_generator_would_run_after_the_permit_came_back_and_is_refused(func):
    bulkhead = Bulkhead(1)
    for attempt in (bulkhead.call, bulkhead, lambda func: asyncio.run(bulkhead.acall(func))):
        with pytest.raises(TypeError, match="generador"):
            attempt(func)


@pytest.mark.parametrize("func", [None, 3, "función"])
def test_what_cannot_be_called_is_refused(func):
    bulkhead = Bulkhead(1)
    for attempt in (bulkhead.call, bulkhead, lambda func: asyncio.run(bulkhead.acall(func))):
        with pytest.raises(TypeError, match="no se puede llamar"):
            attempt(func)


@pytest.mark.filterwarnings("error")
def test_a_function_that_returns_a_coroutine_is_told_so_and_the_coroutine_closed():
    bulkhead = Bulkhead(1)
    with pytest.raises(TypeError, match="devolvió una corrutina"):
        bulkhead.call(lambda: coroutine_function())
    with pytest.raises(TypeError, match="devolvió una corrutina"):
        asyncio.run(bulkhead.acall(lambda: coroutine_function()))
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("func", [print, functools.partial(int, "3"), int, len, "".join, Inside])
def test_whatever_can_be_called_plainly_may_be_given(func):
    args = {len: [[]], "".join: [["a"]]}.get(func, [])
    Bulkhead(1).call(func, *args)


# Any order of things


class GateMachine(RuleBasedStateMachine):
    """Arrivals, ends, cancellations, changes of limit and time in any order, on a clock wound by hand."""

    MAX_WAIT, MAX_QUEUE = 10, 4

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(1000.0)
        self.events = []
        self.gate = Gate(
            2,
            name="pagos",
            clock=self.clock,
            listener=self.events.append,
            max_wait=self.MAX_WAIT,
            max_queue=self.MAX_QUEUE,
        )
        self.spies = []  # admissions for which nobody waits: they are noted as told
        self.told = set()
        self.largest = 2  # the limit since nobody was inside

    def spies_in(self, state):
        return [spy for spy in self.spies if spy.state is state]

    @rule()
    def arrive(self):
        spy = self.gate._new_permit()
        spy.notify = lambda: self.told.add(spy)
        full = self.gate.in_use >= self.gate.limit
        queue = len(self.gate._queue)
        try:
            at_once = self.gate._arrive(spy)
        except BulkheadFullError:
            assert full
            assert queue == self.MAX_QUEUE
            assert spy.state is State.DONE
        else:
            assert at_once == (not full)
        self.spies.append(spy)

    @precondition(lambda self: self.gate.in_use)
    @rule(data=st.data(), error=st.sampled_from([None, ValueError(), asyncio.CancelledError()]))
    def end(self, data, error):
        first = self.spies_in(State.QUEUED)[:1]
        spy = data.draw(st.sampled_from(self.spies_in(State.HELD)))
        self.gate._leave(spy, error)
        self.gate._leave(spy)  # twice does no harm
        if first and self.gate.in_use < self.gate.limit:
            assert first[0].state is not State.QUEUED

    @precondition(lambda self: self.gate._queue)
    @rule(data=st.data())
    def cancel(self, data):
        self.gate._leave(data.draw(st.sampled_from(self.spies_in(State.QUEUED))))

    @precondition(lambda self: self.gate._queue)
    @rule()
    def wake_without_a_permit(self):
        spy = self.spies_in(State.QUEUED)[0]
        with pytest.raises(BulkheadFullError):
            self.gate._settle(spy)

    @rule(limit=st.integers(1, 6))
    def change_limit(self, limit):
        self.gate.limit = limit
        self.largest = max(self.largest, limit)

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def counts_are_true(self):
        metrics = self.gate.metrics()
        held, queued = self.spies_in(State.HELD), self.spies_in(State.QUEUED)
        assert metrics.in_use == len(held)
        assert metrics.waiting == len(queued) <= self.MAX_QUEUE
        assert list(self.gate._queue) == queued
        ended = [spy for spy in self.spies if spy.start is not None and spy.state is State.DONE]
        assert metrics.accepted == len(held) + len(ended)
        assert metrics.rejected + metrics.abandoned + metrics.accepted + len(queued) == len(self.spies)

    @invariant()
    def never_more_than_the_limit(self):
        if not self.gate.in_use:
            self.largest = self.gate.limit
        assert self.gate.in_use <= self.largest

    @invariant()
    def nobody_waits_while_a_permit_is_free(self):
        assert not self.gate._queue or self.gate.in_use >= self.gate.limit

    @invariant()
    def first_come_first_served_and_none_after_its_time(self):
        admitted = [event for event in self.events if event.kind == "admitted"]
        starts = [int(event.name) for event in admitted]
        assert starts == sorted(starts)
        assert all(event.start - event.arrival <= self.MAX_WAIT for event in admitted)

    @invariant()
    def who_waited_was_told(self):
        assert all(spy in self.told for spy in self.spies_in(State.HELD) if spy.start != spy.arrival)


@pytest.mark.parametrize("examples", [10, soak(100)])
def test_the_gate_does_what_its_model_does(examples):
    run_state_machine_as_test(
        GateMachine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


# What it costs to import


def test_the_core_needs_the_standard_library_only():
    code = (
        "import sys; import labkit.patterns.bulkhead as b; b.Bulkhead(1).call(int); b.full_response;"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & "
        "{'flask', 'werkzeug', 'aiohttp', 'requests', 'anyio'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
