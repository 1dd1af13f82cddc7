"""A bounded queue between a fast side and a slow one, with a stated policy for when it is full.

Unlike asyncio.Queue it has an end: `finish()` lets the reader take what is held and then ends, or raises.
"""

import asyncio
from collections import deque
from typing import Generic, Literal, TypeVar, get_args

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.errors import BufferClosed, BufferOverflow

T = TypeVar("T")
Overflow = Literal["wait", "drop-oldest", "drop-newest", "fail"]


class Buffer(Generic[T]):
    """Hold up to `size` items between writers and one reader, all of one event loop.

    `overflow`, when it is full: "wait" makes the writer wait (back-pressure), "drop-oldest" gives up the item
    that has waited longest, "drop-newest" the one that has just come, "fail" raises BufferOverflow.

    Read with `async for`. A read or a `put` that is cancelled loses nothing that is in the buffer.
    `dropped` counts the items given up; `highest` is the largest number held at a time.
    Raises InvalidInput for a bad argument.
    """

    def __init__(self, size: int, overflow: Overflow = "wait") -> None:
        if overflow not in get_args(Overflow):
            accepted = ", ".join(map(repr, get_args(Overflow)))
            raise InvalidInput(messages.BAD_OVERFLOW.format(given=overflow, accepted=accepted))
        self.size = valid_count("size", size)
        self.overflow = overflow
        self.dropped = 0
        self.highest = 0
        self._items: deque[T] = deque()
        self._finished = False
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, item: T) -> bool:
        """Take the item without waiting; False if it was not taken, because there was no room.

        Raises BufferClosed after `finish`, and BufferOverflow where the policy is "fail".
        """
        if self._finished:
            raise BufferClosed(messages.CLOSED)
        if len(self._items) >= self.size:
            if self.overflow == "fail":
                raise BufferOverflow(messages.FULL.format(size=self.size))
            if self.overflow == "wait":
                return False
            self.dropped += 1
            if self.overflow == "drop-newest":
                return False
            self._items.popleft()
        self._items.append(item)
        self.highest = max(self.highest, len(self._items))
        _wake(self._reader)
        return True

    async def put(self, item: T) -> None:
        """Hand the item over: wait for room where the policy is "wait", else `offer` it."""
        if self.overflow == "wait":
            while len(self._items) >= self.size and not self._finished:
                await self._room()
        elif len(self._items) >= self.size:
            await asyncio.sleep(0)  # the reader gets a turn before anything is given up
        self.offer(item)

    def finish(self, error: BaseException | None = None) -> None:
        """Take no more items: once those held are read, the reader ends, or raises `error`.

        Only the first call counts.
        """
        if not self._finished:
            self._finished = True
            self._error = error
            _wake(self._reader)
            for writer in self._writers:
                _wake(writer)

    def __aiter__(self) -> "Buffer[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._finished:
                error, self._error = self._error, None
                raise StopAsyncIteration if error is None else error
            if self._reader is not None:
                raise RuntimeError(messages.ONE_READER)
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item = self._items.popleft()
        self._wake_writer()
        return item

    async def _room(self) -> None:
        writer = asyncio.get_running_loop().create_future()
        self._writers.append(writer)
        try:
            await writer
        except asyncio.CancelledError:
            if writer.done() and not writer.cancelled():
                self._wake_writer()  # it was this one's turn: pass it on
            raise
        finally:
            if writer in self._writers:
                self._writers.remove(writer)

    def _wake_writer(self) -> None:
        while self._writers:
            writer = self._writers.popleft()
            if not writer.done():
                writer.set_result(None)
                return


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
