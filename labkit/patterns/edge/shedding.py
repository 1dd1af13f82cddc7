"""Load shedding: when there is too much, the least important goes first, and what is let in is served well.

A server that accepts everything serves nobody: each request waits for all others until its client has given
up. This one lets so many requests in at once; those of low priority only while some of that room is free, so
that the important ones still find a place. The limit may be an adaptive one of lesson 03 (`AIMD`, `Vegas`),
which finds it from how the requests go.

It is no rate limit: it counts how many are under way, whoever sent them.

Sources: Google, "Site Reliability Engineering", ch. 21 (Handling Overload); Netflix, "Keeping Netflix
Reliable Using Prioritized Load Shedding" (2020).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labkit.patterns.bulkhead import LimitAlgorithm, Sample
from labkit.patterns.edge import messages
from labkit.patterns.edge.errors import InvalidInput, Overloaded
from labkit.patterns.edge.routes import Priority

SHARES: Mapping[Priority, float] = {"high": 1.0, "normal": 0.9, "low": 0.6}


@dataclass(slots=True)
class Place:
    """The room of one request: `release` it when the request has ended."""

    priority: Priority
    start: float


class Shedder:
    """Admits up to `limit` requests at once, and those of a priority only up to its share of it.

    `limit`: a whole number, or an adaptive limit. `shares`: of each priority, fractions of the limit; every
    priority has room for one request at least. Raises InvalidInput.
    """

    def __init__(
        self,
        limit: int | LimitAlgorithm = 200,
        *,
        shares: Mapping[Priority, float] = SHARES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        fixed = isinstance(limit, int) and not isinstance(limit, bool)
        if (fixed and limit < 1) or not (fixed or callable(getattr(limit, "update", None))):  # type: ignore[operator]
            raise InvalidInput(messages.BAD_LIMIT.format(given=limit))
        ordered = [shares.get(each, 0) for each in ("high", "normal", "low")]
        if len(shares) != 3 or ordered[0] != 1 or ordered != sorted(ordered, reverse=True) or ordered[2] <= 0:
            raise InvalidInput(messages.BAD_SHARES.format(given=dict(shares)))
        self._limit = limit
        self._shares = dict(shares)
        self._clock = clock
        self._lock = threading.Lock()
        self.in_flight = 0
        self.shed: Counter[Priority] = Counter()

    @property
    def limit(self) -> int:
        """The limit as it stands."""
        return self._limit if isinstance(self._limit, int) else self._limit.limit

    def enter(self, priority: Priority = "normal") -> Place:
        """Take a place. Raises Overloaded when there is none for this priority."""
        with self._lock:
            if self.in_flight >= max(1, int(self.limit * self._shares[priority])):
                self.shed[priority] += 1
                raise Overloaded(messages.OVERLOADED.format(priority=priority))
            self.in_flight += 1
            return Place(priority, self._clock())

    def answered(self, place: Place, *, dropped: bool = False) -> None:
        """Tell the adaptive limit how long the answer took, or that none came (`dropped`)."""
        if not isinstance(self._limit, int):
            with self._lock:
                self._limit.update(Sample(place.start, self._clock(), self.in_flight, dropped))

    def release(self, place: Place) -> None:
        """Give the place back, once the whole answer is sent."""
        with self._lock:
            self.in_flight -= 1
