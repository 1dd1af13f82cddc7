"""What a proxy adds to a request, and what a thousand open connections cost it.

Every contestant stands in a process of its own before the same aiohttp service, in another: nothing (a direct
call), a plain proxy of thirty lines on the same library, labkit's sidecar without and with all its features,
labkit's edge with all of its own, and nginx as a plain proxy where Debian's package is installed. Each
request carries a token; the edge alone verifies it.

    python proxies.py KIND URL      # serves that kind before URL; prints its port, ends with its input
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import aiohttp
import load
import psutil
from aiohttp import web

from labkit.patterns.edge import Edge, Key, Route, Shedder, TokenBucket, Tokens, TrustedProxies

DIRECT, PLAIN, NGINX = "direct", "30 lines of aiohttp", "nginx"
BARE, FULL = "labkit, sidecar", "labkit, sidecar, all features"
EDGE = "labkit, edge, all features"
os.environ.setdefault("LABKIT_BENCH_SECRET", secrets.token_hex(32))  # the same for all the processes
BODY = b"x" * 1_000
CROWD = 1_000
AIM = 1.3  # times the plain proxy's


def service(url: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=BODY, headers={"Cache-Control": "no-store"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def plain(url: str) -> web.Application:
    async def session(app: web.Application):
        app["session"] = aiohttp.ClientSession(auto_decompress=False)
        yield
        await app["session"].close()

    async def handle(request: web.Request) -> web.StreamResponse:
        data = request.content if request.body_exists else None
        async with app["session"].request(
            request.method, url + request.path_qs, headers=request.headers, data=data, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def bare(url: str) -> web.Application:
    from labkit.patterns.sidecar import sidecar

    return sidecar(url, log=lambda line: None)()


def full(url: str) -> web.Application:
    from labkit.patterns.sidecar import CacheSettings, Fault, HealthCheck, sidecar

    log = open(os.devnull, "w")  # noqa: SIM115  # as long as the process
    return sidecar(
        url,
        timeout=30.0,
        health=HealthCheck(path="/", interval=1),
        cache=CacheSettings(),
        faults=[Fault(probability=0.0, status=503)],
        log=lambda line: log.write(line + "\n"),
    )()


def tokens() -> Tokens:
    key = Key.from_environment("bench", "LABKIT_BENCH_SECRET")
    return Tokens([key], issuer="bench", audience="edge", lifetime=86_400)


def edge(url: str) -> web.Application:
    log = open(os.devnull, "w")  # noqa: SIM115  # as long as the process
    return Edge(
        [Route("/", to=url, scope="read"), Route("/pagos", to=url), Route("/pagos/admin", to=url)],
        tokens=tokens(),
        limit=TokenBucket(1_000_000),
        shedder=Shedder(CROWD),
        trusted=TrustedProxies("10.0.0.0/8"),
        log=lambda line: log.write(line + "\n"),
    ).app()


MAKERS: dict[str, Callable[[str], web.Application]] = {
    "service": service,
    PLAIN: plain,
    BARE: bare,
    FULL: full,
    EDGE: edge,
}


async def serve(kind: str, url: str) -> None:
    runner = web.AppRunner(MAKERS[kind](url), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=CROWD).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextmanager
def in_a_process(kind: str, url: str = "") -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, str(Path(__file__)), kind, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", psutil.Process(process.pid)
        process.stdin.close()


@contextmanager
def nginx(url: str) -> Iterator[tuple[str, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as free, tempfile.TemporaryDirectory() as folder:
        port = free.getsockname()[1]
        free.close()
        text = f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
                fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                upstream service {{ server {url.removeprefix("http://")}; keepalive 64; }}
                server {{ listen 127.0.0.1:{port} backlog={CROWD}; location / {{
                    proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
                }} }}
            }}"""
        Path(folder, "nginx.conf").write_text(text)
        command = ["nginx", "-c", f"{folder}/nginx.conf", "-p", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                end = time.monotonic() + 5
                while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < end:
                    time.sleep(0.02)
                yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
            finally:
                process.terminate()


@contextmanager
def all_of_them() -> Iterator[dict[str, tuple[str, psutil.Process]]]:
    """The URL of each contestant, and its process."""
    with ExitStack() as stack:
        url, process = stack.enter_context(in_a_process("service"))
        found = {DIRECT: (url, process)}
        for kind in (PLAIN, BARE, FULL, EDGE):
            found[kind] = stack.enter_context(in_a_process(kind, url))
        if shutil.which("nginx"):
            found[NGINX] = stack.enter_context(nginx(url))
        yield found


@functools.cache
def authorization() -> str:
    return f"Bearer {tokens().issue('ana', ['read'])}"


def latencies(url: str, seconds: float) -> list[float]:
    """Milliseconds of requests one after the other on one connection, sorted."""

    async def measure() -> list[float]:
        times: list[float] = []
        async with aiohttp.ClientSession(headers={"Authorization": authorization()}) as session:
            end = time.perf_counter() + seconds
            while (began := time.perf_counter()) < end:
                async with session.get(url + "/x") as answer:
                    await answer.read()
                times.append(1e3 * (time.perf_counter() - began))
        return sorted(times)

    return asyncio.run(measure())


def measures(
    contestants: dict[str, tuple[str, psutil.Process]], seconds: int
) -> dict[str, dict[str, Callable[[], float]]]:
    """By what is measured: for each contestant a function that measures it."""

    def percentile(url: str, percent: int) -> float:
        times = latencies(url, seconds)
        return times[len(times) * percent // 100]

    return {
        "p50, ms": {name: partial(percentile, url, 50) for name, (url, _) in contestants.items()},
        "p99, ms": {name: partial(percentile, url, 99) for name, (url, _) in contestants.items()},
        "ms of a request, 16 at once": {
            name: lambda url=url: (
                1e3 / load.requests_per_second(url + "/x", seconds, f"Authorization: {authorization()}")[0]
            )
            for name, (url, _) in contestants.items()
        },
    }


def memory_of_a_crowd(url: str, process: psutil.Process) -> tuple[float, float]:
    """Megabytes of a contestant with no connection, and with a thousand that have each been answered once."""

    async def crowd() -> tuple[float, float]:
        before = process.memory_info().rss
        host, port = url.removeprefix("http://").split(":")
        writers = []
        try:
            for _ in range(CROWD):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(
                    f"GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization()}\r\n\r\n".encode()
                )
                await reader.readuntil(b"\r\n\r\n")
                writers.append(writer)
            return before / 1e6, process.memory_info().rss / 1e6
        finally:
            for writer in writers:
                writer.transport.abort()

    return asyncio.run(crowd())


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
