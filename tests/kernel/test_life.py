"""Interrupts, unloading and the end of the kernel, graceful or not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
import requests
from kernels import Kernel, kernel
from support import free_port

SERVE = """
import flask, threading, time
from aiohttp import web
flask_app = flask.Flask("f")
flask_app.add_url_rule("/", view_func=lambda: "flask")
async def hello(request):
    return web.Response(text="aiohttp")
aio = web.Application()
aio.router.add_get("/", hello)
flask_app.run(port={flask})
web.run_app(aio, port={aiohttp})
"""


def serve_both(running: Kernel) -> tuple[int, int]:
    ports = free_port(), free_port()
    running.ok(SERVE.format(flask=ports[0], aiohttp=ports[1]))
    assert answers(ports) == ["flask", "aiohttp"]
    return ports


def answers(ports: tuple[int, int]) -> list[str]:
    return [requests.get(f"http://127.0.0.1:{port}/", timeout=5).text for port in ports]


def refused(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def eventually_refused(ports: tuple[int, int], seconds: float = 2) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(refused(port) for port in ports):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    with kernel() as running:
        yield running


@pytest.mark.parametrize(
    "cell",
    [
        "print('ya', flush=True); time.sleep(60)",
        # A session that lasts: requests.get makes one a call, and an interrupt that hits the finalizer of
        # its pool is lost, since Python ignores what a finalizer raises.
        "import requests\nsesion = requests.Session()\nprint('ya', flush=True)\n"
        "while True: sesion.get('http://127.0.0.1:{0}/')",
        "print('ya', flush=True)\nimport asyncio; asyncio.run(asyncio.sleep(60))",
        "print('ya', flush=True)\nwhile True: await asyncio.sleep(0.02)",
    ],
    ids=["sleeping", "calling", "asyncio.run", "await"],
)
def test_an_interrupt_of_a_cell_leaves_the_services_answering(loaded: Kernel, cell: str) -> None:
    ports = serve_both(loaded)
    loaded.ok("import asyncio")
    started = loaded.start(cell.format(*ports))
    while "ya" not in loaded.cells[started].stdout:
        loaded.settle(0.05)
    loaded.settle(0.1)
    loaded.manager.interrupt_kernel()
    shown = loaded.wait(started)
    # An interrupt may hit a frame that has no line number (CPython 3.11). IPython fails to show that one,
    # says so and sends no error; the cell has ended all the same.
    assert shown.error in ("KeyboardInterrupt", "CancelledError") or "Falling back" in shown.stdout
    assert answers(ports) == ["flask", "aiohttp"]
    assert loaded.ok("print('sigue')").lines == ["sigue"]
    loaded.ok("import labkit; labkit.stop_all()")


def test_unload_stops_the_services_and_says_so_in_a_line(loaded: Kernel) -> None:
    ports = serve_both(loaded)
    cell = loaded.ok("%unload_ext labkit")
    names = f"flask-{ports[0]}, aiohttp-{ports[1]}"
    assert cell.lines == [f"labkit ya no está cargado · servicios detenidos: {names}"]
    assert refused(ports[0])
    assert refused(ports[1])
    loaded.ok("%load_ext labkit")
    serve_both(loaded)
    loaded.ok("%reload_ext labkit")
    serve_both(loaded)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_kernel_leaves_no_service() -> None:
    with kernel() as running:
        pid = running.ok("import os; os.getpid()").result
        ports = serve_both(running)
        os.kill(int(pid or 0), signal.SIGKILL)
        assert eventually_refused(ports)


def test_a_kernel_that_is_shut_down_ends_although_a_handler_never_returns() -> None:
    with kernel() as running:
        ports = serve_both(running)
        port = free_port()
        running.ok(f"""
stuck = flask.Flask("s")
@stuck.get("/")
def never():
    time.sleep(1000)
stuck.run(port={port})
import requests
threading.Thread(target=requests.get, args=["http://127.0.0.1:{port}/"], daemon=True).start()
time.sleep(0.1)
""")
        began = time.monotonic()
        running.manager.shutdown_kernel()
        assert not running.manager.is_alive()
        assert time.monotonic() - began < 10, "the kernel had to be killed"
        assert eventually_refused((*ports, port))  # type: ignore[arg-type]


def test_a_restarted_kernel_can_take_the_same_ports() -> None:
    with kernel() as running:
        ports = serve_both(running)
        running.manager.restart_kernel()
        running.client.wait_for_ready(timeout=30)
        running.ok("%load_ext labkit")
        running.ok(SERVE.format(flask=ports[0], aiohttp=ports[1]))
        assert answers(ports) == ["flask", "aiohttp"]
