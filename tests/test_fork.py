"""A copy of the kernel made by `fork` has no services: it holds no port, ends none, and may have its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import PATIENCE

KINDS = ["flask", "aiohttp"]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")

HEAD = """
import asyncio, atexit, os, socket, sys, threading, time, warnings
warnings.simplefilter("ignore")
import flask, requests, labkit
from aiohttp import web

def flask_app():
    app = flask.Flask("tienda")
    app.add_url_rule("/", "hola", lambda: "hola")
    return app

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"hola"]

def aiohttp_app():
    async def hola(request):
        return web.Response(text="hola")
    app = web.Application()
    app.router.add_get("/", hola)
    return app

def make():
    return {"flask": flask_app, "wsgi": lambda: wsgi, "aiohttp": aiohttp_app}[sys.argv[1]]()

def get(service):
    return requests.get(service.url, timeout=10).text

def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False

def forked(work):
    '''Run work in a fork to its ordinary end, atexit included; its exit code.'''
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def living():
    '''A fork that lives until the returned end of a pipe is closed.'''
    theirs, ours = os.pipe()
    ready, told = os.pipe()
    if os.fork() == 0:
        os.close(ours)
        os.write(told, b"x")
        os.read(theirs, 1)
        os._exit(0)
    os.close(theirs)
    os.read(ready, 1)
    return ours

service = labkit.serve(make(), name="tienda")
assert get(service) == "hola"
"""


def run(kind: str, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code, kind], capture_output=True, text=True, timeout=3 * PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_living_fork_holds_no_port(kind: str) -> None:
    run(
        kind,
        """
fork = living()
port = service.port
service.stop()
assert refused(port)
again = labkit.serve(make(), name="otra", port=port)
assert get(again) == "hola"
again.stop()
assert refused(port)
""",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_living_fork_keeps_no_connection_open(kind: str) -> None:
    run(
        kind,
        """
client = socket.create_connection(("127.0.0.1", service.port))
client.settimeout(10)
client.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n")
labkit.eventually(lambda: get(service) == "hola")
fork = living()
service.kill()
try:
    assert client.recv(100) == b""
except ConnectionResetError:
    pass
""",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_that_ends_takes_no_service_down(kind: str) -> None:
    run(
        kind,
        """
for _ in range(3):
    assert forked(lambda: None) == 0
    assert get(service) == "hola" and service.state == "corriendo"
labkit.stop_all()
assert service.state == "detenido" and refused(service.port)
""",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_fork_asks_of_labkit_does_not_reach_the_kernels_services(kind: str) -> None:
    run(
        kind,
        """
def work():
    assert len(labkit.services()) == 0
    assert not service.running and service.state == "detenido"
    labkit.stop_all()
    service.stop()
    service.kill()
    print("hola", flush=True)

assert forked(work) == 0
assert get(service) == "hola" and service.state == "corriendo"
service.restart() if sys.argv[1] != "aiohttp" else service.stop()
""",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_may_run_coroutines_and_serve_and_load(kind: str) -> None:
    run(
        kind,
        """
assert labkit.run(asyncio.sleep(0, "padre")) == "padre"
def work():
    assert labkit.run(asyncio.sleep(0, "hijo"), timeout=10) == "hijo"
    own = labkit.serve(make(), name="tienda")
    assert get(own) == "hola" and own.port != service.port
    assert labkit.load(service.url, requests=5).counts == {"200": 5}

assert forked(work) == 0
assert labkit.run(asyncio.sleep(0, "padre")) == "padre"
assert get(service) == "hola"
""",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_pools_of_processes_work_beside_services(kind: str) -> None:
    run(
        kind,
        """
import concurrent.futures, multiprocessing
with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    assert sum(pool.map(abs, range(-10, 0))) == 55
    service.stop()
    assert refused(service.port)
    again = labkit.serve(make(), name="otra", port=service.port)
    assert get(again) == "hola"
    assert sum(pool.map(abs, range(-10, 0))) == 55
assert get(again) == "hola"
""",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_may_fork(kind: str) -> None:
    run(
        kind,
        """
import multiprocessing
fork = multiprocessing.get_context("fork")
def work(pipe):
    print("desde la copia", flush=True)
    pipe.send("hecho")
def call():
    ours, theirs = fork.Pipe()
    process = fork.Process(target=work, args=(theirs,))
    process.start()
    said = ours.recv()
    process.join()
    return said
def app():
    if sys.argv[1] == "aiohttp":
        async def handler(request):
            return web.Response(text=call())
        made = web.Application()
        made.router.add_get("/", handler)
        return made
    made = flask.Flask("fork")
    made.add_url_rule("/", "fork", call)
    return made
forking = labkit.serve(app(), name="fork")
assert [get(forking) for _ in range(3)] == ["hecho"] * 3
assert get(service) == "hola"
""",
    )
