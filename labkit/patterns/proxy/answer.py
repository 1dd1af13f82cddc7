"""A service's answer: its head, its body as it comes, and its way to the client unchanged."""

from collections.abc import AsyncIterator, Callable
from typing import Self

import aiohttp
from aiohttp import ClientResponse, web
from multidict import CIMultiDict

from labkit.patterns.proxy import messages
from labkit.patterns.proxy.errors import UpstreamFault
from labkit.patterns.proxy.headers import end_to_end


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
            raise fault_of(error) from error
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
            raise fault_of(error) from error

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


class Passed(web.StreamResponse):
    """A service's answer on its way to the client, with the headers that it has and no others.

    `absent`: those that aiohttp would add.
    """

    absent: tuple[str, ...] = ()


def passed(
    request: web.Request, status: int, reason: str | None, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Return an answer with these headers and no invented ones, ready to be prepared."""
    response = Passed(status=status, reason=reason, headers=headers)
    response.absent = tuple(name for name in ("Content-Type", "Server") if name not in headers)
    if request.version < aiohttp.HttpVersion11 and "Content-Length" not in headers:
        response.force_close()  # its end is the connection's
    return response


def fault_of(error: Exception) -> UpstreamFault:
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
