"""A full bulkhead over HTTP: 503 with Retry-After, for WSGI applications, such as Flask's, and aiohttp's.

    app.wsgi_app = BulkheadMiddleware(app.wsgi_app, {"/pagos": Bulkhead(3), "/catalogo": Bulkhead(10)})
    app = web.Application(middlewares=[bulkhead_middleware(Bulkhead(10))])

A threaded server has begun a thread for a request before this can refuse it: what is bounded is the work
behind, and a refusal costs its thread a moment only. The server says that it has sent everything just after a
client may have read it: who asks again that very moment may still find the permit in use (`max_wait` bridges
it).
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.bulkhead import Bulkhead
from labkit.patterns.bulkhead.errors import BulkheadFullError
from labkit.patterns.bulkhead.gate import Permit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware

Compartments = Bulkhead | Mapping[str, Bulkhead]


def full_response(error: BulkheadFullError) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return body, status and headers: 503 with Retry-After (RFC 9110, sections 15.6.4 and 10.2.3).

    As Flask takes them, for the views that enter a bulkhead themselves:
    `app.register_error_handler(BulkheadFullError, full_response)`. What the body says is not what the error
    says: how full a service is concerns nobody outside.
    """
    # Whole seconds, as the header wants them, and never 0: that would mean "now".
    seconds = max(1, math.ceil(error.retry_after))
    return {"error": messages.BUSY, "retry_after": seconds}, 503, {"Retry-After": str(seconds)}


def by_path(compartments: Compartments) -> Callable[[str], Bulkhead | None]:
    """Return the function that finds a path's bulkhead: the longest prefix decides, by whole segments.

    "/pagos" is for /pagos and /pagos/7, not for /pagosfalsos; what fits no prefix passes unbounded.
    """
    if isinstance(compartments, Bulkhead):
        compartments = {"/": compartments}
    if not isinstance(compartments, Mapping) or not compartments:
        raise InvalidInput(messages.BAD_COMPARTMENTS.format(given=compartments))
    for prefix, bulkhead in compartments.items():
        if not isinstance(bulkhead, Bulkhead) or not isinstance(prefix, str) or not prefix.startswith("/"):
            raise InvalidInput(messages.BAD_COMPARTMENTS.format(given=compartments))
    found = {prefix.rstrip("/") + "/": bulkhead for prefix, bulkhead in compartments.items()}
    prefixes = sorted(found, key=len, reverse=True)

    def find(path: str) -> Bulkhead | None:
        whole = path.rstrip("/") + "/"
        return next((found[prefix] for prefix in prefixes if whole.startswith(prefix)), None)

    return find


class BulkheadMiddleware:
    """Answer 503 with Retry-After where there is no permit, and hold it until the whole body is sent.

    `compartments`: a Bulkhead for all requests, or a mapping of path prefixes to them (see `by_path`).
    """

    def __init__(self, app: "WSGIApplication", compartments: Compartments) -> None:
        self.app = app
        self._find = by_path(compartments)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        bulkhead = self._find(environ.get("PATH_INFO") or "/")
        if bulkhead is None:
            return self.app(environ, start_response)
        try:
            permit = bulkhead.acquire()
        except BulkheadFullError as error:
            content, _, headers = full_response(error)
            body = json.dumps(content, ensure_ascii=False).encode()
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
            start_response("503 Service Unavailable", list(headers.items()))
            return [body]
        try:
            return _Body(self.app(environ, start_response), permit)
        except BaseException as error:
            permit.release(error)
            raise


class _Body:
    """The application's answer; a streamed one is still at work until the server closes it (PEP 3333)."""

    def __init__(self, parts: Iterable[bytes], permit: Permit) -> None:
        self._parts = parts
        self._permit = permit

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except Exception as error:
            self._permit.release(error)
            raise

    def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._parts, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._permit.release()


def bulkhead_middleware(compartments: Compartments | None = None) -> "Middleware":
    """Return an aiohttp middleware that answers 503 with Retry-After where there is no permit.

    `compartments`: as in `BulkheadMiddleware`; without it only the BulkheadFullErrors are answered that come
    out of handlers which enter bulkheads themselves. The permit is held while the handler runs, streaming
    included; a plain `web.Response` is written after that.
    """
    from aiohttp import web  # only who serves with aiohttp pays for it

    find = by_path(compartments) if compartments is not None else lambda path: None

    @web.middleware
    async def middleware(request: "web.Request", handler: "Handler") -> "web.StreamResponse":
        bulkhead = find(request.path)
        try:
            if bulkhead is None:
                return await handler(request)
            async with bulkhead:
                return await handler(request)
        except BulkheadFullError as error:
            body, status, headers = full_response(error)
            return web.json_response(body, status=status, headers=headers)

    return middleware
