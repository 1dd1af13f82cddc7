"""`BulkheadPool`: threads of its own and a bounded queue; the caller gets a Future.

`ThreadPoolExecutor` is half a bulkhead: it bounds the threads, but its queue takes everything, so an overload
becomes memory and waiting instead of a refusal; and it loses context variables.

The gate's permits are its workers, the gate's queue is its queue. A task keeps its place from `submit` until
the work ends, whether or not anyone still waits for the Future.
"""

import asyncio
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import ParamSpec, Self, TypeVar

from labkit.patterns._given import name_of, refuse_unfinished, valid_count
from labkit.patterns._limits import LimitAlgorithm, valid_limit
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.events import Listener, Outcome
from labkit.patterns.bulkhead.gate import Gate, Permit
from labkit.patterns.bulkhead.work import Work

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class BulkheadPool(Gate):
    """At most `workers` tasks run, in threads of its own, and at most `queue` more wait for them.

        with BulkheadPool(3, queue=2, name="pagos") as pool:
            future = pool.submit(charge, order)
            future.result(timeout=1)         # a caller that gives up: the task keeps its place until it ends

    `workers`: how many, or a limit that adapts itself, `AIMD(…)` or `Vegas(…)`; `queue`: how many may wait.
    `name`, `clock`, `listener`: as in `Bulkhead`. Workers are called `NAME-1`, `NAME-2`, …

    A task sees the context variables of its submitter. Whatever it raises goes into its Future and, with all
    that helps to find it, into the log `labkit.patterns.bulkhead.pool`; the worker goes on. The threads are
    daemons: they do not keep a program from ending, so `shutdown` (or `with`) is for who wants all work done.
    """

    def __init__(
        self,
        workers: int | LimitAlgorithm,
        *,
        queue: int,
        name: str = "pool",
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        limit, self.queue = valid_limit("workers", workers), valid_count("queue", queue, minimum=0)
        # A task waits for a worker however long it takes: it is the queue that is bounded.
        super().__init__(limit, name=name, max_wait=math.inf, max_queue=queue, clock=clock, listener=listener)
        self._ready: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        # The workers know the queue only: a pool that nobody holds any more lets them go.
        weakref.finalize(self, self._ready.put, None).atexit = False

    def submit(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have `func(*args, **kwargs)` run by a worker and return its Future.

        A Future that is cancelled before its work begins frees its place at once. Raises BulkheadFullError,
        BulkheadClosedError, and TypeError for a coroutine function or a generator.
        """
        refuse_unfinished(func, messages.COROUTINE_IN_POOL, messages.GENERATOR_FUNCTION)
        if not self._threads:
            self._have_workers(1)  # where the system gives no thread at all it is said here
        permit = self._new_permit()
        work = Work(permit, partial(self._ended, permit, name_of(func)), func, args, kwargs)
        permit.notify = partial(self._dispatch, work)
        try:
            if self._arrive(permit):
                self._dispatch(work)
        except BaseException:
            work.cancel()  # gives back what it got; nothing, if it runs already
            raise
        return work

    async def acall(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await `func(*args, **kwargs)`, run by a worker; raises as `submit` does, and what `func` raises."""
        return await asyncio.wrap_future(self.submit(func, *args, **kwargs))

    def shutdown(self, wait: bool = True) -> None:
        """Take no more work; what is in the pool is done.

        `wait`: return when the workers have ended (a worker that calls this does not wait for itself).
        """
        with self._lock:
            self._closed = True
        self._end_when_empty()
        if wait:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        waiting = f", {self.waiting} en la cola" if self.waiting else ""
        return f"BulkheadPool({self.name}: {self.in_use} de {self.limit} trabajando{waiting})"

    def _dispatch(self, work: Work) -> None:
        """Give work with a permit to the workers, of whom there must be one for each permit in use."""
        self._have_workers(self.in_use)
        self._ready.put(work.run)

    def _have_workers(self, number: int) -> None:
        with self._lock:
            while len(self._threads) < number:
                name = f"{self.name}-{len(self._threads) + 1}"
                thread = threading.Thread(target=_work, args=(self._ready,), name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    if not self._threads:
                        raise
                    _log.warning(messages.LOG_NO_THREAD, self.name, len(self._threads))
                    return
                self._threads.append(thread)

    def _ended(self, permit: Permit, name: str, error: BaseException | None) -> None:
        permit.release(error)
        if permit.outcome is Outcome.FAILED and permit.start is not None and permit.end is not None:
            times = permit.end - permit.start, permit.start - permit.arrival
            words = (self.name, permit.number, name, permit.worker, *times)
            _log.error(messages.LOG_TASK_FAILED, *words, exc_info=error)
        self._end_when_empty()

    def _end_when_empty(self) -> None:
        with self._lock:
            if self._closed and not self.in_use and not self._queue:
                self._ready.put(None)


def _work(ready: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (run := ready.get()) is not None:
        run()
        del run  # else it would be held, with its pool, until the next
    ready.put(None)  # for the next worker
