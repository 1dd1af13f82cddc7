"""What lesson 08 measures with, and the services that would be too long for a cell."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing, suppress
from typing import Any

import aiohttp
import psutil
from aiohttp import web

from labkit.patterns.reactive import decode
from labkit.roster import serve
from labkit.service import Service
from labkit.waiting import aeventually, eventually

_REQUEST = b"GET / HTTP/1.1\r\nHost: tienda\r\n\r\n"

DOOR = threading.Event()  # at which the threads of a slow service wait, until `waiting_cost` has measured


async def visit(url: str) -> None:
    """Ask for a page and read it."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()


async def waterfalls(services: Mapping[str, Service], ways: Mapping[str, Callable[[], Any]]) -> list[dict[str, Any]]:
    """Ask in each way, one after the other, and return the requests that the services saw, as bars."""
    bars = []
    for way, ask in ways.items():
        seen = {name: len(service.journal.requests) for name, service in services.items()}
        result = ask()
        if inspect.isawaitable(result):
            await result
        for name, service in services.items():
            for request in service.journal.requests[seen[name] :]:
                await aeventually(lambda request=request: request.duration is not None)  # type: ignore[misc]
                end = request.started + (request.duration or 0.0)
                bars.append({"name": name, "worker": way, "arrival": request.started, "start": request.started, "end": end})
    return bars


def waiting_cost(make: Callable[[], Any], name: str) -> list[tuple[int, int, float]]:
    """Serve, let a thousand clients come who wait, and return (clients, threads more, MiB more) on the way."""
    DOOR.clear()
    _allow_files(3000)  # both ends of each connection are this process's
    service = serve(make, name=name, grace=0)
    process = psutil.Process()
    threads, memory = threading.active_count(), process.memory_info().rss
    points = [(0, 0, 0.0)]
    with ExitStack() as clients:
        for count in range(50, 1001, 50):  # so many fit into the queue of those not yet accepted
            for _ in range(50):
                client = socket.create_connection(("127.0.0.1", service.port))
                clients.enter_context(client).sendall(_REQUEST)
            eventually(lambda count=count: len(service.journal.requests) == count)  # type: ignore[misc]
            more = (process.memory_info().rss - memory) / 2**20
            points.append((count, threading.active_count() - threads, more))
        DOOR.set()
        service.stop()
    return points


def _allow_files(number: int) -> None:
    """Let this process open so many files, where the system counts them (not on Windows)."""
    with suppress(ImportError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = number if hard == resource.RLIM_INFINITY else min(number, hard)
        if 0 <= soft < most:  # infinity is below 0
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def order_of_answers(calculate: Callable[[], Awaitable[object]]) -> list[str]:
    """Ask for a slow page, which awaits `calculate`, and once it has begun for three quick ones."""
    order: list[str] = []

    async def slow(request: web.Request) -> web.Response:
        order.append("empieza la lenta")
        await calculate()
        order.append("acaba la lenta")
        return web.Response()

    async def quick(request: web.Request) -> web.Response:
        order.append("rápida")
        return web.Response()

    def app() -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/lenta", slow), web.get("/rapida", quick)])
        return app

    shop = serve(app, name="tienda-lenta", grace=0)
    slow_one = asyncio.create_task(visit(f"{shop.url}/lenta"))
    await aeventually(lambda: order)
    await asyncio.gather(*(visit(f"{shop.url}/rapida") for _ in range(3)), slow_one)
    return order


def leave_early(*, handler_cancellation: bool) -> list[str]:
    """Ask `tienda`, which asks `pedidos`, which asks `almacen`; hang up, and return who still works for us."""
    working: set[str] = set()

    def link(name: str, next_url: str | None) -> web.Application:
        async def handle(request: web.Request) -> web.Response:
            working.add(name)
            try:
                await (visit(next_url) if next_url else asyncio.sleep(30))
            finally:
                working.discard(name)
            return web.Response()

        app = web.Application(handler_args={"handler_cancellation": handler_cancellation})
        app.router.add_get("/", handle)
        return app

    url = None
    for name in ("almacen", "pedidos", "tienda"):
        service = serve(lambda name, url=url: link(name, url), name=name, grace=0)
        url = service.url
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(_REQUEST)
        eventually(lambda: len(working) == 3)
    if handler_cancellation:
        eventually(lambda: not working)
    else:
        time.sleep(0.3)
    return sorted(working)


async def read_events(url: str, count: int, after: int) -> list[tuple[int, str]]:
    """Return the next Server-Sent Events after a number, as (number, data)."""
    found: list[tuple[int, str]] = []
    async with aiohttp.ClientSession(headers={"Last-Event-ID": str(after)}) as session:
        async with session.get(url) as answer, aclosing(decode(answer.content.iter_any())) as events:
            async for event in events:
                found.append((int(event.id or 0), event.data))
                if len(found) == count:
                    break
    return found
