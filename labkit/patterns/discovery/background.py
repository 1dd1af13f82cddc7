"""What may run beside the registry: eviction and active health checks, each in one thread of its own.

Neither starts by itself, and `stop` leaves no thread behind. Each is also a plain call for one round
(`Registry.evict`, `HealthChecker.check`), for tests and for whoever has a scheduler already.
"""

import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self
from urllib.parse import urlsplit

from labkit.patterns._given import InvalidInput, valid_count, valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.instance import Instance, Status
from labkit.patterns.discovery.registry import Registry

_log = logging.getLogger(__name__)


class Periodic:
    """A `step` every `interval` seconds in a daemon thread, from `start` to `stop`; also a `with` block."""

    def __init__(self, interval: float) -> None:
        self.interval = valid_seconds("interval", interval)
        # A new event for each start: a thread that outlived its stop must not be woken to life by the next.
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self) -> object:
        """Do the work once."""
        raise NotImplementedError

    def start(self) -> Self:
        """Begin; the first step comes after one interval. Raises RuntimeError when already running."""
        self._refuse_second_start()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, and wait for the step in progress. Stopping what does not run is allowed."""
        self._end(None)

    def _refuse_second_start(self) -> None:
        if self._thread is not None:
            raise RuntimeError(messages.ALREADY_STARTED.format(name=type(self).__name__))

    def _end(self, limit: float | None) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(limit)
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(self.interval):
            try:
                self.step()
            except Exception:
                # One bad round must not end all later ones.
                _log.exception(messages.LOG_STEP_FAILED, type(self).__name__)


class Evictor(Periodic):
    """Evict from `registry` every `interval` seconds.

    An instance that falls silent is gone at the latest after its ttl plus this interval.
    """

    def __init__(self, registry: Registry, interval: float = 1.0) -> None:
        super().__init__(interval)
        self.registry = registry

    def step(self) -> None:
        """Evict once."""
        self.registry.evict()


class HealthChecker(Periodic):
    """Ask every instance for its health, all at once, and tell the registry.

    `path`: where an instance answers 2xx when it can serve. `timeout`: seconds until the whole answer must
    have begun; `interval`: seconds between rounds; `concurrency`: how many are asked at the same time.
    Only rounds ask: a look-up never does, so one slow instance slows down nobody's look-up.
    Source: Consul's HTTP checks (2xx passes); Envoy's active health checking.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        path: str = "/health",
        timeout: float = 1.0,
        interval: float = 5.0,
        concurrency: int = 32,
    ) -> None:
        super().__init__(interval)
        if not path.startswith("/") or not path.isprintable() or " " in path:
            raise InvalidInput(messages.BAD_URL.format(given=path))
        self.registry = registry
        self.path = path
        self.timeout = valid_seconds("timeout", timeout)
        self.concurrency = valid_count("concurrency", concurrency)

    def step(self) -> None:
        """Check once."""
        self.check()

    def check(self) -> dict[str, bool]:
        """Check every instance that says it is up; return who passed, by instance id."""
        found = [each for instances in self.registry.services().values() for each in instances]
        asked = [instance for instance in found if instance.reported is Status.UP]
        if not asked:
            return {}
        # The pool lives as long as the round, so that nothing is left between rounds.
        with ThreadPoolExecutor(min(self.concurrency, len(asked)), "HealthChecker") as pool:
            passed = list(pool.map(self._passes, asked))
        for instance, good in zip(asked, passed, strict=True):
            self.registry.report_health(instance, passed=good)
        return {instance.id: good for instance, good in zip(asked, passed, strict=True)}

    def _passes(self, instance: Instance) -> bool:
        try:
            return 200 <= probe(instance.url + self.path, self.timeout) < 300
        except (OSError, ValueError):
            return False


def probe(url: str, timeout: float) -> int:
    """Return the status of GET `url` if its first line arrives within `timeout` seconds.

    Written on the socket because the timeout of the usual libraries begins anew with each byte: an instance
    that drips one byte a second would hold the checker for ever. Raises OSError, ValueError.
    """
    deadline = time.monotonic() + timeout
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    with socket.create_connection((host, parts.port or (443 if secure else 80)), timeout) as plain:
        plain.settimeout(max(0.001, deadline - time.monotonic()))
        conn = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        with conn:
            conn.sendall(
                f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                "User-Agent: labkit-health\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            line = b""
            while b"\n" not in line and len(line) < 4096:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(url)
                conn.settimeout(left)
                received = conn.recv(1024)
                if not received:
                    raise ConnectionError(url)
                line += received
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/"):
        raise ValueError(line)
    return int(rest[:3])
