"""Reactive streams and calls: small enough to read, on nothing but asyncio.

`Stream` is a recipe: a source and operators. Nothing runs until somebody reads it, and each reader gets a run
of its own. Reading is demand: an operator asks its source for an item when it was itself asked for one, so a
slow reader slows the producer down (back-pressure).

    prices = Stream(read_prices).filter(in_stock).map_async(convert, concurrency=4).timeout(5)
    async with prices.open() as items:
        async for price in items: ...

- Ahead of its reader works only what says so, and by how much: `buffer(size, overflow)`, `map_async` (its
  concurrency), `merge` and timed `window` (an item of each source). A full buffer does what `overflow` says.
- Leaving the `async with` block, in whichever way, ends everything below before the block is left.
- A run has one terminal event: it ends, or it raises, once; signals of one run never overlap.
- `subscribe` turns a stream round: it pushes, under a demand given by `request(n)` (Reactive Streams).
- `Topic` is the hot one: `publish` from any thread, thousands of readers, memory bounded by its history.

For single calls: `Retry` (full jitter, budget, deadline), `Hedge` (a second request after the 95th
percentile), `deadline` (a limit that every call below can see and that is handed on over HTTP). Only what is
declared idempotent is repeated. `send_events` writes a stream as Server-Sent Events; `decode` reads them.

Time is the event loop's: `loop.time()`, monotonic. `run_virtually` runs a coroutine on a loop whose clock
jumps to the next timer, so that an hour of retries takes no time and always comes out the same.

With other patterns, from the outside in: deadline → retry → circuit breaker → bulkhead → hedge → the call.

Sources: Reactive Streams 1.0.4 (rules by number in the tests); Brooker, "Exponential Backoff And Jitter"
(AWS, 2015); Dean and Barroso, "The Tail at Scale" (2013); the HTML standard, 9.2 Server-sent events.
"""

from typing import TYPE_CHECKING, Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.reactive.buffer import Buffer, Overflow
from labkit.patterns.reactive.deadline import (
    DEADLINE_HEADER,
    deadline,
    headers_with_deadline,
    remaining,
    seconds_from,
)
from labkit.patterns.reactive.errors import (
    BufferClosed,
    BufferOverflow,
    DeadlineExceeded,
    EventTooLong,
    ReactiveError,
    StreamTimeout,
    SubscriberTooSlow,
)
from labkit.patterns.reactive.hedge import Hedge
from labkit.patterns.reactive.retry import Retry, RetryBudget
from labkit.patterns.reactive.sse import ServerSentEvent, decode, encode
from labkit.patterns.reactive.stream import Stream
from labkit.patterns.reactive.subscription import Subscription
from labkit.patterns.reactive.topic import Entry, Topic
from labkit.patterns.reactive.virtual import Deadlock, run_virtually

if TYPE_CHECKING:
    from labkit.patterns.reactive.aio import deadline_middleware, last_event_id, send_events

__all__ = [
    "DEADLINE_HEADER",
    "Buffer",
    "BufferClosed",
    "BufferOverflow",
    "DeadlineExceeded",
    "Deadlock",
    "Entry",
    "EventTooLong",
    "Hedge",
    "InvalidInput",
    "Overflow",
    "ReactiveError",
    "Retry",
    "RetryBudget",
    "ServerSentEvent",
    "Stream",
    "StreamTimeout",
    "SubscriberTooSlow",
    "Subscription",
    "Topic",
    "deadline",
    "deadline_middleware",
    "decode",
    "encode",
    "headers_with_deadline",
    "last_event_id",
    "remaining",
    "run_virtually",
    "seconds_from",
    "send_events",
]

_OVER_HTTP = ("deadline_middleware", "last_event_id", "send_events")


def __getattr__(name: str) -> Any:
    if name in _OVER_HTTP:  # who serves no HTTP imports no aiohttp
        from labkit.patterns.reactive import aio

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
