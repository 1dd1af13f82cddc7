"""The registry itself: who is there, who is well, whose turn it is.

Pure and thread-safe: no sockets, no threads, and time comes from a clock that is a parameter. Nothing
happens by itself: an expired lease is noticed by `evict`, a sick instance by `report_health`, and whoever
wants either to happen regularly says so (`Evictor`, `HealthChecker`). Until `evict` has judged it, an expired
lease is handed out like any other: only there is it known how many are silent at once, and an address that
may be dead is better than none (Eureka's lease expiry does the same).

Reading never changes anything: the only look-up that has an effect is `pick`, which takes a turn. The index
that `watch` waits for counts the changes that a caller of the service can see; a renewal is none.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from labkit.patterns._given import valid_count, valid_fraction, valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.errors import NoInstances, UnknownInstance
from labkit.patterns.discovery.instance import (
    Change,
    Eviction,
    Instance,
    Snapshot,
    Status,
    new_id,
    valid_id,
    valid_metadata,
    valid_service,
    valid_status,
    valid_url,
)
from labkit.patterns.discovery.round_robin import RoundRobin

_log = logging.getLogger(__name__)

# How many changes are remembered. Eureka keeps three minutes; a client that missed more reads it all anew.
CHANGES_KEPT = 1000


@dataclass(slots=True)
class _Lease:
    """An instance and what only the registry needs to know. Times are its clock's."""

    instance: Instance
    registered_at: float
    renewed_at: float
    checks: int = 0  # passed ones in a row; failed ones below zero

    @property
    def expires_at(self) -> float:
        return self.renewed_at + self.instance.ttl


@dataclass(slots=True)
class _Service:
    leases: dict[str, _Lease] = field(default_factory=dict)
    # Only who is available stands in the queue, so that `pick` need not look for one.
    turns: RoundRobin = field(default_factory=RoundRobin)
    index: int = 0


class Registry:
    """The instances of every service, each held by a lease that must be renewed.

    `ttl`: seconds that a lease lasts, unless an instance asks for another time.
    `eviction_cap`: fraction of the instances (0 to 1] that may be evicted within one lease time; at least one
    always may. Beyond it the network is likelier to be at fault than so many instances at once, so nobody is
    evicted (Eureka's self-preservation). 1 switches that off.
    `unhealthy_threshold`, `healthy_threshold`: consecutive failed checks that take an instance out, and
    consecutive passed ones that bring it back (Envoy's names; HAProxy's `fall` and `rise`).
    `clock`: seconds, never running backwards.
    Raises InvalidInput for values out of range.
    """

    def __init__(
        self,
        *,
        ttl: float = 30.0,
        eviction_cap: float = 0.5,
        unhealthy_threshold: int = 3,
        healthy_threshold: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ttl = valid_seconds("ttl", ttl)
        self.eviction_cap = valid_fraction("eviction_cap", eviction_cap)
        self.unhealthy_threshold = valid_count("unhealthy_threshold", unhealthy_threshold)
        self.healthy_threshold = valid_count("healthy_threshold", healthy_threshold)
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._services: dict[str, _Service] = {}
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        # The first index is 1, so that a watch from 0 answers at once (as in Consul).
        self._index = 1
        # Services without instances share the index of the last one that vanished: it never runs backwards,
        # and names nobody uses any more take no memory.
        self._vanished_index = 1
        self._lately_evicted: dict[tuple[str, str], float] = {}
        self._self_preservation = False
        self._closed = False

    # Writing

    def register(
        self,
        service: str,
        url: str,
        *,
        instance_id: str | None = None,
        status: str = Status.UP,
        metadata: Mapping[str, str] | None = None,
        ttl: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Instance:
        """Add an instance, or update the one with that id, and start its lease.

        `url`: where it answers. `instance_id`: its own name for itself, new for each start; without one the
        registry makes one up. `ttl`: seconds, the registry's when None. An older instance with the same url
        is dropped: a port belongs to whoever opened it last. Raises InvalidInput.
        """
        service = valid_service(service)
        told: dict[str, Any] = {
            "url": valid_url(url),
            "reported": valid_status(status),
            "ttl": self.ttl if ttl is None else valid_seconds("ttl", ttl),
            "metadata": valid_metadata(metadata),
            "extra": MappingProxyType(dict(extra or {})),
        }
        instance_id = new_id(service) if instance_id is None else valid_id(instance_id)
        with self._changed:
            now = self._clock()
            for other in self.instances(service, any_status=True):
                if other.url == told["url"] and other.id != instance_id:
                    self._remove(other)
            self._lately_evicted.pop((service, instance_id), None)
            known = self._services.setdefault(service, _Service())
            lease = known.leases.get(instance_id)
            if lease is None:
                instance = Instance(service, instance_id, **told)
                known.leases[instance_id] = _Lease(instance, now, now)
                self._record("ADDED", instance)
                return instance
            lease.renewed_at = now
            if lease.instance.url != told["url"]:
                # Checks of the old address say nothing of the new one.
                lease.checks, told["healthy"] = 0, True
            return self._update(lease, **told)

    def renew(self, service: str, instance_id: str) -> Instance:
        """Start the lease anew: the heartbeat. Raises UnknownInstance: register again."""
        with self._changed:
            lease = self._lease(service, instance_id)
            lease.renewed_at = self._clock()
            return lease.instance

    def deregister(self, service: str, instance_id: str) -> Instance:
        """Take an instance out at its own wish. Raises UnknownInstance."""
        with self._changed:
            instance = self._lease(service, instance_id).instance
            self._remove(instance)
            return instance

    def set_status(self, service: str, instance_id: str, status: str) -> Instance:
        """Note what an instance says of itself. Raises UnknownInstance, InvalidInput."""
        reported = valid_status(status)
        with self._changed:
            return self._update(self._lease(service, instance_id), reported=reported)

    def override_status(self, service: str, instance_id: str, status: str | None) -> Instance:
        """Set an operator's status (see `Instance.status`); None removes it.

        Raises UnknownInstance, InvalidInput.
        """
        override = None if status is None else valid_status(status)
        with self._changed:
            return self._update(self._lease(service, instance_id), override=override)

    def report_health(self, instance: Instance, *, passed: bool) -> Instance | None:
        """Count one active check of `instance`; after enough in a row it goes out or comes back.

        Returns the instance as it is now; None when it left, or moved to another url, while it was checked.
        """
        with self._changed:
            known = self._services.get(instance.service)
            lease = known.leases.get(instance.id) if known else None
            if lease is None or lease.instance.url != instance.url:
                return None
            lease.checks = max(lease.checks, 0) + 1 if passed else min(lease.checks, 0) - 1
            healthy = lease.instance.healthy
            if lease.checks <= -self.unhealthy_threshold:
                healthy = False
            elif lease.checks >= self.healthy_threshold:
                healthy = True
            return self._update(lease, healthy=healthy)

    def evict(self) -> Eviction:
        """Remove the instances whose lease ran out, unless too many did (see `eviction_cap`).

        Those evicted less than a lease time ago count as missing too: in a partition leases run out one after
        another, and a cap on each call alone would let them all go.
        """
        with self._changed:
            now = self._clock()
            self._lately_evicted = {key: end for key, end in self._lately_evicted.items() if end > now}
            leases = [lease for known in self._services.values() for lease in known.leases.values()]
            expired = tuple(lease.instance for lease in leases if lease.expires_at <= now)
            missing = len(expired) + len(self._lately_evicted)
            total = len(leases) + len(self._lately_evicted)
            allowed = max(1, math.floor(total * self.eviction_cap + 1e-9))
            self._self_preservation = bool(expired) and missing > allowed
            if self._self_preservation:
                _log.warning(messages.LOG_PRESERVING, missing, total)
                return Eviction(kept=expired)
            for instance in expired:
                self._remove(instance)
                self._lately_evicted[instance.service, instance.id] = now + instance.ttl
            return Eviction(evicted=expired)

    def close(self) -> None:
        """Answer every waiting `watch` now, and later ones at once: the registry is about to stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # Reading

    def instances(self, service: str, *, any_status: bool = False) -> list[Instance]:
        """Return the available instances of a service, oldest first; with `any_status`, all of them.

        A service that nobody registered has none, which is no error. Raises InvalidInput.
        """
        service = valid_service(service)
        with self._changed:
            known = self._services.get(service, _Service())
            found = [lease.instance for lease in known.leases.values()]
            return found if any_status else [instance for instance in found if instance.available]

    def get(self, service: str, instance_id: str) -> Instance:
        """Return one instance, whatever its status. Raises UnknownInstance."""
        with self._changed:
            return self._lease(service, instance_id).instance

    def pick(self, service: str) -> Instance:
        """Return the available instance whose turn it is, in constant time.

        Raises NoInstances, InvalidInput.
        """
        service = valid_service(service)
        with self._changed:
            known = self._services.get(service)
            chosen = known.turns.pick() if known else None
            if known is None or chosen is None:
                count = len(known.leases) if known else 0
                raise NoInstances(messages.NO_INSTANCES.format(service=service, known=count))
            return known.leases[chosen].instance

    def services(self) -> dict[str, list[Instance]]:
        """Return every service with all of its instances, whatever their status."""
        with self._changed:
            return {
                service: [lease.instance for lease in known.leases.values()]
                for service, known in self._services.items()
            }

    def lease_left(self, service: str, instance_id: str) -> float:
        """Return the seconds left of a lease, below zero when it ran out. Raises UnknownInstance."""
        with self._changed:
            return self._lease(service, instance_id).expires_at - self._clock()

    def lease_age(self, service: str, instance_id: str) -> tuple[float, float]:
        """Return the seconds since an instance registered and since it last renewed.

        Raises UnknownInstance.
        """
        with self._changed:
            lease, now = self._lease(service, instance_id), self._clock()
            return now - lease.registered_at, now - lease.renewed_at

    def index(self, service: str | None = None) -> int:
        """Return the index of the last change, of one service or of all."""
        with self._changed:
            return self._index if service is None else self._index_of(valid_service(service))

    def changes(self, *, max_age: float = math.inf) -> list[Change]:
        """Return the last changes, oldest first; `max_age`: only those of the last so many seconds."""
        with self._changed:
            now = self._clock()
            return [change for change in self._changes if now - change.at <= max_age]

    def watch(self, service: str, index: int = 0, wait: float = 30.0) -> Snapshot:
        """Return the service once its index is no longer `index`, or after `wait` seconds.

        An index that never was (the registry has restarted) counts as a change. An answer may also come
        without one: compare, do not assume. Raises InvalidInput.
        Source: Consul, "Blocking queries".
        """
        service = valid_service(service)
        index = valid_count("index", index, minimum=0)
        wait = valid_seconds("wait", wait, zero=True)
        with self._changed:
            # Waiting is real time, whatever clock the leases run on.
            self._changed.wait_for(lambda: self._closed or self._index_of(service) != index, timeout=wait)
            return Snapshot(service, self._index_of(service), tuple(self.instances(service)))

    @property
    def self_preservation(self) -> bool:
        """True when the last `evict` kept instances whose lease had run out: too many had."""
        with self._changed:
            return self._self_preservation

    def __repr__(self) -> str:
        counts = ", ".join(f"{service}={len(found)}" for service, found in self.services().items())
        return f"Registry({counts})"

    # Inside the lock

    def _lease(self, service: str, instance_id: str) -> _Lease:
        service = valid_service(service)
        try:
            return self._services[service].leases[instance_id]
        except KeyError:
            message = messages.UNKNOWN_INSTANCE.format(service=service, instance_id=instance_id)
            raise UnknownInstance(message) from None

    def _update(self, lease: _Lease, **fields: Any) -> Instance:
        updated = replace(lease.instance, **fields)
        if updated != lease.instance:
            lease.instance = updated
            self._record("MODIFIED", updated)
        return updated

    def _remove(self, instance: Instance) -> None:
        known = self._services[instance.service]
        del known.leases[instance.id]
        self._record("DELETED", instance)
        if not known.leases:
            del self._services[instance.service]
            self._vanished_index = self._index

    def _record(self, action: Literal["ADDED", "MODIFIED", "DELETED"], instance: Instance) -> None:
        known = self._services[instance.service]
        # Who was out and comes back joins at the end of the queue, like a newcomer.
        if instance.available and action != "DELETED":
            known.turns.join(instance.id)
        else:
            known.turns.leave(instance.id)
        self._index = known.index = self._index + 1
        self._changes.append(Change(self._index, action, instance, self._clock()))
        self._changed.notify_all()

    def _index_of(self, service: str) -> int:
        known = self._services.get(service)
        return known.index if known else self._vanished_index
