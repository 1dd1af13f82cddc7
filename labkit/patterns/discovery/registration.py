"""A service's side of the lease: register, keep renewing, leave.

The heartbeat says "I am well", not merely "my process exists": a service that finds itself sick stops
renewing and lets its lease run out. It has a thread of its own, so it serves any kind of service; under
aiohttp, `with Registration(…): yield` in a function of `app.cleanup_ctx` is all there is to write.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Literal, Self

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.background import Periodic
from labkit.patterns.discovery.client import RegistryConnection
from labkit.patterns.discovery.errors import DiscoveryError, RegistryUnavailable, UnknownInstance
from labkit.patterns.discovery.instance import (
    Status,
    new_id,
    valid_id,
    valid_metadata,
    valid_service,
    valid_url,
)
from labkit.patterns.discovery.wire import Call

_log = logging.getLogger(__name__)

# What a heartbeat came to.
Beat = Literal["registered", "renewed", "unhealthy", "unreachable", "stopped"]

# Two heartbeats may be lost before a lease runs out (Eureka's 30 s of 90).
BEATS_PER_TTL = 3


class Registration(Periodic):
    """Keeps one instance registered from `start` to `stop`; also a `with` block.

    `url`: where the instance answers. `ttl`: seconds of its lease; `interval`: seconds between heartbeats, a
    third of it when None. `healthy`: called before each renewal, in the heartbeat's thread; a false answer or
    an exception means no renewal. `instance_id`: a new one for each Registration when None, because the next
    process on this port is another instance. A registry that is dead at start, or later, is tried again with
    each heartbeat; one that has forgotten the instance gets it registered anew.
    Raises InvalidInput.
    """

    def __init__(
        self,
        registry_url: str,
        service: str,
        url: str,
        *,
        ttl: float = 30.0,
        interval: float | None = None,
        healthy: Callable[[], object] = lambda: True,
        instance_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float = 2.0,
    ) -> None:
        service, ttl = valid_service(service), valid_seconds("ttl", ttl)
        super().__init__(ttl / BEATS_PER_TTL if interval is None else interval)
        self.instance_id = new_id(service) if instance_id is None else valid_id(instance_id)
        self._path = f"/services/{service}/{self.instance_id}"
        self._told = {"url": valid_url(url), "ttl": ttl, "metadata": dict(valid_metadata(metadata))}
        self._status = Status.UP
        self._healthy = healthy
        self._registry = RegistryConnection(registry_url, timeout)
        # Held while the registry is spoken to, so that a heartbeat never comes between two steps of leaving.
        self._speaking = threading.Lock()
        self._registered = False
        self._left = False

    def start(self) -> Self:
        """Register, then keep renewing in the background.

        A registry that does not answer is no error. Raises InvalidInput when it refuses what it is told,
        RuntimeError when already running.
        """
        self._refuse_second_start()
        self._status, self._left = Status.UP, False
        self.beat()
        return super().start()

    def beat(self) -> Beat:
        """Send one heartbeat now and return what it came to: for who has no use for the thread."""
        # Outside the lock: a `healthy` that hangs must not keep `stop` from leaving.
        try:
            well = self._healthy()
        except Exception:
            well = False
        if not well:
            _log.warning(messages.LOG_UNHEALTHY, self.instance_id)
            return "unhealthy"
        with self._speaking:
            return "stopped" if self._left else self._beat()

    step = beat

    def drain(self) -> None:
        """Ask to be handed out no more; a dead registry hears it with the next heartbeat."""
        with self._speaking:
            self._status = Status.DRAINING
            try:
                self._registry.ask(Call("PUT", f"{self._path}/status", {"status": self._status}))
            except (RegistryUnavailable, UnknownInstance):
                self._registered = False

    def stop(self, *, drain: float = 0.0) -> None:
        """Leave: drain for `drain` seconds, stop the heartbeat, deregister.

        Give it what the callers' caches last, so that nobody calls an address that has just closed. A
        registry that does not answer is not waited for: the lease will run out.
        """
        if valid_seconds("drain", drain, zero=True):
            self.drain()
            threading.Event().wait(drain)
        # A heartbeat that hangs in `healthy` is left behind: it finds that it has left, and ends.
        self._end(self._registry.timeout)
        with self._speaking:
            self._left = True
            with contextlib.suppress(DiscoveryError):
                self._registry.ask(Call("DELETE", self._path))
            self._registered = False
            self._registry.session.close()

    def _beat(self) -> Beat:
        try:
            if self._registered:
                try:
                    self._registry.ask(Call("PUT", f"{self._path}/lease"))
                    return "renewed"
                except UnknownInstance:
                    _log.warning(messages.LOG_FORGOTTEN, self.instance_id)
            self._registry.ask(Call("PUT", self._path, {**self._told, "status": self._status}))
            self._registered = True
            return "registered"
        except RegistryUnavailable as error:
            _log.warning(messages.LOG_UNREACHABLE, error, self.instance_id)
            return "unreachable"
