"""Rate limits: how many requests a client may make, whatever the others do.

Both keep their promise over every window of time, and not only over those that begin on the minute: a fixed
window lets twice its limit through around its border.

- `TokenBucket` lets bursts in and then an even rate: in any window of w seconds, at most burst + w × rate.
  It is GCRA, a token bucket that stores one number for each client instead of two.
- `SlidingWindow` is exact: in any window of so many seconds, never more than `limit`. It stores the time of
  every admission, so it costs memory in proportion to the limit.

Time is kept in whole nanoseconds, and what does not divide is rounded to the strict side. A client is
forgotten when its history no longer matters. When `max_clients` are remembered and none can be forgotten,
the newcomers share one allowance: who invents names gains nothing, and the memory stays bounded.

Sources: ITU-T I.371 (GCRA); RFC 6585, section 4 (429); RFC 9110, section 10.2.3 (Retry-After).
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from labkit.patterns._given import valid_count, valid_seconds

NANO = 1_000_000_000
_NEWCOMERS = object()  # the name under which the clients without a place share one allowance


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limit says of one request.

    `remaining`: how many more it would admit now. `retry_after`: seconds until it would admit the next one,
    0 when this one was admitted.
    """

    admitted: bool
    remaining: int
    retry_after: float = 0.0


class RateLimit(Protocol):
    """What the edge asks of a limit."""

    def admit(self, client: Hashable) -> Verdict:
        """Count one request of `client` if it may pass."""


T = TypeVar("T")


class _Limit(Generic[T]):
    """The clients that are remembered, in the order of their last admission."""

    def __init__(self, horizon: int, max_clients: int, clock: Callable[[], float]) -> None:
        self._horizon = horizon  # nanoseconds after its last admission until a client's history is blank
        valid_count("max_clients", max_clients)
        self._max_clients = max_clients
        self._clock = clock
        self._clients: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the clients that are remembered."""
        return len(self._clients)

    def admit(self, client: Hashable) -> Verdict:
        """Count one request of `client` if it may pass; what is refused costs nothing."""
        with self._lock:
            now = round(self._clock() * NANO)
            self._forget(now)
            if client not in self._clients and len(self._clients) >= self._max_clients:
                client = _NEWCOMERS
            _, history = self._clients.get(client, (now, None))
            verdict, history = self._judge(now, history)
            if verdict.admitted:
                self._clients[client] = (now, history)
                self._clients.move_to_end(client)
            return verdict

    def _forget(self, now: int) -> None:
        while self._clients:
            oldest = next(iter(self._clients))
            if now - self._clients[oldest][0] < self._horizon:
                return
            del self._clients[oldest]

    def _judge(self, now: int, history: T | None) -> tuple[Verdict, T]:
        raise NotImplementedError


class TokenBucket(_Limit[int]):
    """Limit each client to `limit` requests in `per` seconds on average, with bursts of up to `burst`.

    `burst`: requests that may come at once (default: `limit`). `clock`: seconds that never run backwards.
    Raises ValueError.
    """

    def __init__(
        self,
        limit: int,
        per: float = 1.0,
        *,
        burst: int | None = None,
        max_clients: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        burst = limit if burst is None else burst
        valid_count("limit", limit)
        valid_count("burst", burst)
        valid_seconds("per", per)
        self._burst = burst
        self._interval = math.ceil(per * NANO / limit)
        super().__init__(burst * self._interval, max_clients, clock)

    def _judge(self, now: int, history: int | None) -> tuple[Verdict, int]:
        # The theoretical arrival time: when the bucket is full again.
        full_at = now if history is None else max(history, now)
        spare = now + (self._burst - 1) * self._interval - full_at
        if spare < 0:
            return Verdict(False, 0, -spare / NANO), full_at
        return Verdict(True, spare // self._interval), full_at + self._interval


class SlidingWindow(_Limit[deque[int]]):
    """Limit each client to `limit` requests in any window of `per` seconds.

    `clock`: seconds that never run backwards. Raises ValueError.
    """

    def __init__(
        self,
        limit: int,
        per: float = 1.0,
        *,
        max_clients: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        valid_count("limit", limit)
        valid_seconds("per", per)
        self._limit = limit
        self._window = math.ceil(per * NANO)
        super().__init__(self._window, max_clients, clock)

    def _judge(self, now: int, history: deque[int] | None) -> tuple[Verdict, deque[int]]:
        admitted = deque[int]() if history is None else history
        while admitted and now - admitted[0] >= self._window:
            admitted.popleft()
        if len(admitted) >= self._limit:
            return Verdict(False, 0, (admitted[0] + self._window - now) / NANO), admitted
        admitted.append(now)
        return Verdict(True, self._limit - len(admitted)), admitted
