"""What a bulkhead costs for a call, against bare semaphores, and its pool against a ThreadPoolExecutor.

Every contestant guards the same function that returns at once; what is told is the time of a call, guard
included. A semaphore counts. A bulkhead also bounds the wait and keeps order, times and metrics, so the
semaphores say what that costs; they are no aim to reach.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial

import anyio

from labkit.patterns.bulkhead import Bulkhead, BulkheadPool

WITH, CALL, HEARD = "labkit, with", "labkit, call", "labkit, call, a listener"
SEMAPHORE, BARE = "threading.BoundedSemaphore", "no bulkhead"
AWITH, ACALL = "labkit, async with", "labkit, acall"
ASYNCIO, ANYIO = "asyncio.Semaphore", "anyio.CapacityLimiter"
BOUNDED = "asyncio.Semaphore in asyncio.timeout"
POOL, EXECUTOR = "labkit, BulkheadPool", "ThreadPoolExecutor"
THREADS, TASKS = 8, 100
FEW = 2  # permits where most of the threads or tasks have to wait
PATIENCE = 60.0

Once = Callable[[], object]
Measures = dict[str, Callable[[], float]]


def work() -> None:
    pass


async def work_async() -> None:
    # Gives way once, or nobody would ever wait for a permit.
    await asyncio.sleep(0)


def in_threads(limit: int) -> dict[str, Once]:
    bulkhead = Bulkhead(limit, max_wait=PATIENCE)
    heard = Bulkhead(limit, max_wait=PATIENCE, listener=lambda event: None)
    return {
        WITH: partial(entered, bulkhead),
        CALL: partial(bulkhead.call, work),
        HEARD: partial(heard.call, work),
        SEMAPHORE: partial(entered, threading.BoundedSemaphore(limit)),
        BARE: work,
    }


def entered(guard: AbstractContextManager[object]) -> None:
    with guard:
        work()


def microseconds(once: Once, calls: int, threads: int) -> float:
    """Time of one call when so many threads share `calls` among them."""
    start = threading.Barrier(threads + 1)

    def run() -> None:
        start.wait()
        for _ in range(calls // threads):
            once()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in running:
        thread.join()
    return 1e6 * (time.perf_counter() - began) / calls


def threaded(calls: int, threads: int, limit: int) -> Measures:
    return {name: partial(microseconds, once, calls, threads) for name, once in in_threads(limit).items()}


def in_tasks(calls: int, tasks: int, limit: int) -> Measures:
    async def enter(guard: AbstractAsyncContextManager[object]) -> None:
        async with guard:
            await work_async()

    async def enter_in_time(guard: asyncio.Semaphore) -> None:
        async with asyncio.timeout(PATIENCE):
            await guard.acquire()
        try:
            await work_async()
        finally:
            guard.release()

    def guards() -> dict[str, Callable[[], Awaitable[object]]]:
        bulkhead = Bulkhead(limit, max_wait=PATIENCE)
        return {
            AWITH: partial(enter, bulkhead),
            ACALL: partial(bulkhead.acall, work_async),
            ASYNCIO: partial(enter, asyncio.Semaphore(limit)),
            BOUNDED: partial(enter_in_time, asyncio.Semaphore(limit)),
            ANYIO: partial(enter, anyio.CapacityLimiter(limit)),
            BARE: work_async,
        }

    async def measure(name: str) -> float:
        once = guards()[name]

        async def run() -> None:
            for _ in range(calls // tasks):
                await once()

        began = time.perf_counter()
        await asyncio.gather(*(run() for _ in range(tasks)))
        return 1e6 * (time.perf_counter() - began) / calls

    names = (AWITH, ACALL, ASYNCIO, BOUNDED, ANYIO, BARE)
    return {name: lambda name=name: asyncio.run(measure(name)) for name in names}


def pooled(tasks: int) -> Measures:
    def labkit_pool() -> float:
        with BulkheadPool(4, queue=tasks) as pool:
            return of_all(lambda: pool.submit(work).result)

    def executor() -> float:
        with ThreadPoolExecutor(4) as pool:
            return of_all(lambda: pool.submit(work).result)

    def of_all(submit: Callable[[], Callable[[], object]]) -> float:
        began = time.perf_counter()
        for result in [submit() for _ in range(tasks)]:
            result()
        return 1e6 * (time.perf_counter() - began) / tasks

    return {POOL: labkit_pool, EXECUTOR: executor}
