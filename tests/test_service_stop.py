"""labkit/service.py: the stop of a service and its grace, for Flask, bare WSGI and aiohttp."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from aiohttp import web
from support import (
    MEGABYTES_20,
    PATIENCE,
    Raw,
    Stage,
    can_bind,
    eventually,
    every_kind,
    get,
    refused,
    serve,
)

import labkit
from labkit import messages


@every_kind
def test_stop_lets_a_request_in_flight_finish_within_its_grace(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    service = serve(kind, stage)
    call = pool.submit(get, service.url + "/wait")
    stage.wait_entered()
    stopping = pool.submit(service.stop, PATIENCE)
    eventually(lambda: refused(service.port))
    assert not stopping.done()
    stage.release.set()
    answer = call.result()
    assert (answer.status_code, answer.text) == (200, "done gen 1")
    stopping.result(PATIENCE)
    assert messages.ABANDONED.format(count=1) not in service.journal.text()
    assert can_bind(service.port)


@every_kind
def test_stop_lets_a_stream_in_flight_finish_within_its_grace(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    service = serve(kind, stage)
    call = pool.submit(get, service.url + "/stream")
    stage.wait_entered()
    stopping = pool.submit(service.stop, PATIENCE)
    eventually(lambda: refused(service.port))
    stage.release.set()
    assert call.result().text == "first;second"
    stopping.result(PATIENCE)


@every_kind
def test_stop_lets_a_slow_reader_have_the_whole_of_a_big_answer_within_its_grace(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    service = serve(kind, stage)
    with Raw(service, receive_buffer=4096) as raw:
        raw.ask("/big")
        data = bytearray(raw.read_until(b"xxxx"))
        stopping = pool.submit(service.stop, PATIENCE)
        eventually(lambda: refused(service.port))
        while piece := raw.socket.recv(1_000_000):
            data += piece
    assert len(data.partition(b"\r\n\r\n")[2]) == len(MEGABYTES_20)
    stopping.result(PATIENCE)


@every_kind
def test_a_big_answer_that_was_handed_over_before_the_stop_arrives_whole(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    """Its last part is in the system's buffer, and a reset would throw it away."""
    service = serve(kind, stage)
    with Raw(service) as raw:
        raw.ask("/big")
        data = bytearray(raw.read_until(b"xxxx"))
        while len(data) < 15_000_000:
            data += raw.socket.recv(100_000)
        stopping = pool.submit(service.stop, PATIENCE)
        eventually(lambda: refused(service.port))
        while piece := raw.socket.recv(1_000_000):
            data += piece
    assert len(data.partition(b"\r\n\r\n")[2]) == len(MEGABYTES_20)
    stopping.result(PATIENCE)


@every_kind
def test_what_does_not_finish_within_the_grace_is_cut_and_noted(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    service = serve(kind, stage)
    with Raw(service) as waiting, Raw(service) as streaming:
        waiting.ask("/wait")
        streaming.ask("/stream")
        stage.wait_entered(2)
        streaming.read_until(b"first;")
        began = time.monotonic()
        service.stop(grace=0.2)
        assert time.monotonic() - began < 10  # bounded; it takes about 0.2 s
        assert waiting.read_to_end() == b""
        assert streaming.read_to_end() == b""
    assert messages.ABANDONED.format(count=2) in service.journal.text()
    assert can_bind(service.port)
    assert service.state == "detenido"


@every_kind
@pytest.mark.parametrize("path", ["/block", "/wait"])
def test_a_handler_that_never_returns_does_not_hold_up_a_stop_nor_the_next_start(
    kind: str, path: str, stage: Stage
) -> None:
    """/block blocks the whole loop in aiohttp."""
    service = serve(kind, stage)
    with Raw(service) as raw:
        raw.ask(path)
        stage.wait_entered()
        began = time.monotonic()
        service.stop(grace=0.1)
        assert time.monotonic() - began < 10
        assert raw.read_to_end() == b""
    assert can_bind(service.port)
    service.start()
    assert get(service.url).text == "gen 2"
    service.stop()
    before = service.journal.lines
    stage.release.set()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "labkit-tienda"])
    after = [line for line in service.journal.lines[len(before) :] if "Error" in line]
    assert after == []  # whoever was cut off ends quietly


@every_kind
def test_kill_does_not_wait_for_a_handler_that_never_returns(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    with Raw(service) as raw:
        raw.ask("/block")
        stage.wait_entered()
        began = time.monotonic()
        service.kill()
        assert time.monotonic() - began < 10
        assert raw.read_to_end() == b""
    assert refused(service.port)
    assert can_bind(service.port)
    stage.release.set()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "labkit-tienda"])
    assert "Error" not in service.journal.text()


@every_kind
def test_stop_closes_idle_and_half_open_connections(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    with Raw(service) as silent, Raw(service) as half, Raw(service) as kept, Raw(service) as uploading:
        half.send(b"GET / HTTP/1.1\r\nHost:")
        kept.ask()
        kept.read_until(b"gen 1")
        uploading.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        service.stop(grace=0.2)
        for raw in (silent, half, kept):
            assert raw.read_to_end() == b""
        uploading.read_to_end()  # answered or not, it has ended
    assert can_bind(service.port)


@every_kind
def test_no_connection_opened_before_a_restart_is_answered_by_the_old_app(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    with Raw(service) as silent, Raw(service) as half, Raw(service) as kept:
        half.send(b"GET / HTTP/1.1\r\nHost:")
        kept.ask()
        kept.read_until(b"gen 1")
        service.restart()
        for raw, rest in ((silent, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (half, b" x\r\n\r\n")):
            raw.send(rest)
            assert raw.read_to_end() == b""
        kept.ask()
        assert kept.read_to_end() == b""
    assert get(service.url).text == "gen 2"
    service.stop()


@every_kind
def test_requests_that_race_with_a_stop_are_answered_whole_or_not_at_all(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    for _ in range(15):
        service = serve(kind, stage)
        barrier = threading.Barrier(5, timeout=PATIENCE)

        def call(service: Any = service, barrier: threading.Barrier = barrier) -> bytes:
            with Raw(service) as raw:
                barrier.wait()
                raw.ask()
                return raw.read_to_end() if kind != "aiohttp" else raw.socket.recv(65536)

        def attempt(call: Any = call) -> bytes:
            try:
                return bytes(call())
            except ConnectionError:
                return b""

        calls = [pool.submit(attempt) for _ in range(4)]
        barrier.wait()
        service.stop(PATIENCE)
        for data in (c.result(PATIENCE) for c in calls):
            assert data == b"" or (b" 200 OK" in data and b"gen 1" in data)


@every_kind
def test_stop_and_kill_of_what_does_not_run_do_nothing(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    service.stop()
    service.stop()
    service.kill()
    assert service.state == "detenido"
    service.start()
    service.kill()
    service.stop()
    assert service.state == "muerto"


@every_kind
@pytest.mark.parametrize("grace", [-1, float("inf"), float("nan"), "1", True])
def test_a_grace_that_is_no_number_of_seconds_is_refused_and_nothing_happens(
    kind: str, grace: Any, stage: Stage
) -> None:
    with serve(kind, stage) as service:
        with pytest.raises(ValueError, match="grace="):
            service.stop(grace)
        with pytest.raises(ValueError, match="grace="):
            service.restart(grace)
        assert get(service.url).text == "gen 1"


@every_kind
def test_a_service_may_be_stopped_killed_and_restarted_by_its_own_handler(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    """Tutorials have a /shutdown route. It may be cut off, it must not lock anything up."""
    for action in ("stop", "kill", "restart"):
        made: dict[str, Any] = {}
        ended = threading.Event()

        def act(action: str = action, made: dict[str, Any] = made, ended: threading.Event = ended) -> str:
            try:
                getattr(made["service"], action)(*([0.1] if action != "kill" else []))
            finally:
                ended.set()
            return "ok"

        def crear(act: Any = act) -> Any:
            if kind == "aiohttp":

                async def handler(request: web.Request) -> web.Response:
                    return web.Response(text=act())

                app = web.Application()
                app.router.add_get("/shutdown", handler)
                return app
            flask_app = flask.Flask("tienda")
            flask_app.add_url_rule("/shutdown", "shutdown", act)
            return flask_app if kind == "flask" else flask_app.wsgi_app

        service = made["service"] = labkit.serve(crear, name="tienda")
        with Raw(service) as raw:
            raw.ask("/shutdown")
            raw.read_to_end() if kind != "aiohttp" else raw.socket.recv(1000)
        assert ended.wait(PATIENCE)
        eventually(
            lambda s=service, a=action: s.state == {"stop": "detenido", "kill": "muerto"}.get(a, "corriendo")
        )
        assert "cannot join" not in service.journal.text()
        if action == "restart":
            assert get(service.url + "/nada").status_code == 404
        else:
            assert can_bind(service.port)
        service.stop(0)
