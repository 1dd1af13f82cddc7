"""The sidecar: one handler through which every request passes, in this order.

Its own paths; a fault, if one is due; the cache; the proxy with its balance and retries; then, whatever came
of it, metrics and a line in the log.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

from labkit.patterns._given import InvalidInput
from labkit.patterns.discovery import AsyncDiscoveryClient, DiscoveryError
from labkit.patterns.proxy import AccessLog, Call, Proxy, ProxyError, UpstreamFault, application, problem
from labkit.patterns.proxy.accesslog import REQUEST_ID, request_id
from labkit.patterns.sidecar import messages
from labkit.patterns.sidecar.balance import Balancer
from labkit.patterns.sidecar.cache import Cache
from labkit.patterns.sidecar.config import SidecarConfig
from labkit.patterns.sidecar.faults import Faults
from labkit.patterns.sidecar.health import HealthMonitor
from labkit.patterns.sidecar.metrics import Metrics, family

LEFT = 499  # nginx's word for a client that did not wait


class Sidecar:
    """All parts of a sidecar, put together from its configuration; `app()` serves it.

    `clock`: for ages, ejections and durations. What may be changed while it runs: `faults.active`,
    `monitor.listeners`.
    """

    def __init__(self, config: SidecarConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.proxy = Proxy(
            config.name,
            timeouts=config.timeouts,
            limits=config.limits,
            retries=config.retries,
            seed=config.seed,
        )
        self.metrics = Metrics()
        self.faults = Faults(tuple(config.faults), config.seed)
        self.monitor = HealthMonitor(self.instances, config.health, listeners=config.notices)
        self.balancer = Balancer(self.instances, config.outlier, healthy=self.monitor.healthy, clock=clock)
        self.cache: Cache | None = None
        if config.cache is not None:
            self.cache = Cache(
                self.proxy,
                max_bytes=config.cache.max_bytes,
                max_entry=config.cache.max_entry,
                stale_if_error=config.cache.stale_if_error,
                clock=clock,
            )
        self._clock = clock
        self._log = AccessLog(config.log)
        self._found: Sequence[str] = tuple(config.service)
        self._discovery: AsyncDiscoveryClient | None = None

    def instances(self) -> Sequence[str]:
        """Return the URLs of the instances, as far as is known now."""
        return self._found

    def app(self) -> web.Application:
        """Return a new aiohttp application; one at a time runs."""
        app = application(self._handle, self.proxy)
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        if self.config.registry is not None:
            self._discovery = AsyncDiscoveryClient(self.config.registry)
        try:
            await self._discover()
            if self.config.health is not None:
                await self.monitor.start()
            yield
        finally:
            await self.monitor.stop()
            if self._discovery is not None:
                await self._discovery.close()
                self._discovery = None

    async def _discover(self) -> None:
        """Look the instances up; the client keeps the list for a while, and the last good one for longer."""
        if self._discovery is None or self.config.discover is None:
            return
        try:
            found = await self._discovery.instances(self.config.discover)
        except (DiscoveryError, InvalidInput):
            return
        urls = tuple(instance.url for instance in found)
        if urls != self._found:
            self._found = urls
            self.balancer.forget_absent()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path.startswith(self.config.prefix + "/"):
            return self._about_itself(path.removeprefix(self.config.prefix + "/"))
        began, status = self._clock(), LEFT
        call: Call | None = None
        error: ProxyError | None = None
        self.metrics.in_flight += 1
        try:
            await self.faults.apply(request)
            if self._discovery is not None:
                await self._discover()
            call = self.proxy.call(request, self.balancer, timeout=self.config.timeout)
            call.headers[REQUEST_ID] = request_id(request)
            if self.cache is not None:
                response = await self.cache.serve(call)
            else:
                response = await self.proxy.forward(call)
            status = response.status
            return response
        except ProxyError as raised:
            error = raised
            response = problem(raised, self.config.name)
            status = response.status
            return response
        finally:
            self.metrics.in_flight -= 1
            seconds = self._clock() - began
            self.metrics.record(request.method, status, seconds)
            self._log.record(request, status, seconds, call=call, error=error)

    # What it answers itself

    def _about_itself(self, what: str) -> web.Response:
        if what == "health":
            return web.json_response({"status": "UP"})
        if what == "ready":
            ready = any(self.monitor.healthy(url) for url in self.instances())
            if not ready:
                return problem(
                    UpstreamFault(503, "destination_unavailable", messages.NOT_READY, retry_after=1),
                    self.config.name,
                )
            return web.json_response({"status": "READY"})
        if what == "metrics":
            body = "\n".join([*self.metrics.lines(), *self._own_lines(), ""]).encode()
            return web.Response(
                body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
            )
        if what == "cache" and self.cache is not None:
            stats = self.cache.stats
            counts = {name: getattr(stats, name) for name in stats.__slots__}
            return web.json_response(
                counts | {"entries": len(self.cache.store), "bytes": self.cache.store.bytes}
            )
        return web.Response(status=404, text=json.dumps({"status": 404}), content_type="application/json")

    def _own_lines(self) -> Iterator[str]:
        budget = self.proxy.budget
        counted: list[tuple[str, str, Any]] = [
            ("sidecar_retries_total", "Requests sent again.", budget.spent),
            ("sidecar_retries_denied_total", "Retries that the budget did not allow.", budget.denied),
            ("sidecar_ejections_total", "Times that an instance lost its turns.", self.balancer.ejections),
            ("sidecar_faults_total", "Faults made on purpose.", self.faults.injected),
        ]
        for name, text, value in counted:
            yield from family(name, "counter", text, [({}, value)])
        yield from family(
            "sidecar_instance_healthy",
            "gauge",
            "1 for an instance that its checks hold healthy.",
            [({"instance": url}, int(self.monitor.healthy(url))) for url in self.instances()],
        )
        if self.cache is not None:
            stats = self.cache.stats
            results = ("hits", "stale", "misses", "validated", "bypassed")
            yield from family(
                "sidecar_cache_requests_total",
                "counter",
                "Requests by what the cache made of them.",
                [({"result": name}, getattr(stats, name)) for name in results],
            )


def sidecar(service: str | Sequence[str] = (), **settings: Any) -> Callable[[], web.Application]:
    """Return a factory of the application of a sidecar before `service`; `settings`: as in SidecarConfig.

    Raises ValueError at once for what makes no sense. Each start begins anew, with empty cache and counts.
    """
    config = SidecarConfig(service=service, **settings)
    return lambda: Sidecar(config).app()
