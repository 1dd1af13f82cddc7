"""What streams through the edge, what comes too large or too slowly, and a client that leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from proxy_support import Client, Origin, on_a_loop, running, until

from labkit.patterns.edge import Edge, Route, Shedder
from labkit.patterns.proxy import Retries, Timeouts


@asynccontextmanager
async def edge_before(url: str, **settings: Any) -> AsyncIterator[tuple[Edge, int, list[dict[str, Any]]]]:
    """An edge, its port, and the entries of its log."""
    entries: list[dict[str, Any]] = []
    edge = Edge(
        [Route("/", to=url, public=True, timeout=settings.pop("timeout", 10))],
        log=lambda line: entries.append(json.loads(line)),
        **settings,
    )
    async with running(edge.app()) as port:
        yield edge, port, entries


@on_a_loop
async def test_events_pass_as_they_come_for_longer_than_the_routes_timeout() -> None:
    more = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await more.wait()
        await response.write(b"data: 2\n\n")
        return response

    app = web.Application()
    app.router.add_get("/events", events)
    async with (
        running(app) as service,
        edge_before(f"http://127.0.0.1:{service}", timeout=0.2) as (_, port, log),
    ):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/events") as answer,
        ):
            assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
            await asyncio.sleep(0.3)  # past the timeout, which is for the head
            more.set()
            assert await answer.content.readuntil(b"\n\n") == b"data: 2\n\n"
        assert (await until(lambda: log))[0]["status"] == 200


@on_a_loop
async def test_a_websocket_passes_and_holds_its_place_until_it_ends() -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.headers['X-Forwarded-For']} {message.data}")
        return socket

    app = web.Application()
    app.router.add_get("/ws", echo)
    shedder = Shedder(1)
    async with running(app) as service:
        async with edge_before(f"http://127.0.0.1:{service}", shedder=shedder) as (_, port, log):
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.ws_connect("/ws") as socket:
                    await socket.send_str("hola")
                    assert (await socket.receive()).data == "127.0.0.1 hola"
                    async with session.get("/ws") as refused:
                        assert refused.status == 503
                await until(lambda: shedder.in_flight == 0)
                assert [entry["status"] for entry in await until(lambda: len(log) > 1 and log)] == [503, 101]
                assert log[1]["reason"] is None


@on_a_loop
async def test_a_client_that_leaves_in_the_middle_is_noticed_by_the_service_at_once() -> None:
    gone = asyncio.Event()

    async def hold(exchange: Any) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        await exchange.say(b"x" * 1000)
        await exchange.gone()
        gone.set()

    async with Origin(hold) as origin, edge_before(origin.url) as (edge, port, log):
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{port}/x")
            await answer.content.readexactly(1000)
            answer.close()
            await asyncio.wait_for(gone.wait(), 1)
        assert edge.in_flight(origin.url) == 0
        entry = (await until(lambda: log))[0]
        assert (entry["status"], entry["reason"]) == (200, "client_left")


@on_a_loop
async def test_an_answer_that_breaks_off_is_logged_as_broken() -> None:
    async def half(exchange: Any) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nmedio")
        exchange.writer.close()

    async with Origin(half) as origin, edge_before(origin.url, retries=Retries(attempts=1)) as (_, port, log):
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{port}/x") as answer:
                    await answer.read()
            except aiohttp.ClientError:
                pass
        entry = (await until(lambda: log))[0]
        assert entry["broken"] or entry["status"] == 502


@on_a_loop
async def test_what_is_too_large_or_too_slow_is_answered_with_its_own_status() -> None:
    many = "".join(f"X-{number}: a\r\n" for number in range(10_000))
    requests = {
        "10,000 headers": (f"GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n", b"431"),
        "a header of 1 MB": (f"GET / HTTP/1.1\r\nHost: a\r\nX-A: {'a' * 1_000_000}\r\n\r\n", b"431"),
        "a target of 1 MB": (f"GET /{'a' * 1_000_000} HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        "a head that never ends": ("GET / HTTP/1.1\r\nHost: a\r\nX-A", b"408"),
        "a chunk that never ends": (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc", b"408"
        ),
        "a body that never comes": ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", b"408"),
    }  # fmt: skip
    async with Origin() as origin:
        async with edge_before(origin.url, timeouts=Timeouts(head=0.3, body=0.3)) as (_, port, _log):
            for name, (text, status) in requests.items():
                async with Client(port) as client:
                    try:
                        await client.say(text.encode())
                    except ConnectionError:
                        pass
                    head = await client.reader.readuntil(b"\r\n\r\n")
                    assert head.split()[1] == status, name
        assert origin.bodies == [] or b"abc" not in b"".join(origin.bodies)
