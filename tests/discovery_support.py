"""What the tests of labkit.patterns.discovery share: real servers on 127.0.0.1 and a clock wound by hand."""

import asyncio
import contextlib
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from flask import Flask, jsonify
from werkzeug.serving import WSGIRequestHandler, make_server

from labkit.patterns.discovery import AsyncDiscoveryClient, Registry, registry_app
from labkit.waiting import ManualClock as ManualClock


class _Handler(WSGIRequestHandler):
    # A connection that says nothing must not hold its thread for ever: a port is free only until it is not,
    # and another program's late call may arrive at ours.
    timeout = 5


class Server:
    """A WSGI application on 127.0.0.1, in a thread, until `stop`."""

    def __init__(self, app: Flask, port: int = 0) -> None:
        # A bound socket: binding it itself, werkzeug would look up this machine's name, which may be slow.
        with socket.create_server(("127.0.0.1", port), backlog=128) as bound:
            self.port: int = bound.getsockname()[1]
            self._server = make_server(
                "127.0.0.1", self.port, app, threaded=True, request_handler=_Handler, fd=bound.fileno()
            )
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class Lab:
    """Starts servers for one test and stops whatever is left of them."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def serve(self, app: Flask, port: int = 0) -> Server:
        server = Server(app, port)
        self._stack.callback(server.stop)
        return server

    def registry(self, registry: Registry, port: int = 0) -> "RegistryServer":
        served = RegistryServer(registry, port)
        self._stack.callback(served.stop)
        return served

    def raw(self, behaviour: Callable[[socket.socket], None]) -> "RawServer":
        return self._stack.enter_context(RawServer(behaviour))

    def close(self) -> None:
        self._stack.close()


class RegistryServer:
    """A registry over HTTP that notes every request it gets, as "GET /services/inventario"."""

    def __init__(self, registry: Registry, port: int = 0) -> None:
        self.registry = registry
        self.requests: list[str] = []
        self.seen = threading.Condition()
        app = registry_app(registry)

        @app.before_request
        def note() -> None:
            from flask import request

            with self.seen:
                self.requests.append(f"{request.method} {request.path}")
                self.seen.notify_all()

        self._server: Server | None = Server(app, port)
        self.url, self.port = self._server.url, self._server.port

    def wait_for(self, request: str, times: int = 1) -> None:
        with self.seen:
            assert self.seen.wait_for(lambda: self.requests.count(request) >= times, 5), self.requests

    def stop(self) -> None:
        if self._server is not None:
            self.registry.close()
            self._server.stop()
            self._server = None


class RawServer:
    """A listening socket whose connections are handed to `behaviour`; it counts them."""

    def __init__(self, behaviour: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self._behaviour = behaviour
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self._open.append(connection)
            if self._stopping:
                return
            self.connections += 1
            with contextlib.suppress(OSError):
                self._behaviour(connection)

    _stopping = False

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping = True
        for connection in self._open:
            connection.close()
        with contextlib.suppress(OSError):
            socket.create_connection(self._socket.getsockname(), 1).close()
        self._thread.join(5)
        self._socket.close()
        for connection in self._open:
            connection.close()


class BlockingClient:
    """An AsyncDiscoveryClient on a loop in a thread of its own, called as a DiscoveryClient is."""

    def __init__(self, registry_url: str, **options: Any) -> None:
        self._client = AsyncDiscoveryClient(registry_url, **options)  # may refuse: nothing runs yet
        self.cache = self._client.cache
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __enter__(self) -> "BlockingClient":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def instances(self, service: str) -> Any:
        return self.run(self._client.instances(service))

    def watch(self, service: str, *args: Any) -> Any:
        return self.run(self._client.watch(service, *args))

    def request(self, method: str, service: str, path: str = "/", **kwargs: Any) -> Any:
        async def ask() -> Any:
            answer = await self._client.request(method, service, path, **kwargs)
            said = await answer.json(content_type=None) if answer.ok else None
            return SimpleNamespace(status_code=answer.status, ok=answer.ok, json=lambda: said)

        return self.run(ask())

    def get(self, service: str, path: str = "/", **kwargs: Any) -> Any:
        return self.request("GET", service, path, **kwargs)

    def post(self, service: str, path: str = "/", **kwargs: Any) -> Any:
        return self.request("POST", service, path, **kwargs)


def hang(connection: socket.socket) -> None:
    """Accept, and never answer."""


def hang_up(connection: socket.socket) -> None:
    """Read the request, then close without an answer: it may have been carried out."""
    connection.recv(65536)
    connection.close()


def instance_app(name: str) -> Flask:
    """An instance of a service that says who it is and counts what it is asked."""
    app = Flask(name)
    app.config["ASKED"] = asked = []

    @app.before_request
    def note() -> None:
        from flask import request

        asked.append(f"{request.method} {request.path}")

    @app.route("/stock/<isbn>", methods=["GET", "POST", "PUT"])
    def stock(isbn: str):
        return jsonify(isbn=isbn, instancia=name)

    app.get("/health")(lambda: "ok")
    return app


def dead_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@contextlib.contextmanager
def no_threads_left() -> Iterator[None]:
    """Fail when the block leaves a thread running that was not there before."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    frames = sys._current_frames()
    left = [
        f"{thread.name}\n" + "".join(traceback.format_stack(frames[thread.ident]))
        for thread in set(threading.enumerate()) - before
        if thread.ident in frames
    ]
    assert not left, "threads left behind:\n" + "\n".join(left)
