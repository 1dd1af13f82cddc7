"""An event loop whose clock jumps to the next timer: an hour of retries in no time, always the same.

For tests and lessons. What waits for a socket, a thread or another process has no place here.
"""

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
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

    Where a loop is running already (a notebook), it gets a thread of its own; an interrupt cancels it. Raises
    Deadlock when all tasks wait for each other.
    """
    if asyncio._get_running_loop() is None:
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            return runner.run(main)
    outcome: Future[T] = Future()
    runner = asyncio.Runner(loop_factory=_VirtualLoop)

    def run() -> None:
        try:
            with runner:
                outcome.set_result(runner.run(main))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="virtual-clock", daemon=True).start()
    try:
        while not wait([outcome], 0.1).done:  # in slices: a wait without limit cannot always be interrupted
            pass
    except KeyboardInterrupt:
        loop = runner.get_loop()
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        raise
    return outcome.result()
