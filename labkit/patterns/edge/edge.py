"""The edge itself: one door, and what happens at it, in this order.

1. who the client is (`forwarded`), and whether the target can be read in one way only: 400
2. the route (`routes`): 404; its methods: 405
3. the token (`tokens`), and the client's rate limit (`limits`): 429; then 401 or 403
4. a place, by the route's priority (`shedding`): 503
5. the request goes on (`labkit.patterns.proxy`): what the client may not say is taken out, what the service
   may believe is put in; 502, 503 and 504 each for its cause
6. a line in the log (`access_log`), whatever happened

A forged token counts against the address that it came from, so the limit is asked before it is refused.
"""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from aiohttp import web
from multidict import CIMultiDict

from labkit.patterns.bulkhead import BulkheadFullError
from labkit.patterns.discovery import AsyncDiscoveryClient, DiscoveryError, Instance
from labkit.patterns.discovery.cache import InstanceCache
from labkit.patterns.edge import messages
from labkit.patterns.edge.access_log import AccessLog
from labkit.patterns.edge.checks import text
from labkit.patterns.edge.errors import BadPath, InvalidInput, InvalidToken, Overloaded, Refused
from labkit.patterns.edge.forwarded import FROM_OUTSIDE, Caller, TrustedProxies
from labkit.patterns.edge.limits import RateLimit, SlidingWindow
from labkit.patterns.edge.route_sources import RouteSource, follow, load
from labkit.patterns.edge.routes import Route, Routes, RouteTable
from labkit.patterns.edge.shedding import Place, Shedder
from labkit.patterns.edge.tokens import Identity, Tokens
from labkit.patterns.edge.users import Users
from labkit.patterns.proxy import (
    Call,
    ClientFault,
    Limits,
    Proxy,
    ProxyError,
    RequestBody,
    Retries,
    Timeouts,
    application,
    problem,
)

USER_HEADER, SCOPES_HEADER, REQUEST_ID_HEADER = "X-User", "X-User-Scopes", "X-Request-ID"
CLIENT_LEFT = 499  # nginx's number in a log; nobody receives it

_NOT_FROM_OUTSIDE = FROM_OUTSIDE | {name.lower() for name in (USER_HEADER, SCOPES_HEADER, REQUEST_ID_HEADER)}
_LONGEST_LOGIN = 4096  # bytes


@dataclass(eq=False)
class Edge:
    """An edge server: `labkit.serve(Edge(routes).app)`, or any other runner of aiohttp applications.

    `routes`: `Routes`, a table, a list of `Route`, or a `RouteSource` that is followed while it runs.
    `tokens`: who verifies them; without it every route must be public. `users`: with it the edge issues
    tokens at `POST {token_path}`, for a name and a password. `limit`: requests of one client, a user or else
    an address; `login_limit`: log-ins from one address. `shedder`: how many requests at once. `trusted`: the
    proxies in front of this one. `log`: the access log's file. `registry`: where the routes' services are
    looked up (lesson 01). `timeouts`, `limits`, `retries`: of the proxy.

    Raises InvalidInput for what cannot work, at once.
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
    log: Path | str | None = None
    registry: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        self._source = cast("RouteSource", self.routes) if hasattr(self.routes, "changes") else None
        if self._source is not None:
            try:
                self.routes = Routes(load(self._source))
            except (OSError, sqlite3.Error) as error:
                raise InvalidInput(messages.NO_ROUTES.format(error=error)) from error
        elif not isinstance(self.routes, Routes):
            self.routes = Routes(cast("Iterable[Route]", self.routes))
        self._check()
        Proxy(self.name)
        self._under_way: Counter[str] = Counter()

    def app(self) -> web.Application:
        """Return a new application. Several may run, each with connections of its own."""
        return _Door(self).app

    def in_flight(self, url: str) -> int:
        """Count the requests under way that are, or may yet be, with the instance at `url`."""
        return self._under_way[url]

    def drain(self, url: str, timeout: float = 10.0) -> bool:
        """Wait for the requests that began while a route led to `url`; False when some go on after `timeout`.

        Once it is True an instance that has left the routes may stop: nothing more comes.
        """
        end = time.monotonic() + timeout
        while self.in_flight(url):
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return True

    def _check(self) -> None:
        kinds: dict[str, type | tuple[type, ...]] = {
            "tokens": (Tokens, type(None)), "users": (Users, type(None)), "shedder": Shedder,
            "trusted": TrustedProxies, "log": (str, Path, type(None)), "registry": (str, type(None)),
            "timeouts": Timeouts, "limits": Limits, "retries": Retries,
        }  # fmt: skip
        for name, kind in kinds.items():
            if not isinstance(given := getattr(self, name), kind):
                kinds_accepted = kind if isinstance(kind, tuple) else (kind,)
                accepted = " o ".join(each.__name__.replace("NoneType", "None") for each in kinds_accepted)
                raise InvalidInput(messages.BAD_KIND.format(name=name, given=given, accepted=accepted))
        for name in ("limit", "login_limit"):
            given = getattr(self, name)
            if not hasattr(given, "admit") and not (name == "limit" and given is None):
                raise InvalidInput(messages.BAD_RATE_LIMIT.format(name=name, given=given))
        if self.users is not None and self.tokens is None:
            raise InvalidInput(messages.USERS_WITHOUT_TOKENS)
        if not text("token_path", self.token_path).startswith("/"):
            raise InvalidInput(messages.BAD_PREFIX.format(given=self.token_path))
        for route in cast("Routes", self.routes).table.routes:
            if self.tokens is None and not route.public:
                raise InvalidInput(messages.NO_TOKENS.format(prefix=route.prefix))
            if self.registry is None and route.service is not None:
                raise InvalidInput(messages.NO_REGISTRY.format(prefix=route.prefix))


class _Instances:
    """Where one request may go: lesson 01's turns, and whoever fails is passed over for a while."""

    def __init__(self, cache: InstanceCache, name: str, instances: Collection[Instance]) -> None:
        self._cache = cache
        self._name = name
        self.instances = {each.url: each for each in instances}

    def pick(self, tried: Collection[str]) -> str | None:
        known = self.instances.values()
        before = [self.instances[url].id for url in tried]
        chosen = self._cache.choose(self._name, known, before) or self._cache.choose(self._name, known)
        return chosen.url if chosen else None

    def report(self, url: str, status: int | None, seconds: float) -> None:
        if status in (502, 504):
            self._cache.eject(self.instances[url])


class _Door:
    """What one running application holds."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.routes = cast("Routes", edge.routes)
        self.proxy = Proxy(edge.name, timeouts=edge.timeouts, limits=edge.limits, retries=edge.retries)
        self.log: AccessLog | None = None
        self.discovery: AsyncDiscoveryClient | None = None
        self.cache = InstanceCache()
        self.fixed: dict[str, tuple[Instance, ...]] = {}
        self.app = application(self.handle, self.proxy)
        self.app.cleanup_ctx.append(self.run)

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """Hold the log, the registry's client and the watch over the routes while the application runs."""
        edge = self.edge
        self.log = AccessLog(edge.log) if edge.log is not None else None
        self.discovery = AsyncDiscoveryClient(edge.registry) if edge.registry is not None else None
        following = asyncio.create_task(follow(edge._source, self.routes)) if edge._source else None
        yield
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        if self.discovery is not None:
            await self.discovery.close()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and log it."""
        began = time.monotonic()
        caller = self.edge.trusted.caller(
            request.remote or "", request.headers, scheme=request.scheme, host=request.host
        )
        entry: dict[str, Any] = {
            "request_id": uuid4().hex, "client": caller.address, "user": None, "method": request.method,
            "path": request.raw_path.partition("?")[0], "status": CLIENT_LEFT, "reason": "client-left",
            "route": None, "upstream": None, "attempts": 0, "bytes_in": 0, "bytes_out": 0,
        }  # fmt: skip
        try:
            response = await self._answer(request, caller, entry)
            entry["status"] = response.status
            entry["reason"] = "broken-off" if entry.pop("broken", False) else None
            return response
        except ProxyError as error:
            entry["status"] = error.status
            entry["reason"] = error.reason if isinstance(error, Refused) else error.cause
            answer = problem(error, self.edge.name)
            answer.headers.update(getattr(error, "headers", {}))
            answer.headers[REQUEST_ID_HEADER] = entry["request_id"]
            return answer
        except Exception:
            entry.update(status=500, reason="proxy_internal_error")
            raise
        finally:
            entry["seconds"] = round(time.monotonic() - began, 6)
            if self.log is not None:
                self.log.write(entry)

    async def _answer(
        self, request: web.Request, caller: Caller, entry: dict[str, Any]
    ) -> web.StreamResponse:
        if self.edge.users is not None and request.path == self.edge.token_path:
            entry["route"] = self.edge.token_path
            return await self._log_in(request, caller, self.edge.users, entry)
        call = self.proxy.call(request, _Instances(self.cache, "", ()))
        route = self._route(call)
        entry["route"] = route.prefix
        identity = self._admit(route, caller, request.headers, entry)
        self._rewrite(call, route, caller, identity, entry["request_id"])
        end = asyncio.get_running_loop().time() + route.timeout
        call.deadline = end if call.deadline is None else min(call.deadline, end)
        with ExitStack() as stack:
            place = stack.enter_context(self._place(route))
            where = await self._instances(route)
            stack.enter_context(self._under_way(where))
            call.upstreams = where
            try:
                async with await self.proxy.ask(call) as answer:
                    self.edge.shedder.answered(place, dropped=answer.status in (502, 503, 504))
                    return await self.proxy.send(call, answer)
            except ProxyError:
                self.edge.shedder.answered(place, dropped=True)
                raise
            finally:
                entry.update(upstream=call.upstream, attempts=len(call.attempts), bytes_out=call.sent)
                entry["bytes_in"] = call.body.received if call.body is not None else 0
                if call.broken:
                    entry["broken"] = True

    def _route(self, call: Call) -> Route:
        """Find the route, and cut what it strips. Raises ClientFault 400, Refused 404, 405."""
        path, mark, query = call.target.partition("?")
        try:
            route = self.routes.table.match(path)
        except BadPath as error:
            raise ClientFault(400, str(error)) from None
        if route is None:
            raise Refused(404, "no-route", messages.NO_ROUTE)
        if route.methods is not None and call.method not in route.methods:
            allowed = {"Allow": ", ".join(sorted(route.methods))}
            raise Refused(405, "method", messages.METHOD.format(method=call.method), headers=allowed)
        call.target = route.target(path) + mark + query
        return route

    def _admit(self, route: Route, caller: Caller, headers: Any, entry: dict[str, Any]) -> Identity | None:
        """Return the bearer of a valid token (None: a public route). Raises Refused 401, 403, 429."""
        identity, refused = None, None
        if not route.public:
            try:
                identity = self._identify(headers)
                entry["user"] = identity.subject
            except Refused as error:
                refused = error
        if self.edge.limit is not None:
            client = ("user", identity.subject) if identity else ("address", caller.group)
            verdict = self.edge.limit.admit(client)
            if not verdict.admitted:
                raise Refused(429, "rate-limit", messages.TOO_MANY, retry_after=verdict.retry_after)
        if refused is not None:
            raise refused
        if identity is not None and route.scope is not None and route.scope not in identity.scopes:
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{route.scope}"'}
            raise Refused(403, "scope", messages.NO_SCOPE.format(scope=route.scope), headers=challenge)
        return identity

    def _identify(self, headers: CIMultiDict[str]) -> Identity:
        given = headers.getall("Authorization", [])
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or self.edge.tokens is None:
            raise Refused(401, "no-token", messages.NO_TOKEN, headers={"WWW-Authenticate": "Bearer"})
        try:
            return self.edge.tokens.verify(token.strip())
        except InvalidToken as error:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750, section 3
            raise Refused(401, f"token-{error.flaw}", str(error), headers=challenge) from None

    def _rewrite(
        self, call: Call, route: Route, caller: Caller, identity: Identity | None, request_id: str
    ) -> None:
        """Take out what a client may not say, and put in what the service may believe."""
        # X_User is X-User to WSGI and CGI, where both become HTTP_X_USER.
        for name in [each for each in call.headers if each.lower().replace("_", "-") in _NOT_FROM_OUTSIDE]:
            call.headers.popall(name, None)
        call.headers.update(caller.headers())
        call.headers[REQUEST_ID_HEADER] = request_id
        if not route.public:
            del call.headers["Authorization"]  # the token is for the edge: a service could use it elsewhere
        if identity is not None:
            call.headers[USER_HEADER] = identity.subject
            call.headers[SCOPES_HEADER] = " ".join(sorted(identity.scopes))

    async def _instances(self, route: Route) -> _Instances:
        if route.service is None:
            name = " ".join(route.to)
            if name not in self.fixed:
                # Those of the tables that are gone are forgotten.
                in_use = {" ".join(each.to) for each in self.routes.table.routes}
                self.fixed = {each: self.fixed[each] for each in in_use & self.fixed.keys()}
                self.fixed[name] = tuple(Instance("fixed", url, url) for url in route.to)
            return _Instances(self.cache, name, self.fixed[name])
        try:
            if self.discovery is None:
                raise DiscoveryError(route.service)
            return _Instances(
                self.discovery.cache, route.service, await self.discovery.instances(route.service)
            )
        except DiscoveryError:
            raise Refused(503, "no-registry", messages.NO_INSTANCES, retry_after=1) from None

    @contextmanager
    def _under_way(self, where: _Instances) -> Iterator[None]:
        counted = self.edge._under_way
        counted.update(where.instances.keys())
        try:
            yield
        finally:
            counted.subtract(where.instances.keys())

    @contextmanager
    def _place(self, route: Route) -> Iterator[Place]:
        """Hold a place until the whole answer is sent. Raises Refused 503."""
        try:
            place = self.edge.shedder.enter(route.priority)
        except Overloaded as error:
            raise Refused(503, "overloaded", str(error), retry_after=1) from None
        try:
            yield place
        finally:
            self.edge.shedder.release(place)

    async def _log_in(
        self, request: web.Request, caller: Caller, users: Users, entry: dict[str, Any]
    ) -> web.Response:
        """Issue a token for `{"username": …, "password": …}`. Raises Refused 400, 401, 405, 429, 503."""
        if request.method != "POST":
            raise Refused(
                405, "method", messages.METHOD.format(method=request.method), headers={"Allow": "POST"}
            )
        verdict = self.edge.login_limit.admit(("login", caller.group))
        if not verdict.admitted:
            raise Refused(429, "rate-limit", messages.TOO_MANY, retry_after=verdict.retry_after)
        body = RequestBody(request, Limits(body=_LONGEST_LOGIN), self.edge.timeouts)
        raw = b"".join([chunk async for chunk in body.chunks()])
        try:
            given = json.loads(raw)
            name, password = given["username"], given["password"]
            if not isinstance(name, str) or not isinstance(password, str):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Refused(400, "login-form", messages.LOGIN_FORM) from None
        try:
            scopes = await users.check(name, password)
        except BulkheadFullError:
            raise Refused(503, "overloaded", messages.LOGIN_BUSY, retry_after=1) from None
        if scopes is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refused(401, "login", messages.WRONG_LOGIN, headers=challenge)
        assert self.edge.tokens is not None
        entry["user"] = name
        token = self.edge.tokens.issue(name, scopes)
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": round(self.edge.tokens.lifetime)},
            headers={"Cache-Control": "no-store"},
        )
