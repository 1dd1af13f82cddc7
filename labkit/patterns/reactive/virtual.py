"""An event loop whose clock jumps to the next timer: an hour of retries in no time, always the same.

For tests and lessons. What waits for a socket, a thread or another process has no place here.
"""

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from labkit.patterns.reactive import messages

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Everybody waits, and no timer is set that could wake anybody."""


class _Selector(selectors.SelectSelector):
    """Winds the clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock(messages.DEADLOCK)
        self.now += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a virtual clock that begins at 0, and return what it returns.

    It has a thread of its own, so that it also works where a loop is running (a notebook). Raises Deadlock
    when all tasks wait for each other.
    """
    outcome: list[T] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
                outcome.append(runner.run(main))
        except BaseException as failure:
            error.append(failure)

    thread = threading.Thread(target=run, name="virtual-clock", daemon=True)
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return outcome[0]
