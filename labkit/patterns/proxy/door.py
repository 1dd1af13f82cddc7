"""The server's side: an aiohttp application whose every request comes to one handler, within limits.

aiohttp answers 400 for any head that it cannot read, and waits for a head as long as for the next request of
an idle connection. Here a head has a time of its own (408), and its size a status of its own (414, 431).
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from labkit.patterns.proxy import messages
from labkit.patterns.proxy.errors import ClientFault, ProxyError

if TYPE_CHECKING:
    from labkit.patterns.proxy.proxy import Proxy

# How long a client that was refused may go on sending before its connection is closed.
_LINGER = 1.0
_HOST = re.compile(r"[\w.~!$&'()*+,;=%-]*(:\d*)?|\[[0-9A-Fa-f:.]+\](:\d*)?", re.ASCII)  # RFC 3986, 3.2.2


def application(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]], proxy: "Proxy"
) -> web.Application:
    """Return an application that gives every request to `handle`, and starts and closes `proxy` with itself.

    A ProxyError that `handle` raises becomes its answer; when the client leaves, `handle` is cancelled.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            _refuse_unsafe(request)
            return await handle(request)
        except ProxyError as error:
            return problem(error, proxy.name)

    limits, timeouts = proxy.limits, proxy.timeouts
    app = web.Application(
        handler_args={
            "max_line_size": limits.line,
            # The limit is all that aiohttp's error tells of what was too long.
            "max_field_size": limits.field + (limits.field == limits.line),
            "max_headers": limits.fields,
            "auto_decompress": False,
            "handler_cancellation": True,
            "keepalive_timeout": timeouts.keep,
            "lingering_time": _LINGER,
        }
    )
    app.router.add_route("*", r"/{path:[\s\S]*}", answer, expect_handler=_expect)
    app.on_response_prepare.append(_add_nothing)
    app.cleanup_ctx.append(proxy.context)
    _serve_with_guards(app, timeouts.head, proxy.name)
    return app


def _refuse_unsafe(request: web.Request) -> None:
    """Refuse what aiohttp reads and others may read otherwise. Raises ClientFault 400, 505."""
    if request._version not in (HttpVersion10, HttpVersion11):
        request._version = HttpVersion11  # that of the answer; `version` has not been asked for yet
        raise ClientFault(505, messages.BAD_VERSION)
    if request.version == HttpVersion10 and "Transfer-Encoding" in request.headers:
        raise ClientFault(400, messages.BAD_HEAD)  # RFC 9112, section 6.1
    if not _HOST.fullmatch(request.headers.get("Host", "")):
        raise ClientFault(400, messages.BAD_HEAD)  # RFC 9112, section 3.2


def problem(error: ProxyError, name: str = "proxy") -> web.Response:
    """Return the answer for an error: problem details (RFC 9457) and Proxy-Status (RFC 9209)."""
    response = web.Response(
        status=error.status,
        body=json.dumps({"status": error.status, "detail": error.detail}, ensure_ascii=False).encode(),
        content_type="application/problem+json",
        headers={"Proxy-Status": f"{name}; error={error.cause}"},
    )
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.close:
        response.force_close()
    return response


class Passed(web.StreamResponse):
    """A service's answer on its way to the client, with the headers that it has and no others.

    `absent`: those that aiohttp would add.
    """

    absent: tuple[str, ...] = ()


async def _add_nothing(request: web.BaseRequest, response: web.StreamResponse) -> None:
    # aiohttp fills these in just before; an answer that is passed on stays as it was.
    if isinstance(response, Passed):
        for name in response.absent:
            response.headers.pop(name, None)


async def _expect(request: web.Request) -> None:
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed(text=messages.BAD_EXPECTATION)
    # RequestBody says "100 Continue" when somebody wants to read the body.


class _Connection(web.RequestHandler):
    """A client's connection that waits `patience` seconds for a head, and says what was wrong with one."""

    __slots__ = ("_name", "_patience", "_timer")

    def __init__(self, *args: Any, patience: float, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._name = name
        self._timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._request_count > heads or self._request_in_progress:
            self._stop_timer()
        elif data and self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, BadHttpMessage):
            # Not logged: what it holds of the request may be a secret.
            return problem(self._fault_of(exc), self._name)
        response = super().handle_error(request, status, exc, message)
        if response.status == 500:
            response = problem(
                ProxyError(500, "proxy_internal_error", messages.INTERNAL, close=True), self._name
            )
        return response

    def _fault_of(self, error: BadHttpMessage) -> ClientFault:
        if isinstance(error, LineTooLong) and error.args[1] == self.max_line_size:
            return ClientFault(414, messages.LONG_LINE)
        if isinstance(error, LineTooLong) or "Too many headers" in error.message:
            return ClientFault(431, messages.LARGE_HEAD)
        return ClientFault(400, messages.BAD_HEAD)

    def _give_up(self) -> None:
        self._timer = None
        if self.transport is not None and not self._request_in_progress:
            body = json.dumps({"status": 408, "detail": messages.SLOW_HEAD}, ensure_ascii=False).encode()
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                b"Content-Type: application/problem+json\r\n"
                + f"Proxy-Status: {self._name}; error=http_request_error\r\n".encode()
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            self.force_close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


def _serve_with_guards(app: web.Application, patience: float, name: str) -> None:
    """Have the application's connections be `_Connection`s: aiohttp has no parameter for their class."""
    make = app._make_handler

    def make_handler(**kwargs: Any) -> web.Server:
        server = make(**kwargs)
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            patience=patience,
            name=name,
            **server._kwargs,
        )

    app._make_handler = make_handler  # type: ignore[method-assign]
