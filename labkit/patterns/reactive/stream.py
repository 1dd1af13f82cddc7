"""Sources, operators and sinks under one name."""

import asyncio
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

from labkit.patterns._given import (
    InvalidInput,
    is_coroutine_function,
    name_of,
    valid_count,
    valid_function,
    valid_seconds,
)
from labkit.patterns.reactive import messages, operators
from labkit.patterns.reactive.buffer import Buffer, Overflow
from labkit.patterns.reactive.retry import Retry
from labkit.patterns.reactive.subscription import Subscription

T = TypeVar("T")
R = TypeVar("R")

_TURN = 100  # items of a plain iterable after which other tasks get a turn


class Stream(Generic[T]):
    """Describe items that come with time; each reader has the source opened anew.

    `source`: a function without arguments that opens it and returns an iterable, asynchronous (such as an
    async generator function) or plain; or a plain iterable that can be gone through again (a list, a range).
    Raises InvalidInput, at once, for anything else and for bad arguments of the operators.
    """

    def __init__(self, source: Callable[[], AsyncIterable[T] | Iterable[T]] | Iterable[T]) -> None:
        if isinstance(source, Iterator | AsyncIterator):
            raise InvalidInput(messages.ONE_SHOT.format(given=source))
        if isinstance(source, Iterable):
            self._open: Callable[[], AsyncGenerator[T, None]] = lambda: _of_iterable(source)
        elif callable(source):
            self._open = lambda: _opened(source())
        else:
            raise InvalidInput(messages.BAD_SOURCE.format(given=source))

    # Operators

    def map(self, func: Callable[[T], R]) -> "Stream[R]":
        """Apply a function to each item."""
        _refuse_coroutine("func", func, messages.NEEDS_MAP_ASYNC)
        return _stream(lambda: operators.mapped(self._open(), func))

    def map_async(self, func: Callable[[T], Awaitable[R]], *, concurrency: int = 1) -> "Stream[R]":
        """Apply a coroutine function, up to `concurrency` items at work or ready; the order is kept."""
        valid_function("func", func)
        valid_count("concurrency", concurrency)
        return _stream(lambda: operators.mapped_ahead(self._open(), func, concurrency))

    def filter(self, wanted: Callable[[T], object]) -> "Stream[T]":
        """Keep the items for which `wanted(item)` is true."""
        _refuse_coroutine("wanted", wanted, messages.FILTER_IS_PLAIN)
        return _stream(lambda: operators.filtered(self._open(), wanted))

    def take(self, count: int) -> "Stream[T]":
        """End after `count` items; what is below is freed before the last one is handed out."""
        valid_count("count", count)
        return _stream(lambda: operators.first_of(self._open(), count))

    def merge(self, *others: "Stream[T]") -> "Stream[T]":
        """Interleave with other streams, items as they come; the first error ends all."""
        for other in others:
            if not isinstance(other, Stream):
                raise InvalidInput(messages.NOT_A_STREAM.format(given=other))
        return _stream(lambda: operators.merged([each._open() for each in (self, *others)]))

    def buffer(self, size: int, overflow: Overflow = "wait") -> "Stream[T]":
        """Let the source run up to `size` items ahead of the reader (and one in its hand); see Buffer."""
        Buffer(size, overflow)  # refuses bad arguments now
        return _stream(lambda: operators.buffered(self._open(), Buffer(size, overflow)))

    def window(self, count: int, seconds: float | None = None) -> "Stream[list[T]]":
        """Group into lists of `count`, or fewer when `seconds` have passed since the list's first item."""
        valid_count("count", count)
        if seconds is None:
            return _stream(lambda: operators.grouped(self._open(), count))
        valid_seconds("seconds", seconds)
        return _stream(lambda: operators.windowed(self._open(), count, seconds))

    def timeout(self, seconds: float) -> "Stream[T]":
        """Raise StreamTimeout when an item does not come within `seconds` of being asked for."""
        valid_seconds("seconds", seconds)
        return _stream(lambda: operators.timed(self._open(), seconds))

    def retry(self, policy: Retry) -> "Stream[T]":
        """Open the source anew when it fails, after the policy's pause; items may come again."""
        if not isinstance(policy, Retry):
            raise InvalidInput(messages.BAD_POLICY.format(given=policy))
        return _stream(lambda: operators.retried(self._open, policy))

    # Sinks

    def open(self) -> "aclosing[AsyncGenerator[T, None]]":
        """Start a run for an `async with` block, at whose end everything below has ended."""
        return aclosing(self._open())

    def __aiter__(self) -> AsyncGenerator[T, None]:
        """Start a run for `async for`. To leave it early, use `open`: `break` alone closes nothing."""
        return self._open()

    async def collect(self) -> list[T]:
        """Return all items in a list: for streams that end."""
        async with self.open() as items:
            return [item async for item in items]

    async def for_each(self, func: Callable[[T], object]) -> None:
        """Call `func` with each item, one after the other, awaiting what it returns where that can be."""
        valid_function("func", func)
        async with self.open() as items:
            async for item in items:
                result = func(item)
                if inspect.isawaitable(result):
                    await result

    def subscribe(
        self,
        on_next: Callable[[T], object],
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_complete: Callable[[], object] | None = None,
    ) -> Subscription[T]:
        """Start a run that pushes: nothing comes before `request(n)`. Needs a running event loop."""
        valid_function("on_next", on_next)
        for name, func in (("on_error", on_error), ("on_complete", on_complete)):
            if func is not None:
                valid_function(name, func)
        return Subscription(self._open(), on_next, on_error, on_complete)


def _stream(open_: Callable[[], AsyncGenerator[R, None]]) -> Stream[R]:
    return Stream(open_)


def _opened(source: Any) -> AsyncGenerator[Any, None]:
    if isinstance(source, AsyncGenerator):
        return source
    if isinstance(source, AsyncIterable):
        return _of_async_iterable(source)
    if isinstance(source, Iterable):
        return _of_iterable(source)
    if inspect.iscoroutine(source):
        source.close()
    raise InvalidInput(messages.BAD_OPENED.format(given=source))


def _refuse_coroutine(name: str, given: Callable[..., Any], message: str) -> None:
    if is_coroutine_function(valid_function(name, given)):
        raise InvalidInput(message.format(given=name_of(given)))


async def _of_iterable(items: Iterable[T]) -> AsyncGenerator[T, None]:
    for number, item in enumerate(items, 1):
        yield item
        if number % _TURN == 0:
            await asyncio.sleep(0)  # an endless range would never let anybody cancel its reader


async def _of_async_iterable(items: AsyncIterable[T]) -> AsyncGenerator[T, None]:
    iterator = aiter(items)
    try:
        async for item in iterator:
            yield item
    finally:
        close = cast("Callable[[], Awaitable[None]] | None", getattr(iterator, "aclose", None))
        if close is not None:
            await close()
