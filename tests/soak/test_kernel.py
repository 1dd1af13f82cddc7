"""Everything that a class does to a notebook, over and over, in real kernels.

Run All up to twenty times, restart and Run All, cells in any order, two notebooks at once, interrupts.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from kernels import ROOT, Cell, Kernel, kernel
from support import can_bind, eventually, free_port, free_ports, soak

WARM = 5  # rounds after which nothing may grow any more
# Between the 5th round and the last. What a round leaves is measured near 100 objects (IPython's history) and
# 0.3 MB (allocators); a service kept alive is thousands of objects, a figure a megabyte.
MORE_OBJECTS = 500  # a round
MORE_MEMORY = 25_000_000

# What piles up, if it does. IPython keeps what cells show, up to a thousand of them: that is let go first.
PROBE = """
import gc, json, threading, psutil, labkit
labkit.eventually(lambda: "labkit-journal-file" not in [t.name for t in threading.enumerate()], 20)
Out.clear(); _ = __ = ___ = None; get_ipython().displayhook.flush(); gc.collect()
print(json.dumps({
    "threads": sorted(t.name.rstrip("0123456789") for t in threading.enumerate()),
    "files": psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0,
    "listening": sum(c.status == "LISTEN" for c in psutil.Process().net_connections()),
    "children": len(psutil.Process().children(recursive=True)),
    "objects": len(gc.get_objects()),
    "memory": psutil.Process().memory_info().rss,
}))
"""

SYNTHETIC = [
    "import flask, requests, labkit\nfrom aiohttp import web",
    """
def tienda(name):
    app = flask.Flask(name)
    app.add_url_rule("/", "index", lambda: requests.get(almacen.url).text + " de " + name)
    return app

def crear_almacen():
    async def stock(request):
        print("preguntan por el stock")
        return web.Response(text="7 libros")
    app = web.Application()
    app.router.add_get("/", stock)
    return app
""",
    "almacen = labkit.serve(crear_almacen, name='almacen', port={port})\nalmacen",
    "tiendas = labkit.serve(tienda, name='tienda', replicas=3)",
    "[requests.get(url).text for url in tiendas.urls]",
    "almacen.journal.write_to({path!r}).flush()",
    """
with labkit.observe() as viaje:
    requests.get(tiendas[0].url)
viaje
""",
    """
with almacen.faults.error(503, every=2), almacen.faults.delay(0.001, jitter=0.001, seed=1):
    resultado = labkit.load(tiendas, requests=30, concurrency=5)
resultado.counts
""",
    "tiendas[1].kill(); tiendas[2].pause(); labkit.services()",
    "almacen.faults.hang(); tiendas[0].faults.drop()",
    "almacen.restart(); almacen",
    "labkit.run(labkit.aeventually(lambda: almacen.running))",
    "almacen.faults.clear()\nrequests.get(almacen.url).text",
    "sorted(set(almacen.journal.lines))",  # in which order the load's requests came is nobody's promise
    "labkit.stop_all()\nlabkit.services()",
]


def cells_of(name: str) -> list[str]:
    """The code cells of a master, on ports of their own; without the checks that take a second each."""
    notebook = nbformat.read(ROOT / "notebooks" / "soluciones" / name, 4)
    ports = {port: str(free_port()) for port in ("5055", "8085")}
    cells = [
        re.sub("5055|8085", lambda found: ports[found[0]], cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return [cell for cell in cells if not re.search(r"""labkit\.check\("SD-(4b|4c|6)""", cell)]


def meaning(cell: Cell) -> tuple[Any, ...]:
    """What a cell showed, ports aside, and how often a service that looks by itself has asked."""
    return tuple(
        re.sub(r"\b\d{4,5}\b|\b\d+ peticion(es)?\b|\b\d+ petición\b", "NÚMERO", text or "")
        for text in (cell.stdout, cell.stderr, cell.result, cell.error, cell.error_text)
    )


def run_all_again_and_again(cells: list[str], rounds: int) -> list[str]:
    """Run them so many times in one kernel; returns what went wrong."""
    differing: list[str] = []
    probes: list[dict[str, Any]] = []
    expected: list[tuple[Any, ...]] = []
    with kernel(loaded=False) as running:
        for number in range(1, rounds + 1):
            shown = [meaning(running.run(cell)) for cell in cells]
            if number == 2:  # the first has nothing to replace, and finds no service
                expected = shown
            if number > 2 and shown != expected:
                other = [f"{number}: {a} {b}" for a, b in zip(shown, expected, strict=True) if a != b]
                differing.append("\n".join(other))
            probes.append(json.loads(running.ok(PROBE).stdout))
    # One round may: a free port was another kernel's a moment ago, whose clients still ask there. What
    # changes with the rounds changes more than one.
    wrong = differing if len(differing) > 1 else []
    warm, last = probes[min(WARM, rounds - 1) - 1], probes[-1]
    wrong += [
        f"{name}: {warm[name]} → {last[name]}"
        for name in ("threads", "children", "listening")
        if warm[name] != last[name]
    ]
    # Descriptors come and go with the sockets of libraries' pools: one a round would be fifteen more.
    files = [probe["files"] for probe in probes]
    if min(files[-WARM:]) > max(files[:WARM]) + 2:
        wrong.append(f"files: {files}")
    wrong += [
        f"{name}: {[probe[name] for probe in probes]}"
        for name, more in (("objects", MORE_OBJECTS * rounds), ("memory", MORE_MEMORY))
        if last[name] > warm[name] + more
    ]
    return wrong


@pytest.mark.parametrize(
    "rounds", [{"00": 4, "synthetic": 4}, soak({"00": 20, "01": 10, "synthetic": 20})], ids=["4", "20"]
)
def test_run_all_again_and_again_shows_the_same_and_nothing_piles_up(
    rounds: dict[str, int], tmp_path: Path
) -> None:
    """Notebooks, each in a kernel of its own, at the same time; the lesson that takes longest less often."""
    synthetic = [
        cell.replace("{port}", str(free_port())).replace("{path!r}", repr(str(tmp_path / "almacen.log")))
        for cell in SYNTHETIC
    ]
    cells = {
        "00": cells_of("00_inicio.ipynb"),
        "01": cells_of("01_service_discovery.ipynb"),
        "synthetic": synthetic,
    }
    with ThreadPoolExecutor(len(rounds)) as pool:
        wrong = pool.map(run_all_again_and_again, [cells[name] for name in rounds], rounds.values())
        assert list(wrong) == [[]] * len(rounds)
    lines = [json.loads(line) for line in (tmp_path / "almacen.log").read_text("utf-8").splitlines()]
    assert {line["service"] for line in lines} == {"almacen"}
    assert sum(line.get("text") == "preguntan por el stock" for line in lines) >= rounds["synthetic"]


def test_restart_and_run_all_with_fixed_ports(tmp_path: Path) -> None:
    """Without the last cell: the kernel that goes takes its services with it."""
    group = free_ports(3)  # replicas take ports in a row
    flask_port, aiohttp_port = free_port(), free_port()
    cells = [
        "%load_ext labkit",
        "import flask, requests, labkit\nfrom aiohttp import web",
        f"""
def crear(name):
    app = flask.Flask(name)
    app.add_url_rule("/", "index", lambda: name)
    return app
grupo = labkit.serve(crear, name="grupo", replicas=3, port={group})
print([requests.get(url).text for url in grupo.urls])
""",
        f"""
app = flask.Flask("x")
app.add_url_rule("/", view_func=lambda: "x")
servicio = app.run(port={flask_port}, debug=True)
print(requests.get("http://127.0.0.1:{flask_port}").text)
""",
        f"""
app = web.Application()
async def hola(request):
    return web.Response(text="hola")
app.router.add_get("/", hola)
web.run_app(app, port={aiohttp_port})
print(requests.get("http://127.0.0.1:{aiohttp_port}").text)
""",
        "grupo[0].pause(); grupo[1].faults.hang(); servicio.faults.drop()\nlabkit.services()",
    ]
    shown = []
    with kernel(loaded=False) as running:
        for _ in range(3):
            shown.append([meaning(running.ok(cell)) for cell in cells])
            running.manager.restart_kernel()
            running.client.wait_for_ready(timeout=30)
            for port in (*range(group, group + 3), flask_port, aiohttp_port):
                assert can_bind(port)
    assert shown[1:] == shown[:1] * 2


# cells in any order


@pytest.fixture(scope="module")
def one() -> Iterator[Kernel]:
    with kernel() as running:
        running.ok("""
import flask, requests, labkit
def crear(name):
    app = flask.Flask(name)
    app.add_url_rule("/", "index", lambda: "hola")
    return app
""")
        yield running


# A cell, and what it does to a state: the next state, and what it shows.
UNKNOWN = ("NoSuchService", "No hay ningún servicio «pagos»")
REFUSED = ("ConnectionError", "refused")
ORDER: dict[str, dict[str, tuple[str, Any]]] = {
    "pagos = labkit.serve(crear, name='pagos', port={port})\nprint(pagos.state)": dict.fromkeys(
        ("", "corriendo", "en pausa", "detenido", "muerto"), ("corriendo", "corriendo")
    ),
    "pagos = labkit.serve(crear, name='pagos')\nprint(pagos.port == {port})": {
        "": ("corriendo", "False"),
        **dict.fromkeys(("corriendo", "en pausa", "detenido", "muerto"), ("corriendo", "True")),
    },
    "print(requests.get(labkit.services()['pagos'].url, timeout=0.2).text)": {
        "": ("", UNKNOWN),
        "corriendo": ("corriendo", "hola"),
        "en pausa": ("en pausa", ("ReadTimeout", "timed out")),
        "detenido": ("detenido", REFUSED),
        "muerto": ("muerto", REFUSED),
    },
    "labkit.services()['pagos'].pause()": {
        "": ("", UNKNOWN),
        "corriendo": ("en pausa", ""),
        "en pausa": ("en pausa", ""),
        "detenido": ("detenido", ("WrongState", "«pagos» está detenido: no se puede pausar.")),
        "muerto": ("muerto", ("WrongState", "«pagos» está muerto: no se puede pausar.")),
    },
    "labkit.services()['pagos'].resume()": {
        "": ("", UNKNOWN),
        "corriendo": ("corriendo", ""),
        "en pausa": ("corriendo", ""),
        "detenido": ("detenido", ("WrongState", "«pagos» está detenido: no se puede reanudar.")),
        "muerto": ("muerto", ("WrongState", "«pagos» está muerto: no se puede reanudar.")),
    },
    "labkit.services()['pagos'].stop()": {
        "": ("", UNKNOWN),
        "corriendo": ("detenido", ""),
        "en pausa": ("detenido", ""),
        "detenido": ("detenido", ""),
        "muerto": ("muerto", ""),
    },
    "labkit.services()['pagos'].kill()": {
        "": ("", UNKNOWN),
        "corriendo": ("muerto", ""),
        "en pausa": ("muerto", ""),
        "detenido": ("detenido", ""),
        "muerto": ("muerto", ""),
    },
    "with labkit.services()['pagos'].faults.error(503):\n"
    "    print(requests.get(pagos.url, timeout=0.2).status_code)": {
        "": ("", UNKNOWN),
        "corriendo": ("corriendo", "503"),
        "en pausa": ("en pausa", ("ReadTimeout", "timed out")),
        "detenido": ("detenido", REFUSED),
        "muerto": ("muerto", REFUSED),
    },
    "labkit.stop_all()": {
        "": ("", ""),
        "corriendo": ("detenido", ""),
        "en pausa": ("detenido", ""),
        "detenido": ("detenido", ""),
        "muerto": ("muerto", ""),
    },
}


@pytest.mark.parametrize("seed", range(20))
def test_cells_in_any_order_do_what_they_say_or_tell_why_not(one: Kernel, seed: int) -> None:
    """The last first, a call before there is a service, served twice, stopped and then called."""
    order = list(ORDER)
    if seed == 0:
        order.reverse()
    else:
        random.Random(seed).shuffle(order)
    port = free_port()
    # As after a restart of the kernel, without its cost.
    one.ok("labkit.stop_all(); labkit.roster.ROSTER._entries.clear(); globals().pop('pagos', None)")
    state = ""
    for source in order:
        cell = one.run(source.replace("{port}", str(port)))
        state, shown = ORDER[source][state]
        told = f"{order} {source}: {cell}"
        if isinstance(shown, tuple):
            name, words = shown
            assert cell.error == name, told
            assert words in cell.error_text, told
            if name in ("WrongState", "NoSuchService"):
                assert "labkit/" not in cell.traceback, told
        else:
            assert cell.error is None, told
            assert cell.stdout.strip() == shown, told
    one.ok("labkit.stop_all()")
    assert can_bind(port)


# two notebooks at once


CLASSROOM = """
%load_ext labkit
import flask, requests, labkit
def crear(name):
    app = flask.Flask(name)
    app.add_url_rule("/", "index", lambda: "soy {who}")
    return app
"""


def test_two_notebooks_with_the_same_names_and_ports() -> None:
    port, flask_port, free = free_port(), free_port(), []
    serve = f"servicio = labkit.serve(crear, name='pagos', port={port})"
    run = f"app = crear('x'); app.run(port={flask_port})"
    with kernel(loaded=False) as first, kernel(loaded=False) as second:
        for who, running in (("uno", first), ("dos", second)):
            running.ok(CLASSROOM.replace("{who}", who))
            free.append(running.ok("libre = labkit.serve(crear, name='libre'); libre.port").result)
        assert free[0] != free[1]  # a free port is anybody's, whatever the name
        pid = first.ok("import os; os.getpid()").result
        first.ok(serve)
        first.ok(run)
        told = second.run(serve)
        assert told.error == "PortInUse"
        assert told.error_text == (
            f"El puerto {port} ya está ocupado por otro cuaderno abierto (su kernel es el proceso con "
            f"pid {pid}: detén allí el servicio). Elige otro puerto, deja port=0 para que labkit tome "
            "uno libre, o detén a quien lo ocupa."
        )
        assert "labkit/" not in told.traceback
        # A tutorial's cell goes on, on another port, and says so.
        assert f"puerto {flask_port} ya está ocupado" in second.ok(run).stdout
        for taken in (port, flask_port):
            assert requests.get(f"http://127.0.0.1:{taken}", timeout=5).text == "soy uno"
        assert second.ok("requests.get(libre.url).text").result == "'soy dos'"
        assert second.ok("labkit.stop_all(); len([s for s in labkit.services() if s.running])").result == "0"
        assert first.ok("requests.get(servicio.url).text, requests.get(libre.url).text").result == (
            "('soy uno', 'soy uno')"
        )
        first.ok("labkit.stop_all()")
        second.ok(serve)
        second.ok(run)
        for taken in (port, flask_port):
            assert requests.get(f"http://127.0.0.1:{taken}", timeout=5).text == "soy dos"
        assert first.run("servicio.start()").error == "PortInUse"
        second.kill()  # not even a goodbye
        eventually(lambda: can_bind(port))
        first.ok("servicio.start()")
        assert requests.get(f"http://127.0.0.1:{port}", timeout=5).text == "soy uno"


# interrupts in the middle


INTERRUPTED = {
    "load": "labkit.load(otro, duration=50, progress=False)",
    "open load": "labkit.load(otro, duration=50, rate=100, progress=False)",
    "a load that nobody answers": "labkit.load(colgado, requests=20, timeout=50, progress=False)",
    "observe": "with labkit.observe() as viaje:\n    requests.get(otro.url); requests.get(colgado.url)",
    "serve": "labkit.serve(lento, name='lento', port={port})",
    "serve aiohttp": "labkit.serve(lento_aio, name='lento', port={port})",
    "serve a group": "labkit.serve(lento, name='lento', port={port}, replicas=2)",
    "stop": "atascado.stop(grace=50)",
    "stop aiohttp": "atascado_aio.stop(grace=50)",
    "stop blocked aiohttp": "bloqueado.stop(grace=50)",
    "stop a group": "grupo.stop(grace=50)",
    "stop all": "labkit.stop_all(grace=50)",
    "restart": "atascado.restart(grace=50)",
    "replace": "labkit.serve(atascar, name='atascado', grace=1)",
    "run": "labkit.run(asyncio.sleep(50))",
    "eventually": "labkit.eventually(lambda: False, 50)",
    "a call to a paused service": "pausado.pause(); requests.get(pausado.url)",
    "a call in a fault": "requests.get(colgado.url)",
}

STAGE = """
%load_ext labkit
import asyncio, threading, time, flask, requests, labkit
from aiohttp import web
def crear(name, responder=lambda: "hola"):
    app = flask.Flask(name)
    app.add_url_rule("/", "index", responder)
    return app
def crear_aio(responder):
    app = web.Application()
    async def responde(request):
        await responder()
        return web.Response(text="hola")
    app.router.add_get("/", responde)
    return app
def atascar(name):
    return crear(name, lambda: (llegan.release(), soltar.wait(60), "tarde")[-1])
def lento(name):
    print("arrancando")
    soltar.wait(50)
async def lento_aio():
    await asyncio.sleep(50)
async def espera():
    llegan.release()
    await asyncio.sleep(60)
async def bloquea():
    llegan.release()
    soltar.wait(60)
def preparar():
    global llegan, soltar, otro, colgado, pausado, atascado, atascado_aio, bloqueado, grupo
    soltar.set(); labkit.stop_all(grace=0)
    llegan, soltar = threading.Semaphore(0), threading.Event()
    otro, pausado = (labkit.serve(crear, name=name) for name in ("otro", "pausado"))
    colgado = labkit.serve(crear, name="colgado"); colgado.faults.hang()
    atascado = labkit.serve(atascar, name="atascado", grace=50)
    atascado_aio = labkit.serve(lambda: crear_aio(espera), name="atascado-aio")
    bloqueado = labkit.serve(lambda: crear_aio(bloquea), name="bloqueado")
    grupo = labkit.serve(atascar, name="grupo", replicas=2)
    for url in (atascado.url, atascado_aio.url, bloqueado.url, *grupo.urls):
        threading.Thread(target=pedir, args=[url], daemon=True).start()
    for _ in range(5):
        assert llegan.acquire(timeout=20)
def pedir(url):
    try:
        requests.get(url)
    except requests.ConnectionError:
        pass
soltar = threading.Event()
labkit.run(asyncio.sleep(0))  # whose loop's thread stays
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Kernel]:
    with kernel(loaded=False) as running:
        running.ok(STAGE)
        yield running


@pytest.mark.parametrize("what", INTERRUPTED)
def test_an_interrupt_in_the_middle_leaves_all_in_order(stage: Kernel, what: str) -> None:
    port = free_port()
    threads = int(stage.ok("threading.active_count()").result or 0)
    stage.ok("preparar()")
    others = [name for name in ("otro", "colgado", "pausado") if what != "stop all"]
    cell = stage.start(f"print('ya', flush=True)\n{INTERRUPTED[what].replace('{port}', str(port))}")
    while "ya" not in stage.cells[cell].stdout:
        stage.settle(0.02)
    stage.settle(0.15)
    stage.manager.interrupt_kernel()
    told = stage.wait(cell, timeout=10)
    assert told.error in ("KeyboardInterrupt", "CancelledError"), told
    # Who was not concerned lives on, and the next cell works.
    for name in others:
        assert stage.ok(f"{name}.running").result == "True"
    if "otro" in others:
        assert stage.ok("requests.get(otro.url, timeout=5).text").result == "'hola'"
    assert can_bind(port)  # what was being served is not
    # What was being stopped is stopped, and can be started.
    if what.startswith(("stop", "restart")):
        target = INTERRUPTED[what].split(".")[0].replace("labkit", "atascado")
        assert stage.ok(f"{target}.running").result == "False"
        stage.ok(f"{target}.start(); {target}.kill()", timeout=10)
    stage.ok("otro = labkit.serve(crear, name='otro')")
    assert stage.ok("labkit.load(otro, requests=20).counts").result == "{'200': 20}"
    seen = stage.ok("with labkit.observe() as viaje:\n    requests.get(otro.url)\nprint(viaje)").stdout
    assert "GET otro / → 200" in seen
    stage.ok("soltar.set(); labkit.stop_all(grace=0)")
    eventually(lambda: int(stage.ok("threading.active_count()").result or 0) <= threads)
