"""Topics: everybody gets everything, nobody is waited for, and memory is the history's."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from typing import Any

import pytest

from labkit.patterns.reactive import (
    BufferClosed,
    Entry,
    InvalidInput,
    Stream,
    SubscriberTooSlow,
    Topic,
    run_virtually,
)


async def read(stream: Stream[Entry[Any]], count: int) -> list[Any]:
    return [entry.data for entry in await stream.take(count).collect()]


def test_every_reader_gets_what_is_published_after_it_opened() -> None:
    async def main() -> None:
        topic: Topic[str] = Topic()
        topic.publish("before")
        async with topic.subscribe().open() as early, topic.subscribe().map(str).buffer(2).open() as through:
            topic.publish("between")
            async with topic.subscribe().open() as late:
                topic.publish("after")
                assert [(await anext(early)).data for _ in range(2)] == ["between", "after"]
                assert (await anext(late)).data == "after"
            assert "between" in await anext(through), "a run begins when it is opened, not when it is read"

    run_virtually(main())


@pytest.mark.parametrize(
    ("after", "found"),
    [(0, [3, 4, 5]), (1, [3, 4, 5]), (3, [4, 5]), (4, [5]), (5, []), (99, [3, 4, 5])],
    ids=["all", "partly gone", "held", "the last one", "nothing missed", "of another life"],
)
def test_a_reader_begins_after_the_number_it_names_or_with_the_oldest_held(
    after: int, found: list[int]
) -> None:
    topic: Topic[str] = Topic(history=3)
    for number in range(1, 6):
        assert topic.publish(f"item {number}") == number
    topic.finish()
    for when_behind in ("skip", "fail"):  # what is gone already when one comes was never promised
        entries = run_virtually(topic.subscribe(after=after, when_behind=when_behind).collect())  # type: ignore
        assert entries == [Entry(number, f"item {number}") for number in found]


def test_a_reader_that_is_overtaken_goes_on_with_the_oldest_held_or_is_told() -> None:
    async def main() -> None:
        topic: Topic[int] = Topic(history=4)
        skipping, failing = topic.subscribe(), topic.subscribe(when_behind="fail")
        async with skipping.open() as slow, failing.open() as strict:
            for number in range(1, 11):
                topic.publish(number)
            assert [(await anext(slow)).id for _ in range(4)] == [7, 8, 9, 10]
            with pytest.raises(SubscriberTooSlow, match="6 elementos") as caught:
                await anext(strict)
            assert caught.value.skipped == 6
            assert [entry async for entry in strict] == []

    run_virtually(main())


def test_a_reader_that_keeps_up_is_never_told_that_it_is_behind() -> None:
    async def main() -> None:
        topic: Topic[int] = Topic(history=1)
        async with topic.subscribe(when_behind="fail").open() as items:
            for number in range(100):
                topic.publish(number)
                assert (await anext(items)).data == number

    run_virtually(main())


def test_the_end_and_an_error_come_after_what_is_held() -> None:
    async def main() -> None:
        topic: Topic[int] = Topic()
        topic.publish(1)
        async with topic.subscribe(after=0).open() as items:
            waiting = asyncio.create_task(read(topic.subscribe(), 5))
            await asyncio.sleep(1)
            topic.publish(2)
            topic.finish(LookupError())
            topic.finish()
            assert [(await anext(items)).data for _ in range(2)] == [1, 2]
            with pytest.raises(LookupError):
                await anext(items)
            with pytest.raises(LookupError):
                await waiting
        with pytest.raises(BufferClosed):
            topic.publish(3)
        assert topic.readers == 0

    run_virtually(main())


def test_a_reader_that_leaves_is_forgotten() -> None:
    async def main() -> None:
        topic: Topic[int] = Topic()
        readers = [asyncio.create_task(read(topic.subscribe(), 1)) for _ in range(50)]
        await asyncio.sleep(1)
        assert (topic.readers, len(topic._waiting)) == (50, 50)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        assert (topic.readers, len(topic._waiting)) == (0, 0)
        topic.publish(1)

    run_virtually(main())


def test_threads_publish_to_readers_on_several_loops() -> None:
    topic: Topic[tuple[str, int]] = Topic(history=10_000)
    per_thread, results = 300, {}
    ready = threading.Barrier(5)

    def publish(name: str) -> None:
        ready.wait()
        for number in range(per_thread):
            topic.publish((name, number))

    def listen(name: str) -> None:
        async def main() -> None:
            async with topic.subscribe(when_behind="fail").open() as items:
                await asyncio.get_running_loop().run_in_executor(None, ready.wait)
                results[name] = [(await anext(items)) for _ in range(2 * per_thread)]

        asyncio.run(main())

    threads = [threading.Thread(target=publish, args=(name,)) for name in ("a", "b")]
    threads += [threading.Thread(target=listen, args=(name,)) for name in ("x", "y", "z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results["x"] == results["y"] == results["z"]
    assert [entry.id for entry in results["x"]] == list(range(1, 2 * per_thread + 1))
    for name in ("a", "b"):
        numbers = [entry.data[1] for entry in results["x"] if entry.data[0] == name]
        assert numbers == list(range(per_thread))


class Payload:
    """An item that can be counted while anybody holds it."""


def crowd(readers: int, items: int) -> None:
    """One of the readers never reads again: the others get everything, and what is held is the history."""
    history = 10

    async def main() -> None:
        topic: Topic[Payload] = Topic(history)
        counts = [0] * readers
        sums = [0] * readers
        alive: weakref.WeakSet[Payload] = weakref.WeakSet()
        most = 0

        def publish() -> None:
            nonlocal most
            payload = Payload()
            alive.add(payload)
            topic.publish(payload)
            most = max(most, len(alive))

        async def listen(number: int) -> None:
            async with topic.subscribe(when_behind="fail").open() as entries:
                async for entry in entries:
                    counts[number] += 1
                    sums[number] += entry.id

        async with topic.subscribe().open() as stuck:
            tasks = [asyncio.create_task(listen(number)) for number in range(readers)]
            await asyncio.sleep(0)
            publish()
            await anext(stuck)  # and never again
            for number in range(2, items + 1):
                publish()
                if number % 5 == 0:  # in bursts, smaller than the history
                    while min(counts) < number:
                        await asyncio.sleep(0)
            topic.finish()
            await asyncio.gather(*tasks)
            assert counts == [items] * readers
            assert sums == [items * (items + 1) // 2] * readers
            # Besides the history: the one that the stuck reader has in its hand, and the one just leaving.
            assert history <= most <= history + 2
            assert (await anext(stuck)).id == items - history + 1

    asyncio.run(main())


@pytest.mark.limit(120)
def test_10_000_readers_get_everything_though_one_is_stuck() -> None:
    crowd(10_000, 30)


@pytest.mark.soak
@pytest.mark.limit(600)
def test_10_000_readers_for_a_long_time() -> None:
    crowd(10_000, 1000)


def test_a_reader_costs_less_than_a_queue_of_its_own_would() -> None:
    async def main() -> None:
        topic: Topic[int] = Topic(1000)
        for number in range(1000):
            topic.publish(number)
        async with topic.subscribe(after=0).open() as items:
            await anext(items)
            assert sys.getsizeof(items) < 1000

    run_virtually(main())


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Topic(0), "history"),
        (lambda: Topic().subscribe(after=-1), "after"),
        (lambda: Topic().subscribe(after="3"), "after"),  # type: ignore[arg-type]
        (lambda: Topic().subscribe(when_behind="wait"), "when_behind"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused_at_once(make: Any, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        make()
