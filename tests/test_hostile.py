"""A machine without descriptors or threads, and applications and clients that do their worst."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest
import requests
from aiohttp import web
from matplotlib.text import Text
from support import PATIENCE, eventually, get

import labkit
from labkit import plots
from labkit.journal import LONGEST, Journal
from labkit.lens import diagrams
from labkit.lens.tree import Call

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


# No descriptors, no threads


def no_loops(*_: Any) -> asyncio.AbstractEventLoop:
    raise OSError(24, "Too many open files")


def no_threads(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def aio_app() -> web.Application:
    return web.Application()


@pytest.mark.parametrize(
    "call",
    [
        lambda url: labkit.load(url, requests=1),
        lambda url: labkit.serve(aio_app, name="x"),
    ],
    ids=["load", "serve"],
)
def test_without_descriptors_it_raises_and_does_not_hang(
    call: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("asyncio.new_event_loop", no_loops)
        broken.setattr("asyncio.SelectorEventLoop", no_loops)
        with pytest.raises(OSError, match="Too many open files"):
            call("http://127.0.0.1:9/")
    with labkit.serve(aio_app, name="x") as service:
        assert labkit.load(service.url, requests=1).counts == {"404": 1}


def test_load_needs_no_loop_of_another_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under uvloop's policy every request was counted as cut."""
    with labkit.serve(aio_app, name="x") as service:
        monkeypatch.setattr("asyncio.new_event_loop", no_loops)
        assert labkit.load(service.url, requests=3).counts == {"404": 3}


def flask_app() -> flask.Flask:
    return flask.Flask("x")


@pytest.mark.parametrize("make", [flask_app, aio_app])
def test_without_threads_it_raises_and_the_next_one_serves(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for _ in range(3):
        with monkeypatch.context() as broken:
            broken.setattr("threading.Thread.start", no_threads)
            with pytest.raises(RuntimeError, match="new thread"):
                labkit.serve(make(), name="x")
    if descriptors:
        eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    with labkit.serve(make(), name="x") as service:
        assert get(service.url).status_code == 404


def test_run_recovers_from_a_thread_that_could_not_start() -> None:
    code = """
import asyncio, threading, labkit
start = threading.Thread.start
def broken(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = broken
for _ in range(2):
    waiting = asyncio.sleep(0, "hola")
    try:
        labkit.run(waiting)
    except RuntimeError:
        waiting.close()
threading.Thread.start = start
assert labkit.run(asyncio.sleep(0, "hola"), timeout=10) == "hola"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=2 * PATIENCE)


# What answers and names may hold


def test_a_deep_answer_costs_no_result() -> None:
    app = flask.Flask("hondo")
    app.add_url_rule("/", "hondo", lambda: '{"instancia": ' + "[" * 100_000)
    with labkit.serve(app, name="hondo") as service:
        result = labkit.load(service, requests=3)
    assert (result.counts, result.instances) == ({"200": 3}, {})


def texts_of(figure: Any) -> list[Text]:
    return [text for text in figure.findobj(Text) if "$" in text.get_text()]


def test_dollars_are_no_formula_in_any_figure() -> None:
    path = "/i?$top=5&$skip=2 $\\frac$"
    calls = [Call(0, None, "cliente", "$a_b$", "GET", path, 200, None, 0.0, 0.1)]
    for figure in (diagrams.both("cliente", calls),):
        figure.draw_without_rendering()
        assert texts_of(figure)
        assert not any(text.get_parse_math() for text in texts_of(figure))
    for drawing in (
        plots.bars([{"name": path, "arrival": 0, "start": 1, "end": 2, "worker": "$x^{$"}]),
        plots.latencies({path: [0.1, 0.2]}),
        plots.outcomes({path: ["$a$", "b"]}),
        plots.states([(0, path, "$closed$"), (1, path, "open")]),
        plots.levels({path: [(0, 1), (1, 2)]}, ylabel="$x$"),
    ):
        assert drawing._repr_png_().startswith(b"\x89PNG")
        assert texts_of(drawing.figure)
        assert not any(text.get_parse_math() for text in texts_of(drawing.figure))


# What handlers raise


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit, Unspeakable])
@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_whatever_a_handler_raises_is_a_500_and_an_error_in_the_journal(
    kind: str, error: type[BaseException]
) -> None:
    def app() -> Any:
        if kind == "flask":
            made = flask.Flask("x")

            def handler() -> str:
                raise error

            made.add_url_rule("/", "x", handler)
            return made

        async def ahandler(request: web.Request) -> web.Response:
            raise error

        aio = web.Application()
        aio.router.add_get("/", ahandler)
        return aio

    with labkit.serve(app(), name="x") as service:
        assert [get(service.url).status_code for _ in range(2)] == [500, 500]
        assert service.journal.counts["errors"] == 2
        eventually(lambda: all(request.duration is not None for request in service.journal.requests))
        assert error.__name__ in service.journal.text()
        assert service.state == "corriendo"


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, Unspeakable])
def test_whatever_a_body_raises_ends_its_request(error: type[BaseException]) -> None:
    app = flask.Flask("x")

    def pieces() -> Any:
        yield "uno"
        raise error

    app.add_url_rule("/", "x", lambda: flask.Response(pieces()))
    with labkit.serve(app, name="x") as service:
        with pytest.raises(requests.RequestException):
            get(service.url)
        eventually(lambda: service.journal.requests[0].duration is not None)
        assert error.__name__ in service.journal.text()


# A process that hears nothing


@posix
@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("stopped", ["SIGSTOP", "pause"])
def test_a_full_pipe_to_a_stopped_process_holds_up_no_end(end: str, stopped: str) -> None:
    import signal

    from labkit.roster import ROSTER, serve
    from labkit.servers import Program

    text = "import flask\napp = flask.Flask('x')\n"
    service = serve(Program(text=text), name="sorda", isolation="process")
    try:
        pid = service.pid
        assert pid is not None
        if stopped == "pause":
            service.pause()
        else:
            os.kill(pid, signal.SIGSTOP)
        service._server._send(b" " * 1_000_000 + b"\n")  # more than any pipe holds
        done = threading.Thread(
            target=getattr(service, end), args=(0.1,) if end == "stop" else (), daemon=True
        )
        done.start()
        done.join(PATIENCE)
        assert not done.is_alive()
        assert not service.running
    finally:
        ROSTER._entries.pop("sorda", None)


# A journal that is fed too much


def test_a_progress_bar_costs_what_it_writes() -> None:
    journal = Journal()
    for number in range(50_000):
        journal.write(f"\r{number} " + "█" * 50)
    (begun,) = journal.unfinished.values()
    assert len(begun._pieces) == 1
    journal.write(" fin\n")
    assert journal.lines == ["49999 " + "█" * 50 + " fin"]


def test_a_line_without_an_end_is_cut_off_and_says_so() -> None:
    journal = Journal()
    for _ in range(100):
        journal.write("x" * 1000)
    (begun,) = journal.unfinished.values()
    assert sum(map(len, begun._pieces)) <= LONGEST + 1000
    journal.write("\n")
    assert journal.lines == ["x" * LONGEST + "… (cortada: faltan 90000 caracteres)"]


def test_lines_end_with_carriage_returns_on_windows_too() -> None:
    journal = Journal()
    journal.write("uno\r\ndos\r")
    journal.write("\n")
    assert [line.rstrip("\r") for line in journal.lines] == ["uno", "dos"]


def test_a_journal_is_bounded_in_characters_too() -> None:
    journal = Journal()
    for number in range(1500):
        journal.note(f"{number} " + "x" * 1_000_000)
    for _ in range(3000):
        journal.begin("GET", "/" + "y" * 60_000)
    held = sum(len(getattr(entry, "text", "")) + len(getattr(entry, "path", "")) for entry in journal)
    assert held <= 20_000_000
    assert journal.dropped == 4500 - len(journal)
    assert journal.counts["requests"] == 3000
    journal.clear()
    assert (journal.dropped, len(journal)) == (0, 0)
    journal.note("x" * 1_000_000)
    assert len(repr(journal)) < 2 * LONGEST


def test_control_characters_of_a_request_are_shown_escaped() -> None:
    journal = Journal()
    journal.begin("GET", "/\x1b]0;título\x07\x1b[2J/ñ")
    assert journal.lines == ["GET /\\x1b]0;título\\x07\\x1b[2J/ñ → …"]
