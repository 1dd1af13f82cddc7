"""%%service in a real kernel: cells as scripts in processes of their own, and what becomes of these."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest
import requests
from kernels import Kernel, kernel
from support import can_bind, eventually, free_port, refused

from labkit.errors import BadArgument
from labkit.kernel import messages
from labkit.kernel.service_magic import Line, parse

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

CELL = """%%service {line}
import os, sys, time
from flask import Flask

app = Flask(__name__)

@app.get("/")
def home():
    return " ".join(sys.argv)

@app.get("/stubborn")
def stubborn():
    import re
    re.match("(a*)*b", "a" * 40)  # in C for ages, and never gives up Python's lock
"""


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    with kernel() as running:
        running.ok("import os, labkit, requests")
        yield running


def value(running: Kernel, expression: str) -> str:
    return running.ok(f"print({expression})").stdout.strip()


def get(port: int, path: str = "/") -> str:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10).text


# the line


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("tienda", Line("tienda", None, None, ())),
        ("tienda --port 5001 --replicas=3", Line("tienda", 5001, 3, ())),
        ("--port=5001 tienda uno", Line("tienda", 5001, None, ("uno",))),
        (
            'tienda "dos tres" --verbose -x --port 1 --ports 2',
            Line("tienda", 1, None, ("dos tres", "--verbose", "-x", "--ports", "2")),
        ),
        ("tienda --port 1 -- --port 2 -- x", Line("tienda", 1, None, ("--port", "2", "--", "x"))),
    ],
)
def test_what_is_not_the_magics_goes_to_the_script_untouched(line: str, parsed: Line) -> None:
    assert parse(line) == parsed


@pytest.mark.parametrize("line", ["", "--port 5001", "-- tienda", "--verbose tienda"])
def test_a_line_without_a_name(line: str) -> None:
    with pytest.raises(BadArgument) as caught:
        parse(line)
    assert str(caught.value) == messages.SERVICE_NEEDS_NAME


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("tienda --port", "A --port le falta su número"),
        ("tienda --port ocho", "--port ocho: --port pide un número entero"),
        ("tienda --replicas=-1", "--replicas -1: --replicas pide un número entero"),
        ("tienda 'uno", "unas comillas que no se cierran"),
    ],
)
def test_a_bad_line_is_one_clear_sentence(loaded: Kernel, line: str, text: str) -> None:
    with pytest.raises(BadArgument, match=text):
        parse(line)
    cell = loaded.run(CELL.format(line=line))
    assert cell.traceback.startswith("BadArgument: ")
    assert len(cell.traceback.splitlines()) == 1


# the cell


def test_a_cell_is_served_by_a_process_of_its_own_and_shows_it(loaded: Kernel) -> None:
    loaded.ok("sin_compartir = 1")
    cell = loaded.ok(CELL.format(line="tienda uno --dos"))
    assert cell.result == "tienda · corriendo · 0 peticiones · 0 errores"
    assert cell.html is not None
    assert value(loaded, "requests.get(labkit.services()['tienda'].url).text") == "tienda uno --dos"
    assert value(loaded, "labkit.services()['tienda'].pid != os.getpid()") == "True"
    assert value(loaded, "'app' in globals(), labkit.services()['tienda'].journal") == "False GET / → 200"


def test_the_cell_again_replaces_it_on_its_port(loaded: Kernel) -> None:
    loaded.ok(CELL.format(line="tienda uno"))
    port = int(value(loaded, "labkit.services()['tienda'].port"))
    loaded.ok(CELL.format(line="tienda dos"))
    assert get(port) == "tienda dos"


def test_port_and_replicas(loaded: Kernel) -> None:
    port = free_port()
    loaded.ok(CELL.format(line=f"fija --port {port}"))
    assert get(port) == "fija"
    cell = loaded.ok(
        "%%service grupo --replicas 3\nimport flask\ndef create_app(name):\n    return flask.Flask(name)\n"
    )
    assert cell.result is not None
    assert [line.split(" · ")[:2] for line in cell.result.splitlines()] == [
        [f"grupo-{n}", "corriendo"] for n in (1, 2, 3)
    ]


def test_an_error_at_the_start_shows_the_cells_own_lines(loaded: Kernel) -> None:
    cell = loaded.run("%%service mala\nx = 1\n\n1 / 0\n")
    assert cell.error == "StartupFailed"
    assert 'File "celda de mala", line 4, in <module>\n    1 / 0' in cell.traceback
    assert "labkit/" not in cell.traceback
    cell = loaded.run("%%service mala\ndef f(:\n    pass")
    assert 'File "celda de mala", line 2' in cell.traceback
    assert "SyntaxError" in cell.traceback


def test_nothing_of_the_process_shows_in_other_cells(loaded: Kernel) -> None:
    loaded.ok(
        "%%service habla\nimport os, flask\nprint('u' + 'no')\nos.write(1, b'cru' + b'do\\n')\n"
        "app = flask.Flask('x')"
    )
    assert value(loaded, "sorted(labkit.services()['habla'].journal.lines)") == "['crudo', 'uno']"
    assert "uno\n" not in loaded.everything()
    assert "crudo\n" not in loaded.everything()


def test_unload_takes_the_magic_away_and_stops_its_services() -> None:
    with kernel() as running:
        running.ok(CELL.format(line="tienda"))
        port = int(value(running, "__import__('labkit').services()['tienda'].port"))
        running.ok("%unload_ext labkit")
        assert refused(port)
        running.run(CELL.format(line="tienda"))
        assert "UsageError: Cell magic `%%service` not found" in running.everything()
        running.ok("%load_ext labkit")
        running.ok(CELL.format(line="tienda"))


# the kernel's end


def test_an_interrupt_of_a_cell_leaves_the_services_running(loaded: Kernel) -> None:
    loaded.ok(CELL.format(line="tienda"))
    port = int(value(loaded, "labkit.services()['tienda'].port"))
    cell = loaded.start("print('aquí', flush=True)\nimport time\ntime.sleep(60)")
    eventually(lambda: loaded._take(0.1) or "aquí" in loaded.cells[cell].stdout)
    loaded.manager.interrupt_kernel()
    assert loaded.wait(cell).error == "KeyboardInterrupt"
    assert get(port) == "tienda"
    assert value(loaded, "labkit.services()['tienda'].state") == "corriendo"


def test_an_interrupt_while_a_cell_starts_its_service_ends_it(loaded: Kernel) -> None:
    this = psutil.Process(int(value(loaded, "os.getpid()")))
    before = set(this.children())
    cell = loaded.start("%%service lenta\nimport time\ntime.sleep(60)")
    eventually(lambda: set(this.children()) - before)
    loaded.manager.interrupt_kernel()
    assert loaded.wait(cell).error == "KeyboardInterrupt"
    assert value(loaded, "'lenta' in [s.name for s in labkit.services()]") == "False"


def family(running: Kernel) -> list[psutil.Process]:
    """The processes that the kernel has started, and theirs."""
    return psutil.Process(int(value(running, "__import__('os').getpid()"))).children(recursive=True)


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


SITUATIONS = {
    "alive": "",
    "replicas": "%%service grupo --replicas 3\nimport flask\ndef app(name):\n    return flask.Flask(name)",
    "paused": "s.pause()",
    "paused from outside": "os.kill(s.pid, signal.SIGSTOP)",
    "in C and never giving up the lock": (
        "threading.Thread(target=lambda: requests.get(s.url + '/stubborn'), daemon=True).start()\n"
        "labkit.eventually(lambda: any(reversed(s.journal)))"
    ),
    "a copy of the kernel by fork": "if os.fork() == 0:\n    time.sleep(8)\n    os._exit(0)",
    "a copy, and paused": "if os.fork() == 0:\n    time.sleep(8)\n    os._exit(0)\ns.pause()",
    "a child of its own": (
        "%%service padre\nimport subprocess, sys, flask\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "app = flask.Flask('x')"
    ),
    "a fork of its own": (
        "%%service padre\nimport os, time, flask\nif os.fork() == 0:\n    time.sleep(60)\n"
        "app = flask.Flask('x')"
    ),
}


@posix
@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_outlives_a_kernel_that_is_killed(situation: str) -> None:
    with kernel() as running:
        running.ok("import labkit, os, requests, signal, threading, time")
        running.ok(CELL.format(line="tienda"))
        running.ok("s = labkit.services()['tienda']")
        running.ok(SITUATIONS[situation] or "pass")
        processes = family(running)
        services = [p for p in processes if "labkit.servers.child" in "".join(p.cmdline())]
        assert len(services) >= 1
        port = int(value(running, "s.port"))
        os.kill(int(value(running, "os.getpid()")), signal.SIGKILL)
        expected = services if "copy" in situation else processes
        eventually(lambda: not any(map(lives, expected)) and can_bind(port), timeout=2)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.parametrize("end", ["shutdown", "restart"])
def test_nothing_outlives_a_kernel_that_ends_as_usual(end: str) -> None:
    with kernel() as running:
        running.ok(CELL.format(line="tienda"))
        running.ok("import labkit\nlabkit.services()['tienda'].pause()")
        running.ok(CELL.format(line="otra"))
        port = int(value(running, "labkit.services()['otra'].port"))
        processes = family(running)
        assert len(processes) >= 2
        if end == "restart":
            running.manager.restart_kernel()
        else:
            running.manager.shutdown_kernel()
        eventually(lambda: not any(map(lives, processes)) and can_bind(port), timeout=2)
