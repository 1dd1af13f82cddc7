"""Who is measured: labkit and the peers it is held against, all with the same small answer.

Each is made (untimed), started (returns the URL once it listens; whether it answers is for the caller to
ask) and stopped, once. Run as a program, this file serves one of them by name until its standard input
ends, so that each stands in a process, and behind a GIL, of its own:

    python contestants.py LabkitFlask            # prints the URL
    python contestants.py LabkitFlask 100        # so many at once, prints each URL
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from apps import ANSWER, flask_app
from flask import Flask
from pytest_httpserver import HTTPServer
from werkzeug.serving import make_server

import labkit

sys.path.append(
    str(Path(sys.prefix) / "peers")
)  # the extra `bench`, see the Makefile; last: it shadows nothing
_numbers = count()


def aiohttp_app() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=ANSWER)

    app = web.Application()
    app.router.add_get("/", answer)
    return app


class Contestant(Protocol):
    def start(self) -> str: ...

    def stop(self) -> None: ...


class LabkitFlask:
    """`labkit.serve` as a notebook calls it: journal, capture of prints and all."""

    def __init__(self) -> None:
        self.app: Flask | web.Application = flask_app()

    def start(self) -> str:
        # A name of its own: a repeated one would inherit the port of the service before it.
        self.service = labkit.serve(self.app, name=f"bench-{next(_numbers)}")
        return self.service.url

    def stop(self) -> None:
        self.service.stop()


class LabkitAiohttp(LabkitFlask):
    def __init__(self) -> None:
        self.app = aiohttp_app()


class BareWerkzeug:
    """`make_server` in a thread, told not to log."""

    level = logging.ERROR

    def __init__(self) -> None:
        self.app = flask_app()
        # Without a level of its own werkzeug sets INFO and a handler to the screen at the first request.
        logging.getLogger("werkzeug").setLevel(self.level)

    def start(self) -> str:
        self.server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()  # the socket closes at the end of serve_forever


class LoggingWerkzeug(BareWerkzeug):
    """The same with its log written, to a file that keeps nothing."""

    level = logging.INFO

    def __init__(self) -> None:
        super().__init__()
        logging.getLogger("werkzeug").addHandler(logging.FileHandler(os.devnull))


class BareAiohttp:
    """`AppRunner` on a loop in a thread, without an access log."""

    access_log: logging.Logger | None = None

    def __init__(self) -> None:
        self.app = aiohttp_app()

    def start(self) -> str:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return asyncio.run_coroutine_threadsafe(self._start(), self.loop).result()

    async def _start(self) -> str:
        self.runner = web.AppRunner(self.app, handle_signals=False, access_log=self.access_log)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class LoggingAiohttp(BareAiohttp):
    """The same with aiohttp's own access log, written to a file that keeps nothing."""

    access_log = logging.getLogger("aiohttp.access")

    def __init__(self) -> None:
        super().__init__()
        self.access_log.setLevel(logging.INFO)  # below it, aiohttp does not even begin to log
        self.access_log.addHandler(logging.FileHandler(os.devnull))


class PytestHttpserver:
    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = HTTPServer(threaded=True)
        self.server.expect_request("/").respond_with_data(ANSWER)

    def start(self) -> str:
        self.server.start()
        return self.server.url_for("/").rstrip("/").replace("localhost", "127.0.0.1")

    def stop(self) -> None:
        self.server.stop()


class DashInNotebook:
    """`app.run` in a cell: werkzeug in a thread, an iframe, and a call to see that it answers.

    Only in an IPython kernel; elsewhere Dash blocks. Dash stands at /dash/ of the Flask app that all serve.
    """

    def __init__(self) -> None:
        from dash import Dash, html

        self.app = Dash("bench", server=flask_app(), url_base_pathname="/dash/")
        self.app.layout = html.Div(ANSWER)

    def start(self) -> str:
        from dash._jupyter import jupyter_dash

        if not jupyter_dash.active:
            raise RuntimeError("Dash runs in a thread in an IPython kernel only")
        self.port = free_port()
        self.app.run(host="127.0.0.1", port=self.port)
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        from dash._jupyter import jupyter_dash

        # There is no public way: this is what Dash does to a server when its cell is run again.
        jupyter_dash._servers.pop(("127.0.0.1", self.port)).shutdown()


class GradioWay:
    """uvicorn in a thread, started, awaited and closed as `gradio.http_server.Server` does it.

    The Flask app is mounted with a2wsgi. What `launch()` does besides (routes, queue, a call to itself) is
    not here.
    """

    def __init__(self) -> None:
        from a2wsgi import WSGIMiddleware

        self.app: Any = WSGIMiddleware(flask_app())

    def start(self) -> str:
        import uvicorn

        port = free_port()
        self.server = uvicorn.Server(uvicorn.Config(self.app, "127.0.0.1", port, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 5
        while not self.server.started:
            time.sleep(1e-3)
            if time.monotonic() > deadline:
                raise RuntimeError("uvicorn did not start")
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=5)


class PlainUvicorn(GradioWay):
    """The same with the same answer from a bare ASGI function: what is left when the adapter is gone."""

    def __init__(self) -> None:
        async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":  # no lifespan: uvicorn takes a refusal for that
                raise NotImplementedError
            body = ANSWER.encode()
            headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        self.app = answer


class LabkitProcess:
    """`labkit.serve` with a process of its own for the service."""

    number: int | None = None

    def __init__(self) -> None:
        if "isolation" not in inspect.signature(labkit.serve).parameters:
            raise RuntimeError('this labkit has no isolation="process"')

    def start(self) -> str:
        name = f"bench-{next(_numbers)}"
        self.service = labkit.serve("apps:flask_app", name=name, isolation="process", replicas=self.number)
        return self.service.url if self.number is None else " ".join(one.url for one in self.service)

    def stop(self) -> None:
        self.service.stop()


class LabkitTenProcesses(LabkitProcess):
    """Ten replicas; the URLs in one line."""

    number = 10


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class FlaskRun:
    """What a notebook without labkit does: a process in another terminal."""

    def start(self) -> str:
        self.launch()
        return self.wait()

    def launch(self) -> None:
        self.port = free_port()
        flask = [sys.executable, "-m", "flask", "--app", "apps:flask_app"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [*flask, "run", "--port", str(self.port)], cwd=Path(__file__).parent, stdout=quiet, stderr=quiet
        )

    def wait(self) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return f"http://127.0.0.1:{self.port}"
        self.stop()
        raise RuntimeError("flask run did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class FlaskRunTen:
    """Ten of them, all launched before the first is waited for; the URLs in one line."""

    def start(self) -> str:
        self.ten = [FlaskRun() for _ in range(10)]
        for one in self.ten:
            one.launch()
        return " ".join(one.wait() for one in self.ten)

    def stop(self) -> None:
        for one in self.ten:
            one.process.terminate()
        for one in self.ten:
            one.process.wait()


def main(name: str, number: str = "1") -> None:
    # Stopping is left to the end of the process: these are for load, not for lives.
    for _ in range(int(number)):
        print(globals()[name]().start(), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
