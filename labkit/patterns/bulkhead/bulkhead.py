"""`Bulkhead`: the caller's own thread or task does the work, if there is a permit for it."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from labkit.patterns._given import (
    is_coroutine_function,
    refuse_unfinished,
    valid_count,
    valid_seconds,
    valid_text,
)
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.errors import BulkheadError
from labkit.patterns.bulkhead.events import Listener, Metrics
from labkit.patterns.bulkhead.gate import Admission, Gate
from labkit.patterns.bulkhead.limits import LimitAlgorithm, valid_limit
from labkit.patterns.bulkhead.work import Work, refuse_coroutine

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


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
        self.name = "bulkhead" if name is None else valid_text("name", name)
        self._gate = Gate(
            self.name,
            valid_limit("limit", limit),
            clock,
            listener,
            max_wait=valid_seconds("max_wait", max_wait, zero=True),
            max_queue=None if max_queue is None else valid_count("max_queue", max_queue, minimum=0),
        )
        # What `with` holds, by thread or task: a `with` statement has no place of its own for it.
        self._entered: dict[object, list[Permit]] = {}

    @property
    def limit(self) -> int:
        """How many may be inside. May be set while it runs: lowered, nobody inside is put out."""
        return self._gate.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._gate.set_limit(valid_count("limit", limit))

    @property
    def max_wait(self) -> float:
        """Seconds that a call may wait. May be set while it runs, for the calls that come from then on."""
        return self._gate.max_wait

    @max_wait.setter
    def max_wait(self, seconds: float) -> None:
        self._gate.max_wait = valid_seconds("max_wait", seconds, zero=True)

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
        admission = self._from_thread()
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
        admission = self._from_thread()
        self._gate.enter(admission)
        return Permit(self._gate, admission)

    def __enter__(self) -> Self:
        self._entered.setdefault(threading.get_ident(), []).append(self.acquire())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exiting(threading.get_ident()).release(error)

    # Asyncio

    async def acall(self, func: Callable[P, Awaitable[R] | R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `func` gives, awaited with a permit; a plain function runs in a thread of its own.

        Raises BulkheadFullError, TypeError for what is neither, and what `func` raises.
        """
        if not is_coroutine_function(func):
            refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)
            return cast(R, await self._call_in_thread(func, args, kwargs))
        admission = self._from_task()
        try:
            await self._gate.enter_async(admission)
            result: R = await cast(Callable[P, Awaitable[R]], func)(*args, **kwargs)
            self._gate.leave(admission)
        except BaseException as error:
            self._gate.leave(admission, error)
            raise
        return result

    async def _call_in_thread(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        # Not the loop's executor: everyone shares that one, and a slow dependency would fill it for all.
        # There are never more of these threads than permits.
        admission = self._from_task()
        work = Work(func, args, kwargs, partial(self._gate.leave, admission))
        thread = threading.Thread(target=work.run, name=f"{self.name}-{admission.number}", daemon=True)
        admission.worker = thread.name
        try:
            await self._gate.enter_async(admission)
            thread.start()
        except BaseException:
            work.cancel()  # gives back what it got; nothing, if it runs already
            raise
        return await asyncio.wrap_future(work)

    async def __aenter__(self) -> Self:
        admission = self._from_task()
        await self._gate.enter_async(admission)
        self._entered.setdefault(_current_task(), []).append(Permit(self._gate, admission))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exiting(_current_task()).release(error)

    # Decorator

    def __call__(self, func: F, /) -> F:
        """Return `func` with this bulkhead around it; a coroutine function stays one."""
        if is_coroutine_function(func):

            @wraps(func)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                return await self.acall(func, *args, **kwargs)

            return cast(F, guarded_async)
        refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)

        @wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return self.call(func, *args, **kwargs)

        return cast(F, guarded)

    def __repr__(self) -> str:
        waiting = f", {self.waiting} esperando" if self.waiting else ""
        return f"Bulkhead({self.name}: {self.in_use} de {self.limit} en uso{waiting})"

    def _from_thread(self) -> Admission:
        return self._gate.admission(threading.current_thread().name if self._gate.listeners.all else None)

    def _from_task(self) -> Admission:
        task = asyncio.current_task() if self._gate.listeners.all else None
        return self._gate.admission(task.get_name() if task else None)

    def _exiting(self, key: object) -> "Permit":
        """Return what the block that ends now holds."""
        # Left elsewhere than entered (an ExitStack closed in another thread, a coroutine closed by the
        # garbage collector): permits are alike, so another's will do; only their times are exchanged.
        mine = self._entered.get(key) or next(filter(None, list(self._entered.values())), None)
        if not mine:
            raise BulkheadError(messages.NOT_ENTERED.format(name=self.name))
        permit = mine.pop()
        if not self._entered.get(key):
            self._entered.pop(key, None)
        return permit


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
