"""What a client remembers and decides, without input or output.

The last good list of each service, whose turn it is, who just failed, and whom to ask next. The two shells,
`client` (requests, threads) and `aio` (aiohttp), send what is decided here and say what came of it.
Source: C. Benfield, "Building Protocol Libraries the Right Way" (sans-I/O); Envoy's outlier ejection.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.errors import NoInstanceAnswered, NoInstances, RegistryUnavailable
from labkit.patterns.discovery.instance import Instance
from labkit.patterns.discovery.round_robin import RoundRobin

_log = logging.getLogger(__name__)

# RFC 9110, section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


@dataclass(slots=True)
class _Known:
    instances: tuple[Instance, ...]
    given_at: float
    fresh_until: float


class InstanceCache:
    """Lists of instances with a freshness, and the choice among them. Thread-safe.

    `ttl`: seconds that a list is used before the registry is asked again; 0 asks each time.
    `ejection_time`: seconds that an instance which could not be reached is passed over while others are left.
    `max_age`: seconds since the registry gave a list, after which it serves no more; None for ever.
    """

    def __init__(
        self,
        ttl: float = 5.0,
        ejection_time: float = 10.0,
        max_age: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ttl = valid_seconds("cache_ttl", ttl, zero=True)
        self.ejection_time = valid_seconds("ejection_time", ejection_time, zero=True)
        self.max_age = None if max_age is None else valid_seconds("max_age", max_age)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._turns: dict[str, RoundRobin] = {}
        self._ejected: dict[str, float] = {}

    def fresh(self, service: str) -> tuple[Instance, ...] | None:
        """Return the list while it is fresh."""
        with self._lock:
            known = self._usable(service)
            return known.instances if known and self._clock() < known.fresh_until else None

    def last_good(self, service: str) -> tuple[Instance, ...] | None:
        """Return the last list that the registry gave; None when it never did, or too long ago."""
        with self._lock:
            known = self._usable(service)
            return known.instances if known else None

    def store(self, service: str, instances: Collection[Instance]) -> tuple[Instance, ...]:
        """Keep what the registry just answered."""
        kept = tuple(instances)
        with self._lock:
            now = self._clock()
            old = self._known.get(service)
            self._known[service] = _Known(kept, now, now + self.ttl)
            turns = self._turns.setdefault(service, RoundRobin())
            ids = {instance.id for instance in kept}
            for gone in [each.id for each in old.instances if each.id not in ids] if old else []:
                turns.leave(gone)
            for instance in kept:
                turns.join(instance.id)
            self._ejected = {url: end for url, end in self._ejected.items() if end > now}
        return kept

    def fall_back(self, service: str, error: RegistryUnavailable) -> tuple[Instance, ...]:
        """Return the last good list, since the registry does not answer; without one, raise `error`.

        It is used for another `ttl`: a dead registry is not asked at every call.
        """
        with self._lock:
            known = self._usable(service)
            if known is None:
                raise error
            known.fresh_until = self._clock() + self.ttl
        _log.warning(messages.LOG_STALE, error, service)
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
        chosen = turns.pick(well or left)
        return left[chosen] if chosen is not None else None

    def eject(self, instance: Instance) -> None:
        """Note that an instance could not be reached."""
        with self._lock:
            self._ejected[instance.url] = self._clock() + self.ejection_time

    def attempts(
        self, service: str, instances: Collection[Instance], *, repeatable: bool
    ) -> Generator[Instance, tuple[Exception, bool], None]:
        """Yield the instance to send a request to; for its failure, sent back, the next.

        A failure is the exception and whether nothing was sent at all. Unless the request is `repeatable`,
        only what was never sent goes to the next; otherwise the exception is raised, since the instance may
        have done the work. Raises NoInstances for an empty list and NoInstanceAnswered at the end of it.
        """
        tried: list[str] = []
        failure: Exception | None = None
        while (instance := self.choose(service, instances, tried)) is not None:
            tried.append(instance.id)
            failure, never_sent = yield instance
            self.eject(instance)
            if not (repeatable or never_sent):
                raise failure
            _log.warning(messages.LOG_NEXT, service, instance.url, type(failure).__name__)
        if failure is None:
            raise NoInstances(messages.NO_INSTANCES.format(service=service, known=0))
        message = messages.NO_INSTANCE_ANSWERED.format(service=service, tried=len(tried))
        raise NoInstanceAnswered(message) from failure

    def _usable(self, service: str) -> _Known | None:
        known = self._known.get(service)
        too_old = known and self.max_age is not None and self._clock() - known.given_at >= self.max_age
        return None if too_old else known
