"""labkit/kernel/blocking.py: what an interrupted cell of the standard library's servers leaves behind."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
import requests
from kernels import Kernel, kernel
from support import PATIENCE, free_port

# It says so from inside, so that no interrupt comes before it serves.
SERVE = "\nserver.service_actions = lambda: print('sirve', flush=True)\nserver.serve_forever(0.05)"
MADE = {
    "wsgiref": "from wsgiref.simple_server import demo_app, make_server\n"
    'server = make_server("127.0.0.1", {port}, demo_app)',
    "http.server": "from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer\n"
    'server = ThreadingHTTPServer(("127.0.0.1", {port}), SimpleHTTPRequestHandler)',
    "socketserver": "import socketserver\n"
    'server = socketserver.ThreadingTCPServer(("127.0.0.1", {port}), socketserver.StreamRequestHandler)',
}


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    with kernel() as running:
        yield running


def listens(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(PATIENCE)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def interrupted(loaded: Kernel, code: str) -> None:
    """Run a cell that says when it serves, for ever, and interrupt it."""
    cell = loaded.start(code)
    while "sirve" not in loaded.cells[cell].stdout:
        loaded.settle(0.05)
    loaded.manager.interrupt_kernel()
    assert loaded.wait(cell).error == "KeyboardInterrupt"


@pytest.mark.parametrize("kind", MADE)
def test_a_server_made_and_interrupted_in_one_cell_is_closed_and_the_cell_runs_again(
    kind: str, loaded: Kernel
) -> None:
    port = free_port()
    for _ in range(2):
        interrupted(loaded, MADE[kind].format(port=port) + SERVE)
        assert not listens(port)


def test_a_server_of_an_earlier_cell_stays_and_may_serve_again(loaded: Kernel) -> None:
    port = free_port()
    loaded.ok(MADE["wsgiref"].format(port=port))
    for _ in range(2):
        interrupted(loaded, SERVE)
        assert listens(port)
    loaded.ok("server.server_close()")
    assert not listens(port)


def test_a_server_in_a_thread_of_its_own_outlives_the_interrupt_of_its_cell(loaded: Kernel) -> None:
    port = free_port()
    interrupted(
        loaded,
        MADE["http.server"].format(port=port)
        + "\nimport threading, time\nthreading.Thread(target=server.serve_forever, daemon=True).start()"
        "\nprint('sirve', flush=True)\nwhile True:\n    time.sleep(0.01)",
    )
    assert requests.get(f"http://127.0.0.1:{port}", timeout=PATIENCE).status_code == 200
    loaded.ok("server.shutdown()\nserver.server_close()")


def test_unloaded_the_library_is_as_it_was() -> None:
    with kernel() as fresh:
        before = "import socketserver\nsocketserver.BaseServer.serve_forever.__module__, "
        same = "hasattr(socketserver.BaseServer.serve_forever, '__wrapped__')"
        assert fresh.ok(before + same).result == "('socketserver', True)"
        fresh.ok("%unload_ext labkit")
        assert fresh.ok(before + same).result == "('socketserver', False)"
