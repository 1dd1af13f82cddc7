"""What a client remembers: the last good list of each service, whose turn it is, and who just failed.

The two clients (requests and aiohttp) differ only in how they speak; what they decide stands here, without
input or output.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery.instance import Instance
from labkit.patterns.discovery.round_robin import RoundRobin


@dataclass(slots=True)
class _Known:
    instances: tuple[Instance, ...]
    fresh_until: float


class InstanceCache:
    """Lists of instances with a freshness, and the choice among them. Thread-safe.

    `ttl`: seconds that a list is used before the registry is asked again; 0 asks each time.
    `ejection_time`: seconds that an instance which could not be reached is passed over while others are left.
    """

    def __init__(
        self, ttl: float = 5.0, ejection_time: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ttl = valid_seconds("cache_ttl", ttl, zero=True)
        self.ejection_time = valid_seconds("ejection_time", ejection_time, zero=True)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._turns: dict[str, RoundRobin] = {}
        self._ejected: dict[str, float] = {}

    def fresh(self, service: str) -> tuple[Instance, ...] | None:
        """Return the list while it is fresh."""
        with self._lock:
            known = self._known.get(service)
            return known.instances if known and self._clock() < known.fresh_until else None

    def last_good(self, service: str) -> tuple[Instance, ...] | None:
        """Return the last list that the registry gave, however old; None when it never gave one."""
        with self._lock:
            known = self._known.get(service)
            return known.instances if known else None

    def store(self, service: str, instances: Collection[Instance]) -> tuple[Instance, ...]:
        """Keep what the registry just answered."""
        kept = tuple(instances)
        with self._lock:
            old = self._known.get(service)
            self._known[service] = _Known(kept, self._clock() + self.ttl)
            turns = self._turns.setdefault(service, RoundRobin())
            ids = {instance.id for instance in kept}
            for gone in [each.id for each in old.instances if each.id not in ids] if old else []:
                turns.leave(gone)
            for instance in kept:
                turns.join(instance.id)
            now = self._clock()
            self._ejected = {url: end for url, end in self._ejected.items() if end > now}
        return kept

    def prolong(self, service: str) -> tuple[Instance, ...] | None:
        """Use the last good list for another `ttl`: a dead registry is not asked at every call."""
        with self._lock:
            known = self._known.get(service)
            if known is None:
                return None
            known.fresh_until = self._clock() + self.ttl
            return known.instances

    def choose(
        self, service: str, instances: Collection[Instance], tried: Collection[str] = ()
    ) -> Instance | None:
        """Return whose turn it is, leaving out the ids in `tried`; None when nobody is left.

        Those that failed lately come only when there is no one else.
        """
        left = {instance.id: instance for instance in instances if instance.id not in tried}
        with self._lock:
            now = self._clock()
            well = [key for key, each in left.items() if self._ejected.get(each.url, now) <= now]
            turns = self._turns.setdefault(service, RoundRobin())
        chosen = turns.pick(well or list(left))
        return left[chosen] if chosen is not None else None

    def eject(self, instance: Instance) -> None:
        """Note that an instance could not be reached."""
        with self._lock:
            self._ejected[instance.url] = self._clock() + self.ejection_time
