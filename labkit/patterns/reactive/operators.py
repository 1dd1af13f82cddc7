"""The operators: each reads the generator below it and is a generator itself.

A generator asks for an item only when it was asked for one, closes what is below when it is closed, and can
be asked by one task at a time; that is demand, cancellation and serial signals, without a line for them.
Where an operator works ahead of its reader, a task fills a bounded buffer (`pump`).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from labkit.patterns.reactive import messages
from labkit.patterns.reactive.background import pump, running, stop
from labkit.patterns.reactive.buffer import Buffer
from labkit.patterns.reactive.errors import StreamTimeout
from labkit.patterns.reactive.retry import Retry

T = TypeVar("T")
R = TypeVar("R")
Upstream = AsyncGenerator[T, None]


async def mapped(upstream: Upstream[T], func: Callable[[T], R]) -> Upstream[R]:
    """Yield `func(item)`."""
    async with aclosing(upstream):
        async for item in upstream:
            yield func(item)


async def filtered(upstream: Upstream[T], wanted: Callable[[T], object]) -> Upstream[T]:
    """Yield the items for which `wanted(item)` is true."""
    async with aclosing(upstream):
        async for item in upstream:
            if wanted(item):
                yield item


async def first_of(upstream: Upstream[T], count: int) -> Upstream[T]:
    """Yield the first `count` items, and close the source before the last of them is out."""
    async with aclosing(upstream):
        async for item in upstream:
            count -= 1
            if not count:
                break
            yield item
        else:
            return
    yield item


async def mapped_ahead(
    upstream: Upstream[T], func: Callable[[T], Awaitable[R]], concurrency: int
) -> Upstream[R]:
    """Yield `await func(item)` in the order of the items, up to `concurrency` of them at work or ready."""
    calls: Buffer[asyncio.Task[R]] = Buffer(concurrency)
    alive: set[asyncio.Task[R]] = set()
    others = asyncio.Semaphore(concurrency - 1)

    async def call(item: T) -> R:
        return await func(item)

    async def begin(item: T) -> None:
        task = asyncio.create_task(call(item))
        alive.add(task)
        calls.offer(task)
        await others.acquire()  # no item is asked for while `concurrency` are on their way

    try:
        async with running(pump(upstream, begin, calls.finish)):
            async for task in calls:
                result = await task
                alive.discard(task)
                others.release()
                yield result
    finally:
        await stop(alive)


async def merged(upstreams: Sequence[Upstream[T]]) -> Upstream[T]:
    """Yield the items of all as they come; of each at most one is fetched before it is asked for."""
    arrived: Buffer[tuple[T, asyncio.Event]] = Buffer(len(upstreams))
    left = len(upstreams)

    def ended(error: BaseException | None) -> None:
        nonlocal left
        left -= 1
        if error is not None or not left:
            arrived.finish(error)

    def reading(upstream: Upstream[T]) -> "asyncio.Future[None] | object":
        taken = asyncio.Event()

        async def hand_over(item: T) -> None:
            taken.clear()
            arrived.offer((item, taken))
            await taken.wait()

        return pump(upstream, hand_over, ended)

    async with running(*map(reading, upstreams)):  # type: ignore[arg-type]
        async for item, taken in arrived:
            yield item
            taken.set()


async def buffered(upstream: Upstream[T], buffer: Buffer[T]) -> Upstream[T]:
    """Yield from a buffer that is filled meanwhile."""
    async with running(pump(upstream, buffer.put, buffer.finish)):
        async for item in buffer:
            yield item


async def grouped(upstream: Upstream[T], count: int) -> Upstream[list[T]]:
    """Yield lists of `count` items; the last may be shorter, and comes before an error."""
    window: list[T] = []
    error: Exception | None = None
    try:
        async with aclosing(upstream):
            async for item in upstream:
                window.append(item)
                if len(window) == count:
                    yield window
                    window = []
    except Exception as failure:
        error = failure
    if window:
        yield window
    if error is not None:
        raise error


async def windowed(upstream: Upstream[T], count: int, seconds: float) -> Upstream[list[T]]:
    """Yield lists of `count` items, or of those that came within `seconds` of the list's first."""
    buffer: Buffer[T] = Buffer(1)
    async with running(pump(upstream, buffer.put, buffer.finish)):
        async for item in buffer:
            window = [item]
            error = None
            try:
                async with asyncio.timeout(seconds) as limit:
                    while len(window) < count:
                        window.append(await anext(buffer))
            except StopAsyncIteration:
                pass  # the last window is shorter
            except Exception as failure:
                error = None if limit.expired() else failure
            yield window
            if error is not None:
                raise error  # after the items that came before it


async def timed(upstream: Upstream[T], seconds: float) -> Upstream[T]:
    """Raise StreamTimeout when an item that was asked for does not come within `seconds`."""
    async with aclosing(upstream):
        while True:
            try:
                async with asyncio.timeout(seconds) as limit:
                    item = await anext(upstream)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if limit.expired():
                    raise StreamTimeout(messages.TIMED_OUT.format(seconds=seconds)) from error
                raise  # the source's own
            yield item


async def retried(open_upstream: Callable[[], Upstream[T]], policy: Retry) -> Upstream[T]:
    """Open the source anew after a failure; an item that gets through starts the count again."""
    failures = 0
    policy.begin()
    while True:
        try:
            async with aclosing(open_upstream()) as upstream:
                async for item in upstream:
                    failures = 0
                    yield item
            return
        except policy.retry_on as error:
            failures += 1
            pause = policy.pause(failures, error)
            if pause is None:
                raise
        await asyncio.sleep(pause)
