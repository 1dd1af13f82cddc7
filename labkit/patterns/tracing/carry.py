"""The current span, and all other context variables, across threads and executors.

What keeps the context by itself: `await`, `asyncio.create_task`, `gather`, `asyncio.to_thread`. What loses
it, because threads have a context of their own: `threading.Thread`, `ThreadPoolExecutor`, and with it
`loop.run_in_executor`. (Free-threaded Python 3.14 starts its threads with a copy; executors lose it there
too, for their threads are older than the task.)
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from typing import ParamSpec, TypeVar

from labkit.patterns._given import valid_function

P = ParamSpec("P")
T = TypeVar("T")


def carry(function: Callable[P, T]) -> Callable[P, T]:
    """Return `function` so that it runs, in whatever thread, in the context in which `carry` was called.

    `Thread(target=carry(work))`, `executor.map(carry(ask), urls)`, `loop.run_in_executor(None, carry(read))`.
    """
    valid_function("function", function)
    context = copy_context()

    @wraps(function, updated=())
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        # A copy for each call: no two threads may be in one context at a time (`map` has many there).
        return context.copy().run(function, *args, **kwargs)

    return carried


class TracingExecutor(ThreadPoolExecutor):
    """A ThreadPoolExecutor whose tasks run in the context of who submitted them, `map` included."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See ThreadPoolExecutor."""
        return super().submit(carry(fn), *args, **kwargs)
