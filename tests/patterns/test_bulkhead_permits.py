"""A permit is the work's: it comes back once, however and wherever the work ends."""

import asyncio
import contextlib
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from bulkhead_support import Crash, all_permits_are_there, held, in_threads, until
from support import PATIENCE, eventually

from labkit.patterns.bulkhead import (
    Bulkhead,
    BulkheadError,
    BulkheadFullError,
)


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
