"""`Bulkhead`: the caller's own thread or task does the work, if there is a permit for it."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from labkit.patterns._given import (
    guarded,
    is_coroutine_function,
    refuse_coroutine,
    refuse_unfinished,
    valid_count,
    valid_seconds,
)
from labkit.patterns._limits import LimitAlgorithm, valid_limit
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.errors import BulkheadError
from labkit.patterns.bulkhead.events import Listener
from labkit.patterns.bulkhead.gate import Gate, Permit
from labkit.patterns.bulkhead.work import Work

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class Bulkhead(Gate):
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
        name: str = "bulkhead",
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(
            valid_limit("limit", limit),
            name=name,
            max_wait=valid_seconds("max_wait", max_wait, zero=True),
            max_queue=None if max_queue is None else valid_count("max_queue", max_queue, minimum=0),
            clock=clock,
            listener=listener,
        )
        # What `with` holds, by thread or task: a `with` statement has no place of its own for it.
        self._entered: dict[object, list[Permit]] = {}

    @property
    def max_wait(self) -> float:
        """Seconds that a call may wait. May be set while it runs, for the calls that come from then on."""
        return self._max_wait

    @max_wait.setter
    def max_wait(self, seconds: float) -> None:
        self._max_wait = valid_seconds("max_wait", seconds, zero=True)

    # Threads

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `func(*args, **kwargs)`, called in this thread with a permit.

        Raises BulkheadFullError, TypeError for a coroutine function or a generator, and what `func`
        raises.
        """
        refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)
        permit = self._new_permit()
        try:
            self._enter(permit)
            result = func(*args, **kwargs)
            refuse_coroutine(func, result, messages.RETURNED_COROUTINE)
            permit.release()
        except BaseException as error:
            permit.release(error)
            raise
        return result

    def acquire(self) -> Permit:
        """Return a permit to be given back by hand, where no `with` can reach. Raises BulkheadFullError."""
        permit = self._new_permit()
        self._enter(permit)
        return permit

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
        permit = self._new_permit()
        try:
            await self._enter_async(permit)
            result: R = await cast(Callable[P, Awaitable[R]], func)(*args, **kwargs)
            permit.release()
        except BaseException as error:
            permit.release(error)
            raise
        return result

    async def _call_in_thread(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        # Not the loop's executor: everyone shares that one, and a slow dependency would fill it for all.
        # There are never more of these threads than permits.
        permit = self._new_permit()
        work = Work(permit, permit.release, func, args, kwargs)
        thread = threading.Thread(target=work.run, name=f"{self.name}-{permit.number}", daemon=True)
        try:
            await self._enter_async(permit)
            thread.start()
        except BaseException:
            work.cancel()  # gives back what it got; nothing, if it runs already
            raise
        return await asyncio.wrap_future(work)

    async def __aenter__(self) -> Self:
        permit = self._new_permit()
        await self._enter_async(permit)
        self._entered.setdefault(_current_task(), []).append(permit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exiting(_current_task()).release(error)

    # Decorator

    def __call__(self, func: F, /) -> F:
        """Return `func` with this bulkhead around it; a coroutine function stays one."""
        if not is_coroutine_function(func):
            refuse_unfinished(func, messages.COROUTINE_FUNCTION, messages.GENERATOR_FUNCTION)
        return guarded(func, self.call, self.acall)

    def __repr__(self) -> str:
        waiting = f", {self.waiting} esperando" if self.waiting else ""
        return f"Bulkhead({self.name}: {self.in_use} de {self.limit} en uso{waiting})"

    def _exiting(self, key: object) -> Permit:
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


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs: the garbage collector closes the coroutine
