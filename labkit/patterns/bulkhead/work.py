"""A plain function on its way to another thread, with its caller's context; the Future of what it gives."""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from labkit.patterns._given import name_of
from labkit.patterns.bulkhead import messages

Leave = Callable[[BaseException | None], object]


class Work(Future[Any]):
    """What a thread is to do for a caller who may stop waiting.

    `leave` gives back what the work holds. It is called once, with the error that ended the work or None,
    before the Future tells: who has seen the result may count on the permit. Work that is cancelled before it
    begins leaves at once.
    """

    def __init__(self, func: Callable[..., Any], args: Any, kwargs: Any, leave: Leave) -> None:
        super().__init__()
        context = copy_context()
        self._call = lambda: context.run(_call_plainly, func, args, kwargs)
        self._leave: Leave | None = leave

    def run(self, begin: Callable[[], object] = lambda: None) -> None:
        """Do it in the thread that calls this; `begin` is called first, unless it was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        try:
            begin()
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
            self._give_back(CancelledError())
        return cancelled

    def _give_back(self, error: BaseException | None) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(error)


def refuse_coroutine(func: Callable[..., Any], result: object) -> None:
    """Raise TypeError when a plain function (`lambda: fetch()`) has returned a coroutine."""
    if isinstance(result, CoroutineType):
        result.close()  # else Python warns that it was never awaited, far from here
        raise TypeError(messages.RETURNED_COROUTINE.format(given=name_of(func)))


def _call_plainly(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        result = func(*args, **kwargs)
    except StopIteration as error:
        # No Future of asyncio can carry it (PEP 479): whoever awaits would wait for ever.
        raise RuntimeError(messages.RAISED_STOP_ITERATION.format(given=name_of(func))) from error
    refuse_coroutine(func, result)
    return result
