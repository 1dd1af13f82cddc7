"""Streams: operators, demand, cancellation and the one terminal event, on a virtual clock."""

from __future__ import annotations

import _thread
import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial, wraps
from typing import Any

import pytest

from labkit.patterns.reactive import (
    Buffer,
    BufferClosed,
    BufferOverflow,
    Deadlock,
    InvalidInput,
    Retry,
    Stream,
    StreamTimeout,
    run_virtually,
)


class Source:
    """A producer that counts: how many items it was asked for, gave, and whether it was closed."""

    def __init__(
        self, last: int, pause: float = 0.0, error: Exception | None = None, closing: float = 0.0
    ) -> None:
        self.last, self.pause, self.error, self.closing = last, pause, error, closing
        self.given = self.opened = self.closed = 0

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.opened += 1
        try:
            for number in range(1, self.last + 1):
                await asyncio.sleep(self.pause)
                self.given += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            await asyncio.sleep(self.closing)  # cleaning up may wait as well
            self.closed += 1


def virtually(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on the virtual clock, and see that it leaves no task behind."""

    async def run(*args: Any, **kwargs: Any) -> None:
        await test(*args, **kwargs)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @wraps(test)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        run_virtually(run(*args, **kwargs))

    return wrapped


def now() -> float:
    return asyncio.get_running_loop().time()


async def double(number: int) -> int:
    await asyncio.sleep(1)
    return 2 * number


async def slowly_first(number: int) -> int:
    await asyncio.sleep(10 - number)
    return number


def fail(number: int) -> int:
    raise LookupError(number)


# Every operator that has something below it: name, what it makes of a stream.
OPERATORS: dict[str, Callable[[Stream[Any]], Stream[Any]]] = {
    "map": lambda stream: stream.map(lambda item: item),
    "filter": lambda stream: stream.filter(lambda item: True),
    "take": lambda stream: stream.take(1000),
    "map_async": lambda stream: stream.map_async(double, concurrency=3),
    "merge": lambda stream: stream.merge(Stream(range(1000, 2000))),
    "buffer": lambda stream: stream.buffer(3),
    "buffer, dropping": lambda stream: stream.buffer(3, "drop-oldest"),
    "window": lambda stream: stream.window(2),
    "window, timed": lambda stream: stream.window(2, seconds=5),
    "timeout": lambda stream: stream.timeout(100),
    "retry": lambda stream: stream.retry(Retry()),
    "all": lambda stream: (
        stream.map(lambda item: item)
        .map_async(double, concurrency=2)
        .buffer(2)
        .merge(Stream([1]))
        .window(2, seconds=1)
        .timeout(100)
        .retry(Retry())
    ),
}
every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=list(OPERATORS))


def test_operators_do_to_items_what_their_names_say() -> None:
    numbers = Stream(range(1, 7))

    async def main() -> None:
        assert await numbers.map(lambda number: number * 10).collect() == [10, 20, 30, 40, 50, 60]
        assert await numbers.filter(lambda number: number % 2).collect() == [1, 3, 5]
        assert await numbers.take(2).collect() == [1, 2]
        assert await numbers.map_async(double, concurrency=2).collect() == [2, 4, 6, 8, 10, 12]
        assert await numbers.buffer(2).collect() == [1, 2, 3, 4, 5, 6]
        assert await numbers.window(4).collect() == [[1, 2, 3, 4], [5, 6]]
        assert sorted(await numbers.merge(Stream([7]), Stream([8, 9])).collect()) == list(range(1, 10))
        assert await numbers.timeout(1).collect() == [1, 2, 3, 4, 5, 6]
        seen: list[int] = []
        await numbers.for_each(seen.append)
        assert seen == await numbers.collect()  # each reader has a run of its own

    run_virtually(main())


@pytest.mark.parametrize("source", [[1, 2], (1, 2), lambda: [1, 2], lambda: iter([1, 2]), partial(Source(2))])
def test_what_can_be_opened_again_is_a_source(source: Any) -> None:
    stream = Stream(source)
    assert run_virtually(stream.collect()) == run_virtually(stream.collect()) == [1, 2]


def test_an_async_iterator_that_is_no_generator_is_read_and_closed() -> None:
    closed = []

    class Readings:
        def __aiter__(self) -> Readings:
            return self

        async def __anext__(self) -> int:
            return 7

        async def aclose(self) -> None:
            closed.append(True)

    assert run_virtually(Stream(Readings).take(2).collect()) == [7, 7]
    assert closed == [True]


# Demand


@every_operator
@virtually
async def test_nothing_is_asked_for_before_the_reader_asks(operator: Any) -> None:
    source = Source(100)
    async with operator(Stream(source)).open():
        await asyncio.sleep(10)
        assert (source.opened, source.given) == (0, 0)


@pytest.mark.parametrize(
    ("operator", "ahead"),
    [
        (lambda stream: stream, 0),
        (OPERATORS["map"], 0),
        (OPERATORS["filter"], 0),
        (OPERATORS["timeout"], 0),
        (OPERATORS["retry"], 0),
        (lambda stream: stream.merge(Stream([])), 0),  # the others of a merge: one each, see the properties
        (lambda stream: stream.map_async(double, concurrency=1), 1),
        (lambda stream: stream.map_async(double, concurrency=4), 4),
        (lambda stream: stream.buffer(1), 2),
        (lambda stream: stream.buffer(8), 9),
        (lambda stream: stream.window(1), 0),
        (lambda stream: stream.window(1, seconds=9), 2),
        (lambda stream: stream.map(lambda x: x).buffer(3).map_async(double, concurrency=2), 6),
    ],
)
@virtually
async def test_a_producer_is_never_further_ahead_than_stated(operator: Any, ahead: int) -> None:
    source = Source(30)
    taken = 0
    async with operator(Stream(source)).open() as items:
        async for _ in items:
            taken += 1
            await asyncio.sleep(50)  # a slow reader: whoever may run ahead has all the time
            assert source.given <= taken + ahead
            if taken < 15:
                assert source.given == taken + ahead, "and it does run so far ahead: the bound is tight"
    assert taken == 30


@virtually
async def test_map_async_has_no_more_at_work_than_its_concurrency_and_keeps_the_order() -> None:
    at_work = most = 0

    async def work(number: int) -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(10 - number)
        at_work -= 1
        return number

    assert await Stream(range(10)).map_async(work, concurrency=4).collect() == list(range(10))
    assert most == 4


@virtually
async def test_map_async_hands_out_what_is_ready_while_the_source_is_silent() -> None:
    async def one_then_silence() -> AsyncGenerator[int, None]:
        yield 1
        await asyncio.sleep(1000)

    async with Stream(one_then_silence).map_async(double, concurrency=5).open() as items:
        assert await anext(items) == 2
        assert now() == 1


@virtually
async def test_a_fast_source_does_not_starve_a_slow_one_in_a_merge() -> None:
    slow = Stream(Source(3, pause=1)).map(lambda number: -number)
    async with Stream(range(10**9)).merge(slow).open() as items:
        found: list[int] = []
        async for item in items:
            await asyncio.sleep(0.1)
            found += [item] if item < 0 else []
            if len(found) == 3:
                break
    assert now() < 4


@virtually
async def test_a_window_ends_by_count_or_by_time_whichever_comes_first() -> None:
    async def bursts() -> AsyncGenerator[int, None]:
        for number in (1, 2, 3, 4, 5):
            yield number
        await asyncio.sleep(10)
        yield 6
        await asyncio.sleep(10)
        yield 7

    times: list[tuple[float, list[int]]] = []
    async with Stream(bursts).window(3, seconds=4).open() as windows:
        async for window in windows:
            times.append((now(), window))
    assert times == [(0, [1, 2, 3]), (4, [4, 5]), (14, [6]), (20, [7])]


# Overflow


@pytest.mark.parametrize(
    ("overflow", "kept", "dropped"), [("drop-oldest", [7, 8, 9], 6), ("drop-newest", [1, 2, 3], 6)]
)
def test_a_full_buffer_gives_up_what_its_policy_says(overflow: Any, kept: list[int], dropped: int) -> None:
    buffer: Buffer[int] = Buffer(3, overflow)
    taken = [buffer.offer(number) for number in range(1, 10)]
    buffer.finish()

    async def read() -> list[int]:
        return [item async for item in buffer]

    assert taken == [True] * 3 + [overflow == "drop-oldest"] * 6
    assert run_virtually(read()) == kept
    assert (buffer.dropped, buffer.highest) == (dropped, 3)


@virtually
async def test_a_full_buffer_makes_the_writer_wait() -> None:
    buffer: Buffer[int] = Buffer(2)
    assert [buffer.offer(number) for number in (1, 2, 3)] == [True, True, False]
    third = asyncio.create_task(buffer.put(3))
    await asyncio.sleep(100)
    assert not third.done()
    assert await anext(buffer) == 1
    await third
    assert [len(buffer), buffer.highest, buffer.dropped] == [2, 2, 0]


@virtually
async def test_a_buffer_that_may_fail_does_so_after_what_it_holds() -> None:
    found: list[int] = []

    async def slowly(item: int) -> None:
        found.append(item)
        await asyncio.sleep(1)

    with pytest.raises(BufferOverflow, match="más lento"):
        await Stream(range(1, 100)).buffer(3, "fail").for_each(slowly)
    assert found == [1, 2, 3, 4]


@virtually
async def test_a_finished_buffer_refuses_items_and_sends_waiting_writers_away() -> None:
    buffer: Buffer[int] = Buffer(1)
    buffer.offer(1)
    waiting = asyncio.create_task(buffer.put(2))
    await asyncio.sleep(1)
    buffer.finish(LookupError())
    buffer.finish()  # only the first end counts
    with pytest.raises(BufferClosed):
        await waiting
    with pytest.raises(BufferClosed):
        buffer.offer(3)
    assert await anext(buffer) == 1
    with pytest.raises(LookupError):
        await anext(buffer)
    with pytest.raises(StopAsyncIteration):
        await anext(buffer)


@virtually
async def test_a_cancelled_read_or_write_loses_nothing_and_passes_its_turn_on() -> None:
    buffer: Buffer[int] = Buffer(1)
    reading = asyncio.create_task(anext_of(buffer))
    await asyncio.sleep(0)
    buffer.offer(1)
    reading.cancel()  # after the item came, before the reader could run
    await asyncio.wait([reading])
    first, second = asyncio.create_task(buffer.put(2)), asyncio.create_task(buffer.put(3))
    await asyncio.sleep(0)
    assert await anext(buffer) == 1
    first.cancel()  # it has just been told that there is room
    await asyncio.wait([first])
    await second
    assert await anext(buffer) == 3


async def anext_of(buffer: Buffer[int]) -> int:
    return await anext(buffer)


@virtually
async def test_a_buffer_has_one_reader() -> None:
    buffer: Buffer[int] = Buffer(1)
    first = asyncio.create_task(anext_of(buffer))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="un solo lector"):
        await anext(buffer)
    buffer.offer(1)
    assert await first == 1


@virtually
async def test_a_dropping_buffer_between_an_endless_source_and_a_slow_reader_lets_others_run() -> None:
    async with Stream(lambda: iter(int, 1)).buffer(5, "drop-newest").open() as items:
        async for item in items:
            await asyncio.sleep(0)
            assert item == 0
            break


# Cancellation


@every_operator
@virtually
async def test_leaving_early_ends_everything_below(operator: Any) -> None:
    source = Source(100, pause=0.1)
    before = asyncio.all_tasks()
    async with operator(Stream(source)).open() as items:
        async for _ in items:
            break
        assert source.opened - source.closed == 1
    assert source.opened == source.closed == 1
    assert asyncio.all_tasks() == before


@every_operator
@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.3, 1.0, 2.0])
@virtually
async def test_cancelling_the_reader_ends_everything_below(operator: Any, after: float) -> None:
    source = Source(100, pause=0.1)
    before = asyncio.all_tasks()
    reading = asyncio.create_task(operator(Stream(source)).collect())
    await asyncio.sleep(after)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert source.opened == source.closed
    assert asyncio.all_tasks() == before


@virtually
async def test_cancelling_twice_still_waits_for_what_is_below() -> None:
    source = Source(100, pause=1, closing=10)
    reading = asyncio.create_task(Stream(source).buffer(2).collect())
    await asyncio.sleep(1.5)
    for _ in range(3):
        reading.cancel()
        await asyncio.sleep(1)
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert (source.closed, now()) == (1, 11.5)


@virtually
async def test_a_cancellation_that_comes_while_a_run_is_being_left_is_not_swallowed() -> None:
    source = Source(100, pause=1, closing=10)

    async def first() -> int:
        async with Stream(source).buffer(2).open() as items:
            return await anext(items)

    reading = asyncio.create_task(first())
    await asyncio.sleep(3)  # it has its item and waits for the source to close
    assert (source.given, source.closed) == (1, 0)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert source.closed == 1


@virtually
async def test_a_bare_break_is_cleaned_up_when_the_iterator_is_forgotten() -> None:
    source = Source(100, pause=0.1)
    async for _ in Stream(source).buffer(2):
        break
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)
    assert source.closed == 1


@virtually
async def test_take_frees_what_is_below_before_it_hands_out_the_last_item() -> None:
    source = Source(100)
    async with Stream(source).buffer(2).take(3).open() as items:
        assert [await anext(items) for _ in range(3)] == [1, 2, 3]
        assert source.closed == 1


# One terminal event


@every_operator
@virtually
async def test_an_error_below_comes_once_after_the_items_and_then_the_end(operator: Any) -> None:
    source = Source(3, error=LookupError("the source's own"))
    got = []
    async with operator(Stream(source)).open() as items:

        async def read() -> None:
            async for item in items:
                got.append(item)

        with pytest.raises(LookupError, match="the source's own"):
            await read()
        assert [item async for item in items] == []
        with pytest.raises(StopAsyncIteration):
            await anext(items)
    assert got, "what came before the error is not lost"
    assert source.opened == source.closed


@every_operator
@virtually
async def test_an_end_is_an_end(operator: Any) -> None:
    async with operator(Stream(Source(3))).take(10_000).open() as items:
        assert len([item async for item in items]) >= 2
        assert [item async for item in items] == []


@every_operator
@virtually
async def test_two_tasks_cannot_read_one_run_at_the_same_time(operator: Any) -> None:
    async with operator(Stream(Source(10, pause=1))).open() as items:
        first = asyncio.ensure_future(anext_of(items))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already running"):
            await anext(items)
        await first


@pytest.mark.parametrize("source", [Source(5, pause=1), Source(0)])
@virtually
async def test_a_source_that_cancels_itself_ends_the_reader_too(source: Source) -> None:
    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Stream(broken).merge(Stream(source)).collect()
    with pytest.raises(asyncio.CancelledError):
        await Stream(broken).buffer(2).collect()


@pytest.mark.parametrize("operator", [OPERATORS["merge"], OPERATORS["map_async"], OPERATORS["buffer"]])
@virtually
async def test_a_function_that_fails_ends_what_is_below_and_beside(operator: Any) -> None:
    source = Source(100, pause=0.1)
    with pytest.raises(LookupError):
        await operator(Stream(source).map(fail)).collect()
    assert source.closed == 1


@virtually
async def test_map_async_fails_in_the_place_of_the_item() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(10 - number)
        return 6 // (3 - number)

    got: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await Stream(range(8)).map_async(work, concurrency=8).for_each(got.append)
    assert got == [2, 3, 6]


# Time and trying again


@virtually
async def test_timeout_counts_from_the_request_and_not_while_the_reader_is_busy() -> None:
    source = Source(3, pause=1)
    async with Stream(source).timeout(1.5).open() as items:
        async for _ in items:
            await asyncio.sleep(100)
    source = Source(3, pause=2)
    with pytest.raises(StreamTimeout, match=r"1\.5 s"):
        await Stream(source).timeout(1.5).collect()
    assert source.closed == 1


@virtually
async def test_a_timeout_of_the_source_itself_is_not_the_operators() -> None:
    with pytest.raises(TimeoutError) as caught:
        await Stream(Source(1, error=TimeoutError("its own"))).timeout(5).window(9, seconds=5).collect()
    assert type(caught.value) is TimeoutError


@virtually
async def test_retry_opens_the_source_anew_and_an_item_starts_the_count_again() -> None:
    lives = iter([0, 0, 2, 0, 1, 0, 0])

    async def flaky() -> AsyncGenerator[str, None]:
        life = next(lives)
        for number in range(life):
            yield f"item {number}"
        raise ConnectionError("lost")

    got: list[str] = []
    with pytest.raises(ConnectionError):
        await Stream(flaky).retry(Retry(attempts=3, base=1, cap=1)).for_each(got.append)
    assert got == ["item 0", "item 1", "item 0"]
    assert list(lives) == []


@virtually
async def test_retry_gives_up_after_its_attempts_and_lets_other_errors_pass() -> None:
    source = Source(0, error=ConnectionError())
    with pytest.raises(ConnectionError):
        await Stream(source).retry(Retry(attempts=3)).collect()
    assert (source.opened, source.closed) == (3, 3)
    source = Source(0, error=LookupError())
    with pytest.raises(LookupError):
        await Stream(source).retry(Retry(attempts=3)).collect()
    assert source.opened == 1


@virtually
async def test_an_endless_plain_source_lets_its_reader_be_cancelled() -> None:
    reading = asyncio.create_task(Stream(lambda: iter(int, 1)).for_each(lambda item: None))
    for _ in range(5):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()


@virtually
async def test_for_each_waits_for_what_its_function_returns() -> None:
    done: list[int] = []

    async def keep(number: int) -> None:
        await asyncio.sleep(1)
        done.append(number)

    await Stream([1, 2, 3]).for_each(keep)
    assert (done, now()) == ([1, 2, 3], 3)


# Refusals


async def _numbers() -> AsyncGenerator[int, None]:
    yield 1


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Stream(iter([1])), "una vez"),
        (lambda: Stream(_numbers()), "una vez"),  # type: ignore[arg-type]
        (lambda: Stream(number for number in [1]), "una vez"),
        (lambda: Stream(7), "fuente"),  # type: ignore[arg-type]
        (lambda: Stream([1]).map(3), "func"),  # type: ignore[arg-type]
        (lambda: Stream([1]).map(double), "map_async"),
        (lambda: Stream([1]).map(partial(double)), "map_async"),
        (lambda: Stream([1]).filter(double), "filter"),
        (lambda: Stream([1]).map_async(double, concurrency=0), "concurrency"),
        (lambda: Stream([1]).take(0), "count"),
        (lambda: Stream([1]).take(True), "count"),
        (lambda: Stream([1]).merge([2]), "no es un Stream"),  # type: ignore[arg-type]
        (lambda: Stream([1]).buffer(0), "size"),
        (lambda: Stream([1]).buffer(2, "block"), "drop-oldest"),  # type: ignore[arg-type]
        (lambda: Stream([1]).window(0), "count"),
        (lambda: Stream([1]).window(2, seconds=0), "seconds"),
        (lambda: Stream([1]).timeout(float("nan")), "seconds"),
        (lambda: Stream([1]).timeout("1"), "seconds"),  # type: ignore[arg-type]
        (lambda: Stream([1]).retry(3), "Retry"),  # type: ignore[arg-type]
        (lambda: Stream([1]).subscribe(None), "on_next"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused_at_once_in_a_sentence(make: Callable[[], object], word: str) -> None:
    with pytest.raises((InvalidInput, TypeError), match=word) as caught:
        make()
    assert str(caught.value).endswith(".")


def test_a_source_that_opens_nothing_readable_is_refused_when_it_is_opened() -> None:
    async def corutina() -> int:
        return 1

    for source in (lambda: 7, corutina):
        with pytest.raises(InvalidInput, match="iterable"):
            run_virtually(Stream(source).collect())  # type: ignore[arg-type]


# The virtual clock


def test_an_hour_passes_in_no_time_and_in_order() -> None:
    async def main() -> list[tuple[float, str]]:
        seen = []

        async def at(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append((now(), name))

        await asyncio.gather(at(3600, "late"), at(0.5, "early"), at(60, "middle"))
        return seen

    assert run_virtually(main()) == [(0.5, "early"), (60, "middle"), (3600, "late")]


def test_waiting_for_each_other_is_an_error_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtually(main())


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_what_never_would_also_where_a_loop_is_running() -> None:
    ended = threading.Event()

    async def endless() -> None:
        try:
            while True:
                await asyncio.sleep(1)
                if now() == 1000:
                    _thread.interrupt_main()
        finally:
            ended.set()

    async def cell() -> None:
        with pytest.raises(KeyboardInterrupt):
            run_virtually(endless())

    loop = asyncio.new_event_loop()  # asyncio.run would take the interrupt for itself
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()
    assert ended.wait(10)


def test_inside_a_running_loop_it_returns_and_raises_the_same() -> None:
    async def cell() -> None:
        assert run_virtually(double(2)) == 4
        with pytest.raises(LookupError):
            run_virtually(Stream([1]).map(fail).collect())

    asyncio.run(cell())
