"""A pool with threads of its own and a bounded queue."""

import asyncio
import contextvars
import gc
import logging
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from discovery_support import ManualClock, no_threads_left
from support import PATIENCE, eventually

from labkit.patterns.bulkhead import (
    AIMD,
    BulkheadClosedError,
    BulkheadFullError,
    BulkheadPool,
    InvalidInput,
    calls,
)


class Crash(BaseException):
    """Not an Exception: nobody catches it by mistake."""


@pytest.fixture(autouse=True)
def _no_threads_left():
    with no_threads_left():
        yield


class Busy:
    """Work that stays inside until told to end."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, answer=None):
        self.entered.release()
        assert self.go_on.wait(PATIENCE)
        return answer

    def wait_for(self, number):
        for _ in range(number):
            assert self.entered.acquire(timeout=PATIENCE)


@pytest.fixture
def busy():
    busy = Busy()
    yield busy
    busy.go_on.set()


def fill(pool, busy):
    """Every worker works and the queue is full; returns the futures."""
    futures = [pool.submit(busy, n) for n in range(pool.limit + pool.queue)]
    busy.wait_for(pool.limit)
    return futures


def test_a_future_has_what_the_function_gives():
    with BulkheadPool(2, queue=2) as pool:
        assert pool.submit(lambda a, b=0: a + b, 1, b=2).result(PATIENCE) == 3


def test_the_seeds_five_tasks_in_a_pool_of_three(busy):
    """Three begin, two wait their turn; each worker that ends takes the next in order."""
    events, go_on = [], [threading.Event() for _ in range(5)]
    began = [threading.Event() for _ in range(5)]

    def task(n):
        began[n].set()
        assert go_on[n].wait(PATIENCE)

    with BulkheadPool(3, queue=2, name="pool", listener=events.append) as pool:
        futures = [pool.submit(task, n) for n in range(5)]
        for n in (0, 1, 2):
            assert began[n].wait(PATIENCE)
        assert [began[n].is_set() for n in (3, 4)] == [False, False]
        assert (pool.in_use, pool.waiting) == (3, 2)
        assert repr(pool) == "BulkheadPool(pool: 3 de 3 trabajando, 2 en la cola)"
        for ends, begins in ((0, 3), (1, 4)):
            go_on[ends].set()
            assert began[begins].wait(PATIENCE)
        for event in go_on:
            event.set()
        for future in futures:
            future.result(PATIENCE)
    records = calls(events)
    assert [record.name for record in records] == ["1", "2", "3", "4", "5"]
    assert {record.worker for record in records} == {"pool-1", "pool-2", "pool-3"}
    assert [record.worker for record in records[3:]] == [record.worker for record in records[:2]]
    assert all(record.arrival <= record.start <= record.end for record in records)
    assert records[3].start >= records[0].end
    kinds = [event.kind for event in events]
    assert (kinds.count("admitted"), kinds.count("released"), len(kinds)) == (5, 5, 10)


def test_never_more_than_the_workers_and_in_order_of_submission():
    order, running, most = [], 0, 0
    lock = threading.Lock()

    def task(n):
        nonlocal running, most
        with lock:
            order.append(n)
            running += 1
            most = max(most, running)
        time.sleep(0)
        with lock:
            running -= 1

    with BulkheadPool(1, queue=200) as pool:
        for n in range(200):
            pool.submit(task, n)
    assert order == list(range(200))
    order.clear()
    with BulkheadPool(4, queue=500) as pool, ThreadPoolExecutor(50) as others:
        list(others.map(lambda n: pool.submit(task, n), range(500)))
    assert sorted(order) == list(range(500))
    assert most <= pool.metrics().max_in_use <= 4
    assert len(pool._threads) <= 4


def test_what_finds_neither_worker_nor_place_is_refused_and_counted(busy):
    with BulkheadPool(2, queue=3, name="pagos") as pool:
        futures = fill(pool, busy)
        for _ in range(10):
            with pytest.raises(BulkheadFullError, match="2 de 2 permisos en uso y 3 esperando") as refusal:
                pool.submit(pytest.fail)
        assert (refusal.value.name, refusal.value.waited) == ("pagos", False)
        busy.go_on.set()
        assert [future.result(PATIENCE) for future in futures] == [0, 1, 2, 3, 4]
    metrics = pool.metrics()
    assert (metrics.accepted, metrics.rejected, metrics.completed) == (5, 10, 5)
    assert (metrics.max_in_use, metrics.max_waiting, metrics.in_use, metrics.waiting) == (2, 3, 0, 0)


def test_a_queue_of_none_hands_to_workers_only(busy):
    with BulkheadPool(1, queue=0) as pool:
        fill(pool, busy)
        with pytest.raises(BulkheadFullError):
            pool.submit(pytest.fail)
        busy.go_on.set()


def test_who_has_seen_the_result_may_submit_the_next():
    """The place is free before the result is told, or a pool without a queue would refuse by chance."""
    taken_when_told = []
    with BulkheadPool(1, queue=0) as pool:
        for n in range(100):
            go_on = threading.Event()
            future = pool.submit(go_on.wait, PATIENCE)
            future.add_done_callback(lambda _: taken_when_told.append((pool.in_use, pool.waiting)))
            go_on.set()
            future.result(PATIENCE)
            assert pool.submit(int, n).result(PATIENCE) == n
    assert taken_when_told == [(0, 0)] * 100
    assert pool.metrics().rejected == 0


def test_a_future_whose_caller_timed_out_still_occupies_its_place(busy):
    with BulkheadPool(1, queue=0) as pool:
        [future] = fill(pool, busy)
        with pytest.raises(TimeoutError):
            future.result(timeout=0.01)
        assert not future.cancel()  # it runs
        assert pool.in_use == 1
        with pytest.raises(BulkheadFullError):
            pool.submit(pytest.fail)
        busy.go_on.set()
        future.result(PATIENCE)
        assert pool.submit(int).result(PATIENCE) == 0


def test_a_future_cancelled_in_the_queue_frees_its_place_and_never_runs(busy):
    events = []
    with BulkheadPool(1, queue=1, listener=events.append) as pool:
        _, queued = fill(pool, busy)
        assert queued.cancel()
        assert pool.waiting == 0
        after = pool.submit(int, 3)
        busy.go_on.set()
        assert after.result(PATIENCE) == 3
    record = calls(events)[1]
    assert (record.start, record.outcome) == (None, "cancelada")
    assert pool.metrics().abandoned == 1


def test_cancelling_at_every_moment_loses_no_place():
    with BulkheadPool(3, queue=1000) as pool, ThreadPoolExecutor(20) as others:

        def submit_and_cancel(n):
            future = pool.submit(time.sleep, 0)
            if n % 2:
                future.cancel()

        list(others.map(submit_and_cancel, range(1000)))
        eventually(lambda: pool.in_use == 0)
        metrics = pool.metrics()
        assert (metrics.accepted + metrics.abandoned, metrics.rejected) == (1000, 0)
        barrier = threading.Barrier(4)
        again = [pool.submit(barrier.wait, PATIENCE) for _ in range(3)]
        barrier.wait(PATIENCE)  # all three workers are there
        for future in again:
            future.result(PATIENCE)


def test_a_task_sees_its_submitters_context():
    language = contextvars.ContextVar("language", default="?")
    with BulkheadPool(1, queue=1) as pool:
        token = language.set("es")
        first = pool.submit(language.get)
        language.reset(token)
        second = pool.submit(language.get)
        assert (first.result(PATIENCE), second.result(PATIENCE)) == ("es", "?")
        # What a task sets stays with it.
        pool.submit(language.set, "fr").result(PATIENCE)
        assert pool.submit(language.get).result(PATIENCE) == "?"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, Crash])
def test_the_worker_survives_whatever_a_task_raises(error):
    def fail():
        raise error("a propósito")

    with BulkheadPool(1, queue=10) as pool:
        workers = set()
        for _ in range(5):
            with pytest.raises(error, match="a propósito"):
                pool.submit(fail).result(PATIENCE)
            workers.add(pool.submit(threading.get_ident).result(PATIENCE))
    assert len(workers) == 1


def test_a_failure_is_logged_with_all_that_helps_to_find_it(caplog):
    def charge(order):
        raise ValueError(f"pedido {order} sin dirección")

    with BulkheadPool(1, queue=1, name="pagos") as pool:
        with pytest.raises(ValueError, match="pedido 7"):
            pool.submit(charge, 7).result(PATIENCE)
        pool.submit(int).result(PATIENCE)
    [record] = [record for record in caplog.records if record.name == "labkit.patterns.bulkhead.pool"]
    assert record.levelno == logging.ERROR
    assert "«pagos»: la tarea 1" in record.getMessage()
    assert "charge" in record.getMessage()
    assert "pagos-1" in record.getMessage()
    assert "pedido 7 sin dirección" in record.exc_text


def test_a_failure_is_an_event_with_its_error():
    events = []
    with BulkheadPool(1, queue=1, listener=events.append) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 // 0).result(PATIENCE)
    assert (events[-1].kind, events[-1].outcome) == ("released", "error")
    assert isinstance(events[-1].error, ZeroDivisionError)


def test_acall_awaits_a_worker_and_keeps_the_loop_free(busy):
    async def main():
        async with asyncio.timeout(PATIENCE):
            call = asyncio.create_task(pool.acall(busy, "hecho"))
            await asyncio.to_thread(busy.wait_for, 1)
            busy.go_on.set()
            return await call

    with BulkheadPool(1, queue=1) as pool:
        assert asyncio.run(main()) == "hecho"


def test_a_cancelled_acall_keeps_its_worker_until_the_work_ends(busy):
    async def main():
        async with asyncio.timeout(PATIENCE):
            running = asyncio.create_task(pool.acall(busy))
            await asyncio.to_thread(busy.wait_for, 1)
            queued = asyncio.create_task(pool.acall(pytest.fail))
            while not pool.waiting:
                await asyncio.sleep(0)
            for task in (running, queued):
                task.cancel()
            await asyncio.gather(running, queued, return_exceptions=True)
            return running.cancelled(), queued.cancelled()

    with BulkheadPool(1, queue=1) as pool:
        assert asyncio.run(main()) == (True, True)
        assert (pool.in_use, pool.waiting) == (1, 0)
        busy.go_on.set()
        eventually(lambda: pool.in_use == 0)


def test_the_number_of_workers_changes_while_it_runs(busy):
    with BulkheadPool(1, queue=4) as pool:
        futures = fill(pool, busy)
        pool.limit = 3
        busy.wait_for(2)
        assert (pool.in_use, pool.waiting) == (3, 2)
        futures += [pool.submit(busy, 5), pool.submit(busy, 6)]  # the queue has four places as before
        with pytest.raises(BulkheadFullError):
            pool.submit(pytest.fail)
        pool.limit = 1
        busy.go_on.set()
        assert [future.result(PATIENCE) for future in futures] == list(range(7))
        metrics = pool.metrics()
        assert (metrics.limit, metrics.max_in_use) == (1, 3)
        assert pool.submit(int).result(PATIENCE) == 0


@pytest.mark.parametrize("workers", [0, 2.5, "3"])
def test_the_number_of_workers_is_checked(workers):
    with BulkheadPool(2, queue=0) as pool:
        with pytest.raises(InvalidInput):
            pool.limit = workers
        assert pool.limit == 2


def test_an_algorithm_may_decide_how_many_work():
    clock = ManualClock()
    with BulkheadPool(AIMD(4, timeout=1), queue=2, clock=clock) as pool:
        pool.submit(clock.advance, 5).result(PATIENCE)
        assert pool.limit == 3
        with pytest.raises(InvalidInput, match="AIMD"):
            pool.limit = 9


def test_a_coroutine_is_no_work_for_a_thread():
    async def fetch():
        pytest.fail("called")

    with BulkheadPool(1, queue=1) as pool:
        with pytest.raises(TypeError, match="corrutina"):
            pool.submit(fetch)
        with pytest.raises(TypeError, match="devolvió una corrutina"):
            pool.submit(lambda: fetch()).result(PATIENCE)
        eventually(lambda: pool.in_use == 0)


# The end


def test_shutdown_does_the_pending_work_first(busy):
    pool = BulkheadPool(1, queue=3)
    futures = fill(pool, busy)
    pool.shutdown(wait=False)
    with pytest.raises(BulkheadClosedError, match="cerrado"):
        pool.submit(pytest.fail)
    busy.go_on.set()
    pool.shutdown()
    assert [future.result(0) for future in futures] == [0, 1, 2, 3]
    assert not any(thread.is_alive() for thread in pool._threads)


def test_shutdown_of_an_idle_pool_twice_and_of_one_never_used():
    for pool in (BulkheadPool(2, queue=0), BulkheadPool(2, queue=0)):
        pool.shutdown()
        pool.shutdown()
    with BulkheadPool(1, queue=0) as pool:
        pool.submit(int).result(PATIENCE)
    pool.shutdown()


def test_a_task_may_shut_its_own_pool_down():
    pool = BulkheadPool(2, queue=0)
    pool.submit(pool.shutdown).result(PATIENCE)
    with pytest.raises(BulkheadClosedError):
        pool.submit(int)


def test_a_pool_that_nobody_holds_any_more_lets_its_workers_go():
    pool = BulkheadPool(2, queue=1)
    pool.submit(int).result(PATIENCE)
    gone, threads = weakref.ref(pool), pool._threads
    del pool

    def collected():
        gc.collect()
        return gone() is None

    eventually(collected)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_tasks_leave_nothing_for_the_garbage_collector():
    def fail():
        raise ConnectionError

    def tasks(count):
        for _ in range(count):
            pool.submit(int).result(PATIENCE)
            with pytest.raises(ConnectionError):
                pool.submit(fail).result(PATIENCE)
        eventually(lambda: pool._ready.empty())
        return gc.collect()

    with BulkheadPool(1, queue=1) as pool:
        tasks(10)
        gc.disable()
        try:
            assert tasks(100) < 100
        finally:
            gc.enable()


def test_a_system_that_gives_no_thread_says_so_to_who_submits(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    pool = BulkheadPool(1, queue=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            pool.submit(int)
    assert (pool.in_use, pool.waiting) == (0, 0)
    assert pool.submit(int).result(PATIENCE) == 0
    pool.shutdown()
