"""Bodies of any size pass with flat memory, up and down, through the proxy, the sidecar and the edge.

The proxy runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from proxy_support import Client, Exchange, Origin
from support import soak

PIECE = b"x" * 1_000_000
GROWTH = 48_000_000  # bytes; buffers of both sockets, and what the allocator keeps

PROXY = """
import asyncio, sys
from aiohttp import web
from labkit.patterns.edge import Edge, Route
from labkit.patterns.proxy import OneOf, Proxy, application
from labkit.patterns.sidecar import CacheSettings, sidecar

def plain(url):
    proxy, service = Proxy(), OneOf(url)
    async def handle(request):
        return await proxy.forward(proxy.call(request, service))
    return application(handle, proxy)

def beside(url):
    return sidecar(url, cache=CacheSettings(), log=lambda line: None)()

def door(url):
    return Edge([Route("/", to=url, public=True)], log=lambda line: None).app()

async def main(make, url):
    runner = web.AppRunner(make(url), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()

asyncio.run(main({"proxy": plain, "sidecar": beside, "edge": door}[sys.argv[1]], sys.argv[2]))
"""


@contextmanager
def in_a_process(kind: str, url: str) -> Iterator[tuple[int, psutil.Process]]:
    """A proxy of that kind before a service: its port and its process."""
    command = [sys.executable, "-c", PROXY, kind, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.kill()


@pytest.mark.parametrize("kind", ["proxy", "sidecar", "edge"])
@pytest.mark.parametrize("pieces", [100, soak(1_000)])
def test_a_large_body_goes_up_and_comes_down_with_flat_memory(kind: str, pieces: int) -> None:
    size = pieces * len(PIECE)
    received = 0

    async def reply(exchange: Exchange) -> None:
        nonlocal received
        while received < size:
            received += len(await exchange.reader.read(2**20))
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % size
        await exchange.say(head)
        for _ in range(pieces):
            await exchange.say(PIECE)

    async def run() -> None:
        async with Origin(reply) as origin:
            with in_a_process(kind, origin.url) as (port, process):
                async with Client(port) as client:
                    await client.say(f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n")
                    await client.say(PIECE)
                    before = process.memory_info().rss
                    most = before
                    for _ in range(pieces - 1):
                        await client.say(PIECE)
                        most = max(most, process.memory_info().rss)
                    assert b"200 OK" in await client.head()
                    left = size
                    while left:
                        left -= len(await client.reader.read(2**20))
                        most = max(most, process.memory_info().rss)
                print(f"{size / 1e6:.0f} MB each way: {(most - before) / 1e6:.1f} MB more at most")
                assert most - before < GROWTH

    asyncio.run(run())
    assert received == size


@pytest.mark.parametrize("kind", ["proxy", "sidecar", "edge"])
def test_a_client_that_does_not_read_holds_the_service_back_and_not_the_memory(kind: str) -> None:
    sent = 0

    async def reply(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await exchange.say(PIECE)
            sent += len(PIECE)

    async def run() -> None:
        async with Origin(reply) as origin:
            with in_a_process(kind, origin.url) as (port, process):
                async with Client(port) as client:
                    before = process.memory_info().rss
                    await client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    await client.head()
                    stalled, last = 0, -1
                    while stalled < 10:  # the service has not got on for ten looks in a row
                        await asyncio.sleep(0.02)
                        stalled, last = (stalled + 1 if sent == last else 0), sent
                    assert sent < 100_000_000
                    assert process.memory_info().rss - before < GROWTH

    asyncio.run(run())
