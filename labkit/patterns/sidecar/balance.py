"""Balance over several instances: even turns, and no turn for one that keeps failing.

An instance that fails `failures` times in a row is ejected for a while, each time longer, and comes back by
itself; but never more than `max_ejected` of all at once: with everybody failing, it is not the instances.

Source: Envoy's outlier detection (consecutive 5xx, base ejection time, maximal ejection percentage).
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from labkit.patterns._given import valid_count, valid_fraction, valid_seconds
from labkit.patterns.discovery import RoundRobin


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """When an instance loses its turns. Raises ValueError for nonsense.

    - `failures`: in a row, answers of 5xx or none at all
    - `ejection`: seconds out, times how often it has been out by now, up to `max_ejection`
    - `max_ejected`: the fraction of all instances that may be out at once, 0 to 1
    """

    failures: int = 5
    ejection: float = 30.0
    max_ejection: float = 300.0
    max_ejected: float = 0.5

    def __post_init__(self) -> None:
        valid_count("failures", self.failures)
        valid_seconds("ejection", self.ejection)
        valid_seconds("max_ejection", self.max_ejection)
        valid_fraction("max_ejected", self.max_ejected, zero=True)


@dataclass(slots=True)
class _Record:
    failures: int = 0
    ejections: int = 0
    out_until: float | None = None


class Balancer:
    """Give instances their turns (`proxy.Upstreams`); on one loop.

    `instances`: returns the URLs of the moment; `healthy`: says whether active checks vouch for one.
    """

    def __init__(
        self,
        instances: Callable[[], Collection[str]],
        outlier: Outlier | None = None,
        *,
        healthy: Callable[[str], bool] = lambda url: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outlier = outlier or Outlier()
        self.ejections = 0
        self._instances = instances
        self._healthy = healthy
        self._clock = clock
        self._turns = RoundRobin()
        self._records: dict[str, _Record] = {}

    def pick(self, tried: Collection[str]) -> str | None:
        """Return the instance whose turn it is; see Upstreams."""
        known = self._instances()
        if len(known) == 1:
            return next(iter(known))
        good = [url for url in known if self._healthy(url)] or known  # all unhealthy: ask rather than give up
        inside = [url for url in good if not self._is_out(url)] or good
        untried = [url for url in inside if url not in tried]
        return self._turns.pick(untried or inside)

    def report(self, url: str, status: int | None, seconds: float) -> None:
        """Hear what became of a turn; see Upstreams."""
        if status is None:
            return
        record = self._records.setdefault(url, _Record())
        if status < 500:
            record.failures = 0
            return
        record.failures += 1
        if record.failures >= self.outlier.failures and self._may_eject():
            record.failures = 0
            record.ejections += 1
            length = min(self.outlier.max_ejection, self.outlier.ejection * record.ejections)
            record.out_until = self._clock() + length
            self.ejections += 1

    def ejected(self) -> list[str]:
        """Return the instances that have no turn now, sorted."""
        return sorted(url for url in self._instances() if self._is_out(url))

    def forget_absent(self) -> None:
        """Drop what is known of instances that are gone."""
        present = set(self._instances())
        for url in set(self._records) - present:
            del self._records[url]
            self._turns.leave(url)

    def _is_out(self, url: str) -> bool:
        record = self._records.get(url)
        if record is None or record.out_until is None:
            return False
        if self._clock() >= record.out_until:
            record.out_until = None
            return False
        return True

    def _may_eject(self) -> bool:
        known = self._instances()
        return len(self.ejected()) + 1 <= self.outlier.max_ejected * len(known)
