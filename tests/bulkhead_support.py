"""What the tests of bulkheads share."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

from support import PATIENCE


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
