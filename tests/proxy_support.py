"""What the tests of the proxies share: a service and a client at the level of bytes, all on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

from labkit.patterns.proxy import OneOf, Proxy, application

PATIENCE = 20.0  # seconds after which something is held to hang
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhola"

Reply = Callable[["Exchange"], Awaitable[None]]


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test to its end, bounded."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))

    return run


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for the first true value of `condition`, and return it."""
    while not (value := condition()):
        await asyncio.sleep(0.005)
    return value


class Exchange:
    """One request that a service has received the head of."""

    def __init__(
        self, origin: Origin, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ):
        self.origin, self.head, self.reader, self.writer = origin, head, reader, writer

    async def body(self) -> bytes:
        """The body, by its length or its chunks."""
        head = self.head.lower()
        if b"\r\ncontent-length:" in head:
            length = int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
            return await self.reader.readexactly(length)
        body = b""
        if b"\r\ntransfer-encoding: chunked" in head:
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        return body

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the other side has closed or cut the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


class Origin:
    """A service that keeps every head it receives, and answers what `reply` writes."""

    def __init__(self, reply: Reply | bytes = OK) -> None:
        self.reply = reply
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [head.split(b"\r\n")[0].decode() for head in self.heads]

    def headers(self, number: int = -1) -> list[tuple[str, str]]:
        """Names in lower case and values of the request so numbered, in their order."""
        lines = self.heads[number].decode("latin-1").split("\r\n")[1:]
        pairs = [line.split(":", 1) for line in lines if line]
        return [(name.lower(), value.strip()) for name, value in pairs]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                exchange = Exchange(self, head, reader, writer)
                if isinstance(self.reply, bytes):
                    self.bodies.append(await exchange.body())
                    await exchange.say(
                        self.reply.removesuffix(b"hola") if head.startswith(b"HEAD") else self.reply
                    )
                else:
                    await self.reply(exchange)
                    if writer.is_closing():
                        break
        writer.close()

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()


@contextlib.asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[int]:
    """Serve an application on this loop; gives the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def proxied(*urls: str, **settings: Any) -> AsyncIterator[int]:
    """A plain proxy before these services; gives its port. `calls`: a list that it adds every call to."""
    calls = settings.pop("calls", [])
    timeout = settings.pop("timeout", None)
    proxy, turns = Proxy("prueba", **settings), OneOf(*urls)

    async def handle(request: web.Request) -> web.StreamResponse:
        call = proxy.call(request, turns, timeout=timeout)
        calls.append(call)
        return await proxy.forward(call)

    async with running(application(handle, proxy)) as port:
        yield port


class Client:
    """A client that says bytes and hears bytes."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()

    async def say(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """All until the end of the connection, or its reset."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(65536):
                data += piece
        return data


async def ask(
    port: int, request: str | bytes = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
) -> tuple[int, bytes, bytes]:
    """Send a request of bytes on a new connection; return status, head and body of the answer."""
    if isinstance(request, str):
        request = request.encode()
    request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    async with Client(port) as client:
        await client.say(request)
        answer = await client.rest()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head, "no answer"
    return int(head.split()[1]), head, body
