"""The proxy itself: attempts, retries, deadlines, and an answer streamed back."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from aiohttp import ClientResponse, web
from multidict import CIMultiDict
from yarl import URL

from labkit.patterns.proxy import messages
from labkit.patterns.proxy.body import RequestBody
from labkit.patterns.proxy.budget import RetryBudget
from labkit.patterns.proxy.door import Passed
from labkit.patterns.proxy.errors import ClientFault, UpstreamFault
from labkit.patterns.proxy.headers import asks_for_websocket, end_to_end
from labkit.patterns.proxy.settings import Limits, Retries, Timeouts
from labkit.patterns.proxy.tunnel import tunnel
from labkit.patterns.proxy.upstreams import Upstreams

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, 9.2.2
DEADLINE_HEADER = "X-Request-Timeout"
_TARGET = re.compile(r"/[!-\"$-~]*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
# Services close idle connections after 5 s or more; one that is younger rarely breaks under a request.
_REUSE = 4.0
_ANSWER_LIMITS = {"max_line_size": 65_536, "max_field_size": 65_536, "max_headers": 1_000}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: the instance, the status that came of it (None: the client left), seconds to the head."""

    url: str
    status: int | None
    seconds: float


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way: what is about to be asked, and what has become of it.

    To change before `ask`: `target` (path and query, as they will be sent), `headers`, `upstreams`. To read
    afterwards: `attempts`, `sent` (bytes of body to the client), `broken` (the answer did not end).
    `deadline`: when the answer's head must be there, by the loop's clock; None, never.
    """

    request: web.Request
    method: str
    target: str
    headers: CIMultiDict[str]
    upstreams: Upstreams
    body: RequestBody | None
    deadline: float | None
    websocket: bool
    attempts: list[Attempt] = field(default_factory=list)
    sent: int = 0
    broken: bool = False

    def note_sent(self, count: int) -> None:
        """Keep how many bytes of body the client was sent."""
        self.sent = count

    @property
    def retries(self) -> int:
        """Attempts after the first."""
        return max(0, len(self.attempts) - 1)

    @property
    def upstream(self) -> str | None:
        """URL of the instance that was asked last."""
        return self.attempts[-1].url if self.attempts else None


class Answer:
    """A service's answer: the head is here, the body still streams. Close it, or use it as `async with`.

    `headers`: without those of the hop, free to change. `tap`: hears every piece of the body.
    """

    tap: Callable[[bytes], None] | None = None

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.status = response.status
        self.reason = response.reason
        self.headers = end_to_end(response.headers)

    def ready(self) -> bytes:
        """Return what of the body has arrived already, without waiting; raises as `chunks` does."""
        try:
            piece = self.response.content.read_nowait()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _fault_of(error) from error
        if piece and self.tap is not None:
            self.tap(piece)
        return piece

    @property
    def ended(self) -> bool:
        """True when the body has been read to its end."""
        return self.response.content.at_eof()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises UpstreamFault when it breaks off or falls silent."""
        content = self.response.content
        try:
            while piece := await content.readany():
                if self.tap is not None:
                    self.tap(piece)
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _fault_of(error) from error

    def close(self) -> None:
        """Give the connection back when the body has ended, else cut it: the service notices."""
        if self.response.content.at_eof() and self.status != 101:
            self.response.release()
        else:
            self.response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


class _AsItIs(aiohttp.ClientRequest):
    """A request with the headers that it was given and no others."""

    _skip_auto_headers = CIMultiDict({"Content-Type": None})

    def update_auto_headers(self, skip_auto_headers: object) -> None:
        """Add nothing; the parameter of that name does the same more slowly."""


class Proxy:
    """Pass requests on to services: one pool of connections, one retry budget.

    `name` (a token): how it calls itself in Via and Proxy-Status. `seed`: for the jitter of its retries.
    Raises ValueError for a name that is none. It runs between `start` and `close`, on one loop.
    """

    def __init__(
        self,
        name: str = "proxy",
        *,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        retries: Retries | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(messages.BAD_NAME.format(given=name))
        self.name = name
        self.timeouts = timeouts or Timeouts()
        self.limits = limits or Limits()
        self.retries = retries or Retries()
        self.budget = RetryBudget(self.retries.ratio, self.retries.reserve)
        self._random = random.Random(seed)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> Self:
        """Open the pool of connections; nothing connects yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.limits.connections, keepalive_timeout=_REUSE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            request_class=_AsItIs,
            **_ANSWER_LIMITS,  # type: ignore[arg-type]
        )
        # aiohttp would repeat a request by itself when a kept connection breaks: out of our budget and count.
        self._session._retry_connection = False
        return self

    async def close(self) -> None:
        """Cut what still streams and close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def context(self, app: web.Application) -> AsyncIterator[None]:
        """Run from an application's start to its end (`app.cleanup_ctx`)."""
        await self.start()
        yield
        await self.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def call(self, request: web.Request, upstreams: Upstreams, *, timeout: float | None = None) -> Call:
        """Prepare a request to be passed on as it is, to an instance of `upstreams`.

        `timeout`: seconds for the answer's head, retries included; a client that sends X-Request-Timeout can
        only shorten it. Raises ClientFault (400, 413, 501) for what cannot be passed on.
        """
        headers = end_to_end(request.headers)
        headers.popall("Expect", None)
        target = _origin_form(request, headers)
        if (asked := headers.get(DEADLINE_HEADER)) is not None:
            timeout = min(_seconds(asked), timeout or float("inf"))
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        websocket = request.method == "GET" and asks_for_websocket(request.headers)
        if websocket:
            headers["Connection"], headers["Upgrade"] = "Upgrade", "websocket"
        headers.add("Via", f"{request.version.major}.{request.version.minor} {self.name}")
        body = RequestBody(request, self.limits, self.timeouts) if request.body_exists else None
        return Call(request, request.method, target, headers, upstreams, body, deadline, websocket)

    async def forward(self, call: Call) -> web.StreamResponse:
        """Ask, and send the answer to the client. Raises as `ask`."""
        async with await self.ask(call) as answer:
            return await self.send(call, answer)

    async def ask(self, call: Call) -> Answer:
        """Return the answer of an instance, after retries where they are allowed; close it at the end.

        Raises ClientFault for a body that cannot be read on; UpstreamFault 502, 503, 504, each for its cause.
        """
        self.budget.deposit()
        tried: list[str] = []
        fault: UpstreamFault | None = None
        while True:
            url = call.upstreams.pick(tried)
            if url is None:
                raise fault or UpstreamFault(
                    503, "destination_unavailable", messages.NONE_AVAILABLE, sent=False, retry_after=1
                )
            tried.append(url)
            answer: Answer | None = None
            try:
                answer = await self._attempt(call, url)
                if answer.status not in self.retries.statuses or not self._may_repeat(call, sent=True):
                    return answer
                answer.close()
            except UpstreamFault as error:
                fault = error
                if not self._may_repeat(call, sent=error.sent):
                    raise
            await self._back_off(call)

    async def send(self, call: Call, answer: Answer) -> web.StreamResponse:
        """Stream an answer to the client as it comes, or open its tunnel; `call` notes how it went.

        When the service breaks off in the middle, so is the client's connection: an answer that is not whole
        must not look whole.
        """
        if answer.status == 101:
            return await tunnel(call.request, answer.response, answer.headers, call.note_sent)
        response = passed(call.request, answer.status, answer.reason, answer.headers)
        try:
            first = answer.ready()
            if answer.ended and first:
                # All of it is here: head and body leave in one packet.
                response._send_headers_immediately = False
            await response.prepare(call.request)
            call.sent = len(first)
            if not answer.ended and first:
                await response.write(first)
                first = b""
            if not answer.ended:
                async for chunk in answer.chunks():
                    await response.write(chunk)
                    call.sent += len(chunk)
            await response.write_eof(first)
        except UpstreamFault:
            call.broken = True
            if not response.prepared:
                raise
            if call.request.transport is not None:
                call.request.transport.abort()
        return response

    async def _attempt(self, call: Call, url: str) -> Answer:
        """Send the request once. Raises UpstreamFault, ClientFault."""
        if self._session is None:
            raise RuntimeError(messages.NOT_STARTED)
        loop = asyncio.get_running_loop()
        began, status = loop.time(), None
        heard = False

        def waiting(for_client: bool) -> None:
            # The client's own limit is RequestBody's; the service's begins anew with every chunk it is given.
            if not heard and not limit.expired():
                limit.reschedule(self._until(call, None if for_client else self.timeouts.answer))

        headers = call.headers
        if call.deadline is not None:
            headers = headers.copy()
            headers[DEADLINE_HEADER] = f"{max(0.001, call.deadline - began):.3f}"
        try:
            async with asyncio.timeout_at(self._until(call, self.timeouts.answer)) as limit:
                response = await self._session.request(
                    call.method,
                    _join(url, call.target),
                    headers=headers,
                    data=None if call.body is None else call.body.chunks(waiting),
                    allow_redirects=False,
                )
                heard = True
            if response.connection is not None and response.connection.protocol is not None:
                # The rest of the body is still to come: from now on silence has a limit.
                response.connection.protocol.read_timeout = self.timeouts.idle
                response.connection.protocol.start_timeout()
            answer = Answer(response)
            status = answer.status
            return answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if call.body is not None and call.body.fault is not None:
                raise call.body.fault from error
            fault = _fault_of(error)
            if fault.status == 504 and call.deadline is not None and loop.time() >= call.deadline:
                fault = UpstreamFault(504, "http_response_timeout", messages.DEADLINE)
            status = fault.status
            raise fault from error
        finally:
            call.attempts.append(Attempt(url, status, loop.time() - began))
            call.upstreams.report(url, status, loop.time() - began)

    def _until(self, call: Call, seconds: float | None) -> float | None:
        if seconds is None:
            return call.deadline
        end = asyncio.get_running_loop().time() + seconds
        return end if call.deadline is None else min(end, call.deadline)

    def _may_repeat(self, call: Call, *, sent: bool) -> bool:
        if len(call.attempts) >= self.retries.attempts:
            return False
        if sent and (call.method not in IDEMPOTENT or call.websocket):
            return False
        if call.body is not None and not call.body.repeatable:
            return False
        if call.deadline is not None and asyncio.get_running_loop().time() >= call.deadline:
            return False
        return self.budget.withdraw()

    async def _back_off(self, call: Call) -> None:
        most = min(self.retries.max_backoff, self.retries.backoff * 2 ** (len(call.attempts) - 1))
        wait = self._random.uniform(0, most)
        if call.deadline is not None:
            wait = min(wait, max(0.0, call.deadline - asyncio.get_running_loop().time()))
        await asyncio.sleep(wait)


def passed(
    request: web.Request, status: int, reason: str | None, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Return an answer with these headers and no invented ones, ready to be prepared."""
    response = Passed(status=status, reason=reason, headers=headers)
    response.absent = tuple(name for name in ("Content-Type", "Server") if name not in headers)
    if request.version < aiohttp.HttpVersion11 and "Content-Length" not in headers:
        response.force_close()  # its end is the connection's
    return response


def _origin_form(request: web.Request, headers: CIMultiDict[str]) -> str:
    """Return path and query as the client wrote them (RFC 9112, 3.2). Raises ClientFault."""
    if request.method == "CONNECT":
        raise ClientFault(501, messages.NO_TUNNEL)
    target = request.raw_path
    if "://" in target and not target.startswith("/"):
        # Absolute form: its host overrides the header (RFC 9112, 3.2.2).
        authority, slash, path = target.split("://", 1)[1].partition("/")
        headers["Host"] = authority.rpartition("@")[2].partition("?")[0]
        target = slash + path or "/"
    if not _TARGET.fullmatch(target):
        raise ClientFault(400, messages.BAD_TARGET)
    return target


def _join(url: str, target: str) -> URL:
    joined = URL(url + target, encoded=True)
    if target.endswith("?"):
        # yarl forgets an empty query; the path that it will send is kept here, as the client wrote it.
        joined._cache["raw_path_qs"] = joined.raw_path + "?" if target.count("?") == 1 else joined.raw_path_qs
    return joined


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ClientFault(400, messages.BAD_DEADLINE.format(header=DEADLINE_HEADER, given=text[:40]))
    return seconds


def _fault_of(error: Exception) -> UpstreamFault:
    """Name what went wrong between the proxy and the service."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamFault(504, "connection_timeout", messages.CONNECT_TIMEOUT, sent=False)
    if isinstance(error, TimeoutError):
        return UpstreamFault(504, "http_response_timeout", messages.NO_ANSWER)
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamFault(502, "connection_refused", messages.UNREACHABLE, sent=False)
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError | ValueError):
        return UpstreamFault(502, "http_protocol_error", messages.BAD_ANSWER)
    return UpstreamFault(502, "connection_terminated", messages.BROKEN)
