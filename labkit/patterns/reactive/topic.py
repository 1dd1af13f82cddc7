"""A hot stream: it goes on whether anybody reads or not, and waits for nobody.

One ring holds the last items for all; a reader is a number, that of the last item it has had. Ten thousand
readers, or one that is stuck, cost the ring and nothing more (as in tokio's broadcast channel).
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.errors import BufferClosed, SubscriberTooSlow
from labkit.patterns.reactive.stream import Stream

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """An item and its number, from 1 on, without gaps."""

    id: int
    data: T


class Topic(Generic[T]):
    """Send every item to all readers; `history` items are held for those who come late or are slow.

    Readers may live on several event loops. Numbers last as long as the object: a service that keeps its
    topic only in memory counts from 1 again after a restart of the process.
    """

    def __init__(self, history: int = 100) -> None:
        self.history = valid_count("history", history)
        self.last = 0  # number of the last item
        self._held: deque[Entry[T]] = deque(maxlen=history)
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], Loop] = {}
        self._finished = False
        self._error: Exception | None = None
        self._readers = 0

    @property
    def readers(self) -> int:
        """How many are reading now."""
        return self._readers

    def publish(self, data: T) -> int:
        """Send an item, from any thread, and return its number. Raises BufferClosed after `finish`."""
        with self._lock:
            if self._finished:
                raise BufferClosed(messages.TOPIC_CLOSED)
            self.last += 1
            self._held.append(Entry(self.last, data))
            waiting, self._waiting = self._waiting, {}
        _wake(waiting)
        return self.last

    def finish(self, error: Exception | None = None) -> None:
        """End every reader, or raise `error` in it, after the items that are still held for it."""
        with self._lock:
            if self._finished:
                return
            self._finished, self._error = True, error
            waiting, self._waiting = self._waiting, {}
        _wake(waiting)

    def subscribe(
        self, *, after: int | None = None, when_behind: Literal["skip", "fail"] = "skip"
    ) -> Stream[Entry[T]]:
        """Return the stream of what is published from the moment that it is opened.

        `after`: begin with the item after this number, or the oldest that is held (0: all that is held). A
        number that was never given is of another life of the topic: all that is held is sent.
        `when_behind`: a reader that is overtaken by the ring goes on with the oldest item held ("skip"; the
        gap shows in the numbers), or gets SubscriberTooSlow ("fail").
        """
        if after is not None:
            valid_count("after", after, minimum=0)
        if when_behind not in ("skip", "fail"):
            raise InvalidInput(messages.BAD_WHEN_BEHIND.format(given=when_behind))

        def open_now() -> AsyncGenerator[Entry[T], None]:
            with self._lock:
                cursor = self.last if after is None else after if after <= self.last else 0
                if after is not None:  # what is gone already was never promised: no reason to fail
                    cursor = max(cursor, self.last - len(self._held))
            return self._read(cursor, when_behind)

        return Stream(open_now)

    async def _read(self, cursor: int, when_behind: str) -> AsyncGenerator[Entry[T], None]:
        with self._lock:
            self._readers += 1
        try:
            while True:
                entry, news = self._next(cursor, when_behind)
                if entry is not None:
                    cursor = entry.id
                    yield entry
                elif news is not None:
                    try:
                        await news
                    finally:
                        with self._lock:
                            self._waiting.pop(news, None)
                elif self._error is not None:
                    raise self._error
                else:
                    return
        finally:
            with self._lock:
                self._readers -= 1

    def _next(self, cursor: int, when_behind: str) -> tuple[Entry[T] | None, asyncio.Future[None] | None]:
        """Return the entry after the cursor, or what to wait for, or neither at the end."""
        with self._lock:
            oldest = self.last - len(self._held) + 1
            skipped = max(0, oldest - (cursor + 1))
            if skipped and when_behind == "fail":
                text = messages.TOO_SLOW.format(skipped=skipped, history=self.history)
                raise SubscriberTooSlow(text, skipped)
            if cursor < self.last:
                return self._held[cursor + skipped + 1 - oldest], None
            if self._finished:
                return None, None
            loop = asyncio.get_running_loop()
            news = loop.create_future()
            self._waiting[news] = loop
            return None, news


def _wake(waiting: dict[asyncio.Future[None], Loop]) -> None:
    by_loop: dict[Loop, list[asyncio.Future[None]]] = {}
    for future, loop in waiting.items():
        by_loop.setdefault(loop, []).append(future)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed under its readers
            loop.call_soon_threadsafe(_release, futures)


def _release(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
