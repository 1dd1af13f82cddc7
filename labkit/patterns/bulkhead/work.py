"""A plain function on its way to another thread, with its caller's context; the Future of what it gives."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any

from labkit.patterns._given import name_of, refuse_coroutine
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.gate import Permit

Leave = Callable[[BaseException | None], object]


class Work(Future[Any]):
    """What a thread is to do for a caller who may stop waiting.

    `leave` gives its permit back. It is called once, with the error that ended the work or None, before the
    Future tells: who has seen the result may count on the permit. Work that is cancelled before it begins
    leaves at once.
    """

    def __init__(
        self, permit: Permit, leave: Leave, func: Callable[..., Any], args: Any, kwargs: Any
    ) -> None:
        super().__init__()
        self._permit = permit
        self._leave: Leave | None = leave
        self._call = partial(copy_context().run, partial(_call_plainly, func, args, kwargs))

    def run(self) -> None:
        """Do it in the thread that calls this, unless it was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        self._permit.worker = threading.current_thread().name
        try:
            result = self._call()
        except BaseException as error:  # SystemExit too: it would end the thread and not the program
            self._give_back(error)
            self.set_exception(error)
            del self  # the error's traceback leads here: no cycle to collect
        else:
            self._give_back(None)
            self.set_result(result)

    def cancel(self) -> bool:
        """See Future: False when it runs or has run."""
        cancelled = super().cancel()
        if cancelled:
            self._give_back(asyncio.CancelledError())
        return cancelled

    def _give_back(self, error: BaseException | None) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(error)


def _call_plainly(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        result = func(*args, **kwargs)
    except StopIteration as error:
        # No Future of asyncio can carry it (PEP 479): whoever awaits would wait for ever.
        raise RuntimeError(messages.RAISED_STOP_ITERATION.format(given=name_of(func))) from error
    refuse_coroutine(func, result, messages.RETURNED_COROUTINE)
    return result
