"""Load shedding: when there is too much, the least important goes first, and what is let in is served well.

A server that accepts everything serves nobody: each request waits for all others until its client has given
up. This one lets so many in at once; those of low priority only while some of that room is free, so that the
important ones still find a place. It is no rate limit: it counts what is under way, whoever sent it.

Sources: Google, "Site Reliability Engineering", ch. 21 (Handling Overload); Netflix, "Keeping Netflix
Reliable Using Prioritized Load Shedding" (2020).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from labkit.patterns.bulkhead import LimitAlgorithm, Sample
from labkit.patterns.edge import messages
from labkit.patterns.edge.errors import Refused
from labkit.patterns.edge.routes import Priority

SHARES: Mapping[Priority, float] = {"high": 1.0, "normal": 0.9, "low": 0.6}


class Shedder:
    """Admit up to `limit` requests at once, and those of a priority only up to its share of it.

    `limit`: a whole number, or an adaptive limit of lesson 03. `shares`: fractions of the limit; every
    priority has room for one request at least. `shed` counts the refused. Raises ValueError.
    """

    def __init__(
        self,
        limit: int | LimitAlgorithm = 200,
        *,
        shares: Mapping[Priority, float] = SHARES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        fixed = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
        if not fixed and not callable(getattr(limit, "update", None)):
            raise ValueError(messages.BAD_LIMIT.format(given=limit))
        ordered = [shares.get(each, 0) for each in ("high", "normal", "low")]
        if len(shares) != 3 or ordered[0] != 1 or ordered != sorted(ordered, reverse=True) or ordered[2] <= 0:
            raise ValueError(messages.BAD_SHARES.format(given=dict(shares)))
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

    @contextmanager
    def place(self, priority: Priority = "normal") -> Iterator[Callable[..., None]]:
        """Hold a place until the whole answer is sent. Raises Refused 503 when there is none.

        It gives `answered(dropped=False)`, to be called for an adaptive limit when an answer is there.
        """
        with self._lock:
            if self.in_flight >= max(1, int(self.limit * self._shares[priority])):
                self.shed[priority] += 1
                text = messages.OVERLOADED.format(priority=priority)
                raise Refused(503, "overloaded", text, retry_after=1)
            self.in_flight += 1
        start = self._clock()

        def answered(*, dropped: bool = False) -> None:
            if not isinstance(self._limit, int):
                with self._lock:
                    self._limit.update(Sample(start, self._clock(), self.in_flight, dropped))

        try:
            yield answered
        finally:
            with self._lock:
                self.in_flight -= 1
