"""labkit/servers/child.py: what a process can serve, a script's world, and how a start fails."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest
from process_support import AIOHTTP, FLASK, KINDS, children, every_kind, fails, posix, script
from support import (
    build,
    can_bind,
    eventually,
    free_port,
    get,
    new_stage,
    refused,
)

import labkit
from labkit import messages
from labkit.errors import BadArgument, NotAnApp, PortInUse, StartupFailed
from labkit.roster import ROSTER

pytestmark = pytest.mark.usefixtures("nothing_left")


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


def test_a_script_that_asks_for_any_port_has_one() -> None:
    with script(f"{FLASK}\napp.run(port=0)") as service:
        assert service.port
        assert get(service.url).text == "hola"


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
