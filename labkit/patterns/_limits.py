"""Limits that find their own size from how the calls go, instead of being guessed.

Each is a small piece of arithmetic: a `Sample` of one ended call goes in, the new limit comes out. They hold
no lock and no clock: times come with the sample, from the bulkhead's clock. One belongs to one bulkhead,
which asks it under its own lock.

    pagos = Bulkhead(AIMD(initial=4, timeout=0.5))

Sources: Netflix, concurrency-limits (AIMDLimit, VegasLimit); Chiu and Jain, "Analysis of the increase and
decrease algorithms for congestion avoidance" (1989); Brakmo and Peterson, "TCP Vegas" (1995).
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, cast

from labkit.patterns._given import InvalidInput, valid_count, valid_fraction, valid_seconds

BAD_LIMIT = (
    "{name} vale {given!r}: se acepta un entero de 1 en adelante, "
    "o un límite que se adapta: AIMD(…) o Vegas(…)."
)
BAD_BOUNDS = (
    "Los límites no casan: se acepta min_limit ≤ initial ≤ max_limit, y son {low}, {initial} y {high}."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One ended call: when it ran, how many ran when it ended (itself included), and whether it was lost.

    `dropped`: it ended in a sign of overload, a timeout or a refused or broken connection.
    """

    start: float
    end: float
    in_flight: int
    dropped: bool = False

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start


class LimitAlgorithm(Protocol):
    """What a bulkhead asks of an adaptive limit."""

    @property
    def limit(self) -> int:
        """The limit as it stands, 1 or more."""

    def update(self, sample: Sample) -> int:
        """Take one ended call into account and return the limit."""


def valid_limit(name: str, given: Any) -> int | LimitAlgorithm:
    """Return a whole number from 1 on, or an adaptive limit, as given. Raises InvalidInput."""
    if hasattr(given, "limit") and callable(getattr(given, "update", None)) and not isinstance(given, type):
        return cast(LimitAlgorithm, given)
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InvalidInput(BAD_LIMIT.format(name=name, given=given))
    return given


class _Adaptive:
    """A limit that moves between two bounds, a fraction at a time."""

    _rounding = 0.0

    def __init__(self, initial: int, min_limit: int, max_limit: int) -> None:
        self.min_limit, self.max_limit = (
            valid_count("min_limit", min_limit),
            valid_count("max_limit", max_limit),
        )
        if not min_limit <= valid_count("initial", initial) <= max_limit:
            raise InvalidInput(BAD_BOUNDS.format(low=min_limit, initial=initial, high=max_limit))
        self._estimate = float(initial)

    @property
    def limit(self) -> int:
        """The limit as it stands."""
        return int(self._estimate + self._rounding)

    def _set(self, estimate: float) -> None:
        self._estimate = min(max(estimate, float(self.min_limit)), float(self.max_limit))


class AIMD(_Adaptive):
    """Additive increase, multiplicative decrease: one more for each good round, a share less for a bad one.

    Trouble is a call that took longer than `timeout` seconds, or was dropped. `backoff`: the share that is
    left of the limit then. A round is as many calls as the limit: as in TCP, growth is a straight line. One
    round of trouble is one decrease, however many of its calls were slow: those that began before the last
    decrease say nothing new. (Netflix's AIMDLimit grows by one for each call and shrinks for each slow one.)
    A limit that is not half used does not grow: nothing has tested it.
    """

    _rounding = 1e-9  # five fifths are one

    def __init__(
        self,
        initial: int = 10,
        *,
        timeout: float,
        backoff: float = 0.9,
        min_limit: int = 1,
        max_limit: int = 200,
    ) -> None:
        super().__init__(initial, min_limit, max_limit)
        self.timeout = valid_seconds("timeout", timeout)
        self.backoff = valid_fraction("backoff", backoff, one=False)
        self._decreased_at = -math.inf

    def update(self, sample: Sample) -> int:
        """Take one ended call into account and return the limit."""
        if sample.dropped or sample.duration > self.timeout:
            if sample.start >= self._decreased_at:
                self._decreased_at = sample.end
                # At least one less: a tenth of 4 would not be seen.
                self._set(min(self._estimate * self.backoff, self.limit - 1))
        elif sample.in_flight * 2 >= self.limit:
            self._set(self._estimate + 1 / self.limit)
        return self.limit


class Vegas(_Adaptive):
    """By latency: what calls take above the best they ever took is time spent in a queue somewhere.

    The queue is estimated as limit × (1 - best / this one); the limit grows while that is short and shrinks
    when it is long, before anything times out. "Short" and "long" are 3 and 6 for small limits, and grow with
    its logarithm. A dropped call shrinks it too; a limit that is not half used does not change.

    The best is forgotten from time to time (after `probe_multiplier` × limit calls), else a dependency that
    has become slower for good would count as overloaded for ever. What is measured next becomes the best,
    even under load: the known weakness of Vegas, whose limit then creeps up. (Netflix varies the time by
    chance; not here, so that a run can be repeated.) `smoothing`: how much of each step is taken, above 0 and
    up to 1.
    """

    def __init__(
        self,
        initial: int = 20,
        *,
        min_limit: int = 1,
        max_limit: int = 1000,
        smoothing: float = 1.0,
        probe_multiplier: int = 30,
    ) -> None:
        super().__init__(initial, min_limit, max_limit)
        self.smoothing = 1.0 if smoothing == 1 else valid_fraction("smoothing", smoothing, one=False)
        self.probe_multiplier = valid_count("probe_multiplier", probe_multiplier)
        self.best: float | None = None
        self._calls = 0

    def update(self, sample: Sample) -> int:
        """Take one ended call into account and return the limit."""
        if sample.dropped:
            # Its duration is that of a failure and says nothing about the best.
            self._step(-_scale(self.limit))
            return self.limit
        if sample.duration <= 0:
            return self.limit  # below what the clock can tell apart
        self._calls += 1
        if self._calls >= self.probe_multiplier * self.limit:
            self._calls = 0
            self.best = None
        if self.best is None or sample.duration < self.best:
            self.best = sample.duration
        elif sample.in_flight * 2 >= self.limit:
            self._step(self._change(math.ceil(self._estimate * (1 - self.best / sample.duration))))
        return self.limit

    def _change(self, queue: int) -> int:
        scale = _scale(self.limit)
        if queue <= scale:
            return 6 * scale
        if queue < 3 * scale:
            return scale
        return -scale if queue > 6 * scale else 0

    def _step(self, change: int) -> None:
        self._set(self._estimate + self.smoothing * change)


def _scale(limit: int) -> int:
    return max(1, int(math.log10(limit)))
