"""An upgraded connection: after 101 the proxy passes bytes and understands none of them (RFC 9110, 7.8)."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import ClientResponse, StreamReader, web
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

_BUFFER = 65_536


class _Inlet:
    """Takes what a connection receives once its protocol is no longer HTTP, in place of aiohttp's parser."""

    def __init__(self, protocol: Any) -> None:
        # Pauses the connection when the buffer is full, and resumes it when it has been read.
        self.stream = StreamReader(protocol, _BUFFER, loop=asyncio.get_running_loop())

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.stream.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self.stream.feed_eof()


async def tunnel(
    request: web.Request,
    response: ClientResponse,
    headers: CIMultiDict[str],
    note_sent: Callable[[int], None],
) -> web.StreamResponse:
    """Answer 101 and pass bytes both ways until one side ends; `note_sent` hears how many the client got."""
    headers["Connection"] = "Upgrade"
    headers["Upgrade"] = response.headers.get("Upgrade", "websocket")
    switching = web.StreamResponse(status=101, reason=response.reason, headers=headers)
    switching.force_close()
    assert response.connection is not None
    service, client = response.connection.protocol, request.protocol
    assert service is not None
    await switching.prepare(request)
    from_client, from_service = _Inlet(client), _Inlet(service)
    client.set_parser(from_client)  # type: ignore[arg-type]
    service.set_parser(from_service, from_service.stream)
    to_service = StreamWriter(service, asyncio.get_running_loop())
    to_client = StreamWriter(client, asyncio.get_running_loop())
    ways = [
        asyncio.create_task(_pass(from_client.stream, to_service)),
        asyncio.create_task(_pass(from_service.stream, to_client)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        response.close()
        note_sent(to_client.output_size)
    return switching


async def _pass(source: StreamReader, sink: StreamWriter) -> None:
    try:
        while chunk := await source.readany():
            await sink.write(chunk)
    except OSError:
        pass  # this side is gone: the tunnel ends
