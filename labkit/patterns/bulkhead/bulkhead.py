"""`Bulkhead`: the caller's own thread or task does the work, if there is a permit for it."""

import asyncio
import functools
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

from labkit.patterns._given import (
    is_coroutine_function,
    refuse_unfinished,
    valid_count,
    valid_seconds,
    valid_text,
)
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.checks import call_plainly, refuse_coroutine
from labkit.patterns.bulkhead.errors import BulkheadError
from labkit.patterns.bulkhead.events import Listener, Metrics, Recorder
from labkit.patterns.bulkhead.gate import Admission, Gate, TaskAdmission, ThreadAdmission
from labkit.patterns.bulkhead.limits import LimitAlgorithm, valid_limit

P = ParamSpec("P")
R = TypeVar("R")


class Bulkhead:
    """At most `limit` calls at a time, from threads and from asyncio tasks together.

        pagos = Bulkhead(3, max_wait=0.5)
        pagos.call(charge, order)            await pagos.acall(charge_async, order)
        with pagos: ...                      async with pagos: ...
        @pagos                               (on a function or a coroutine function)

    One limit for both sides, since what it protects does not care who calls. Have one for each dependency: a
    dictionary of them is all the registry there is.

    `limit`: how many, or a limit that adapts itself, `AIMD(…)` or `Vegas(…)`. `max_wait`: seconds that a call
    may wait for a permit; 0 refuses at once. `max_queue`: how many may wait (None: any number, since each
    waits for a bounded time). Those who wait are served first come, first served, and nobody overtakes.
    `listener`: called with each `BulkheadEvent`, one at a time and in order, outside every lock; under
    concurrency perhaps from another thread than the call's own. `clock`: seconds, never set back.

    A permit is held while the work runs, and comes back however it ends. `acall` with a plain function runs
    it in a thread of its own and keeps the permit until that thread ends, also when the awaiting task was
    cancelled. (`async with pagos: await asyncio.to_thread(…)` would not, nor would a coroutine that does it:
    when it is cancelled the block ends, and the thread goes on.)

    Raises BulkheadFullError when there is no permit, InvalidInput for what is no limit, no time or no name.
    """

    def __init__(
        self,
        limit: int | LimitAlgorithm,
        *,
        max_wait: float = 0.0,
        max_queue: int | None = None,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        name = "bulkhead" if name is None else valid_text("name", name)
        self._gate = Gate(
            name,
            valid_limit("limit", limit),
            Recorder(name, listener),
            clock,
            max_wait=valid_seconds("max_wait", max_wait, zero=True),
            max_queue=None if max_queue is None else valid_count("max_queue", max_queue, minimum=0),
        )
        # What `with` holds, by thread or task: a `with` statement has no place of its own for it.
        self._entered: dict[object, list[Admission]] = {}

    @property
    def name(self) -> str:
        """Its name."""
        return self._gate.name

    @property
    def limit(self) -> int:
        """How many may be inside. May be set while it runs: lowered, nobody inside is put out."""
        return self._gate.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._gate.set_limit(valid_count("limit", limit))

    @property
    def in_use(self) -> int:
        """How many are inside now."""
        return self._gate.in_use

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._gate.queue)

    def metrics(self) -> Metrics:
        """Everything in numbers, of one moment."""
        return self._gate.metrics()

    # Threads

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `func(*args, **kwargs)`, called in this thread with a permit.

        Raises BulkheadFullError, TypeError for a coroutine function or a generator, and what `func`
        raises.
        """
        refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)
        admission = self._thread_admission()
        try:
            self._gate.enter(admission)
            result = func(*args, **kwargs)
            refuse_coroutine(func, result)
            self._gate.leave(admission)
        except BaseException as error:
            self._gate.leave(admission, error)
            raise
        return result

    def acquire(self) -> "Permit":
        """Return a permit to be given back by hand, where no `with` can reach. Raises BulkheadFullError."""
        admission = self._thread_admission()
        try:
            self._gate.enter(admission)
        except BaseException as error:
            self._gate.leave(admission, error)
            raise
        return Permit(self._gate, admission)

    def __enter__(self) -> Self:
        admission = self._thread_admission()
        try:
            self._gate.enter(admission)
            self._entered.setdefault(threading.get_ident(), []).append(admission)
        except BaseException as error:
            self._gate.leave(admission, error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave(self._exiting(threading.get_ident()), error)

    # Asyncio

    async def acall(self, func: Callable[P, Awaitable[R] | R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `func` gives, awaited with a permit; a plain function runs in a thread of its own.

        Raises BulkheadFullError, TypeError for what is neither, and what `func` raises.
        """
        if not is_coroutine_function(func):
            refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)
            return await self._call_in_thread(cast(Callable[P, R], func), *args, **kwargs)
        admission = self._task_admission()
        try:
            await self._gate.enter_async(admission)
            result: R = await cast(Callable[P, Awaitable[R]], func)(*args, **kwargs)
            self._gate.leave(admission)
        except BaseException as error:
            self._gate.leave(admission, error)
            raise
        return result

    async def _call_in_thread(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        # Not the loop's executor: everyone shares that one, and a slow dependency would fill it for all.
        # There are never more of these threads than permits.
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        context = copy_context()
        admission = self._task_admission()

        def work() -> None:
            try:
                result = context.run(call_plainly, func, args, kwargs)
            except BaseException as error:
                self._gate.leave(admission, error)
                _tell(loop, answer, error, None)
            else:
                self._gate.leave(admission)
                _tell(loop, answer, None, result)

        thread = threading.Thread(target=work, name=f"{self.name}-{admission.number}", daemon=True)
        admission.worker = thread.name
        try:
            await self._gate.enter_async(admission)
            thread.start()
        except BaseException as error:
            # An interrupt may come just after the start: then the thread gives the permit back.
            if not thread.is_alive():
                self._gate.leave(admission, error)
            raise
        return await answer

    async def __aenter__(self) -> Self:
        admission = self._task_admission()
        try:
            await self._gate.enter_async(admission)
            self._entered.setdefault(_current_task(), []).append(admission)
        except BaseException as error:
            self._gate.leave(admission, error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave(self._exiting(_current_task()), error)

    # Decorator

    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, func: Callable[P, R]) -> Callable[P, R]: ...
    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func` with this bulkhead around it; a coroutine function stays one."""
        if is_coroutine_function(func):

            @functools.wraps(func)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                return await self.acall(func, *args, **kwargs)

            return guarded_async
        refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)

        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return self.call(func, *args, **kwargs)

        return guarded

    def __repr__(self) -> str:
        waiting = f", {self.waiting} esperando" if self.waiting else ""
        return f"Bulkhead({self.name}: {self.in_use} de {self.limit} en uso{waiting})"

    def _thread_admission(self) -> ThreadAdmission:
        gate = self._gate
        worker = threading.current_thread().name if gate.recorder.listening else None
        return ThreadAdmission(gate.next_number(), gate.clock(), worker)

    def _task_admission(self) -> TaskAdmission:
        gate = self._gate
        task = asyncio.current_task() if gate.recorder.listening else None
        return TaskAdmission(gate.next_number(), gate.clock(), task.get_name() if task else None)

    def _exiting(self, key: object) -> Admission:
        """Return what the block that ends now holds."""
        mine = self._entered.get(key)
        if mine:
            admission = mine.pop()
            if not mine:
                del self._entered[key]
            return admission
        self._entered.pop(key, None)  # emptied by what follows
        # Left elsewhere than entered: an ExitStack closed in another thread, a coroutine closed by the
        # garbage collector. Permits are alike, so another's will do; only the times of the two are exchanged.
        for others in list(self._entered.values()):
            if others:
                return others.pop()
        raise BulkheadError(messages.NOT_ENTERED.format(name=self.name))


class Permit:
    """One permit, held until `release`, which may be called from any thread and more than once."""

    __slots__ = ("_admission", "_gate")

    def __init__(self, gate: Gate, admission: Admission) -> None:
        self._gate = gate
        self._admission = admission

    def release(self, error: BaseException | None = None) -> None:
        """Give it back. `error`: what the work ended with."""
        self._gate.leave(self._admission, error)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs: the garbage collector closes the coroutine


def _tell(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[R], error: BaseException | None, result: Any
) -> None:
    def tell() -> None:
        if answer.done():
            return  # cancelled: its caller has left
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        pass  # the loop was closed meanwhile
