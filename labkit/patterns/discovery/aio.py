"""Calling a service by its name, and staying registered, with aiohttp.

The same decisions as in `client` and `registration`; only the speaking is asynchronous. In a module of its
own so that who uses requests does not import aiohttp.
"""

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self

import aiohttp
from aiohttp import web

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.cache import InstanceCache
from labkit.patterns.discovery.client import IDEMPOTENT
from labkit.patterns.discovery.errors import (
    DiscoveryError,
    NoInstanceAnswered,
    NoInstances,
    RegistryUnavailable,
    UnknownInstance,
)
from labkit.patterns.discovery.instance import (
    Instance,
    Snapshot,
    Status,
    valid_id,
    valid_metadata,
    valid_service,
    valid_url,
)
from labkit.patterns.discovery.registration import BEATS_PER_TTL, Beat, new_id
from labkit.patterns.discovery.wire import read_answer, snapshot_from_json

_log = logging.getLogger(__name__)

# The connection could not be made, so nothing was sent.
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# The connection broke; the request may have arrived.
_BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
_LATE = (aiohttp.SocketTimeoutError,)


async def _note_hop(session: aiohttp.ClientSession, context: Any, params: object) -> None:
    if isinstance(context.trace_request_ctx, list):
        context.trace_request_ctx.append(params)


class _Connection:
    """A ClientSession that opens on first use and stays with the loop it was opened on."""

    def __init__(self, timeout: float) -> None:
        self.timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None:
            self._loop = loop
            redirects = aiohttp.TraceConfig()
            redirects.on_request_redirect.append(_note_hop)
            self._session = aiohttp.ClientSession(
                trace_configs=[redirects],
                timeout=self.timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        elif self._loop is not loop:
            # aiohttp's own words for it are "Timeout context manager should be used inside a task".
            raise RuntimeError(messages.OTHER_LOOP)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class _RegistryAPI:
    """The operations of the registry's HTTP API that the asynchronous side needs."""

    def __init__(self, registry_url: str, timeout: float, connection: _Connection) -> None:
        self.url = valid_url(registry_url)
        self.timeout = timeout
        self._connection = connection

    async def watch(self, service: str, index: int, wait: float) -> Snapshot:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.timeout, sock_read=self.timeout + wait)
        query = {"index": str(index), "wait": str(wait)}
        data = await self.call("GET", f"/services/{service}", params=query, timeout=timeout)
        return snapshot_from_json(self.url, data)

    async def call(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            async with self._connection.session.request(method, self.url + path, **kwargs) as answer:
                try:
                    payload = await answer.json()
                except (ValueError, aiohttp.ContentTypeError):
                    payload = None
                return read_answer(self.url, answer.status, payload)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = type(error).__name__
            raise RegistryUnavailable(
                messages.REGISTRY_UNAVAILABLE.format(url=self.url, reason=reason)
            ) from error


class AsyncDiscoveryClient:
    """`DiscoveryClient` for asyncio: `response = await client.get("inventario", "/stock/42")`.

    Arguments and errors as there. Use it as `async with`, or `await client.close()` at the end; all its calls
    belong to one loop, another raises RuntimeError.
    """

    def __init__(
        self,
        registry_url: str,
        *,
        cache_ttl: float = 5.0,
        timeout: float = 2.0,
        ejection_time: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout = valid_seconds("timeout", timeout)
        self.cache = InstanceCache(cache_ttl, ejection_time, clock)
        self._connection = _Connection(self.timeout)
        self._registry = _RegistryAPI(registry_url, self.timeout, self._connection)
        self._refreshing: dict[str, asyncio.Lock] = {}

    async def instances(self, service: str) -> list[Instance]:
        """Return the available instances, as far as this client knows. Raises RegistryUnavailable."""
        return list(await self._look_up(valid_service(service)))

    async def pick(self, service: str) -> Instance:
        """Return the instance whose turn it is. Raises NoInstances, RegistryUnavailable."""
        service = valid_service(service)
        chosen = self.cache.choose(service, await self._look_up(service))
        if chosen is None:
            raise NoInstances(messages.NO_INSTANCES.format(service=service, known=0))
        return chosen

    async def watch(self, service: str, index: int = 0, wait: float = 30.0) -> Snapshot:
        """Wait for the service to change (see `Registry.watch`) and keep what it has become."""
        service = valid_service(service)
        snapshot = await self._registry.watch(service, index, wait)
        self.cache.store(service, snapshot.instances)
        return snapshot

    async def request(
        self, method: str, service: str, path: str = "/", **kwargs: Any
    ) -> aiohttp.ClientResponse:
        """Send a request to one instance, to the next if it cannot be reached; `kwargs` as in aiohttp.

        The body has been read when it returns, so `await response.json()` needs no `async with`. When the
        next one is tried, and what is raised otherwise: as in `DiscoveryClient.request`.
        """
        service, method = valid_service(service), method.upper()
        # A stream is used up by the first attempt.
        repeatable = method in IDEMPOTENT and isinstance(kwargs.get("data"), str | bytes | dict | None)
        instances = await self._look_up(service)
        tried: list[str] = []
        failure: Exception | None = None
        while (instance := self.cache.choose(service, instances, tried)) is not None:
            tried.append(instance.id)
            url = f"{instance.url}/{path.lstrip('/')}"
            hops: list[object] = []
            try:
                async with self._connection.session.request(
                    method, url, **{"trace_request_ctx": hops, **kwargs}
                ) as response:
                    await response.read()
                    return response
            except _LATE:
                raise
            except _BROKEN as error:
                if hops:  # an instance that answered has done its work: what failed is where it redirected to
                    raise
                self.cache.eject(instance)
                if not (repeatable or isinstance(error, _NEVER_SENT)):
                    raise
                _log.warning(messages.LOG_NEXT, service, instance.url, type(error).__name__)
                failure = error
        if failure is None:
            raise NoInstances(messages.NO_INSTANCES.format(service=service, known=0))
        raise NoInstanceAnswered(
            messages.NO_INSTANCE_ANSWERED.format(service=service, tried=len(tried))
        ) from failure

    async def get(self, service: str, path: str = "/", **kwargs: Any) -> aiohttp.ClientResponse:
        """GET; see `request`."""
        return await self.request("GET", service, path, **kwargs)

    async def post(self, service: str, path: str = "/", **kwargs: Any) -> aiohttp.ClientResponse:
        """POST; see `request`."""
        return await self.request("POST", service, path, **kwargs)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _look_up(self, service: str) -> tuple[Instance, ...]:
        fresh = self.cache.fresh(service)
        if fresh is not None:
            return fresh
        lock = self._refreshing.setdefault(service, asyncio.Lock())
        # One caller asks for all; who has an older list goes on with it meanwhile.
        last_good = self.cache.last_good(service)
        if last_good is not None and lock.locked():
            return last_good
        async with lock:
            fresh = self.cache.fresh(service)
            return await self._refresh(service) if fresh is None else fresh

    async def _refresh(self, service: str) -> tuple[Instance, ...]:
        try:
            return self.cache.store(service, (await self._registry.watch(service, 0, 0)).instances)
        except RegistryUnavailable as error:
            last_good = self.cache.prolong(service)
            if last_good is None:
                raise
            _log.warning(messages.LOG_STALE, self._registry.url, error, service)
            return last_good


class AsyncRegistration:
    """`Registration` for asyncio: the heartbeat is a task of the loop that started it; also `async with`.

    Arguments and errors as there; `healthy` may be a coroutine function too.
    """

    def __init__(
        self,
        registry_url: str,
        service: str,
        url: str,
        *,
        ttl: float = 30.0,
        interval: float | None = None,
        healthy: Callable[[], object | Awaitable[object]] = lambda: True,
        instance_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float = 2.0,
    ) -> None:
        self.service = valid_service(service)
        self.ttl = valid_seconds("ttl", ttl)
        self.interval = self.ttl / BEATS_PER_TTL if interval is None else valid_seconds("interval", interval)
        self.instance_id = new_id(self.service) if instance_id is None else valid_id(instance_id)
        self.url = valid_url(url)
        self.status = Status.UP
        self._metadata = valid_metadata(metadata)
        self._healthy = healthy
        self._connection = _Connection(valid_seconds("timeout", timeout))
        self._registry = _RegistryAPI(registry_url, timeout, self._connection)
        self._path = f"/services/{self.service}/{self.instance_id}"
        self._registered = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Register, then keep renewing in a task. Raises InvalidInput; RuntimeError when already running."""
        if self._task is not None:
            raise RuntimeError(messages.ALREADY_STARTED.format(name=type(self).__name__))
        self.status = Status.UP
        try:
            await self.beat()
        except BaseException:
            await self._connection.close()
            raise
        self._task = asyncio.create_task(self._run(), name=f"heartbeat {self.instance_id}")
        return self

    async def beat(self) -> Beat:
        """Send one heartbeat now and return what it came to."""
        if not await self._is_healthy():
            _log.warning(messages.LOG_UNHEALTHY, self.instance_id)
            return "unhealthy"
        try:
            if self._registered:
                try:
                    await self._registry.call("PUT", f"{self._path}/lease")
                    return "renewed"
                except UnknownInstance:
                    _log.warning(messages.LOG_FORGOTTEN, self._registry.url, self.instance_id)
            fields = {
                "url": self.url,
                "status": str(self.status),
                "metadata": dict(self._metadata),
                "ttl": self.ttl,
            }
            await self._registry.call("PUT", self._path, json=fields)
            self._registered = True
            return "registered"
        except RegistryUnavailable as error:
            _log.warning(messages.LOG_UNREACHABLE, self._registry.url, error, self.instance_id)
            return "unreachable"

    async def drain(self) -> None:
        """Ask to be handed out no more, while heartbeats go on."""
        self.status = Status.DRAINING
        try:
            await self._registry.call("PUT", f"{self._path}/status", json={"status": str(self.status)})
        except (RegistryUnavailable, UnknownInstance):
            self._registered = False

    async def stop(self, *, drain: float = 0.0) -> None:
        """Leave: drain for `drain` seconds, stop the heartbeat, deregister. See `Registration.stop`."""
        if valid_seconds("drain", drain, zero=True):
            await self.drain()
            await asyncio.sleep(drain)
        if self._task is not None:
            self._task.cancel()
            # Through gather, so that a cancellation of `stop` itself is not taken for the heartbeat's.
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(DiscoveryError):
            await self._registry.call("DELETE", self._path)
        self._registered = False
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            try:
                await self.beat()
            except Exception:
                # One bad heartbeat must not end all later ones.
                _log.exception(messages.LOG_STEP_FAILED, type(self).__name__)

    async def _is_healthy(self) -> bool:
        try:
            answer = self._healthy()
            return bool(await answer if inspect.isawaitable(answer) else answer)
        except Exception:
            return False


def registration_ctx(
    registry_url: str, service: str, url: str, *, drain: float = 0.0, **kwargs: Any
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a context for `app.cleanup_ctx`: registered while the application runs.

    `drain`: seconds between DRAINING and leaving; `kwargs`: as in `AsyncRegistration`. Bad input is raised
    here, not when the application starts.
    """
    AsyncRegistration(registry_url, service, url, **kwargs)

    async def registered(app: web.Application) -> AsyncIterator[None]:
        # One for each start: a factory's application is made anew, and so is the instance's id.
        registration = AsyncRegistration(registry_url, service, url, **kwargs)
        await registration.start()
        yield
        await registration.stop(drain=drain)

    return registered
