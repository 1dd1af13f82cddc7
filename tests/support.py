"""What the tests of servers share: applications of each kind with the same routes, raw clients, waiting.

No test sleeps: what it waits for is an event that a handler sets, or a condition given to `eventually`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import psutil
import pytest
import requests
from aiohttp import web

import labkit
from labkit import journal_file

KINDS = ["flask", "wsgi", "aiohttp"]
PATIENCE = 20.0  # seconds after which something is held to hang: noise of a busy machine stays far below
FIXED_PORTS = (5055, 8085)  # those that a lesson's cells name
LOCK_PORT = 15055
MEGABYTES_20 = b"x" * 20_000_000


def soak(*values: Any) -> Any:
    """Mark a test's parameters as endurance at full length, which `make test` leaves to `make soak`."""
    return pytest.param(*values, marks=pytest.mark.soak)


def name_of(thing: object) -> str:
    """A test's id: the repr without addresses and paths, which differ between pytest-xdist's workers."""
    return re.sub(r" (at 0x[0-9a-f]+|from '.*')", "", repr(thing))


def eventually(condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Return the first true value of `condition`, asked often; TimeoutError when there is none."""
    return labkit.eventually(condition, timeout, every=0.005)


def get(url: str, **kwargs: Any) -> requests.Response:
    """A GET on a new connection, bounded."""
    return requests.get(url, timeout=PATIENCE, **kwargs)


def refused(port: int) -> bool:
    """Whether nobody listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionError:  # accepted by a socket that closes at this moment
        return False
    return False


def can_bind(port: int) -> bool:
    """Whether the port is free, by the only test there is."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    return free_ports(1)


def free_ports(count: int, first: int | None = None) -> int:
    """The first of so many ports in a row that are free: from `first` on, or anywhere.

    Anywhere is below the ports that systems give to connections and to port 0: one of those could be taken
    before the test has bound it.
    """
    if first is None:
        firsts = iter(lambda: random.SystemRandom().randrange(24_000, 32_000 - count), 0)
    else:
        firsts = itertools.count(first, count)
    return next(port for port in firsts if all(can_bind(port + number) for number in range(count)))


def take_fixed_ports() -> socket.socket:
    """Reserve the ports that 00_inicio names, among all test runs of this machine.

    A socket is the lock: it holds on every platform and for every user, and ends with its process.
    """
    end = time.monotonic() + 10 * PATIENCE
    while not can_bind(LOCK_PORT):
        assert time.monotonic() < end, f"port {LOCK_PORT} is another program's"
        time.sleep(0.05)
    try:
        lock = socket.create_server(("127.0.0.1", LOCK_PORT))
    except OSError:  # another run was quicker
        return take_fixed_ports()
    while not all(map(can_bind, FIXED_PORTS)) and time.monotonic() < end:
        time.sleep(0.05)
    return lock


def open_files() -> int:
    process = psutil.Process()
    return process.num_handles() if sys.platform == "win32" else process.num_fds()


def own_connections() -> list[Any]:
    """Every TCP socket of this process, listening ones included."""
    process = psutil.Process()
    # Its name before psutil 6, which Colab has.
    connections = getattr(process, "net_connections", None) or process.connections
    return list(connections(kind="tcp"))


def no_file_is_written() -> None:
    """End the threads of journal files."""
    while journal_file._files:
        journal_file._files.popitem()[1].close()


class Raw:
    """A client at the level of bytes: it says what it wants when it wants, and tells how it ended."""

    def __init__(self, service: Any, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", service.port))

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def ask(self, path: str = "/") -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def read_until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            piece = self.socket.recv(65536)
            assert piece, f"ended before {mark!r}: {data!r}"
            data += piece
        return data

    def read_to_end(self) -> bytes:
        """All bytes until the end or a reset. A connection that neither speaks nor ends fails (timeout)."""
        data = b""
        try:
            while piece := self.socket.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return data

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()


class Stage:
    """What handlers and their test tell each other.

    `entered`: released once by each handler that waits; `release`: lets all of them go on.
    """

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.release = threading.Event()
        self.hooks: list[str] = []  # which of an application's hooks ran, in order
        self.pool = ThreadPoolExecutor(1)  # made and used outside of any service first
        self.pool.submit(print, "", end="").result()

    def wait_entered(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.entered.acquire(timeout=PATIENCE), "the handler was not reached"

    def close(self) -> None:
        self.release.set()
        self.pool.shutdown()


@contextlib.contextmanager
def new_stage() -> Iterator[Stage]:
    """A stage whose handlers are let go at the end, whatever happened."""
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()


def say_everything(mark: str) -> None:
    """Speak in every way that code has to speak."""
    print(f"print {mark}")
    print(f"stderr {mark}", file=sys.stderr)
    sys.stdout.writelines([f"writelines {mark}\n"])
    logging.getLogger("tienda").warning("logging %s", mark)
    logging.warning("root logging %s", mark)
    warnings.warn(f"warning {mark}", stacklevel=1)


SAID = ["print", "stderr", "writelines", "logging", "root logging", "warning"]


def synchronous_routes(stage: Stage, answer: str) -> dict[str, Callable[[], Any]]:
    """Path → what the handler does; a str, bytes or an iterator of bytes is the body."""

    def wait() -> str:
        stage.entered.release()
        stage.release.wait(PATIENCE)
        return f"done {answer}"

    def stream() -> Iterator[bytes]:
        yield b"first;"
        stage.entered.release()
        stage.release.wait(PATIENCE)
        yield b"second"

    def broken() -> Iterator[bytes]:
        yield b"first;"
        raise ZeroDivisionError("in the middle")

    def broken_connection() -> Iterator[bytes]:
        yield b"first;"
        raise ConnectionResetError("the warehouse hung up")

    def exit_in_the_middle() -> Iterator[bytes]:
        yield b"first;"
        sys.exit(3)

    def stillborn() -> Iterator[bytes]:
        raise ZeroDivisionError("at once")
        yield b""

    def boom() -> str:
        raise ZeroDivisionError("boom")

    def hang_up() -> str:
        raise ConnectionAbortedError("the warehouse hung up")

    def thread() -> str:
        worker = threading.Thread(target=say_everything, args=("thread",))
        worker.start()
        worker.join()
        return answer

    def timer() -> str:
        worker = threading.Timer(0, say_everything, args=("timer",))
        worker.start()
        worker.join()
        return answer

    def failing_thread() -> str:
        def fail() -> None:
            raise ZeroDivisionError("in a thread")

        worker = threading.Thread(target=fail)
        worker.start()
        worker.join()
        return answer

    def executor() -> str:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(say_everything, "executor").result()
        return answer

    def foreign_pool() -> str:
        stage.pool.submit(say_everything, "foreign pool").result()
        return answer

    def pieces() -> str:
        print("a", end="")
        print("b", end="")
        return answer

    def bad_log() -> str:
        # A logger of nobody's: pytest's own handlers raise where logging's would not.
        logging.Logger("apart").warning("%d items", "three")
        return answer

    def say() -> str:
        say_everything("handler")
        return answer

    return {
        "/": lambda: answer,
        "/say": say,
        "/thread": thread,
        "/timer": timer,
        "/failing-thread": failing_thread,
        "/executor": executor,
        "/foreign-pool": foreign_pool,
        "/pieces": pieces,
        "/bad-log": bad_log,
        "/boom": boom,
        "/hang-up": hang_up,
        "/exit": lambda: sys.exit(3),
        "/wait": wait,
        "/block": wait,
        "/stream": stream,
        "/broken": broken,
        "/broken-connection": broken_connection,
        "/exit-in-the-middle": exit_in_the_middle,
        "/stillborn": stillborn,
        "/big": lambda: MEGABYTES_20,
    }


def flask_app(stage: Stage, answer: str = "hola") -> flask.Flask:
    app = flask.Flask("tienda")
    for path, handler in synchronous_routes(stage, answer).items():

        def view(handler: Callable[[], Any] = handler) -> flask.Response:
            return flask.Response(handler())

        app.add_url_rule(path, path, view, methods=["GET", "POST"])
    return app


def wsgi_app(stage: Stage, answer: str = "hola") -> Callable[..., Any]:
    routes = synchronous_routes(stage, answer)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        handler = routes.get(environ["PATH_INFO"])
        if handler is None:
            start_response("404 NOT FOUND", [("Content-Length", "0")])
            return []
        body = handler()
        headers = [("Content-Type", "text/plain")]
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
            body = [body]
        start_response("200 OK", headers)
        return body

    return app


def aiohttp_app(stage: Stage, answer: str = "hola") -> web.Application:
    routes = synchronous_routes(stage, answer)
    app = web.Application()

    def plain(path: str) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(body=routes[path]())

        return handler

    def blocking_elsewhere(path: str) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(body=await asyncio.to_thread(routes[path]))

        return handler

    async def wait(request: web.Request) -> web.Response:
        stage.entered.release()
        while not stage.release.is_set():
            await asyncio.sleep(0.005)
        return web.Response(text=f"done {answer}")

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first;")
        await wait(request)
        await response.write(b"second")
        return response

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first;")
        raise ZeroDivisionError("in the middle")

    async def to_thread(request: web.Request) -> web.Response:
        await asyncio.to_thread(say_everything, "to_thread")
        return web.Response(text=answer)

    async def task(request: web.Request) -> web.Response:
        async def speak() -> None:
            say_everything("task")

        await asyncio.create_task(speak())
        return web.Response(text=answer)

    async def callback(request: web.Request) -> web.Response:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: (say_everything("callback"), done.set()))
        await done.wait()
        return web.Response(text=answer)

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str("first;")
        stage.entered.release()
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    async def nothing(request: web.Request) -> None:
        return None

    async def stubborn(request: web.Request) -> web.Response:
        stage.entered.release()
        while not stage.release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.005)
        return web.Response(text=answer)

    for path in ("/", "/say", "/pieces", "/bad-log", "/boom", "/hang-up", "/exit", "/block", "/big"):
        app.router.add_route("*", path, plain(path))
    for path in ("/thread", "/timer", "/failing-thread", "/executor", "/foreign-pool"):
        app.router.add_route("*", path, blocking_elsewhere(path))
    app.router.add_route("*", "/wait", wait)
    app.router.add_get("/stream", stream)
    app.router.add_get("/broken", broken)
    app.router.add_get("/to-thread", to_thread)
    app.router.add_get("/task", task)
    app.router.add_get("/callback", callback)
    app.router.add_get("/ws", websocket)
    app.router.add_get("/nothing", nothing)  # type: ignore[arg-type]
    app.router.add_get("/stubborn", stubborn)

    async def startup(app: web.Application) -> None:
        stage.hooks.append("startup")

    async def shutdown(app: web.Application) -> None:
        stage.hooks.append("shutdown")

    async def cleanup(app: web.Application) -> None:
        stage.hooks.append("cleanup")

    app.on_startup.append(startup)
    app.on_shutdown.append(shutdown)
    app.on_cleanup.append(cleanup)
    return app


BUILDERS: dict[str, Callable[..., Any]] = {"flask": flask_app, "wsgi": wsgi_app, "aiohttp": aiohttp_app}


def build(kind: str, stage: Stage, answer: str = "hola") -> Any:
    """An application of that kind, with the routes above."""
    return BUILDERS[kind](stage, answer)


every_kind = pytest.mark.parametrize("kind", KINDS)


def serve(kind: str, stage: Stage, **options: Any) -> Any:
    """A service made by a factory, so that it can be restarted; its answer counts its generations."""
    generation = iter(range(1, 1_000_000))
    return labkit.serve(lambda: build(kind, stage, f"gen {next(generation)}"), name="tienda", **options)
