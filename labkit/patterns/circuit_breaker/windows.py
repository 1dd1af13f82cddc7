"""When a closed circuit has seen enough: failures in a row, or rates over a window.

`CountWindow` and `TimeWindow` say how far back a rate looks. The counters behind them are exact: a result
leaves with the call, or at the nanosecond, at which the window ends, where buckets of a second would keep it
up to a second longer. A time window therefore keeps a few bytes for each call that is in it.

Source: Resilience4j, "CircuitBreaker: count-based and time-based sliding window".
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from labkit.patterns._given import valid_count, valid_seconds
from labkit.patterns.circuit_breaker.events import Reason

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CountWindow:
    """The last `calls` calls."""

    calls: int

    def __post_init__(self) -> None:
        valid_count("calls", self.calls)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The calls that ended in the last `seconds`; one that ended exactly so long ago is out."""

    seconds: float

    def __post_init__(self) -> None:
        valid_seconds("seconds", self.seconds)


class Judge(Protocol):
    """Counts the results of the closed state and says when to open. Its owner holds the lock."""

    timed: bool  # whether it needs to know the time at all

    def record(self, now: int, failed: bool, slow: bool) -> Reason | None:
        """Count one result (`now`: nanoseconds); return why the circuit must open, or None."""

    def counts(self, now: int) -> tuple[int, int, int, int]:
        """Return failures in a row, and calls, failures and slow calls in the window."""

    def clear(self) -> None:
        """Forget everything."""


class InARow:
    """Opens after `threshold` bad results one after the other; a slow one is bad."""

    timed = False

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self.length = 0

    def record(self, now: int, failed: bool, slow: bool) -> Reason | None:
        """See Judge."""
        if not (failed or slow):
            self.length = 0
            return None
        self.length += 1
        return "failures-in-a-row" if self.length >= self.threshold else None

    def counts(self, now: int) -> tuple[int, int, int, int]:
        """See Judge."""
        return self.length, 0, 0, 0

    def clear(self) -> None:
        """See Judge."""
        self.length = 0


class Rates:
    """Opens when failures, or slow calls, reach their part of the calls in the window, at least `minimum`."""

    def __init__(
        self, window: CountWindow | TimeWindow, failure_rate: float, slow_rate: float, minimum: int
    ) -> None:
        self.size = window.calls if isinstance(window, CountWindow) else None
        self.span = round(window.seconds * NANO) if isinstance(window, TimeWindow) else 0
        self.timed = self.size is None
        self.failure_rate = failure_rate
        self.slow_rate = slow_rate
        self.minimum = minimum
        self.clear()

    def record(self, now: int, failed: bool, slow: bool) -> Reason | None:
        """See Judge."""
        self._results.append((now, failed, slow))
        self._failures += failed
        self._slow += slow
        self._forget_old(now)
        calls = len(self._results)
        if calls < self.minimum:
            return None
        # Divided and not multiplied: 3 / 10 is the float 0.3, while 0.1 * 3 is a little more.
        if self._failures / calls >= self.failure_rate:
            return "failure-rate"
        if self._slow / calls >= self.slow_rate:
            return "slow-rate"
        return None

    def counts(self, now: int) -> tuple[int, int, int, int]:
        """See Judge."""
        self._forget_old(now)
        return 0, len(self._results), self._failures, self._slow

    def clear(self) -> None:
        """See Judge."""
        self._results: deque[tuple[int, bool, bool]] = deque()
        self._failures = self._slow = 0

    def _forget_old(self, now: int) -> None:
        while self._results and self._is_out(now):
            _, failed, slow = self._results.popleft()
            self._failures -= failed
            self._slow -= slow

    def _is_out(self, now: int) -> bool:
        if self.size is not None:
            return len(self._results) > self.size
        return self._results[0][0] <= now - self.span
