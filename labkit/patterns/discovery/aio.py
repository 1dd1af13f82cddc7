"""Calling a service by its name, with aiohttp.

The same decisions as in `client`; only the speaking is asynchronous. In a module of its own so that who uses
requests does not import aiohttp.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.core import IDEMPOTENT, InstanceCache
from labkit.patterns.discovery.errors import RegistryUnavailable
from labkit.patterns.discovery.instance import Instance, Snapshot, valid_service, valid_url
from labkit.patterns.discovery.wire import Call, look_up, no_answer, read_answer

# The connection could not be made, so nothing was sent.
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# The connection broke; the request may have arrived.
_BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
_LATE = (aiohttp.SocketTimeoutError,)


async def _note_hop(session: aiohttp.ClientSession, context: Any, params: object) -> None:
    if isinstance(context.trace_request_ctx, list):
        context.trace_request_ctx.append(params)


class _Connection:
    """The registry, spoken to over a session that opens on first use and stays with its loop."""

    def __init__(self, registry_url: str, timeout: float) -> None:
        self.url = valid_url(registry_url)
        self.timeout = valid_seconds("timeout", timeout)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def patience(self, wait: float = 0.0) -> aiohttp.ClientTimeout:
        """Return the timeouts of an answer that may rightly take `wait` seconds more."""
        return aiohttp.ClientTimeout(total=None, sock_connect=self.timeout, sock_read=self.timeout + wait)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, opened on the running loop. Raises RuntimeError on another one."""
        loop = asyncio.get_running_loop()
        if self._session is None:
            self._loop = loop
            redirects = aiohttp.TraceConfig()
            redirects.on_request_redirect.append(_note_hop)
            jar = aiohttp.DummyCookieJar()  # cookies would be seen by every user
            self._session = aiohttp.ClientSession(
                trace_configs=[redirects], timeout=self.patience(), cookie_jar=jar
            )
        elif self._loop is not loop:
            # aiohttp's own words for it are "Timeout context manager should be used inside a task".
            raise RuntimeError(messages.OTHER_LOOP)
        return self._session

    async def ask(self, call: Call) -> Any:
        """Return what the registry answers. Raises as `read_answer`."""
        url, timeout = self.url + call.path, self.patience(call.wait)
        try:
            async with self.session.request(
                call.method, url, json=call.json, params=call.query, timeout=timeout
            ) as answer:
                try:
                    payload = await answer.json()
                except (ValueError, aiohttp.ContentTypeError):
                    payload = None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise no_answer(self.url, type(error).__name__) from error
        return read_answer(call, self.url, answer.status, payload)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


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
        max_age: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = InstanceCache(cache_ttl, ejection_time, max_age, clock)
        self._connection = _Connection(registry_url, timeout)
        self._asking: dict[str, asyncio.Lock] = {}

    async def instances(self, service: str) -> list[Instance]:
        """Return the available instances, as far as this client knows. Raises RegistryUnavailable."""
        return list(await self._look_up(valid_service(service)))

    async def watch(self, service: str, index: int = 0, wait: float = 30.0) -> Snapshot:
        """Wait for the service to change (see `Registry.watch`) and keep what it has become."""
        service = valid_service(service)
        snapshot: Snapshot = await self._connection.ask(look_up(service, index, wait))
        self.cache.store(service, snapshot.instances)
        return snapshot

    async def request(
        self, method: str, service: str, path: str = "/", **kwargs: Any
    ) -> aiohttp.ClientResponse:
        """Send a request to one instance, to the next if it cannot be reached.

        `kwargs`: as in aiohttp. The body has been read when it returns, so `await response.json()` needs no
        `async with`. When the next one is tried, and what is raised: as in `DiscoveryClient.request`.
        """
        service, method = valid_service(service), method.upper()
        # A stream is used up by the first attempt.
        repeatable = method in IDEMPOTENT and isinstance(kwargs.get("data"), str | bytes | dict | None)
        turns = self.cache.attempts(service, await self._look_up(service), repeatable=repeatable)
        instance = next(turns)
        while True:
            url = f"{instance.url}/{path.lstrip('/')}"
            hops: list[object] = []
            options = {"trace_request_ctx": hops, **kwargs}
            try:
                async with self._connection.session.request(method, url, **options) as response:
                    await response.read()
                    return response
            except _LATE:
                raise
            except _BROKEN as error:
                if hops:  # an instance that answered has done its work: what failed is where it redirected to
                    raise
                instance = turns.send((error, isinstance(error, _NEVER_SENT)))

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
        if (fresh := self.cache.fresh(service)) is not None:
            return fresh
        # One caller asks for all; who has an older list goes on with it meanwhile.
        asking = self._asking.setdefault(service, asyncio.Lock())
        if asking.locked() and (last_good := self.cache.last_good(service)) is not None:
            return last_good
        async with asking:
            if (fresh := self.cache.fresh(service)) is not None:
                return fresh
            try:
                snapshot: Snapshot = await self._connection.ask(look_up(service))
                return self.cache.store(service, snapshot.instances)
            except RegistryUnavailable as error:
                return self.cache.fall_back(service, error)
