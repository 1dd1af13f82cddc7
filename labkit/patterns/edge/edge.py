"""The edge itself: one door, and what happens at it, in this order.

1. who the client is (`forwarded`), and whether the target can be read in one way only: 400
2. the route (`routes`): 404; its methods: 405
3. the token (`tokens`), and the client's rate limit (`limits`): 429; then 401 or 403
4. a place, by the route's priority (`shedding`): 503
5. what the client may not say is taken out, what the service may believe is put in, and the request goes on
   (`labkit.patterns.proxy`): 502, 503 and 504 each for its cause
6. a line in the log, whatever happened

A forged token counts against the address that it came from, so the limit is asked before it is refused.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from labkit.patterns._given import InvalidInput
from labkit.patterns.bulkhead import BulkheadFullError
from labkit.patterns.discovery import AsyncDiscoveryClient, DiscoveryError, Instance
from labkit.patterns.discovery.core import InstanceCache
from labkit.patterns.edge import messages
from labkit.patterns.edge.errors import InvalidToken, Refused
from labkit.patterns.edge.forwarded import FROM_OUTSIDE, Caller, TrustedProxies
from labkit.patterns.edge.limits import RateLimit, SlidingWindow
from labkit.patterns.edge.route_sources import RouteSource, follow, load
from labkit.patterns.edge.routes import Route, Routes, RouteTable
from labkit.patterns.edge.shedding import Shedder
from labkit.patterns.edge.tokens import Identity, Tokens
from labkit.patterns.edge.users import Users
from labkit.patterns.proxy import (
    AccessLog,
    Call,
    Limits,
    Proxy,
    ProxyError,
    RequestBody,
    Retries,
    Timeouts,
    application,
    problem,
)
from labkit.patterns.proxy.accesslog import REQUEST_ID, request_id
from labkit.patterns.proxy.upstreams import service_url

USER_HEADER, SCOPES_HEADER = "X-User", "X-User-Scopes"
CLIENT_LEFT = 499  # nginx's number in a log; nobody receives it

_NOT_FROM_OUTSIDE = FROM_OUTSIDE | {USER_HEADER.lower(), SCOPES_HEADER.lower(), REQUEST_ID.lower()}
_LONGEST_LOGIN = 4096  # bytes
_BEARER = {"WWW-Authenticate": "Bearer"}


@dataclass(eq=False)
class Edge:
    """Configure an edge server: `labkit.serve(Edge(routes).app)`, or any runner of aiohttp applications.

    `routes`: `Routes`, a list of `Route`, or a `RouteSource` that is followed while it runs. `tokens`: who
    verifies them; without it every route must be public. `users`: with it, names and passwords are changed
    for tokens at `POST {token_path}`. `limit`: requests of one client, a user or else an address;
    `login_limit`: log-ins from one address. `shedder`: how many requests at once. `trusted`: the proxies in
    front. `log`: a file, or a function of one line. `registry`: where services are looked up (lesson 01).
    `timeouts`, `limits`, `retries`: of the proxy.

    Raises ValueError for what cannot work.
    """

    routes: Routes | RouteTable | Iterable[Route] | RouteSource
    _: KW_ONLY
    name: str = "edge"
    tokens: Tokens | None = None
    users: Users | None = None
    token_path: str = "/token"
    limit: RateLimit | None = None
    login_limit: RateLimit = field(default_factory=lambda: SlidingWindow(10, per=60))
    shedder: Shedder = field(default_factory=Shedder)
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    log: Path | str | Callable[[str], object] | None = None
    registry: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        self.source = cast("RouteSource", self.routes) if hasattr(self.routes, "changes") else None
        given = load(self.source) if self.source is not None else self.routes
        self.routes = given if isinstance(given, Routes) else Routes(cast("Iterable[Route]", given))
        self._under_way: Counter[str] = Counter()
        self._counting = threading.Lock()
        Proxy(self.name)
        for name, kind, optional in _KINDS:
            given = getattr(self, name)
            if not (isinstance(given, kind) or (optional and given is None)):
                raise ValueError(messages.BAD_KIND.format(name=name, given=given, accepted=kind.__name__))
        for name in ("limit", "login_limit"):
            given = getattr(self, name)
            if not hasattr(given, "admit") and (given is not None or name == "login_limit"):
                raise ValueError(messages.BAD_RATE_LIMIT.format(name=name, given=given))
        if not isinstance(self.token_path, str) or not self.token_path.startswith("/"):
            raise ValueError(messages.BAD_PREFIX.format(given=self.token_path))
        if self.registry is not None:
            service_url(self.registry)
        if self.users is not None and self.tokens is None:
            raise ValueError(messages.USERS_WITHOUT_TOKENS)
        for route in self.routes.table.routes:
            if self.tokens is None and not route.public:
                raise ValueError(messages.NO_TOKENS.format(prefix=route.prefix))
            if self.registry is None and route.service is not None:
                raise ValueError(messages.NO_REGISTRY.format(prefix=route.prefix))

    def app(self) -> web.Application:
        """Return a new application. Several may run, each with connections of its own."""
        return _Door(self).app

    def in_flight(self, url: str) -> int:
        """Count the requests under way that are, or may yet be, with the instance at `url`."""
        return self._under_way[url]

    def drain(self, url: str, timeout: float = 10.0) -> bool:
        """Wait for the requests under way with `url`; False when some go on after `timeout` seconds.

        Once it is True an instance that has left the routes may stop: nothing more comes.
        """
        end = time.monotonic() + timeout
        while self.in_flight(url) and time.monotonic() < end:
            time.sleep(0.005)
        return not self.in_flight(url)

    @contextmanager
    def counted(self, urls: Collection[str]) -> Iterator[None]:
        """Count one request as under way with each of `urls`."""
        with self._counting:
            for url in urls:
                self._under_way[url] += 1
        try:
            yield
        finally:
            with self._counting:
                for url in urls:
                    self._under_way[url] -= 1


_KINDS: tuple[tuple[str, type, bool], ...] = (
    ("tokens", Tokens, True),
    ("users", Users, True),
    ("shedder", Shedder, False),
    ("trusted", TrustedProxies, False),
    ("timeouts", Timeouts, False),
    ("limits", Limits, False),
    ("retries", Retries, False),
)


class _Instances:
    """Where one request may go: lesson 01's turns, and whoever fails is passed over for a while."""

    def __init__(self, cache: InstanceCache, name: str, instances: Collection[Instance]) -> None:
        self._cache = cache
        self._name = name
        self.by_url = {each.url: each for each in instances}

    def pick(self, tried: Collection[str]) -> str | None:
        known = self.by_url.values()
        before = [self.by_url[url].id for url in tried]
        chosen = self._cache.choose(self._name, known, before) or self._cache.choose(self._name, known)
        return chosen.url if chosen else None

    def report(self, url: str, status: int | None, seconds: float) -> None:
        if status in (502, 504):
            self._cache.eject(self.by_url[url])


class _Door:
    """What one running application holds."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.routes = cast("Routes", edge.routes)
        self.proxy = Proxy(edge.name, timeouts=edge.timeouts, limits=edge.limits, retries=edge.retries)
        self.log: AccessLog | None = None
        self.discovery: AsyncDiscoveryClient | None = None
        self.turns = InstanceCache()
        self.fixed: dict[Route, tuple[Instance, ...]] = {}
        self.nowhere = _Instances(self.turns, "", ())
        self.app = application(self.handle, self.proxy)
        self.app.cleanup_ctx.append(self.run)

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """Hold the log, the registry's client and the watch over the routes while the application runs."""
        log, source, registry = self.edge.log, self.edge.source, self.edge.registry
        file = None
        if isinstance(log, str | Path):
            file = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below
        if file is not None:
            self.log = AccessLog(lambda line: file.write(line + "\n"))
        elif callable(log):
            self.log = AccessLog(log)
        self.discovery = AsyncDiscoveryClient(registry, cache_ttl=1.0) if registry is not None else None
        following = asyncio.create_task(follow(source, self.routes)) if source is not None else None
        yield
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        if self.discovery is not None:
            await self.discovery.close()
        if file is not None:
            file.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and log it."""
        began = time.monotonic()
        request_id(request, believe=False)  # one from outside may be chosen to confuse
        caller = self.edge.trusted.caller(request)
        seen: dict[str, Any] = {"client": caller.address, "user": None, "route": None}
        seen["reason"] = "client_left"
        status, call = 0, None
        try:
            if self.edge.users is not None and request.path == self.edge.token_path:
                answer: web.StreamResponse = await self._log_in(request, caller, self.edge.users, seen)
            else:
                call = self.proxy.call(request, self.nowhere)
                answer = await self._pass(call, caller, seen)
            status, seen["reason"] = answer.status, None
            return answer
        except ProxyError as error:
            status, seen["reason"] = error.status, getattr(error, "reason", error.cause)
            answer = problem(error, self.edge.name)
            answer.headers.update({**getattr(error, "headers", {}), REQUEST_ID: request_id(request)})
            return answer
        except Exception:
            status, seen["reason"] = 500, "proxy_internal_error"
            raise
        finally:
            # A client that leaves in the middle has heard the service's own status.
            heard = seen.pop("status", CLIENT_LEFT)
            status = status or heard
            if status == 101:
                seen["reason"] = None  # a tunnel ends when a side leaves
            if self.log is not None:
                self.log.record(request, status, time.monotonic() - began, call=call, **seen)

    async def _pass(self, call: Call, caller: Caller, seen: dict[str, Any]) -> web.StreamResponse:
        """Pass a request on, if it may. Raises ProxyError."""
        route = self._route(call)
        seen["route"] = route.prefix
        identity = self._admit(route, caller, call, seen)
        self._rewrite(call, route, caller, identity)
        end = asyncio.get_running_loop().time() + route.timeout
        call.deadline = end if call.deadline is None else min(call.deadline, end)
        with self.edge.shedder.place(route.priority) as answered:
            where = await self._instances(route)
            call.upstreams = where
            with self.edge.counted(where.by_url.keys()):
                try:
                    async with await self.proxy.ask(call) as answer:
                        seen["status"] = answer.status
                        answered(dropped=answer.status in (502, 503, 504))
                        return await self.proxy.send(call, answer)
                except ProxyError:
                    answered(dropped=True)
                    raise

    def _route(self, call: Call) -> Route:
        """Find the route, and cut what it strips. Raises ClientFault 400, Refused 404, 405."""
        path, mark, query = call.target.partition("?")
        route = self.routes.table.match(path)
        if route is None:
            raise Refused(404, "no_route", messages.NO_ROUTE)
        if route.methods is not None and call.method not in route.methods:
            raise _no_method(call.method, route.methods)
        call.target = route.target(path) + mark + query
        return route

    def _admit(self, route: Route, caller: Caller, call: Call, seen: dict[str, Any]) -> Identity | None:
        """Return the bearer of a valid token (None: a public route). Raises Refused 401, 403, 429."""
        identity, refused = None, None
        if not route.public:
            try:
                identity = self._identify(call)
                seen["user"] = identity.subject
            except Refused as error:
                refused = error
        if self.edge.limit is not None:
            _count(self.edge.limit, ("user", identity.subject) if identity else ("address", caller.group))
        if refused is not None:
            raise refused
        if identity is not None and route.scope is not None and route.scope not in identity.scopes:
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{route.scope}"'}
            raise Refused(403, "scope", messages.NO_SCOPE.format(scope=route.scope), headers=challenge)
        return identity

    def _identify(self, call: Call) -> Identity:
        given = call.headers.getall("Authorization", [])
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or self.edge.tokens is None:
            raise Refused(401, "no_token", messages.NO_TOKEN, headers=_BEARER)
        try:
            return self.edge.tokens.verify(token.strip())
        except InvalidToken as error:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750, section 3
            raise Refused(401, f"token_{error.flaw}", str(error), headers=challenge) from None

    def _rewrite(self, call: Call, route: Route, caller: Caller, identity: Identity | None) -> None:
        """Take out what a client may not say, and put in what the service may believe."""
        # To WSGI and CGI X_User is X-User: both become HTTP_X_USER. No header needs an underscore.
        for name in [each for each in call.headers if "_" in each or each.lower() in _NOT_FROM_OUTSIDE]:
            call.headers.popall(name, None)
        call.headers.update(caller.headers())
        call.headers[REQUEST_ID] = request_id(call.request)
        if identity is not None:
            del call.headers["Authorization"]  # the token is for the edge: a service could use it elsewhere
            call.headers[USER_HEADER] = identity.subject
            call.headers[SCOPES_HEADER] = " ".join(sorted(identity.scopes))

    async def _instances(self, route: Route) -> _Instances:
        """Return where the route leads now. Raises Refused 503 when nobody knows."""
        if route.service is None:
            if route not in self.fixed:
                current = self.routes.table.routes
                self.fixed = {each: known for each, known in self.fixed.items() if each in current}
                instances = [Instance("fixed", url, url) for url in route.to]
                self.fixed[route] = self.turns.store(route.prefix, instances)
            return _Instances(self.turns, route.prefix, self.fixed[route])
        try:
            if self.discovery is None:
                raise DiscoveryError(route.service)
            found = await self.discovery.instances(route.service)
        except (DiscoveryError, InvalidInput):
            raise Refused(503, "no_registry", messages.NO_REGISTRY_NOW, retry_after=1) from None
        return _Instances(self.discovery.cache, route.service, found)

    async def _log_in(
        self, request: web.Request, caller: Caller, users: Users, seen: dict[str, Any]
    ) -> web.Response:
        """Change `{"username": …, "password": …}` for a token. Raises Refused 400, 401, 405, 429, 503."""
        seen["route"] = self.edge.token_path
        if request.method != "POST":
            raise _no_method(request.method, ["POST"])
        _count(self.edge.login_limit, ("login", caller.group))
        body = RequestBody(request, Limits(body=_LONGEST_LOGIN), self.edge.timeouts)
        raw = b"".join([chunk async for chunk in body.chunks()])
        try:
            given = json.loads(raw)
            name, password = given["username"], given["password"]
            if not isinstance(name, str) or not isinstance(password, str):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Refused(400, "login_form", messages.LOGIN_FORM) from None
        try:
            scopes = await users.check(name, password)
        except BulkheadFullError:
            raise Refused(503, "overloaded", messages.LOGIN_BUSY, retry_after=1) from None
        if scopes is None:
            raise Refused(401, "login", messages.WRONG_LOGIN, headers=_BEARER)
        seen["user"] = name
        tokens = cast("Tokens", self.edge.tokens)
        issued = {"access_token": tokens.issue(name, scopes), "token_type": "Bearer"}
        return web.json_response(
            {**issued, "expires_in": round(tokens.lifetime)}, headers={"Cache-Control": "no-store"}
        )


def _count(limit: RateLimit, client: tuple[str, str]) -> None:
    """Count one request. Raises Refused 429."""
    verdict = limit.admit(client)
    if not verdict.admitted:
        raise Refused(429, "rate_limit", messages.TOO_MANY, retry_after=verdict.retry_after)


def _no_method(method: str, allowed: Iterable[str]) -> Refused:
    headers = {"Allow": ", ".join(sorted(allowed))}  # RFC 9110, section 15.5.6
    return Refused(405, "method", messages.METHOD.format(method=method), headers=headers)
