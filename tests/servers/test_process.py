"""labkit/servers/process.py: the life and the journal of services in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from process_support import AIOHTTP, FLASK, KINDS, children, every_kind, gone, posix, script
from support import (
    PATIENCE,
    Raw,
    build,
    eventually,
    free_ports,
    get,
    new_stage,
    open_files,
    refused,
    soak,
)

import labkit
from labkit import messages
from labkit.errors import StartupFailed, WrongState

pytestmark = pytest.mark.usefixtures("nothing_left")


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
        eventually(lambda: any(reversed(service.journal)))
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
        eventually(lambda: any(reversed(service.journal)))
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
