"""What runs beside the registry in a thread of its own: eviction, and a base for others.

Nothing starts by itself, and `stop` leaves no thread behind. Each is also a plain call for one round
(`Registry.evict`, `HealthChecker.check`, `Registration.beat`), for whoever has a scheduler already.
"""

import logging
import threading
from typing import Self

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.registry import Registry

_log = logging.getLogger(__name__)


class Periodic:
    """A `step` every `interval` seconds in a daemon thread; also a `with` block."""

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

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _refuse_second_start(self) -> None:
        if self._thread is not None:
            raise RuntimeError(messages.ALREADY_STARTED.format(name=type(self).__name__))

    def _end(self, limit: float | None) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(limit)
            self._thread = None

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
