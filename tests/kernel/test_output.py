"""What a service prints or logs shows up in its journal and in no cell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernels import Kernel, kernel

# Each word is said by a service only, in one of the ways in which code speaks.
CHATTERBOXES = """
import asyncio, logging, sys, threading, time, traceback, warnings
import flask, labkit, requests
from aiohttp import web

def speak():
    print("DICE-print")
    print("DICE-stderr", file=sys.stderr)
    sys.stdout.write("DICE-write\\n")
    logging.getLogger("tienda").info("DICE-logging-info")
    logging.warning("DICE-logging-root")
    warnings.warn("DICE-warning")
    thread = threading.Thread(target=lambda: print("DICE-hilo"))
    thread.start(); thread.join()
    timer = threading.Timer(0.02, lambda: print("DICE-más-tarde"))
    timer.start()
    try:
        1 / 0
    except ZeroDivisionError:
        traceback.print_exc()

wsgi = flask.Flask("DICE-app")

@wsgi.get("/")
def hello():
    speak()
    wsgi.logger.warning("DICE-app-logger")
    return "ok"

@wsgi.get("/roto")
def broken():
    raise ValueError("DICE-roto")

@wsgi.get("/hilo-roto")
def broken_thread():
    def fail():
        raise ValueError("DICE-hilo-roto")
    thread = threading.Thread(target=fail); thread.start(); thread.join()
    return "ok"

async def hello_async(request):
    speak()
    await asyncio.to_thread(print, "DICE-to-thread")
    asyncio.get_running_loop().run_in_executor(None, print, "DICE-executor")
    async def later():
        await asyncio.sleep(0.02)
        print("DICE-tarea")
    request.app["tasks"].append(asyncio.create_task(later()))
    asyncio.get_running_loop().call_later(0.01, print, "DICE-call-later")
    return web.Response(text="ok")

async def broken_async(request):
    raise ValueError("DICE-roto")

async def broken_task(request):
    async def fail():
        raise ValueError("DICE-tarea-rota")
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    return web.Response(text="ok")

def make_aiohttp():
    app = web.Application()
    app["tasks"] = []
    handlers = {"/": hello_async, "/roto": broken_async, "/hilo-roto": broken_task}
    app.add_routes([web.get(path, handler) for path, handler in handlers.items()])
    async def on_startup(app):
        print("DICE-on-startup")
    app.on_startup.append(on_startup)
    return app
"""

START = """
services = [wsgi.run(port=0), labkit.serve(make_aiohttp, name="aio")]
"""

CALL = """
def call_all():
    for service in services:
        for path in ("/", "/roto", "/hilo-roto", "/no-existe"):
            requests.get(service.url + path)
    time.sleep(0.05)
    import gc; gc.collect()
call_all()
"""


FRESH = """
labkit.stop_all()
logging.captureWarnings(False)
for logger in (logging.getLogger(), logging.getLogger("tienda")):
    logger.setLevel(logging.WARNING if logger is logging.getLogger() else logging.NOTSET)
    for handler in [*logger.handlers]:
        logger.removeHandler(handler)
"""


@pytest.fixture(scope="module")
def kernel_of_this_module() -> Iterator[Kernel]:
    with kernel() as running:
        yield running


@pytest.fixture
def chatty(kernel_of_this_module: Kernel) -> Iterator[Kernel]:
    kernel_of_this_module.cells.clear()
    kernel_of_this_module.ok(CHATTERBOXES)
    yield kernel_of_this_module
    kernel_of_this_module.ok(FRESH)


def journals(running: Kernel) -> str:
    cell = running.ok("print('\\n'.join(service.journal.text() for service in services))")
    cell_text, cell.stdout = cell.stdout, ""
    return cell_text


SAID = [
    "DICE-print",
    "DICE-stderr",
    "DICE-write",
    "DICE-logging-root",
    "DICE-warning",
    "DICE-hilo",
    "DICE-más-tarde",
    "DICE-app-logger",
    "ZeroDivisionError",
    "DICE-roto",
    "DICE-to-thread",
    "DICE-executor",
    "DICE-tarea",
    "DICE-call-later",
    "DICE-on-startup",
    "DICE-hilo-roto",
    "DICE-tarea-rota",
]


@pytest.mark.parametrize(
    "before",
    [
        "pass",
        "logging.basicConfig(level=logging.INFO)",
        "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)",
        "logging.getLogger().addHandler(logging.StreamHandler(sys.stdout)); logging.captureWarnings(True)",
    ],
)
def test_nothing_a_service_says_shows_up_in_any_cell(chatty: Kernel, before: str) -> None:
    chatty.ok(before)
    chatty.ok(START)
    chatty.ok("print('otra celda')")
    chatty.ok(CALL)
    chatty.ok("print('una más'); time.sleep(0.1)")
    chatty.ok("for service in services: service.stop()")
    text = journals(chatty)
    shown = chatty.everything()
    assert "DICE" not in shown, shown
    assert not [name for name in ("werkzeug", "aiohttp.access") if name in shown]
    assert "otra celda\n" in shown
    assert [word for word in SAID if word not in text] == []


def test_logging_set_up_while_services_run_stays_quiet_too(chatty: Kernel) -> None:
    chatty.ok(START)
    chatty.ok("logging.basicConfig(level=logging.DEBUG, force=True)")
    chatty.ok("handler = logging.StreamHandler(sys.stdout); logging.getLogger('tienda').addHandler(handler)")
    chatty.ok(CALL)
    own = chatty.ok("logging.getLogger('tienda').warning('de la celda')")
    assert "de la celda" in own.stdout
    assert "de la celda" in own.stderr
    shown = chatty.everything()
    assert "DICE" not in shown, shown
    assert not [name for name in ("werkzeug", "aiohttp.access") if name in shown]


def test_a_cell_that_captures_its_output_captures_only_its_own(chatty: Kernel) -> None:
    chatty.ok(START + CALL)
    chatty.ok("%%capture captured\nprint('mío')\ncall_all()")
    assert chatty.ok("captured.stdout, captured.stderr").result == "('mío\\n', '')"
    cell = chatty.ok("""
import contextlib, io
buffer, errors = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(buffer), contextlib.redirect_stderr(errors):
    print('mío')
    call_all()
buffer.getvalue(), errors.getvalue()
""")
    assert cell.result == "('mío\\n', '')"
    assert "DICE" not in chatty.everything()


def test_services_started_inside_a_capture_stay_quiet_afterwards(chatty: Kernel) -> None:
    chatty.ok("%%capture captured\n" + START)
    assert "responde en" in chatty.ok("captured.stdout").result
    chatty.ok(CALL)
    assert chatty.ok("print('sigue')").lines == ["sigue"]
    assert "DICE" not in chatty.everything()


def test_cells_show_their_own_words_as_ever_while_services_run_and_after(chatty: Kernel) -> None:
    chatty.ok(START)
    own = """
import threading
print("uno"); print("dos", file=sys.stderr); display("tres")
thread = threading.Thread(target=print, args=("cuatro",)); thread.start(); thread.join()
"cinco"
"""
    for _ in range(3):
        cell = chatty.ok(own)
        assert (cell.stdout, cell.stderr, cell.result) == ("uno\ncuatro\n", "dos\n", "'cinco'")
    chatty.ok("labkit.stop_all()")
    cell = chatty.ok(own)
    assert (cell.stdout, cell.stderr, cell.result) == ("uno\ncuatro\n", "dos\n", "'cinco'")


def test_streams_are_as_before_once_nothing_runs(chatty: Kernel) -> None:
    kinds = "type(sys.stdout).__name__, type(sys.stderr).__name__, logging.Logger.callHandlers.__module__"
    before = chatty.ok(kinds).result
    chatty.ok(START)
    assert chatty.ok(kinds).result != before
    chatty.ok("labkit.stop_all()")
    assert chatty.ok(kinds).result == before


def test_ipythons_memory_of_a_cells_output_holds_only_its_own(chatty: Kernel) -> None:
    """`%notebook` writes it to a file, and a service that talks for hours would fill it."""
    pytest.importorskip("IPython", minversion="9.0", reason="IPython keeps it from then on")
    chatty.ok(START)
    chatty.ok(CALL + "print('mío')")
    cell = chatty.ok("""
shell = get_ipython()
shown = [text for output in shell.history_manager.outputs[shell.execution_count - 2]
         for text in output.bundle["stream"]]
"".join(shown)
""")
    assert cell.result == "'mío\\n'"


def test_a_thousand_cells_add_no_layer_to_the_output(chatty: Kernel) -> None:
    """IPython swaps sys.stdout.write around every cell."""
    chatty.ok(START)
    chatty.ok("""
shell = get_ipython()
for number in range(1200):
    shell.run_cell("print(end='')", silent=True)
print("hecho")
""")
    assert chatty.ok("print('sigue')").lines == ["sigue"]
