"""Who is measured: labkit and the peers it is held against, all with the same small answer.

Each is made (untimed), started (returns the URL once it listens; whether it answers is for the caller to
ask) and stopped, once. Run as a program, this file serves one of them by name until its standard input
ends, so that each stands in a process, and behind a GIL, of its own:

    python contestants.py LabkitFlask            # prints the URL
    python contestants.py LabkitFlask 100        # so many at once, prints each URL
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Protocol

from aiohttp import web
from flask import Flask
from pytest_httpserver import HTTPServer
from werkzeug.serving import make_server

import labkit

ANSWER = "hola\n"
_numbers = count()


def flask_app() -> Flask:
    app = Flask("bench")
    app.add_url_rule("/", view_func=lambda: ANSWER)
    return app


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


class FlaskRun:
    """What a notebook without labkit does: a process in another terminal."""

    def start(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        flask = [sys.executable, "-m", "flask", "--app", "contestants:flask_app"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [*flask, "run", "--port", str(port)], cwd=Path(__file__).parent, stdout=quiet, stderr=quiet
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return f"http://127.0.0.1:{port}"
        self.stop()
        raise RuntimeError("flask run did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def main(name: str, number: str = "1") -> None:
    # Stopping is left to the end of the process: these are for load, not for lives.
    for _ in range(int(number)):
        print(globals()[name]().start(), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
