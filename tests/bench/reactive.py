"""Items per second through a chain of five operators: labkit's streams, reactivex, plain async generators.

Every contestant does the same to the same numbers: map, filter, map, take, groups of ten. reactivex pushes
synchronously and knows no demand; plain generators do what a careful hand writes without a library. The
second chain has a bounded queue in its middle, which plain asyncio does with a task and asyncio.Queue, and
reactivex not at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import reactivex
from reactivex import operators as ops

from labkit.patterns.reactive import Stream, Topic

LABKIT, REACTIVEX, GENERATORS = "labkit, Stream", "reactivex", "async generators by hand"
QUEUED, BY_HAND = "labkit, with buffer(64)", "by hand, with asyncio.Queue(64)"
READERS = 1000
TOPIC, QUEUES = f"labkit, Topic, {READERS} readers", f"an asyncio.Queue for each of {READERS} readers"

Measures = dict[str, Callable[[], float]]


def odd(number: int) -> bool:
    return bool(number % 2)


def double_plus(number: int) -> int:
    return 2 * number + 1


def half(number: int) -> int:
    return number // 2


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


async def by_hand(source: AsyncIterator[int], count: int) -> AsyncGenerator[list[int], None]:
    async def mapped(source: AsyncIterator[int], func: Callable[[int], int]) -> AsyncGenerator[int, None]:
        async for item in source:
            yield func(item)

    async def odd_ones(source: AsyncIterator[int]) -> AsyncGenerator[int, None]:
        async for item in source:
            if odd(item):
                yield item

    async def first(source: AsyncIterator[int]) -> AsyncGenerator[int, None]:
        left = count
        async for item in source:
            yield item
            left -= 1
            if not left:
                return

    async def groups(source: AsyncIterator[int]) -> AsyncGenerator[list[int], None]:
        group: list[int] = []
        async for item in source:
            group.append(item)
            if len(group) == 10:
                yield group
                group = []

    async for group in groups(first(mapped(odd_ones(mapped(source, double_plus)), half))):
        yield group


def chain(stream: Stream[int], count: int) -> Stream[list[int]]:
    return stream.map(double_plus).filter(odd).map(half).take(count).window(10)


async def queued(source: AsyncIterator[int]) -> AsyncGenerator[int, None]:
    queue: asyncio.Queue[int | None] = asyncio.Queue(64)

    async def fill() -> None:
        async for item in source:
            await queue.put(item)
        await queue.put(None)

    task = asyncio.create_task(fill())
    try:
        while (item := await queue.get()) is not None:
            yield item
    finally:
        task.cancel()


def per_second(count: int, run: Callable[[], int]) -> float:
    began = time.perf_counter()
    total = run()
    spent = time.perf_counter() - began
    assert total == count, (total, count)
    return count / spent


async def total(items: AsyncIterator[list[int]]) -> int:
    number = 0
    async for group in items:
        number += len(group)
    return number


def chains(count: int) -> Measures:
    def with_reactivex() -> int:
        found = [0]
        reactivex.from_iterable(range(count)).pipe(
            ops.map(double_plus),
            ops.filter(odd),
            ops.map(half),
            ops.take(count),
            ops.buffer_with_count(10),
        ).subscribe(lambda group: found.__setitem__(0, found[0] + len(group)))
        return found[0]

    async def with_labkit() -> int:
        return await total(aiter(chain(Stream(lambda: numbers(count)), count)))

    async def with_generators() -> int:
        return await total(by_hand(numbers(count), count))

    return {
        LABKIT: lambda: per_second(count, lambda: asyncio.run(with_labkit())),
        REACTIVEX: lambda: per_second(count, with_reactivex),
        GENERATORS: lambda: per_second(count, lambda: asyncio.run(with_generators())),
    }


def buffered(count: int) -> Measures:
    async def with_labkit() -> int:
        return await total(aiter(chain(Stream(lambda: numbers(count)).buffer(64), count)))

    async def with_queue() -> int:
        return await total(by_hand(queued(numbers(count)), count))

    return {
        QUEUED: lambda: per_second(count, lambda: asyncio.run(with_labkit())),
        BY_HAND: lambda: per_second(count, lambda: asyncio.run(with_queue())),
    }


def crowds(items: int) -> Measures:
    """Deliveries per second to many readers."""

    async def with_topic() -> int:
        topic: Topic[int] = Topic(64)

        async def listen() -> int:
            async with topic.subscribe(when_behind="fail").open() as entries:
                return len([entry async for entry in entries])

        readers = [asyncio.create_task(listen()) for _ in range(READERS)]
        await asyncio.sleep(0)
        for number in range(items):
            topic.publish(number)
            if number % 10 == 9:
                await asyncio.sleep(0.001)
        topic.finish()
        return sum(await asyncio.gather(*readers))

    async def with_queues() -> int:
        queues: list[asyncio.Queue[int | None]] = [asyncio.Queue(64) for _ in range(READERS)]

        async def listen(queue: asyncio.Queue[int | None]) -> int:
            number = 0
            while await queue.get() is not None:
                number += 1
            return number

        readers = [asyncio.create_task(listen(queue)) for queue in queues]
        await asyncio.sleep(0)
        for number in range(items):
            for queue in queues:
                queue.put_nowait(number)
            if number % 10 == 9:
                await asyncio.sleep(0.001)
        for queue in queues:
            queue.put_nowait(None)
        return sum(await asyncio.gather(*readers))

    count = items * READERS
    return {
        TOPIC: lambda: per_second(count, lambda: asyncio.run(with_topic())),
        QUEUES: lambda: per_second(count, lambda: asyncio.run(with_queues())),
    }
