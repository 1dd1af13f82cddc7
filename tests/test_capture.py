"""labkit/capture.py: what a service says goes to its journal and nowhere else."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import pytest
from aiohttp import web
from support import KINDS, SAID, Stage, build, eventually, get, say_everything

import labkit
from labkit import capture

every_kind = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.filterwarnings("always::UserWarning")


@pytest.fixture(autouse=True)
def warnings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside of pytest, which collects them."""

    def show(
        message: Any, category: Any, filename: str, line: int, file: Any = None, text: Any = None
    ) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, filename, line, text))

    monkeypatch.setattr(warnings, "showwarning", show)


def assert_said(service: Any, mark: str) -> None:
    text = service.journal.text()
    for what in SAID:
        assert f"{what} {mark}" in text


@every_kind
@pytest.mark.parametrize(
    ("path", "mark"),
    [
        ("/say", "handler"),
        ("/thread", "thread"),
        ("/timer", "timer"),
        ("/executor", "executor"),
        ("/foreign-pool", "foreign pool"),
    ],
)
def test_print_logging_warnings_of_handlers_and_what_they_start_go_to_the_journal_alone(
    kind: str, path: str, mark: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        assert get(service.url + path).status_code == 200
        assert_said(service, mark)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.parametrize("path", ["/to-thread", "/task", "/callback"])
def test_tasks_callbacks_and_to_thread_of_aiohttp_handlers_too(
    path: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with labkit.serve(build("aiohttp", stage), name="tienda") as service:
        assert get(service.url + path).status_code == 200
        assert_said(service, {"/to-thread": "to_thread"}.get(path, path[1:]))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


@every_kind
def test_a_thread_of_a_handler_that_raises_says_so_in_the_journal(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        assert get(service.url + "/failing-thread").status_code == 200
        assert "ZeroDivisionError: in a thread" in service.journal.text()
        assert __file__ not in service.journal.text()
    assert capsys.readouterr().err == ""


@every_kind
def test_pieces_printed_by_a_handler_become_a_line_when_its_request_ends(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        for number in range(1, 6):
            get(service.url + "/pieces")
            eventually(lambda number=number: service.journal.lines.count("ab") == number)


@every_kind
def test_a_log_call_whose_arguments_do_not_fit_is_no_error_of_the_request(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        assert get(service.url + "/bad-log").status_code == 200
        assert "%d items" in service.journal.text()


@every_kind
def test_the_words_of_two_services_do_not_mix(kind: str, stage: Stage) -> None:
    def crear(name: str) -> Any:
        app = flask.Flask(name)
        app.add_url_rule("/", "index", lambda: print(name) or name)
        return app

    with labkit.serve(crear, name="grupo", replicas=4) as group, ThreadPoolExecutor(8) as pool:
        list(pool.map(get, group.urls * 10))
        for service in group:
            said = [line for line in service.journal.lines if "→" not in line]
            assert said == [service.name] * 10


@every_kind
def test_what_the_cell_itself_says_stays_in_the_cell(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        get(service.url)
        print("la celda")
        worker = threading.Thread(target=print, args=("un hilo de la celda",))
        worker.start()
        worker.join()
        stage.pool.submit(print, "una tarea de la celda").result()
        print("al error", file=sys.stderr)
        assert "celda" not in service.journal.text()
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["la celda", "un hilo de la celda", "una tarea de la celda"]
    assert shown.err == "al error\n"


@every_kind
def test_a_pool_that_a_service_was_the_first_to_use_does_not_belong_to_it(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.pool = ThreadPoolExecutor(1)  # its thread starts with the first call, which is the service's
    with labkit.serve(build(kind, stage), name="tienda") as service:
        get(service.url + "/foreign-pool")
        stage.pool.submit(print, "la celda").result()
        assert "la celda" not in service.journal.lines
    assert capsys.readouterr().out == "la celda\n"


@every_kind
def test_redirect_stdout_around_a_call_sees_the_cell_and_not_the_service(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        for _ in range(3):
            with (
                contextlib.redirect_stdout(io.StringIO()) as out,
                contextlib.redirect_stderr(io.StringIO()) as err,
            ):
                print("antes")
                get(service.url + "/say")
                print("después")
            assert (out.getvalue(), err.getvalue()) == ("antes\ndespués\n", "")
            assert_said(service, "handler")
        print("fuera")
    assert capsys.readouterr().out == "fuera\n"


@every_kind
def test_a_service_made_inside_redirect_stdout_says_nothing_outside(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        service = labkit.serve(build(kind, stage), name="tienda")
    get(service.url + "/say")
    get(service.url + "/thread")
    service.stop()
    assert out.getvalue() == ""
    assert capsys.readouterr().out == ""


@every_kind
def test_a_log_file_of_the_service_is_still_written(kind: str, stage: Stage, tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "tienda.log", encoding="utf-8")
    logger = logging.getLogger("tienda")
    logger.addHandler(handler)
    try:
        with labkit.serve(build(kind, stage), name="tienda") as service:
            get(service.url + "/say")
            assert_said(service, "handler")
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert (tmp_path / "tienda.log").read_text("utf-8") == "logging handler\n"


@every_kind
def test_basic_config_before_serve_shows_nothing_in_the_cell(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        logging.basicConfig(force=True, level=logging.WARNING)
        with labkit.serve(build(kind, stage), name="tienda") as service:
            get(service.url + "/say")
            get(service.url + "/boom")
            logging.getLogger("celda").warning("de la celda")
            assert_said(service, "handler")
            assert service.journal.text().count("WARNING tienda: logging handler") == 1
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
    assert capsys.readouterr().err == "WARNING:celda:de la celda\n"


@every_kind
def test_basic_config_in_a_handler_shows_nothing_in_a_later_cell(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    for handler in before:
        root.removeHandler(handler)
    try:

        def crear() -> Any:
            logging.basicConfig(level=logging.WARNING)
            return build(kind, stage)

        with labkit.serve(crear, name="tienda") as service:
            get(service.url + "/say")
            assert_said(service, "handler")
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
    assert capsys.readouterr().err == ""


@every_kind
def test_everything_is_as_before_after_the_last_service(kind: str, stage: Stage) -> None:
    def state() -> list[object]:
        return [
            sys.stdout,
            sys.stderr,
            logging.Logger.callHandlers,
            threading.Thread.start,
            ThreadPoolExecutor.submit,
        ]

    before = state()
    with labkit.serve(build(kind, stage), name="a") as a:
        with labkit.serve(build(kind, stage), name="b") as b:
            get(a.url + "/say")
            get(b.url + "/thread")
        eventually(lambda: state()[2] is not before[2])
    eventually(lambda: all(x is y for x, y in zip(state(), before, strict=True)))
    a.start() if kind != "aiohttp" else None
    a.kill()
    eventually(lambda: all(x is y for x, y in zip(state(), before, strict=True)))
    with pytest.raises(TypeError):
        labkit.serve(lambda: None, name="nada")
    assert all(x is y for x, y in zip(state(), before, strict=True))


@every_kind
def test_a_thread_that_outlives_its_service_still_speaks_to_its_journal(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout = sys.stdout
    workers: list[threading.Thread] = []

    def outlive() -> None:
        stage.release.wait(20)
        say_everything("late")
        raise ZeroDivisionError("last words")

    def start() -> str:
        workers.append(threading.Thread(target=outlive))
        workers[0].start()
        return "ok"

    def crear() -> Any:
        if kind == "aiohttp":

            async def handler(request: web.Request) -> web.Response:
                return web.Response(text=start())

            app = web.Application()
            app.router.add_get("/", handler)
            return app
        flask_app = flask.Flask("x")
        flask_app.add_url_rule("/", "index", start)
        return flask_app

    service = labkit.serve(crear, name="tienda")
    get(service.url)
    service.stop()
    stage.release.set()
    workers[0].join()
    assert_said(service, "late")
    assert "ZeroDivisionError: last words" in service.journal.text()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert sys.stdout is stdout


@every_kind
def test_a_handler_cut_off_by_a_stop_still_speaks_to_its_journal(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()

    def stubborn() -> str:
        stage.entered.release()
        stage.release.wait(20)
        say_everything("late")
        done.set()
        return "ok"

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=stubborn())

    if kind == "aiohttp":
        app: Any = web.Application()
        app.router.add_get("/", handler)
    else:
        app = flask.Flask("x")
        app.add_url_rule("/", "index", stubborn)
    service = labkit.serve(app, name="tienda")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(get, service.url)
        stage.wait_entered()
        service.stop(grace=0)
        stage.release.set()
        assert done.wait(20)
    assert_said(service, "late")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_the_stream_is_a_stream(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    with labkit.serve(build("flask", stage), name="tienda"):
        assert type(sys.stdout) is capture.ServiceStream
        assert sys.stdout.write("abc\n") == 4
        assert sys.stdout.encoding.lower().replace("-", "") == "utf8"
        assert sys.stdout.writable()
        sys.stdout.flush()
        print("x", "y", sep="-", end="!\n", flush=True)
    assert capsys.readouterr().out == "abc\nx-y!\n"


def test_a_kernel_without_a_stdout_serves_too() -> None:
    """pythonw on Windows has none."""
    source = """
import sys, flask, requests, labkit
real, sys.stdout, sys.stderr = sys.stdout, None, None
app = flask.Flask("x"); app.add_url_rule("/", "index", lambda: print("hola") or "ok")
with labkit.serve(app, name="x") as service:
    answer = requests.get(service.url).text
real.write(answer)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ok", done.stderr
