"""Cells as found in Flask's and aiohttp's tutorials: they return at once, with the service running."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
import requests
from kernels import Kernel, kernel
from support import free_port

FLASK_HELLO = """
from flask import Flask

app = Flask(__name__)

@app.route("/")
def hello_world():
    return "{text}"

if __name__ == "__main__":
    app.run({arguments})
"""

AIOHTTP_HELLO = """
from aiohttp import web

async def handle(request):
    name = request.match_info.get('name', "Anonymous")
    return web.Response(text="Hello, " + name)

app = web.Application()
app.add_routes([web.get('/', handle), web.get('/{{name}}', handle)])

if __name__ == '__main__':
    web.run_app(app{arguments})
"""


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    # HOST is conda's or zsh's, and PORT the platform's: neither may decide where a service listens.
    with kernel(env={"HOST": "0.0.0.0", "PORT": "1"}) as running:
        yield running


@pytest.fixture
def port() -> int:
    return free_port()


def get(port: int, path: str = "/") -> str:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).text


def refused(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def need_free(port: int) -> None:
    if not refused(port):
        pytest.skip(f"another program of this machine holds port {port}")


def test_app_run_returns_at_once_and_says_where_it_answers(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(FLASK_HELLO.format(text="Hello, World!", arguments=f"port={port}, debug=True"))
    assert cell.lines == [f"flask-{port} responde en http://127.0.0.1:{port}"]
    assert cell.stderr == ""
    assert get(port) == "Hello, World!"


def test_the_same_port_in_a_later_cell_replaces_the_earlier_service_and_says_so(
    loaded: Kernel, port: int
) -> None:
    loaded.ok(FLASK_HELLO.format(text="primera", arguments=f"port={port}, debug=True"))
    again = loaded.ok(FLASK_HELLO.format(text="segunda", arguments=f"port={port}, debug=True"))
    assert again.lines == [f"flask-{port} responde en http://127.0.0.1:{port} · sustituye a flask-{port}"]
    assert get(port) == "segunda"

    aiohttp = loaded.ok(AIOHTTP_HELLO.format(arguments=f", port={port}"))
    assert aiohttp.lines == [f"aiohttp-{port} responde en http://127.0.0.1:{port} · sustituye a flask-{port}"]
    assert get(port, "/Ana") == "Hello, Ana"

    back = loaded.ok(FLASK_HELLO.format(text="tercera", arguments=f"port={port}"))
    assert back.lines == [f"flask-{port} responde en http://127.0.0.1:{port} · sustituye a aiohttp-{port}"]
    assert get(port) == "tercera"


def test_a_service_made_by_labkit_serve_on_that_port_is_replaced_too(loaded: Kernel, port: int) -> None:
    loaded.ok(f"import labkit; labkit.serve(Flask('tienda'), name='tienda', port={port})")
    cell = loaded.ok(f"app.run(port={port})")
    assert cell.lines == [f"flask-{port} responde en http://127.0.0.1:{port} · sustituye a tienda"]
    assert loaded.ok("labkit.services()['tienda'].state").result == "'detenido'"


def test_the_defaults_are_flasks_5000_and_aiohttps_8080_on_this_machine_only(loaded: Kernel) -> None:
    need_free(5000)
    need_free(8080)
    assert loaded.ok(FLASK_HELLO.format(text="hola", arguments="")).lines == [
        "flask-5000 responde en http://127.0.0.1:5000"
    ]
    assert loaded.ok(AIOHTTP_HELLO.format(arguments="")).lines == [
        "aiohttp-8080 responde en http://127.0.0.1:8080"
    ]
    assert (get(5000), get(8080)) == ("hola", "Hello, Anonymous")
    assert loaded.ok("[labkit.services()[name].host for name in ('flask-5000', 'aiohttp-8080')]").result == (
        "['127.0.0.1', '127.0.0.1']"
    )
    loaded.ok("labkit.stop_all()")


def test_the_service_is_returned_and_shows_as_a_table(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"app = Flask('x'); app.run(port={port})")
    assert cell.result == f"flask-{port} · corriendo · 0 peticiones · 0 errores"
    assert cell.html is not None
    assert "<table" in cell.html


def test_server_name_gives_the_port_and_port_wins_over_it(loaded: Kernel, port: int) -> None:
    other = free_port()
    loaded.ok(f"app = Flask('x'); app.config['SERVER_NAME'] = 'localhost:{port}'; service = app.run()")
    assert loaded.ok("service.url").result == f"'http://127.0.0.1:{port}'"
    loaded.ok(f"service = app.run(port={other})")
    assert loaded.ok("service.url").result == f"'http://127.0.0.1:{other}'"


def test_localhost_is_127_0_0_1(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"Flask('x').run('localhost', {port}).host")
    assert cell.result == "'127.0.0.1'"
    cell = loaded.ok(f"web.run_app(web.Application(), host='localhost', port={port}).host")
    assert cell.result == "'127.0.0.1'"


def test_all_addresses_only_when_asked_for_and_then_it_is_told(loaded: Kernel, port: int) -> None:
    for call in (
        f"Flask('x').run(host='0.0.0.0', port={port}).host",
        f"web.run_app(web.Application(), host='0.0.0.0', port={port}).host",
    ):
        cell = loaded.ok(call)
        assert cell.result == "'0.0.0.0'"
        assert "todas las direcciones de esta máquina (0.0.0.0)" in cell.stdout
        assert len(cell.lines) == 1


def test_on_jupyterhub_the_line_also_says_where_the_browser_finds_it(loaded: Kernel, port: int) -> None:
    loaded.ok("import os; os.environ['JUPYTERHUB_SERVICE_PREFIX'] = '/user/ana/'")
    cell = loaded.ok(f"Flask('x').run(port={port}).name")
    loaded.ok("del os.environ['JUPYTERHUB_SERVICE_PREFIX']")
    assert cell.lines == [
        f"flask-{port} responde en tu navegador en /user/ana/proxy/{port}/ · "
        f"desde el cuaderno: http://127.0.0.1:{port}"
    ]


def test_a_port_given_as_text_is_a_port(loaded: Kernel, port: int) -> None:
    assert loaded.ok(f"Flask('x').run(port='{port}').port").result == str(port)


def test_port_zero_takes_a_free_one(loaded: Kernel) -> None:
    cell = loaded.ok("service = Flask('x').run(port=0); print(service.port > 0, service.name)")
    assert cell.lines[-1] == "True flask"
    loaded.ok("service.stop()")


@pytest.mark.parametrize(
    "call", ["Flask('x').run(port={port})", "web.run_app(web.Application(), port={port})"]
)
def test_where_another_program_holds_the_port_it_goes_on_on_another_and_says_so(
    loaded: Kernel, call: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        places = []
        for _ in range(2):  # the cell is run again: it stays where it is
            cell = loaded.ok(f"service = {call.format(port=port)}; print(service.url)")
            said, url = cell.lines
            assert said.startswith(f"el puerto {port} ya está ocupado por ")
            assert said.endswith(f" responde en {url}")
            assert requests.get(url, timeout=5).status_code == 404
            places.append(url)
        assert places[0] == places[1]
        assert str(port) not in places[0]
    loaded.ok("service.stop()")


def test_bad_ports_and_bad_apps_are_refused_and_cost_no_running_service(loaded: Kernel, port: int) -> None:
    loaded.ok(FLASK_HELLO.format(text="sigo", arguments=f"port={port}"))
    assert loaded.run("Flask('x').run(port=70000)").error == "BadPort"
    assert loaded.run("web.run_app(web.Application(), port='ocho mil')").error == "BadPort"
    assert loaded.run(f"web.run_app(42, port={port})").error == "NotAnApp"
    assert loaded.run(f"Flask('x').run(port={port}, no_such_option=1)").error == "TypeError"
    assert loaded.run(f"web.run_app(web.Application(), prot={port})").error == "TypeError"
    assert loaded.run(f"web.run_app(handle(), prot={port})").error == "TypeError"
    assert get(port) == "sigo"


def test_debug_sets_the_apps_flag_and_starts_neither_reloader_nor_console(loaded: Kernel, port: int) -> None:
    loaded.ok(f"""
app = Flask("d")
@app.get("/")
def broken():
    raise ValueError("se rompe")
service = app.run(port={port}, debug=True, use_reloader=True, use_debugger=True, threaded=False)
""")
    assert loaded.ok("app.debug").result == "True"
    answer = requests.get(f"http://127.0.0.1:{port}/", timeout=5)
    assert answer.status_code == 500
    assert "EVALEX" not in answer.text
    assert requests.get(f"http://127.0.0.1:{port}/console", timeout=5).status_code == 404
    assert loaded.ok("'se rompe' in service.journal.text()").result == "True"
    assert (
        loaded.ok("import os; 'WERKZEUG_RUN_MAIN' in os.environ, 'WERKZEUG_SERVER_FD' in os.environ").result
        == "(False, False)"
    )
    loaded.ok(f"app.run(port={port}, debug=False)")
    assert loaded.ok("app.debug").result == "False"


def test_run_simple_serves_any_wsgi_application(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"""
from werkzeug.wrappers import Request, Response

@Request.application
def application(request):
    return Response("Hello, World!")

if __name__ == "__main__":
    from werkzeug.serving import run_simple
    run_simple("localhost", {port}, application, use_reloader=True)
""")
    assert cell.lines == [f"wsgi-{port} responde en http://127.0.0.1:{port}"]
    assert get(port) == "Hello, World!"


def test_run_simple_serves_static_files(loaded: Kernel, port: int) -> None:
    loaded.ok(f"""
import werkzeug
werkzeug.run_simple("127.0.0.1", {port}, application, static_files={{"/raiz": {__file__!r}}})
""")
    assert "test_run_simple_serves_static_files" in get(port, "/raiz")
    assert get(port) == "Hello, World!"


def test_run_app_accepts_a_coroutine_that_makes_the_app(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"""
import asyncio

async def init():
    await asyncio.sleep(0)
    app = web.Application()
    app.add_routes([web.get("/", handle)])
    return app

web.run_app(init(), port={port}, access_log=None, handle_signals=True, print=None, backlog=128,
            keepalive_timeout=75, shutdown_timeout=1, reuse_address=True, loop=asyncio.new_event_loop())
""")
    assert cell.lines == [
        "labkit sirve a su manera y no tiene en cuenta: shutdown_timeout, keepalive_timeout",
        f"aiohttp-{port} responde en http://127.0.0.1:{port}",
    ]
    assert get(port) == "Hello, Anonymous"


def test_run_app_runs_on_startup_and_cleanup_ctx(loaded: Kernel, port: int) -> None:
    loaded.ok(f"""
steps = []

async def on_startup(app):
    app["started"] = "sí"

async def context(app):
    steps.append("abre")
    yield
    steps.append("cierra")

async def state(request):
    return web.Response(text=request.app["started"])

app = web.Application()
app.on_startup.append(on_startup)
app.cleanup_ctx.append(context)
app.router.add_get("/", state)
service = web.run_app(app, port={port})
""")
    assert get(port) == "sí"
    assert loaded.ok("service.stop(); steps").result == "['abre', 'cierra']"


@pytest.mark.parametrize(
    "setup",
    [
        "app.on_startup.append(broken)",
        "app.cleanup_ctx.append(broken_context)",
        "app = broken(app)",
    ],
)
def test_what_fails_at_start_up_is_raised_in_the_cell_and_the_port_is_free(
    loaded: Kernel, port: int, setup: str
) -> None:
    cell = loaded.run(f"""
async def broken(app):
    raise LookupError("no hay base de datos")

async def broken_context(app):
    raise LookupError("no hay base de datos")
    yield

app = web.Application()
{setup}
web.run_app(app, port={port})
""")
    assert (cell.error, cell.error_text) == ("LookupError", "no hay base de datos")
    assert refused(port)


def test_the_same_aiohttp_app_again_is_the_same_service(loaded: Kernel, port: int) -> None:
    loaded.ok("app = web.Application(); app.router.add_get('/', handle)")
    loaded.ok(f"service = web.run_app(app, port={port})")
    cell = loaded.ok(f"print(web.run_app(app, port={port}) is service)")
    assert cell.lines == [
        f"aiohttp-{port} ya respondía en http://127.0.0.1:{port}: es la misma aplicación",
        "True",
    ]
    loaded.ok("service.stop()")
    cell = loaded.run(f"web.run_app(app, port={port})")
    assert cell.error == "NotRestartable"
    assert "la celda que la crea" in cell.error_text


@pytest.mark.parametrize(
    "call",
    [
        "Flask('x').run(ssl_context='adhoc')",
        "web.run_app(web.Application(), ssl_context=object())",
        "web.run_app(web.Application(), path='/tmp/x.sock')",
        "web.run_app(init(), sock=object())",
        "web.run_app(web.Application(), host='unix:///tmp/x.sock')",
        "Flask('x').run(host='unix:///tmp/x.sock')",
        pytest.param("web.run_app(web.Application(), host=['127.0.0.1', '::1'])", id="two hosts"),
    ],
)
def test_what_is_not_plain_http_is_refused_in_so_many_words(loaded: Kernel, call: str) -> None:
    cell = loaded.run(call)
    assert cell.error == "OnlyPlainHttp"
    assert "labkit" in cell.error_text
    assert cell.stderr == ""


def test_a_thread_of_a_tutorial_returns_at_once_too(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"""
import threading
app = Flask("t")
app.add_url_rule("/", view_func=lambda: "desde un hilo")
thread = threading.Thread(target=app.run, kwargs={{"port": {port}}})
thread.start(); thread.join(5)
thread.is_alive()
""")
    assert cell.result == "False"
    assert get(port) == "desde un hilo"


def test_names_imported_before_the_load_run_in_the_background_too() -> None:
    port = free_port()
    with kernel(loaded=False) as fresh:
        fresh.ok("from aiohttp import web\nfrom aiohttp.web import run_app\noriginal = run_app")
        fresh.ok("%load_ext labkit")
        cell = fresh.ok(f"run_app(web.Application(), port={port})")
        assert cell.lines == [f"aiohttp-{port} responde en http://127.0.0.1:{port}"]
        cell = fresh.ok("%unload_ext labkit")
        assert cell.lines == [f"labkit ya no está cargado · servicios detenidos: aiohttp-{port}"]
        assert refused(port)
        assert fresh.ok("run_app is original is web.run_app, original.__module__").result == (
            "(True, 'aiohttp.web')"
        )


def test_a_forked_child_has_the_original_functions(loaded: Kernel, port: int) -> None:
    """`multiprocessing.Process(target=app.run)` serves in the child, as in the tutorial it is from."""
    cell = loaded.ok(f"""
import multiprocessing, os, time, requests
if "fork" in multiprocessing.get_all_start_methods():
    app = Flask("hijo")
    app.add_url_rule("/", view_func=lambda: str(os.getpid()))
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=app.run, kwargs={{"port": {port}}}, daemon=True)
    child.start()
    for _ in range(200):
        try:
            print(requests.get("http://127.0.0.1:{port}").text == str(child.pid)); break
        except requests.ConnectionError:
            time.sleep(0.02)
    child.kill(); child.join()
else:
    print(True)
""")
    assert cell.lines[-1] == "True"


def test_a_client_session_inside_asyncio_run_calls_the_service(loaded: Kernel, port: int) -> None:
    loaded.ok(FLASK_HELLO.format(text="Hello, World!", arguments=f"port={port}"))
    cell = loaded.ok(f"""
import aiohttp
import asyncio

async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get('http://127.0.0.1:{port}/') as response:
            print("Status:", response.status)
            html = await response.text()
            print("Body:", html)

asyncio.run(main())
""")
    assert cell.lines == ["Status: 200", "Body: Hello, World!"]
    cell = loaded.ok("loop = asyncio.get_event_loop()\nloop.run_until_complete(main())")
    assert cell.lines == ["Status: 200", "Body: Hello, World!"]


def test_what_is_not_taken_into_account_is_said(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"""
from werkzeug.serving import WSGIRequestHandler
Flask('x').run(port={port}, request_handler=WSGIRequestHandler).stop()
""")
    assert cell.lines[0] == "labkit sirve a su manera y no tiene en cuenta: request_handler"
    cell = loaded.ok(f"web.run_app(web.Application(), port={port}, keepalive_timeout=1, print=None).stop()")
    assert cell.lines[0] == "labkit sirve a su manera y no tiene en cuenta: keepalive_timeout"


@pytest.mark.parametrize("app", ["app", "made()"])
def test_handler_cancellation_works(loaded: Kernel, port: int, app: str) -> None:
    loaded.ok(f"""
import asyncio, threading
entered, cancelled = threading.Event(), threading.Event()
async def slow(request):
    entered.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled.set()
        raise
app = web.Application()
app.router.add_get("/", slow)
async def made():
    return app
service = web.run_app({app}, port={port}, handler_cancellation=True)
""")
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert loaded.ok("entered.wait(5)").result == "True"
    assert loaded.ok("cancelled.wait(5)").result == "True"
    loaded.ok("service.stop()")


def test_a_cell_that_reads_its_arguments_runs_as_a_script_without_any(loaded: Kernel, port: int) -> None:
    cell = loaded.ok(f"""
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default={port})
arguments = parser.parse_args()
web.run_app(web.Application(), port=arguments.port).stop()
len(sys.argv)
""")
    assert cell.result == "1"


def test_unloading_gives_the_kernels_arguments_back() -> None:
    with kernel(loaded=False) as fresh:
        before = fresh.ok("import sys; len(sys.argv)").result
        fresh.ok("%load_ext labkit")
        assert fresh.ok("len(sys.argv)").result == "1" != before
        fresh.ok("%unload_ext labkit")
        assert fresh.ok("len(sys.argv)").result == before
