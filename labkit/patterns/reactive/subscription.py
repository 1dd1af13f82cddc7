"""A stream turned round: it pushes, as much as was asked for.

The words and rules are those of Reactive Streams 1.0.4, where they have a meaning on one event loop; the
tests name each by its number.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, Literal, TypeVar

from labkit.patterns._given import InvalidInput
from labkit.patterns.reactive import messages

T = TypeVar("T")
State = Literal["active", "completed", "failed", "cancelled"]


class Subscription(Generic[T]):
    """Push items to `on_next` within the demand, then one terminal signal. Made by `Stream.subscribe`.

    The source is asked for an item only under demand, so its end, too, is noticed by the request after the
    last item. Functions may be coroutine functions; the next signal waits for them. What `on_next` raises
    cancels the subscription and is raised by `wait`.
    """

    def __init__(
        self,
        source: AsyncGenerator[T, None],
        on_next: Callable[[T], object],
        on_error: Callable[[Exception], object] | None,
        on_complete: Callable[[], object] | None,
    ) -> None:
        self.state: State = "active"
        self._source = source
        self._on_next, self._on_error, self._on_complete = on_next, on_error, on_complete
        self._demand = 0
        self._asked = asyncio.Event()
        self._refused: InvalidInput | None = None
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def request(self, count: int) -> None:
        """Ask for `count` items more; requests add up. Does nothing once the subscription has ended.

        A count that is no whole number above 0 ends the subscription: `on_error` gets an InvalidInput (3.9).
        """
        if self.state != "active":
            return
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            self._refused = InvalidInput(messages.BAD_REQUEST.format(given=count))
        else:
            self._demand += count
        self._asked.set()

    def cancel(self) -> None:
        """Ask for no more: everything below is ended, no signal follows. May be called at any time."""
        if self.state == "active":
            self.state = "cancelled"
            self._asked.set()
            if asyncio.current_task() is not self._task:  # from within on_next: it ends after on_next
                self._task.cancel()

    async def wait(self) -> State:
        """Return how it ended, once it has and nothing of it runs. Raises what a signal's function raised."""
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()
        return self.state

    async def _run(self) -> None:
        failure: Exception | None = None
        async with aclosing(self._source) as source:
            while True:
                if not await self._demanded():
                    break
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    failure = error
                    break
                self._demand -= 1
                await self._signal(self._on_next, item)
        if self.state != "active":
            return
        failure = self._refused or failure
        self.state = "completed" if failure is None else "failed"
        if failure is None:
            await self._signal(self._on_complete)
        else:
            await self._signal(self._on_error, failure)

    async def _demanded(self) -> bool:
        """Wait for demand; False when there is to be no more of it."""
        while self.state == "active" and self._refused is None and not self._demand:
            self._asked.clear()
            await self._asked.wait()
        return self.state == "active" and self._refused is None

    async def _signal(self, func: Callable[..., object] | None, *args: object) -> None:
        if func is None:
            return
        result = func(*args)
        if inspect.isawaitable(result):
            await result

    def _ended(self, _task: "asyncio.Task[None]") -> None:
        if self.state == "active":  # `on_next` raised, or the event loop ends
            self.state = "cancelled"
