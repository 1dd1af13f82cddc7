"""One HTTP/1.1 exchange after another over one connection, with no help that would hide what happened.

A client for measuring, and no more: nothing is retried, no redirect is followed, no cookie kept. An
ordinary client does its user a favour that falsifies a measurement: aiohttp, for one, silently sends an
idempotent request again when a kept connection turns out to be closed. It also takes twice the processor
time of this one, and the generator shares the interpreter with the services that it measures.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

KEPT = 64 * 1024  # bytes of a body that are looked at; the rest is counted and forgotten
_LONGEST_HEAD = 64 * 1024
_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


class NotHttp(Exception):
    """The answer is no HTTP response."""


class Cut(ConnectionError):
    """The connection ended before the response did."""


def is_own_limit(error: OSError) -> bool:
    """Return True where this machine lacks descriptors, ports or memory for a connection."""
    return error.errno in _OWN_LIMITS


class Response:
    """A response that has come in whole: its status, its head as it came, and the body's beginning."""

    __slots__ = ("_head", "_lower", "body", "status")

    def __init__(self, status: int, head: bytes) -> None:
        self.status = status
        self.body = b""
        self._head, self._lower = head, head.lower()

    def header(self, name: bytes) -> bytes | None:
        """Find the value of a header, its name in lower case; most are never asked for."""
        start = self._lower.find(b"\r\n" + name + b":")
        if start < 0:
            return None
        start += len(name) + 3
        end = self._head.find(b"\r\n", start)
        return self._head[start : end if end >= 0 else None].strip()


class Connection(asyncio.Protocol):
    """A connection. `exchange` sends a request and returns the response; one at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._gone = False
        self._reset()

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect to an address in digits. Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def _reset(self) -> None:
        self._buffer = bytearray()
        self._response: Response | None = None
        self._no_body = False
        self._take: Callable[[], bool] = self._take_head
        self._left = 0  # bytes of the body, or of the chunk, still to come
        self._reusable = False

    @property
    def reusable(self) -> bool:
        """True when another exchange may follow."""
        return self._reusable and not self._gone

    async def exchange(self, request: bytes, timeout: float, *, head_only: bool = False) -> Response:
        """Send a whole request, return the response. `head_only`: it is the answer to a HEAD.

        Raises TimeoutError after so many seconds, Cut or OSError where the connection ends, NotHttp for
        nonsense; in each case the connection is to be closed: the answer may still come.
        """
        if self._gone or self._transport is None:
            raise Cut
        self._reset()
        self._no_body = head_only
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # A quarter of what asyncio.timeout costs.
        alarm = loop.call_later(timeout, self._fail, TimeoutError())
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            alarm.cancel()
            self._waiter = None

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        self._gone = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self._reusable = False  # more than was asked for: whose answer would be the next?
            return
        self._buffer += data
        try:
            while self._take():
                pass
        except NotHttp as error:
            self._fail(error)

    def eof_received(self) -> None:
        self._gone = True
        if self._take == self._take_until_end:
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        if error is None and self._take == self._take_until_end:
            self._finish()
        self._fail(error if isinstance(error, OSError) else Cut())

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _finish(self) -> bool:
        if self._waiter is not None and not self._waiter.done() and self._response is not None:
            if self._buffer:
                self._reusable = False
            self._waiter.set_result(self._response)
        return False

    # Each takes what it can from the buffer and says whether to go on (RFC 9112, sections 2 to 7).

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LONGEST_HEAD or not b"HTTP/".startswith(self._buffer[:5]):
                raise NotHttp
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if not head.startswith(b"HTTP/1.") or head[8:9] != b" " or not head[9:12].isdigit():
            raise NotHttp
        status = int(head[9:12])
        if 100 <= status < 200 and status != 101:
            return True  # an interim response: the real one follows
        self._response = response = Response(status, head)
        kept = head[7:8] != b"0" and b"close" not in (response.header(b"connection") or b"").lower()
        self._reusable = kept
        return self._frame_body(response)

    def _frame_body(self, response: Response) -> bool:
        if self._no_body or response.status in (204, 304):
            return self._finish()
        if b"chunked" in (response.header(b"transfer-encoding") or b"").lower():
            self._take = self._take_chunk_size
        elif (length := response.header(b"content-length")) is not None:
            if not length.isdigit():
                raise NotHttp
            self._left = int(length)
            self._take = self._take_counted
        else:
            self._reusable = False
            self._take = self._take_until_end
        return True

    def _keep(self, count: int) -> None:
        assert self._response is not None
        room = KEPT - len(self._response.body)
        if room > 0:
            self._response.body += bytes(self._buffer[: min(count, room)])
        del self._buffer[:count]

    def _take_counted(self) -> bool:
        count = min(self._left, len(self._buffer))
        self._keep(count)
        self._left -= count
        return self._finish() if self._left == 0 else False

    def _take_until_end(self) -> bool:
        self._keep(len(self._buffer))
        return False

    def _take_chunk_size(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        try:
            self._left = int(self._buffer[:end].split(b";")[0].strip(), 16)
        except ValueError:
            raise NotHttp from None
        del self._buffer[: end + 2]
        self._take = self._take_chunk if self._left else self._take_trailer
        return True

    def _take_chunk(self) -> bool:
        count = min(self._left, len(self._buffer))
        self._keep(count)
        self._left -= count
        if self._left or len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._take = self._take_chunk_size
        return True

    def _take_trailer(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        del self._buffer[: end + 2]
        return self._finish() if end == 0 else True


def head(method: str, path: str, host: str, headers: dict[str, str], body: bytes | None) -> bytes:
    """Return the bytes of a request, up to and with its body."""
    fields: dict[str, Any] = {"Host": host, "User-Agent": "labkit", "Accept": "*/*"}
    if body is not None:
        fields["Content-Length"] = len(body)
    given = {name.lower() for name in headers}
    fields = {name: value for name, value in fields.items() if name.lower() not in given} | headers
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")
