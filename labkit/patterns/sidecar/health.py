"""Active health checks: ask each instance now and then, and tell when its state changes.

One answer more or less says little: `fall` failures in a row make an instance unhealthy, `rise` good answers
healthy again. An instance is held healthy until the first check has said otherwise.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import aiohttp

from labkit.patterns._given import valid_count, valid_seconds
from labkit.patterns.sidecar import messages

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """What is asked, how often, and when it counts. Raises ValueError for nonsense.

    `interval` and `timeout`: seconds.
    """

    path: str = "/health"
    interval: float = 5.0
    timeout: float = 1.0
    fall: int = 3
    rise: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path.startswith("/"):
            raise ValueError(messages.BAD_PATH.format(name="path", given=self.path))
        valid_seconds("interval", self.interval)
        valid_seconds("timeout", self.timeout)
        valid_count("fall", self.fall)
        valid_count("rise", self.rise)


@dataclass(frozen=True, slots=True)
class Notice:
    """A change of an instance's health. `at`: seconds since 1970; `reason`: of the last failure."""

    at: float
    url: str
    healthy: bool
    reason: str = ""

    def __str__(self) -> str:
        return (messages.UP if self.healthy else messages.DOWN).format(url=self.url, reason=self.reason)


Listener = Callable[[Notice], object]


class HealthMonitor:
    """Check instances in a task of the loop that starts it, from `start` to `stop`.

    `listeners` hear of every change; one that fails is logged. `log`, too, gets each as a warning or info.
    """

    def __init__(
        self,
        instances: Callable[[], Collection[str]],
        check: HealthCheck | None = None,
        *,
        listeners: Sequence[Listener] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.check = check or HealthCheck()
        self.listeners = list(listeners)
        self._instances = instances
        self._wall = wall
        self._healthy: dict[str, bool] = {}
        self._row: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def healthy(self, url: str) -> bool:
        """Return what is known of an instance; True before its first check."""
        return self._healthy.get(url, True)

    async def start(self) -> None:
        """Check once, then go on in the background."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.check.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        await self.check_all()
        self._task = asyncio.create_task(self._run(), name="health")

    async def stop(self) -> None:
        """End the task and close its connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self._session.close()

    async def check_all(self) -> None:
        """Ask every instance once, all at the same time."""
        urls = list(self._instances())
        for url in self._healthy.keys() - set(urls):
            del self._healthy[url]
            self._row.pop(url, None)
        reasons = await asyncio.gather(*(self._ask(url) for url in urls))
        for url, reason in zip(urls, reasons, strict=True):
            self._note(url, reason)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.check.interval)
            await self.check_all()

    async def _ask(self, url: str) -> str:
        """Return why an instance is not well, or nothing."""
        try:
            async with self._session.get(url + self.check.path, allow_redirects=False) as answer:
                return "" if answer.status < 300 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    def _note(self, url: str, reason: str) -> None:
        good = not reason
        if good == self.healthy(url):
            self._healthy[url] = good
            self._row[url] = 0
            return
        self._row[url] = self._row.get(url, 0) + 1
        if self._row[url] < (self.check.rise if good else self.check.fall):
            return
        self._healthy[url] = good
        self._row[url] = 0
        notice = Notice(self._wall(), url, good, reason)
        _log.log(logging.INFO if good else logging.WARNING, "%s", notice)
        for listener in self.listeners:
            try:
                listener(notice)
            except Exception:
                _log.exception(messages.LOG_LISTENER_FAILED)
