"""Whatever the schedule: properties of streams under random delays, on a virtual clock.

A schedule is a list of delays, drawn by Hypothesis, from which the source, the functions and the reader take
theirs in turn; 0 gives way once, None does not give way at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from itertools import cycle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.patterns.reactive import Buffer, BufferOverflow, Stream, run_virtually

delays = st.lists(st.sampled_from([None, 0, 0, 0.5, 1, 3]), min_size=1, max_size=12)
EXAMPLES = settings(max_examples=60, deadline=None)


class Schedule:
    def __init__(self, drawn: list[float | None]) -> None:
        self.drawn = cycle(drawn)

    async def turn(self) -> None:
        delay = next(self.drawn)
        if delay is not None:
            await asyncio.sleep(delay)


class Counting:
    """A source on a schedule that knows what it gave, and how many of its runs go on."""

    def __init__(self, items: list[int], schedule: Schedule, fails: bool = False) -> None:
        self.items, self.schedule, self.fails = items, schedule, fails
        self.given = self.running = self.overlaps = 0
        self._inside = False

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.running += 1
        try:
            for item in self.items:
                self.overlaps += self._inside
                self._inside = True
                await self.schedule.turn()
                self._inside = False
                self.given += 1
                yield item
            if self.fails:
                raise LookupError
        finally:
            self._inside = False
            self.running -= 1


Make = Callable[[Stream[int], Schedule], Stream[Any]]


def _work(schedule: Schedule) -> Callable[[int], Any]:
    async def work(item: int) -> int:
        await schedule.turn()
        return item

    return work


# Operators that keep every item and the order: what they make of a stream, how far ahead they may be.
STAGES: list[tuple[str, Callable[[Stream[Any], Schedule], Stream[Any]], int]] = [
    ("map", lambda stream, _: stream.map(lambda item: item), 0),
    ("filter", lambda stream, _: stream.filter(lambda item: True), 0),
    ("buffer 1", lambda stream, _: stream.buffer(1), 2),
    ("buffer 3", lambda stream, _: stream.buffer(3), 4),
    ("map_async 1", lambda stream, schedule: stream.map_async(_work(schedule)), 1),
    ("map_async 3", lambda stream, schedule: stream.map_async(_work(schedule), concurrency=3), 3),
    ("timeout", lambda stream, _: stream.timeout(1e6), 0),
]
stages = st.lists(st.sampled_from(STAGES), max_size=4)


@EXAMPLES
@given(chain=stages, drawn=delays, length=st.integers(0, 12), fails=st.booleans(), leave=st.integers(0, 14))
def test_demand_order_end_and_cleaning_up(
    chain: list[Any], drawn: list[float | None], length: int, fails: bool, leave: int
) -> None:
    async def main() -> None:
        schedule = Schedule(drawn)
        source = Counting(list(range(length)), schedule, fails)
        stream: Stream[int] = Stream(source)
        for _, make, _ in chain:
            stream = make(stream, schedule)
        ahead = sum(bound for _, _, bound in chain)
        got: list[int] = []
        ends: list[str] = []
        async with stream.open() as items:
            while len(got) < leave and not ends:
                try:
                    got.append(await anext(items))
                except StopAsyncIteration:
                    ends.append("end")
                except LookupError:
                    ends.append("error")
                assert source.given <= len(got) + ahead
                await schedule.turn()
                assert source.given <= len(got) + ahead
            if ends:  # nothing follows the terminal event
                assert [item async for item in items] == []
        assert got == list(range(min(leave, length)))
        assert ends == (["error" if fails else "end"] if leave > length else [])
        assert source.running == source.overlaps == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(main())


@EXAMPLES
@given(chain=stages, drawn=delays, when=st.integers(0, 40).map(lambda number: number / 4))
def test_a_reader_cancelled_at_any_moment_leaves_nothing_running(
    chain: list[Any], drawn: list[float | None], when: float
) -> None:
    async def main() -> None:
        schedule = Schedule([*drawn, 0.25])  # so that it lasts a while
        source = Counting(list(range(100)), schedule)
        stream: Stream[int] = Stream(source)
        for _, make, _ in chain:
            stream = make(stream, schedule)
        reading = asyncio.create_task(stream.collect())
        await asyncio.sleep(when)
        reading.cancel()
        await asyncio.wait([reading])
        assert source.running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(main())


@EXAMPLES
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5), drawn=delays)
def test_a_merge_loses_nothing_keeps_each_order_and_fetches_one_ahead(
    lengths: list[int], drawn: list[float | None]
) -> None:
    async def main() -> None:
        schedule = Schedule(drawn)
        sources = [
            Counting([100 * number + item for item in range(length)], schedule)
            for number, length in enumerate(lengths)
        ]
        first, *others = map(Stream, sources)
        got: list[int] = []
        async with first.merge(*others).open() as items:
            async for item in items:
                got.append(item)
                await schedule.turn()
                for number, source in enumerate(sources):
                    assert source.given <= sum(item // 100 == number for item in got) + 1
        for number, source in enumerate(sources):
            assert [item for item in got if item // 100 == number] == source.items
        assert len(got) == sum(lengths)

    run_virtually(main())


@EXAMPLES
@given(
    size=st.integers(1, 5),
    overflow=st.sampled_from(["wait", "drop-oldest", "drop-newest", "fail"]),
    writing=delays,
    reading=delays,
    count=st.integers(0, 25),
)
def test_a_buffer_never_exceeds_its_bound_and_accounts_for_every_item(
    size: int, overflow: Any, writing: list[float | None], reading: list[float | None], count: int
) -> None:
    async def main() -> None:
        buffer: Buffer[int] = Buffer(size, overflow)
        failed = 0

        async def write() -> None:
            nonlocal failed
            schedule = Schedule(writing)
            for number in range(count):
                await schedule.turn()
                try:
                    await buffer.put(number)
                except BufferOverflow:
                    assert len(buffer) == size
                    failed += 1
                assert len(buffer) <= size
            buffer.finish()

        got: list[int] = []
        schedule = Schedule(reading)
        writer = asyncio.create_task(write())
        async for number in buffer:
            got.append(number)
            await schedule.turn()
        await writer
        assert got == sorted(set(got)), "the order is kept, and nothing comes twice"
        assert buffer.highest <= size
        assert len(got) + buffer.dropped + failed == count
        assert buffer.dropped == 0 or overflow.startswith("drop")
        assert failed == 0 or overflow == "fail"
        if overflow == "drop-oldest" and count:
            assert got[-1] == count - 1, "the newest always survives"
        if overflow == "drop-newest":
            assert got[:size] == list(range(min(size, count))), "the oldest always survive"

    run_virtually(main())


@EXAMPLES
@given(
    count=st.integers(1, 4), seconds=st.sampled_from([None, 0.5, 2]), drawn=delays, length=st.integers(0, 12)
)
def test_windows_lose_nothing_and_are_never_too_large_nor_empty(
    count: int, seconds: float | None, drawn: list[float | None], length: int
) -> None:
    async def main() -> None:
        source = Counting(list(range(length)), Schedule(drawn))
        windows = await Stream(source).window(count, seconds).collect()
        assert [item for window in windows for item in window] == source.items
        assert all(1 <= len(window) <= count for window in windows)
        if seconds is None:
            assert all(len(window) == count for window in windows[:-1])

    run_virtually(main())


@EXAMPLES
@given(
    requests=st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 0.5, 2])), max_size=8),
    drawn=delays,
    cancel_after=st.integers(0, 20),
)
def test_a_subscription_never_pushes_more_than_was_requested(
    requests: list[tuple[int, float]], drawn: list[float | None], cancel_after: int
) -> None:
    async def main() -> None:
        schedule = Schedule(drawn)
        source = Counting(list(range(12)), schedule)
        got: list[int] = []
        ends: list[str] = []
        busy = 0

        async def on_next(item: int) -> None:
            nonlocal busy
            busy += 1
            assert busy == 1, "signals do not overlap"
            assert not ends
            got.append(item)
            await schedule.turn()
            busy -= 1
            if len(got) == cancel_after:
                subscription.cancel()

        subscription = Stream(source).subscribe(on_next, on_complete=lambda: ends.append("end"))
        requested = 0
        for count, pause in requests:
            subscription.request(count)
            requested += count
            await asyncio.sleep(pause)
            assert len(got) <= source.given <= requested
        await asyncio.sleep(1000)
        expected = min(requested, 12, cancel_after or 12)
        assert got == list(range(expected))
        assert ends == (["end"] if requested > 12 and not 0 < cancel_after <= 12 else [])
        subscription.cancel()
        await subscription.wait()
        assert source.running == 0

    run_virtually(main())
