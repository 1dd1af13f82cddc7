"""The rules of Reactive Streams 1.0.4 that have a meaning for asynchronous iterators, each by its number.

A run of a Stream read with `anext` and one pushed by a Subscription are both publishers; where a rule speaks
of signals, the Subscription is tried. Left out, with the reason:

- 1.9, 2.5, 2.12 (onSubscribe): there is none. `subscribe` returns the Subscription, once, to who called it.
- 1.11 (unicast or multicast): a choice; a Stream opens its source for each, a Topic is shared.
- 2.2, 2.11, 3.1 (threads, happens-before): all is of one event loop.
- 2.3 (a terminal signal calls nothing of the Subscription): binds who writes the subscriber, not us.
- 3.10, 3.11, 3.14 (MAY): permissions. `request` never signals by itself here.
- 4.1: an operator is tried as publisher and subscriber in test_reactive_streams; 4.2 is below.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import wraps
from typing import Any

import pytest

from labkit.patterns.reactive import InvalidInput, Retry, Stream, Subscription, run_virtually


class Subscriber:
    """Write down every signal, and how the source below fares."""

    def __init__(self, last: int | None = 5, error: Exception | None = None) -> None:
        self.last, self.error = last, error
        self.signals: list[Any] = []
        self.produced = self.running = 0
        self.during: Callable[[int], Any] = lambda item: None

    async def source(self) -> AsyncGenerator[int, None]:
        self.running += 1
        try:
            while self.last is None or self.produced < self.last:
                self.produced += 1
                yield self.produced
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1

    def on_next(self, item: int) -> Any:
        self.signals.append(item)
        return self.during(item)

    def on_error(self, error: Exception) -> None:
        self.signals.append(error)

    def on_complete(self) -> None:
        self.signals.append("complete")

    def subscribe(self, stream: Stream[int] | None = None) -> Subscription[int]:
        return (stream or Stream(self.source)).subscribe(
            self.on_next, on_error=self.on_error, on_complete=self.on_complete
        )


async def settled() -> None:
    await asyncio.sleep(100)


def rule(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @wraps(test)
    def wrapped() -> None:
        run_virtually(test())  # type: ignore[arg-type]

    return wrapped


# 1. Publisher


@rule
async def test_1_01_no_more_is_signalled_than_was_requested() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    await settled()
    assert subscriber.signals == []
    for requested, total in ((1, 1), (1, 2), (3, 5)):
        subscription.request(requested)
        await settled()
        assert subscriber.signals == list(range(1, total + 1))
        assert subscriber.produced == total
    subscription.cancel()


@rule
async def test_1_02_fewer_may_be_signalled_if_the_stream_then_ends() -> None:
    subscriber = Subscriber(last=2)
    subscriber.subscribe().request(10)
    await settled()
    assert subscriber.signals == [1, 2, "complete"]


@rule
async def test_1_03_signals_come_one_after_the_other() -> None:
    subscriber, inside, most = Subscriber(), 0, 0

    async def slow(_item: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(1)
        inside -= 1

    subscriber.during = slow
    subscription = subscriber.subscribe()
    for _ in range(10):
        subscription.request(1)
    await settled()
    assert (most, subscriber.signals) == (1, [1, 2, 3, 4, 5, "complete"])


@rule
async def test_1_04_a_failure_is_signalled_by_on_error() -> None:
    error = LookupError()
    subscriber = Subscriber(last=1, error=error)
    subscription = subscriber.subscribe()
    subscription.request(9)
    assert await subscription.wait() == "failed"
    assert subscriber.signals == [1, error]


@rule
async def test_1_05_a_successful_end_is_signalled_by_on_complete() -> None:
    subscriber = Subscriber(last=1)
    subscription = subscriber.subscribe()
    subscription.request(9)
    assert await subscription.wait() == "completed"
    assert subscriber.signals == [1, "complete"]


@rule
async def test_1_06_after_a_terminal_signal_the_subscription_counts_as_cancelled() -> None:
    for error in (None, LookupError()):
        subscriber = Subscriber(last=1, error=error)
        subscription = subscriber.subscribe()
        subscription.request(9)
        await subscription.wait()
        assert subscriber.running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


@rule
async def test_1_07_after_a_terminal_signal_no_other_signal_comes() -> None:
    for error in (None, LookupError()):
        subscriber = Subscriber(last=1, error=error)
        subscription = subscriber.subscribe()
        subscription.request(9)
        await subscription.wait()
        before = list(subscriber.signals)
        subscription.request(5)
        subscription.request(-1)
        subscription.cancel()
        await settled()
        assert subscriber.signals == before


@rule
async def test_1_08_a_cancelled_subscriber_stops_being_signalled() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    subscription.request(3)
    await settled()
    subscription.request(100)
    subscription.cancel()
    await settled()
    assert subscriber.signals == [1, 2, 3]


@rule
async def test_1_10_a_stream_may_be_subscribed_to_many_times() -> None:
    stream = Stream(range(1, 4))
    subscribers = [Subscriber() for _ in range(3)]
    for subscriber in subscribers:
        subscriber.subscribe(stream).request(9)
    await settled()
    assert [subscriber.signals for subscriber in subscribers] == [[1, 2, 3, "complete"]] * 3


# 2. Subscriber: what the Subscription does for the functions that it was given


@rule
async def test_2_01_nothing_comes_without_a_request() -> None:
    subscriber = Subscriber()
    subscription = subscriber.subscribe()
    await settled()
    assert (subscriber.signals, subscriber.produced) == ([], 0)
    subscription.cancel()


@rule
async def test_2_04_after_a_terminal_signal_a_request_from_within_it_does_nothing() -> None:
    subscriber = Subscriber(last=1)
    subscription = Stream(subscriber.source).subscribe(
        subscriber.on_next, on_complete=lambda: (subscriber.on_complete(), subscription.request(9))
    )
    subscription.request(9)
    await settled()
    assert subscriber.signals == [1, "complete"]


@rule
async def test_2_06_a_subscriber_that_no_longer_needs_it_cancels_and_the_source_is_freed() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    subscription.request(1)
    await settled()
    assert subscriber.running == 1
    subscription.cancel()
    assert await subscription.wait() == "cancelled"
    assert subscriber.running == 0


@rule
async def test_2_07_requests_and_cancel_take_effect_in_the_order_of_their_calls() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    subscription.request(1)
    subscription.cancel()
    subscription.request(1)
    await settled()
    assert subscriber.signals == []


@rule
async def test_2_08_an_item_on_its_way_when_on_next_cancels_is_not_signalled_after_all() -> None:
    subscriber = Subscriber(last=None)
    subscriber.during = lambda item: subscription.cancel() if item == 2 else None
    subscription = subscriber.subscribe(Stream(subscriber.source).buffer(10))
    subscription.request(10)  # the rule lets more come; here none does
    await subscription.wait()
    assert subscriber.signals == [1, 2]
    assert subscriber.running == 0


@rule
async def test_2_09_an_empty_stream_completes_without_an_item() -> None:
    subscriber = Subscriber(last=0)
    subscription = subscriber.subscribe()
    subscription.request(1)
    await subscription.wait()
    assert subscriber.signals == ["complete"]


@rule
async def test_2_10_a_stream_that_fails_first_signals_on_error_without_an_item() -> None:
    error = LookupError()
    subscriber = Subscriber(last=0, error=error)
    subscription = subscriber.subscribe()
    subscription.request(1)
    await subscription.wait()
    assert subscriber.signals == [error]


@rule
async def test_2_13_an_on_next_that_raises_cancels_and_who_waits_is_told() -> None:
    subscriber = Subscriber()
    subscriber.during = lambda item: 1 // (2 - item)
    subscription = subscriber.subscribe()
    subscription.request(9)
    with pytest.raises(ZeroDivisionError):
        await subscription.wait()
    assert subscription.state == "cancelled"
    assert subscriber.signals == [1, 2], "no terminal signal: the stream has not failed"
    assert subscriber.running == 0


# 3. Subscription


@rule
async def test_3_02_request_may_be_called_from_within_on_next() -> None:
    subscriber = Subscriber()
    subscriber.during = lambda item: subscription.request(1)
    subscription = subscriber.subscribe()
    subscription.request(1)
    await settled()
    assert subscriber.signals == [1, 2, 3, 4, 5, "complete"]


@rule
async def test_3_03_request_from_within_on_next_does_not_recurse() -> None:
    subscriber, depths = Subscriber(last=2 * sys.getrecursionlimit()), set()

    def deep(_item: int) -> None:
        frame, depth = sys._getframe(), 0
        while frame is not None:
            frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
        depths.add(depth)
        subscription.request(1)

    subscriber.during = deep
    subscription = subscriber.subscribe()
    subscription.request(1)
    await subscription.wait()
    assert len(depths) == 1


@rule
async def test_3_04_request_returns_at_once_and_leaves_the_work_to_the_source() -> None:
    subscriber = Subscriber()
    subscription = subscriber.subscribe()
    subscription.request(1)
    assert (subscriber.produced, subscriber.signals) == (0, [])
    subscription.cancel()


@rule
async def test_3_05_cancel_returns_at_once_and_may_be_repeated() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    subscription.request(1)
    await settled()
    for _ in range(3):
        subscription.cancel()
    assert subscription.state == "cancelled"
    assert await subscription.wait() == "cancelled"


@rule
async def test_3_06_and_3_07_after_cancel_request_and_cancel_do_nothing() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    subscription.cancel()
    subscription.request(5)
    subscription.request(0)
    subscription.cancel()
    assert await subscription.wait() == "cancelled"
    assert subscriber.signals == []


@rule
async def test_3_08_requests_add_up() -> None:
    subscriber = Subscriber(last=None)
    subscription = subscriber.subscribe()
    for count in (1, 2, 3):
        subscription.request(count)
    await settled()
    assert subscriber.signals == [1, 2, 3, 4, 5, 6]
    subscription.cancel()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None])
def test_3_09_a_request_of_less_than_one_is_signalled_as_an_error(count: Any) -> None:
    async def main() -> None:
        subscriber = Subscriber(last=None)
        subscription = subscriber.subscribe()
        subscription.request(1)
        await settled()
        subscription.request(count)
        assert await subscription.wait() == "failed"
        first, error = subscriber.signals
        assert first == 1
        assert isinstance(error, InvalidInput)
        assert "3.9" in str(error)
        assert subscriber.running == 0

    run_virtually(main())


@rule
async def test_3_12_cancel_makes_the_source_stop_even_while_it_waits() -> None:
    stopped = []

    async def silent() -> AsyncGenerator[int, None]:
        try:
            await asyncio.sleep(1e6)
            yield 1
        finally:
            stopped.append(asyncio.get_running_loop().time())

    subscription = Stream(silent).map(lambda item: item).buffer(2).subscribe(lambda item: None)
    subscription.request(1)
    await asyncio.sleep(5)
    subscription.cancel()
    await subscription.wait()
    assert stopped == [5]


@rule
async def test_3_13_after_cancel_the_subscriber_is_forgotten() -> None:
    subscriber = Subscriber(last=None)
    stream = Stream(Subscriber(last=None).source)
    subscription = subscriber.subscribe(stream)
    subscription.request(2)
    await settled()
    subscription.cancel()
    await subscription.wait()
    forgotten = weakref.ref(subscriber)
    del subscriber, subscription
    gc.collect()
    assert forgotten() is None


@rule
async def test_3_15_and_3_16_request_and_cancel_never_raise() -> None:
    subscriber = Subscriber(last=0, error=LookupError())
    subscription = subscriber.subscribe()
    for count in (1, -1, 1):
        assert subscription.request(count) is None  # type: ignore[func-returns-value]
    assert subscription.cancel() is None  # type: ignore[func-returns-value]


@rule
async def test_3_17_demand_may_be_without_practical_bound() -> None:
    subscriber = Subscriber()
    subscription = subscriber.subscribe()
    for _ in range(1000):
        subscription.request(2**63 - 1)
    assert await subscription.wait() == "completed"
    assert subscriber.signals == [1, 2, 3, 4, 5, "complete"]


# 4. Processor


@rule
async def test_4_02_an_operator_passes_an_error_on_or_recovers_by_a_new_subscription() -> None:
    error = ConnectionError()
    subscriber = Subscriber(last=1, error=error)
    passing = subscriber.subscribe(Stream(subscriber.source).map(lambda item: item))
    passing.request(9)
    assert (await passing.wait(), subscriber.signals) == ("failed", [1, error])

    flaky = iter([ConnectionError(), None])
    recovering = Subscriber(last=1)

    async def source() -> AsyncGenerator[int, None]:
        assert recovering.running == 0, "the failed one is cancelled first"
        recovering.running += 1
        try:
            if (failure := next(flaky)) is not None:
                raise failure
            yield 7
        finally:
            recovering.running -= 1

    subscription = recovering.subscribe(Stream(source).retry(Retry(attempts=2)))
    subscription.request(9)
    assert (await subscription.wait(), recovering.signals) == ("completed", [7, "complete"])
