"""labkit/servers/process.py and child.py: services in processes of their own, with real processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest
import requests
from support import (
    PATIENCE,
    Raw,
    build,
    can_bind,
    eventually,
    free_port,
    free_ports,
    get,
    new_stage,
    open_files,
    refused,
    soak,
)

import labkit
from labkit import messages
from labkit.errors import BadArgument, NotAnApp, PortInUse, StartupFailed, WrongState
from labkit.roster import ROSTER
from labkit.servers import Program

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

FLASK = """
import os, sys, threading, time
import flask

app = flask.Flask("tienda")

@app.get("/")
def home():
    return "hola"

@app.get("/pid")
def pid():
    return str(os.getpid())

@app.get("/say")
def say():
    print("print")
    print("error", file=sys.stderr)
    app.logger.warning("log")
    os.write(1, b"crudo\\n")
    return "dicho"

@app.get("/boom")
def boom():
    raise ZeroDivisionError("boom")

@app.get("/wait")
def wait():
    time.sleep(60)
    return "tarde"

@app.get("/slow")
def slow():
    time.sleep(0.3)
    return "lento"

@app.get("/exit/<int:code>")
def leave(code):
    os._exit(code)

@app.get("/abort")
def abort():
    os.abort()

@app.get("/stubborn")
def stubborn():
    import re
    re.match("(a*)*b", "a" * 40)  # in C for ages, and never gives up Python's lock
    return "nunca"
"""

AIOHTTP = """
import asyncio, os, time
from aiohttp import web

async def home(request):
    print("print")
    return web.Response(text="hola")

async def pid(request):
    return web.Response(text=str(os.getpid()))

async def boom(request):
    raise ZeroDivisionError("boom")

async def wait(request):
    await asyncio.sleep(60)

app = web.Application()
app.add_routes([web.get("/", home), web.get("/pid", pid), web.get("/boom", boom), web.get("/wait", wait)])
"""

KINDS = {"flask": FLASK, "aiohttp": AIOHTTP}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    ROSTER.stop_all(0)
    eventually(lambda: not children())


# What other files' tests in this worker have left for good: multiprocessing's resource tracker, for one.
OLDER: set[psutil.Process] = set()


@pytest.fixture(autouse=True, scope="module")
def older_children() -> None:
    OLDER.update(psutil.Process().children(recursive=True))


def children() -> list[psutil.Process]:
    """The children that live. One whose start was interrupted inside Popen is reaped by the next Popen."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child not in OLDER and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def script(text: str, *arguments: str, own_port: bool = True, **options: Any) -> Any:
    """What `%%service tienda` does with a cell of that text."""
    program = Program(text=dedent(text).lstrip("\n"), arguments=arguments, own_port=own_port)
    return labkit.serve(program, isolation="process", **{"name": "tienda", **options})


def fails(text: str, **options: Any) -> StartupFailed:
    """The error with which such a script fails to start; nothing of it is left."""
    with pytest.raises(StartupFailed) as caught:
        script(text, **options)
    assert not children()
    return caught.value


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


# what can be served


@every_kind
def test_an_application_at_top_level_is_served_in_another_process(kind: str) -> None:
    with script(KINDS[kind]) as service:
        assert get(service.url).text == "hola"
        assert int(get(service.url + "/pid").text) == service.pid != os.getpid()
        assert service.kind == "process"
        assert service.state == "corriendo"
        assert service.exit_code is None
    assert service.state == "detenido"
    assert service.pid is None
    assert service.exit_code == 0
    assert refused(service.port)


@pytest.mark.parametrize("name", ["create_app", "make_app", "crear_app"])
def test_a_factory_at_top_level_is_called_with_the_name_if_it_takes_one(name: str) -> None:
    text = f"""
        import flask
        def {name}(name):
            made = flask.Flask(name)
            made.get("/")(lambda: made.name)
            return made
        """
    with script(text) as service:
        assert get(service.url).text == "tienda"


def test_the_only_application_is_found_by_whatever_name() -> None:
    with script(
        "import flask\nmi_tienda = otra = flask.Flask('x')\nmi_tienda.get('/')(lambda: 'hola')"
    ) as service:
        assert get(service.url).text == "hola"


def test_a_coroutine_function_that_makes_one_and_werkzeugs_own_run_simple() -> None:
    with script(AIOHTTP + "\nmade = app\nasync def app():\n    return made\n") as service:
        assert get(service.url).text == "hola"
    with script(
        FLASK + "\nfrom werkzeug import run_simple\nrun_simple('localhost', 5999, app)", own_port=False
    ) as s:
        assert get(s.url).text == "hola"
        assert s.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        ("flask", "app.run(debug=True, use_reloader=True)"),
        ("flask", "if __name__ == '__main__':\n    app.run(port=int(os.environ['PORT']))"),
        ("aiohttp", "web.run_app(app)"),
        (
            "aiohttp",
            "from aiohttp.web import run_app\nrun_app(app, port=int(os.environ['PORT']), print=None)",
        ),
    ],
)
def test_a_script_that_runs_its_application_blocks_there_and_goes_on_when_it_is_stopped(
    kind: str, run: str
) -> None:
    with script(f"{KINDS[kind]}\nprint('antes')\n{run}\nprint('después')") as service:
        assert get(service.url).text == "hola"
        assert "antes" in service.journal.lines
        assert "después" not in service.journal.lines
    assert service.journal.lines[-1] == "después"
    assert service.exit_code == 0


def test_the_original_servers_are_never_run() -> None:
    """Not the reloader, which would start the process anew; not the debugger's console."""
    with script(FLASK + "\napp.run(debug=True)") as service:
        assert get(service.url + "/boom").status_code == 500
        assert get(service.url + "/console").status_code == 404
        assert "Restarting" not in service.journal.text()


def test_modules_are_found_as_here_in_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "paquete"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "almacen.py").write_text(
        "import flask, os\n"
        "class web:\n"
        "    app = flask.Flask('x')\n"
        "web.app.get('/')(os.getcwd)\n"
        "def create_app(name):\n"
        "    app = flask.Flask(name)\n"
        "    app.get('/')(lambda: name)\n"
        "    return app\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    with labkit.serve("paquete.almacen:web.app", isolation="process") as service:
        assert service.name == "almacen"
        assert os.path.realpath(get(service.url).text) == os.path.realpath(tmp_path)
    with labkit.serve("paquete.almacen:create_app", isolation="process", replicas=3, name="almacén") as group:
        assert [get(url).text for url in group.urls] == ["almacén-1", "almacén-2", "almacén-3"]
        assert len({member.pid for member in group}) == 3
    with pytest.raises(StartupFailed, match="«nada»"):
        labkit.serve("paquete.almacen:nada", isolation="process")
    with pytest.raises(StartupFailed, match=r"ModuleNotFoundError: No module named 'paquete\.otro'"):
        labkit.serve("paquete.otro:app", isolation="process")


def test_what_another_process_cannot_serve_is_refused_in_a_sentence_that_says_what_it_can() -> None:
    with new_stage() as stage:
        for thing in (build("flask", stage), lambda: build("flask", stage), 42):
            with pytest.raises(NotAnApp, match=r'"módulo:aplicación".*%%service'):
                labkit.serve(thing, isolation="process")
    with pytest.raises(NotAnApp, match='isolation="process"'):
        labkit.serve("tienda:app")
    for target in ("tienda", ":app", "tienda:", "a b:app"):
        with pytest.raises(NotAnApp, match="no dice qué servir"):
            labkit.serve(target, isolation="process")
    with pytest.raises(BadArgument, match="isolation='proceso'"):
        labkit.serve("tienda:app", isolation="proceso")


# the script's world


def test_a_script_has_its_arguments_and_its_port_and_is_main() -> None:
    text = """
        import os, sys
        print(sys.argv, __name__, sys.stdin.read() == "", "MPLBACKEND" in os.environ)
        print("PORT", os.environ["PORT"])
        """
    with script(text + FLASK.replace("\n", "\n        "), "uno", "dos tres", "--port=3") as service:
        assert service.journal.lines[0] == "['tienda', 'uno', 'dos tres', '--port=3'] __main__ True False"
        assert service.journal.lines[1] == f"PORT {service.port}"


def test_a_script_is_not_given_the_users_key_to_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTERHUB_USER"):
        monkeypatch.setenv(name, "secreto")
    text = "import os\nprint([name for name in os.environ if name.startswith('J')])\n"
    with script(text + FLASK) as service:
        assert service.journal.lines[0] == "['JUPYTERHUB_USER']"


@pytest.mark.parametrize("run", ["app.run(port={port})", "app.run('localhost', {port})"])
def test_a_port_that_the_script_names_is_taken_unless_somebody_else_has_said_which(run: str) -> None:
    port, other = free_port(), free_port()
    text = f"{FLASK}\n{run.format(port=port)}"
    with script(text) as service:
        assert service.port == port
        assert service.url == f"http://127.0.0.1:{port}"
        assert get(service.url).text == "hola"
        service.restart()
        assert (service.port, get(service.url).text) == (port, "hola")
        service = script(text.replace(str(port), str(other)))  # the cell again, with another port
        assert service.port == other
        assert refused(port)
    with script(text, port=other, own_port=False) as service:
        assert (service.port, get(service.url).text) == (other, "hola")
        assert refused(port)


def test_a_script_listens_on_every_address_only_if_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    with script(FLASK + "\napp.run()") as service:
        assert service.host == "127.0.0.1"
    with script(AIOHTTP + "\nweb.run_app(app)") as service:
        assert service.host == "127.0.0.1"
    with script(FLASK + "\napp.run(host='0.0.0.0')") as service:
        assert service.host == "0.0.0.0"
        assert get(service.url).text == "hola"


def test_a_port_that_is_taken_says_by_whom_in_the_cell() -> None:
    with script(FLASK) as holder:
        text = f"{FLASK}\napp.run(port={holder.port})"
        for options in ({}, {"port": holder.port, "own_port": False}):
            with pytest.raises(PortInUse, match="el servicio «tienda»"):
                script(text, name="otra", **options)
        assert get(holder.url).text == "hola"
    with (
        socket.create_server(("127.0.0.1", 0)) as theirs,
        pytest.raises(PortInUse, match="este mismo kernel"),
    ):
        script(f"{FLASK}\napp.run(port={theirs.getsockname()[1]})")


# errors while it starts


def test_a_start_up_error_shows_the_scripts_own_lines_numbered_as_in_the_cell() -> None:
    error = fails(
        """
        import flask

        def open_shop():
            1 / 0

        open_shop()
        """,
        port=(port := free_port()),
        name="mala",
    )
    shown = str(error)
    assert shown.startswith("«mala» no arrancó.\nTraceback (most recent call last):\n")
    assert re.findall(r'File "(.*)", line (\d+), in (.*)', shown) == [
        ("celda de mala", "7", "<module>"),  # the line of %%service is the first
        ("celda de mala", "5", "open_shop"),
    ]
    assert "    1 / 0\n" in shown
    assert shown.endswith("ZeroDivisionError: division by zero")
    assert error._render_traceback_() == [f"StartupFailed: {shown}"]
    assert can_bind(port)
    assert ROSTER.entry("mala") is None


def test_start_up_errors_of_other_kinds() -> None:
    text = str(fails("x = 1\ndef f(:\n    pass"))
    assert 'File "celda de tienda", line 3' in text
    assert "SyntaxError" in text
    assert "labkit" not in text
    text = str(fails("x = 1\nimport no_such_module"))
    assert 'File "celda de tienda", line 3, in <module>' in text
    assert "ModuleNotFoundError: No module named 'no_such_module'" in text
    text = str(fails("def app():\n    raise OSError('sin disco')"))
    assert "OSError: sin disco" in text
    assert "line 3, in app" in text
    text = str(
        fails("try:\n    1/0\nexcept ZeroDivisionError as error:\n    raise ValueError('x') from error")
    )
    assert "direct cause" in text
    text = str(
        fails(
            AIOHTTP + "\nasync def start(app):\n    raise OSError('sin disco')\napp.on_startup.append(start)"
        )
    )
    assert "OSError: sin disco" in text
    assert "site-packages/aiohttp" in text or "in start" in text


def test_nothing_to_serve_is_a_sentence_that_says_what_to_do() -> None:
    assert str(fails("x = 3")).endswith(messages.NOTHING_TO_SERVE)
    two = "import flask\nventas, stock = flask.Flask('a'), flask.Flask('b')"
    assert "varias aplicaciones (ventas, stock)" in str(fails(two))
    assert "42 (int)" in str(fails("app = 42"))
    assert "sirve HTTP sin cifrar" in str(fails(FLASK + "\napp.run(ssl_context='adhoc')"))


def test_a_script_that_ends_before_it_serves_is_told_by_its_exit_code_and_last_words() -> None:
    error = fails("import sys\nprint('cierro')\nsys.exit(3)")
    assert error.exit_code == 3
    assert "terminó con código 3 antes de servir nada" in str(error)
    assert str(error).endswith("\ncierro")
    error = fails("import sys\nsys.exit('cerrado por vacaciones')")
    assert error.exit_code == 1
    assert str(error).endswith("\ncerrado por vacaciones")
    error = fails("import os\nos.write(2, b'adi\\xc3\\xb3s')\nos._exit(4)")
    assert error.exit_code == 4
    assert str(error).endswith("\nadiós")


@posix
def test_a_crash_before_it_serves_leaves_faulthandlers_words_without_our_own_frames() -> None:
    error = fails("import os\nos.abort()")
    assert error.exit_code == -signal.SIGABRT
    assert "señal 6 (SIGABRT)" in str(error)
    assert "Fatal Python error: Aborted" in str(error)
    assert 'File "celda de tienda", line 3 in <module>' in str(error)
    assert "child.py" not in str(error)


def test_after_a_failed_start_the_name_the_port_and_the_cell_are_as_good_as_before() -> None:
    port = free_port()
    with script(FLASK, port=port) as service:
        fails("1/0")  # the one that ran under the name is stopped, as for every service
        assert service.state == "detenido"
    with script(FLASK, port=port) as service:
        assert get(service.url).text == "hola"


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_a_script_starts_ends_it() -> None:
    port = free_port()

    def interrupt() -> None:
        eventually(lambda: children())
        signal.raise_signal(signal.SIGINT) if sys.platform == "win32" else os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        script("import time\ntime.sleep(60)", port=port)
    thread.join()
    eventually(lambda: not children())
    assert can_bind(port)


# the journal


def test_prints_logs_and_raw_output_are_in_the_journal_in_any_form_before_the_client_has_its_answer() -> None:
    with script("import logging\nprint('arriba')\nlogging.warning('cuidado')\n" + FLASK) as service:
        assert service.journal.lines == ["arriba", "WARNING root: cuidado"]
        get(service.url + "/say")
        lines = service.journal.lines
        assert "crudo" in lines  # that came by a way of its own
        lines.remove("crudo")
        assert lines[2:] == ["GET /say → 200", "print", "error", "WARNING tienda: log"]


@every_kind
def test_a_client_that_has_its_answer_finds_it_in_the_journal(kind: str) -> None:
    with script(KINDS[kind]) as service, requests.Session() as session:
        for number in range(1, 201):
            path = "/boom" if number % 10 == 0 else "/"
            session.get(service.url + path, timeout=PATIENCE)
            assert service.journal.counts == {"requests": number, "errors": number // 10, "dropped": 0}
            assert service.journal.requests[-1].status == (500 if path == "/boom" else 200)
        assert "ZeroDivisionError: boom" in service.journal.text()
        assert "en boom, línea" in service.journal.text()
        assert repr(service) == "tienda · corriendo · 200 peticiones · 20 errores"
        assert all(request.duration is not None for request in eventually_done(service))


def eventually_done(service: Any) -> list[Any]:
    eventually(lambda: all(request.duration is not None for request in service.journal.requests))
    return list(service.journal.requests)


@every_kind
def test_many_clients_at_once_are_all_counted(kind: str) -> None:
    with script(KINDS[kind]) as service, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: get(service.url).status_code, range(200)))
        assert answers == [200] * 200
        assert service.journal.counts["requests"] == 200
        assert {request.status for request in service.journal.requests} == {200}


def test_a_flood_of_output_blocks_nobody_and_keeps_its_last_lines() -> None:
    text = f"""{FLASK}
@app.get("/flood")
def flood():
    for number in range(20_000):
        print(number, "x" * 100)
    os.write(2, b"y" * 300_000)
    return "dicho"
"""
    with script(text) as service:
        assert get(service.url + "/flood").text == "dicho"
        assert len(service.journal) == service.journal.limit
        assert service.journal.dropped > 10_000
        assert any(line.startswith("yyy") for line in service.journal.lines)
        assert get(service.url).text == "hola"


def test_a_journal_in_a_file_holds_what_the_process_served(tmp_path: Path) -> None:
    with script(FLASK) as service:
        file = service.journal.write_to(tmp_path / "tienda.log")
        get(service.url)
        eventually_done(service)
        assert file is not None
        assert file.flush()
    assert '"path": "/", "status": 200' in (tmp_path / "tienda.log").read_text()


# its life


@every_kind
def test_kill_is_the_systems_own_and_refuses_clients_at_once(kind: str) -> None:
    with (
        script(KINDS[kind] + "\nimport atexit\natexit.register(print, 'limpio')") as service,
        Raw(service) as raw,
    ):
        raw.ask("/wait")
        eventually(lambda: service.journal.requests)
        pid = service.pid
        service.kill()
        assert refused(service.port)
        assert gone(pid)
        assert raw.read_to_end() == b""
        assert service.state == "muerto"
        assert service.pid is None
        if sys.platform != "win32":
            assert service.exit_code == -9
            assert (
                repr(service) == "tienda · muerto · terminó por la señal 9 (SIGKILL) · 1 petición · 0 errores"
            )
            assert "SIGKILL" in service._repr_html_()
        assert "limpio" not in service.journal.lines
        port = service.port
        service.start()
        assert (service.port, get(service.url).text) == (port, "hola")
        assert service.exit_code is None


@posix
def test_killed_from_outside_it_is_seen_as_ended_and_can_be_started_again() -> None:
    with script(FLASK) as service:
        os.kill(service.pid, signal.SIGKILL)
        eventually(lambda: service.state == "muerto")
        assert service.exit_code == -9
        assert service.pid is None
        assert not service.running
        assert service.journal.lines[-1] == "el proceso terminó por la señal 9 (SIGKILL)"
        assert refused(service.port)
        with pytest.raises(WrongState, match="muerto"):
            service.pause()
        assert get(service.restart().url).text == "hola"
        os.kill(service.pid, signal.SIGTERM)
        eventually(lambda: service.state == "muerto")
        assert service.exit_code == -signal.SIGTERM
        service.stop()
        assert get(service.start().url).text == "hola"


def test_ended_by_itself_it_shows_its_exit_code() -> None:
    with script(FLASK) as service:
        with pytest.raises(requests.ConnectionError):
            get(service.url + "/exit/3")
        eventually(lambda: service.state == "muerto")
        assert service.exit_code == 3
        assert service.journal.lines == ["GET /exit/3 → …", "el proceso terminó con código 3"]
        assert repr(service) == "tienda · muerto · terminó con código 3 · 1 petición · 0 errores"
        assert get(service.start().url).text == "hola"


def test_a_script_may_exit_while_a_thread_of_its_own_serves() -> None:
    text = FLASK + "\nthreading.Thread(target=app.run, daemon=True).start()\ntime.sleep(0.5)\nsys.exit(7)"
    with script(text) as service:
        eventually(lambda: service.state == "muerto")
        assert service.exit_code == 7
    text = FLASK + "\nthreading.Thread(target=app.run, daemon=True).start()\ntime.sleep(0.5)\n1/0"
    with script(text) as service:
        eventually(lambda: service.state == "muerto")
        assert service.exit_code == 1
        assert "ZeroDivisionError: division by zero" in service.journal.text()


@posix
def test_a_crash_leaves_its_last_words() -> None:
    with script(FLASK) as service:
        with pytest.raises(requests.ConnectionError):
            get(service.url + "/abort")
        eventually(lambda: service.state == "muerto")
        assert service.exit_code == -signal.SIGABRT
        lines = service.journal.lines
        assert "Fatal Python error: Aborted" in lines
        assert any(re.fullmatch(r'  File "celda de tienda", line \d+ in abort', line) for line in lines)
        assert lines[-1] == "el proceso terminó por la señal 6 (SIGABRT)"


@every_kind
def test_paused_it_accepts_and_does_not_answer_and_resumed_it_answers_what_waited(kind: str) -> None:
    with script(KINDS[kind]) as service:
        service.pause()
        assert service.state == "en pausa"
        if sys.platform == "linux":
            eventually(lambda: psutil.Process(service.pid).status() == psutil.STATUS_STOPPED)
        with pytest.raises(requests.ReadTimeout):
            requests.get(service.url, timeout=0.3)
        with Raw(service) as raw:
            raw.ask("/pid")
            raw.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
            raw.socket.settimeout(PATIENCE)
            assert len(service.journal.lines) <= 1  # read without waiting
            service.resume()
            assert b"200 OK" in raw.read_until(str(service.pid).encode())
        assert get(service.url).text == "hola"


@pytest.mark.parametrize("end", ["stop", "kill", "restart"])
def test_a_paused_service_can_be_ended(end: str) -> None:
    with script(FLASK) as service:
        service.pause()
        pid, began = service.pid, time.monotonic()
        getattr(service, end)()
        assert gone(pid)
        assert time.monotonic() - began < 5
        assert refused(service.port) == (end != "restart")


@every_kind
def test_stop_gives_its_grace_and_cuts_what_lasts(kind: str) -> None:
    with script(KINDS[kind]) as service, Raw(service) as raw:
        raw.ask("/wait")
        eventually(lambda: service.journal.requests)
        began = time.monotonic()
        service.stop(0.2)
        assert 0.15 < time.monotonic() - began < 5
        assert raw.read_to_end() == b""
        assert messages.ABANDONED.format(count=1) in service.journal.lines
        assert refused(service.port)
    with script(FLASK) as service, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, service.url + "/slow")
        eventually(lambda: service.journal.requests)
        service.stop(5)
        assert answer.result().text == "lento"
        assert service.exit_code == 0


def test_hooks_run_on_stop() -> None:
    text = AIOHTTP + "\nasync def bye(app):\n    print('cerrado')\napp.on_cleanup.append(bye)\n"
    text += "import atexit\natexit.register(print, 'fuera')"
    with script(text) as service:
        pass
    assert service.journal.lines == ["cerrado", "fuera"]


def test_what_ignores_everything_is_killed() -> None:
    with script(FLASK) as service, Raw(service) as raw:
        raw.ask("/stubborn")
        eventually(lambda: service.journal.entries)
        pid, began = service.pid, time.monotonic()
        service.stop(0.1)
        assert time.monotonic() - began < 5
        assert gone(pid)
        assert refused(service.port)
    text = FLASK + "\napp.run()\ntime.sleep(60)"
    with script(text) as service:
        pid, began = service.pid, time.monotonic()
        service.stop(0.1)
        assert time.monotonic() - began < 5
        assert gone(pid)


def test_a_reader_of_the_journal_does_not_wait_again_for_a_process_that_does_not_react() -> None:
    with script(FLASK) as service, Raw(service) as raw:
        raw.ask("/stubborn")
        eventually(lambda: service.journal.entries)
        began = time.monotonic()
        for _ in range(50):
            service.journal.text()
        assert time.monotonic() - began < 5
        service.kill()


@posix
def test_its_own_children_end_with_it() -> None:
    text = (
        FLASK
        + "\nimport subprocess\nwaits = [sys.executable, '-c', 'input()']"
        + "\nchild = subprocess.Popen(waits, stdin=subprocess.PIPE)"
    )
    text += "\nprint(child.pid)"
    for end in ("stop", "kill", "from outside"):
        with script(text) as service:
            grandchild = int(service.journal.lines[0])
            assert not gone(grandchild)
            if end == "from outside":
                os.kill(service.pid, signal.SIGKILL)
            else:
                getattr(service, end)()
            eventually(lambda pid=grandchild: gone(pid))


def test_the_name_served_again_replaces_the_process_on_its_port() -> None:
    first = script(FLASK)
    pid, port = first.pid, first.port
    with script(FLASK.replace("hola", "nueva")) as second:
        assert (second.port, get(second.url).text) == (port, "nueva")
        assert gone(pid)
        assert first.state == "detenido"


def test_a_service_moves_into_a_process_and_back() -> None:
    with new_stage() as stage:
        thread = labkit.serve(build("flask", stage), name="tienda")
        assert thread.pid == os.getpid()
        assert thread.exit_code is None
        with script(AIOHTTP) as process:
            assert process.port == thread.port
            assert thread.state == "detenido"
            assert thread.pid is None
            with labkit.serve(lambda: build("flask", stage), name="tienda") as back:
                assert (back.port, get(back.url).text) == (thread.port, "hola")
                assert back.kind == "wsgi"


def test_replicas_start_and_stop_together() -> None:
    text = """
        import flask, os
        def create_app(name):
            app = flask.Flask(name)
            app.get("/")(lambda: f"{name} {os.environ['PORT']}")
            return app
        """
    port = free_ports(4)
    with script(text, replicas=4, port=port, own_port=False) as group:
        assert [get(url).text for url in group.urls] == [f"tienda-{n + 1} {port + n}" for n in range(4)]
        group[1].kill()
        assert [member.running for member in group] == [True, False, True, True]
        group.start()
        assert group[1].running
        group.restart()
        assert all(get(url).status_code == 200 for url in group.urls)
    assert not children()


def test_one_replica_that_does_not_start_ends_the_others() -> None:
    text = """
        import flask
        def create_app(name):
            if name == "tienda-3":
                raise ValueError("la tercera no")
            return flask.Flask(name)
        """
    with pytest.raises(StartupFailed, match="la tercera no"):
        script(text, replicas=4)
    assert not children()


# faults


@every_kind
def test_faults_meet_exactly_the_requests_that_they_should(kind: str) -> None:
    with script(KINDS[kind]) as service:
        fault = service.faults.error(503, every=3, body={"por": "prueba"})
        assert [get(service.url).status_code for _ in range(9)] == [200, 200, 503] * 3
        assert (fault.seen, fault.injected) == (9, 3)
        assert service.journal.lines[-1] == "GET / → 503 (fallo inyectado: error)"
        service.restart()
        assert [get(service.url).status_code for _ in range(3)] == [200, 200, 503]  # and counts on
        assert fault.injected == 4
        assert get(service.url).status_code == 200
        assert get(service.url).status_code == 200
        answer = get(service.url)
        assert (answer.status_code, answer.json()) == (503, {"por": "prueba"})
        fault.clear()
        assert [get(service.url).status_code for _ in range(3)] == [200] * 3
        with service.faults.error(404):
            assert get(service.url).status_code == 404
        assert get(service.url).status_code == 200


@every_kind
def test_a_seed_picks_the_same_requests_as_in_a_thread(kind: str) -> None:
    with new_stage() as stage, labkit.serve(build("flask", stage), name="tienda") as thread:
        thread.faults.error(503, probability=0.4, seed=7)
        expected = [get(thread.url).status_code for _ in range(30)]
    with script(KINDS[kind]) as service:
        service.faults.error(503, probability=0.4, seed=7)
        assert [get(service.url).status_code for _ in range(30)] == expected


@every_kind
def test_faults_count_exactly_with_many_clients_at_once(kind: str) -> None:
    with script(KINDS[kind]) as service, ThreadPoolExecutor(16) as pool:
        fault = service.faults.error(503, every=10)
        answers = list(pool.map(lambda _: get(service.url).status_code, range(200)))
        assert answers.count(503) == fault.injected == 20
        assert service.journal.counts == {"requests": 200, "errors": 20, "dropped": 0}


@every_kind
def test_delays_drops_and_hangs(kind: str) -> None:
    with script(KINDS[kind]) as service:
        with service.faults.delay(0.2) as delay:
            began = time.monotonic()
            assert get(service.url).text == "hola"
            assert time.monotonic() - began > 0.19
        assert delay.injected == 1
        with service.faults.drop(method="POST") as drop:
            with pytest.raises(requests.ConnectionError):
                requests.post(service.url, timeout=PATIENCE)
            assert drop.injected == 1
        with ThreadPoolExecutor(4) as pool:
            hang = service.faults.hang()
            waiting = [pool.submit(get, service.url) for _ in range(4)]
            eventually(lambda: hang.injected == 4)
            assert not any(each.done() for each in waiting)
            hang.clear()
            assert [each.result().text for each in waiting] == ["hola"] * 4
        service.faults.hang()
        with Raw(service) as raw:
            raw.ask("/")
            eventually(lambda: service.faults.injected == 7)
            began = time.monotonic()
            service.stop(10)  # who hangs is cut without waiting
            assert time.monotonic() - began < 5


@every_kind
def test_a_new_fault_meets_all_who_come_at_once(kind: str) -> None:
    """The first of them has the process told of the fault; the others must not overtake that."""
    barrier = threading.Barrier(8)

    def ask(url: str) -> int:
        barrier.wait(PATIENCE)
        return get(url).status_code

    with script(KINDS[kind]) as service, ThreadPoolExecutor(8) as pool:
        for _ in range(15):
            with service.faults.error(503) as fault:
                assert list(pool.map(ask, [service.url] * 8)) == [503] * 8
                assert fault.injected == 8


def test_a_fault_injected_during_a_pause_meets_who_waited() -> None:
    with script(FLASK) as service, Raw(service) as raw:
        service.pause()
        raw.ask("/")
        service.faults.error(503)
        service.resume()
        assert b" 503 " in raw.read_until(b"\r\n")


def test_faults_of_a_group_go_to_each_process() -> None:
    text = """
        import flask
        def app(name):
            made = flask.Flask(name)
            made.get("/")(lambda: name)
            return made
        """
    with script(text, replicas=2) as group, group.faults.error(503, every=2) as fault:
        assert [[get(url).status_code for url in group.urls] for _ in range(2)] == [[200, 200], [503, 503]]
        assert fault.injected == 2


# nothing piles up


@pytest.mark.parametrize("times", [10, soak(50)])
def test_nothing_is_left_after_so_many_starts_and_stops(times: int) -> None:
    def once(number: int) -> None:
        with script(
            FLASK
            if number % 5
            else "import wsgiref.simple_server\nfrom wsgiref.simple_server import demo_app as app"
        ) as service:
            get(service.url)
            if number % 2:
                service.kill()

    once(0), once(1)
    threads, files = threading.active_count(), open_files()
    for number in range(times):
        once(number)
    assert not children()
    eventually(lambda: threading.active_count() <= threads)
    assert open_files() <= files


# a script that serves by itself

OWN = {
    "wsgiref": """
        import os
        from wsgiref.simple_server import make_server
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hola"]
        make_server("127.0.0.1", {port}, app).serve_forever()
    """,
    "http.server": """
        import http.server, os
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"hola")
        http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
    """,
    "aiohttp's runner": """
        import asyncio, os
        from aiohttp import web
        async def main():
            app = web.Application()
            app.router.add_get("/", lambda request: asyncio.sleep(0, web.Response(text="hola")))
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", {port}).start()
            await asyncio.Event().wait()
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("where", ["the port given", "a port of its own"])
def test_a_script_that_serves_by_itself_is_taken_in(own: str, where: str) -> None:
    port = free_port()
    given = where == "the port given"
    text = dedent(OWN[own]).replace("{port}", "int(os.environ['PORT'])" if given else str(port))
    with script(text, port=port if given else 0) as service:
        assert service.port == port
        assert get(service.url).text == "hola"
        assert messages.SERVES_BY_ITSELF in service.journal.lines
        service.pause()
        service.resume()
        assert get(service.url).text == "hola"
        service.stop()
        assert service.state == "detenido"
        assert refused(port)


def test_a_start_that_lasts_is_told_of_and_ends_at_a_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("labkit.servers.process.SAYING", 0.1)
    monkeypatch.setattr("labkit.servers.process.LONGEST_START", 0.5)
    with pytest.raises(StartupFailed, match="no sirvió nada en"):
        script("import threading\nthreading.Event().wait()")
    assert capsys.readouterr().out.count("aún no responde") == 1
