"""`BulkheadPool`: threads of its own and a bounded queue; the caller gets a Future.

`ThreadPoolExecutor` is half a bulkhead: it bounds the threads, but its queue takes everything, so an overload
becomes memory and waiting instead of a refusal; and it loses context variables.

Two gates with one lock: the door has a permit for each place (those who run and those who queue) and is where
work is refused or its submitter waits; the inner one has a permit for each worker, and its queue is the
pool's queue. A place is held from `submit` until the work ends, whether or not anyone still waits for the
Future.
"""

import asyncio
import logging
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, ParamSpec, Self, TypeVar

from labkit.patterns._given import name_of, refuse_unfinished, valid_count, valid_seconds, valid_text
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.checks import call_plainly
from labkit.patterns.bulkhead.events import Kind, Listener, Metrics, Recorder
from labkit.patterns.bulkhead.gate import Admission, Gate, TaskAdmission, ThreadAdmission
from labkit.patterns.bulkhead.limits import LimitAlgorithm, valid_limit

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class _Task(Admission):
    """A piece of work on its way through the inner gate."""

    __slots__ = ("context", "func", "future", "place")

    begins_later = True  # when a worker takes it up

    def __init__(self, place: Admission, func: Callable[[], Any]) -> None:
        super().__init__(place.number, place.arrival)
        self.place = place
        self.func = func
        self.context = copy_context()
        self.future: Future[Any] = Future()


class BulkheadPool:
    """At most `workers` tasks run, in threads of its own, and at most `queue` more wait for them.

        with BulkheadPool(3, queue=2, name="pagos") as pool:
            future = pool.submit(charge, order)
            future.result(timeout=1)         # a caller that gives up: the task keeps its place until it ends

    `workers`: how many, or a limit that adapts itself, `AIMD(…)` or `Vegas(…)`; may be set while it runs.
    `max_wait`: seconds that `submit` may wait for a place when queue and workers are full; 0 refuses at once.
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
        max_wait: float = 0.0,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        self._name = "pool" if name is None else valid_text("name", name)
        self._places = valid_count("queue", queue, minimum=0)
        recorder = Recorder(self._name, listener)
        self._inner = Gate(self._name, valid_limit("workers", workers), recorder, clock, max_wait=math.inf)
        self._door = _Door(
            self._inner, self._inner.limit + self._places, valid_seconds("max_wait", max_wait, zero=True)
        )
        self._inner.on_limit = lambda limit: self._door.change_limit(limit + self._places)
        self._ready: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        # The workers know the queue only: a pool that nobody holds any more lets them go.
        weakref.finalize(self, self._ready.put, None).atexit = False

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def workers(self) -> int:
        """How many tasks may run. May be set while it runs: lowered, no task is interrupted."""
        return self._inner.limit

    @workers.setter
    def workers(self, workers: int) -> None:
        self._inner.set_limit(valid_count("workers", workers))

    @property
    def queue(self) -> int:
        """How many tasks may wait."""
        return self._places

    @property
    def in_use(self) -> int:
        """How many tasks run now."""
        return self._inner.in_use

    @property
    def waiting(self) -> int:
        """How many tasks are in the queue now."""
        return len(self._inner.queue)

    def metrics(self) -> Metrics:
        """Everything in numbers, of one moment. `accepted` counts places, `waiting` the queue."""
        with self._inner.lock:
            door, inner = self._door.metrics(), self._inner.metrics()
        return replace(
            inner,
            accepted=door.accepted,
            rejected=door.rejected,
            abandoned=door.abandoned + inner.abandoned,
        )

    # Work

    def submit(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have `func(*args, **kwargs)` run by a worker and return its Future.

        A Future that is cancelled before its work begins frees its place at once. Raises BulkheadFullError,
        BulkheadClosedError, and TypeError for a coroutine function or a generator.
        """
        place = ThreadAdmission(self._door.next_number(), self._door.clock())
        task = self._task(place, func, args, kwargs)
        try:
            self._door.enter(place)
        except BaseException:
            task.future.cancel()  # gives back what it got; nothing, if it runs already
            raise
        return task.future

    async def acall(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await `func(*args, **kwargs)`, run by a worker; as `submit`, without blocking the loop."""
        place = TaskAdmission(self._door.next_number(), self._door.clock())
        task = self._task(place, func, args, kwargs)
        try:
            await self._door.enter_async(place)
        except BaseException:
            task.future.cancel()
            raise
        answer: R = await asyncio.wrap_future(task.future)
        return answer

    def map(self, func: Callable[..., R], *iterables: Iterable[Any]) -> Iterator[R]:
        """Yield the results in order, taking arguments only as places for them come free.

        Never more of its own tasks than workers and queue hold, so `iterables` may be endless. When others
        fill the pool it raises as `submit` does; what it has submitted and not yielded is cancelled.
        """
        refuse_unfinished(func, messages.COROUTINE_IN_POOL, messages.GENERATOR_FUNCTION)
        pending: deque[Future[R]] = deque()
        try:
            for args in zip(*iterables, strict=False):
                pending.append(self.submit(func, *args))
                if len(pending) >= self._door.limit:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; what is in the pool is done, or with `cancel_futures` only what runs already.

        `wait`: return when the workers have ended (a worker that calls this does not wait for itself).
        """
        with self._inner.lock:
            self._door.close()
            queued = [task for task in self._inner.queue if isinstance(task, _Task)]
        if cancel_futures:
            for task in queued:
                task.future.cancel()
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
        return f"BulkheadPool({self.name}: {self.in_use} de {self.workers} trabajando{waiting})"

    # Inside

    def _task(self, place: Admission, func: Callable[..., Any], args: Any, kwargs: Any) -> _Task:
        refuse_unfinished(func, messages.COROUTINE_IN_POOL, messages.GENERATOR_FUNCTION)

        def work() -> Any:
            return call_plainly(func, args, kwargs)

        work.__qualname__ = name_of(func)
        task = _Task(place, work)
        task.on_grant = lambda: self._dispatch(task)
        place.on_grant = lambda: self._inner.seat(task)
        task.future.add_done_callback(lambda future: self._withdraw(task) if future.cancelled() else None)
        return task

    def _dispatch(self, task: _Task) -> None:
        """Give a task with a permit to the workers, of whom there must be one for each permit in use."""
        self._ready.put(lambda: self._run(task))
        while len(self._threads) < self._inner.in_use:
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

    def _run(self, task: _Task) -> None:
        if not task.future.set_running_or_notify_cancel():
            return  # cancelled: `_withdraw` has given everything back
        worker = threading.current_thread().name
        self._inner.begin(task, worker)
        try:
            result = task.context.run(task.func)
        except BaseException as error:  # SystemExit too: it would end the worker and not the program
            self._leave(task, error)
            self._log_failure(task, worker, error)
            task.future.set_exception(error)
        else:
            # The place first: who has seen the result may count on it.
            self._leave(task, None)
            task.future.set_result(result)

    def _log_failure(self, task: _Task, worker: str, error: BaseException) -> None:
        assert task.start is not None
        assert task.end is not None
        _log.error(
            messages.LOG_TASK_FAILED,
            self.name,
            task.number,
            task.func.__qualname__,
            worker,
            task.end - task.start,
            task.start - task.arrival,
            exc_info=error,
        )

    def _leave(self, task: _Task, error: BaseException | None) -> None:
        self._inner.leave(task, error)
        self._door.leave(task.place, error)
        self._end_when_empty()

    def _withdraw(self, task: _Task) -> None:
        self._leave(task, CancelledError())

    def _end_when_empty(self) -> None:
        with self._inner.lock:
            if self._door.closed and not self._door.in_use:
                self._ready.put(None)


class _Door(Gate):
    """The gate of a pool's places; it reports refusals only, the inner gate tells of the work itself."""

    def __init__(self, inner: Gate, places: int, max_wait: float) -> None:
        super().__init__(inner.name, places, inner.recorder, inner.clock, max_wait=max_wait, lock=inner.lock)
        self._inner = inner

    def _why(self, *, waited: bool) -> str:
        text = messages.POOL_WAITED if waited else messages.POOL_FULL
        workers, queue = self._inner.in_use, len(self._inner.queue)
        return text.format(name=self.name, workers=workers, queue=queue, seconds=self.max_wait)

    def _note(self, kind: Kind, t: float, admission: Admission | None) -> None:
        if kind in ("rejected", "abandoned"):
            self._inner._note(kind, t, admission)


def _work(ready: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (run := ready.get()) is not None:
        run()
        del run  # else it would be held, with its pool, until the next
    ready.put(None)  # for the next worker
