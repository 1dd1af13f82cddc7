"""labkit/service.py: the life of a service, the same for Flask, bare WSGI and aiohttp."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import requests
from aiohttp import web
from support import (
    KINDS,
    MEGABYTES_20,
    PATIENCE,
    Raw,
    Stage,
    build,
    can_bind,
    eventually,
    free_port,
    get,
    new_stage,
    open_files,
    own_connections,
    refused,
)

import labkit
from labkit import messages
from labkit.errors import NotRestartable, PortInUse, WrongState


@pytest.fixture
def stage() -> Iterator[Stage]:
    with new_stage() as stage:
        yield stage


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


every_kind = pytest.mark.parametrize("kind", KINDS)


def serve(kind: str, stage: Stage, **options: Any) -> Any:
    """A service made by a factory, so that it can be restarted; its answer counts its generations."""
    generation = iter(range(1, 1_000_000))
    return labkit.serve(lambda: build(kind, stage, f"gen {next(generation)}"), name="tienda", **options)


# start


@every_kind
def test_serve_returns_when_the_service_answers(kind: str, stage: Stage) -> None:
    for _ in range(10):
        with labkit.serve(build(kind, stage), name="tienda") as service:
            assert get(service.url).text == "hola"
            assert service.state == "corriendo"
            assert service.running
            assert service.kind == ("aiohttp" if kind == "aiohttp" else "wsgi")
    assert service.state == "detenido"
    assert not service.running


@every_kind
def test_port_0_takes_a_free_one_and_a_number_takes_that_one(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        assert service.port > 0
        assert service.url == f"http://127.0.0.1:{service.port}"
    port = free_port()
    with labkit.serve(build(kind, stage), name="otra", port=port) as service:
        assert service.port == port
        assert get(f"http://127.0.0.1:{port}/").text == "hola"


@every_kind
def test_the_context_manager_stops_also_after_an_error(kind: str, stage: Stage) -> None:
    with pytest.raises(ZeroDivisionError), serve(kind, stage) as service:
        1 / 0
    assert service.state == "detenido"
    assert can_bind(service.port)


@every_kind
def test_a_handler_that_raises_is_a_500_and_its_traceback_is_in_the_journal_and_the_display(
    kind: str, stage: Stage
) -> None:
    with serve(kind, stage) as service:
        answer = get(service.url + "/boom")
        assert answer.status_code == 500
        assert "ZeroDivisionError" not in answer.text  # the client is told nothing
        for shown in (service.journal.text(), repr(service.journal), service._repr_html_()):
            assert "ZeroDivisionError: boom" in shown
            assert "en boom, línea" in shown
        assert service.journal.counts == {"requests": 1, "errors": 1, "dropped": 0}
        assert repr(service) == "tienda · corriendo · 1 petición · 1 error"
        assert get(service.url).status_code == 200


@every_kind
def test_sys_exit_in_a_handler_is_a_500_and_ends_nothing(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service:
        for _ in range(3):
            assert get(service.url + "/exit").status_code == 500
        assert "SystemExit: 3" in service.journal.text()
        assert service.journal.counts["errors"] == 3
        assert get(service.url).status_code == 200


@every_kind
def test_a_handler_that_raises_a_connection_error_of_its_own_is_a_500(kind: str, stage: Stage) -> None:
    """It is the application's, from a service that it calls, and not the client's."""
    with serve(kind, stage) as service:
        assert get(service.url + "/hang-up").status_code == 500
        assert "ConnectionAbortedError: the warehouse hung up" in service.journal.text()
        assert service.journal.counts["errors"] == 1


@every_kind
def test_a_body_that_fails_in_the_middle_breaks_off_and_its_traceback_is_in_the_journal(
    kind: str, stage: Stage
) -> None:
    with serve(kind, stage) as service:
        with pytest.raises(requests.RequestException):
            get(service.url + "/broken")
        eventually(lambda: "ZeroDivisionError: in the middle" in service.journal.text())
        with Raw(service) as raw:
            raw.ask("/broken")
            assert b"first;" in raw.read_to_end()
        assert get(service.url).status_code == 200


@every_kind
def test_counts_are_right_the_moment_the_client_has_its_answer(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service, requests.Session() as session:
        for number in range(1, 101):
            path = "/boom" if number % 10 == 0 else "/"
            session.get(service.url + path, timeout=PATIENCE)
            assert service.journal.counts == {"requests": number, "errors": number // 10, "dropped": 0}
            assert service.journal.requests[-1].status == (500 if path == "/boom" else 200)


@every_kind
def test_counts_are_right_when_the_first_piece_of_a_stream_is_there(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service:
        for number in range(1, 21):
            with Raw(service) as raw:
                raw.ask("/stream")
                raw.read_until(b"first;")
                assert service.journal.counts["requests"] == number
                assert service.journal.requests[-1].status == 200
        stage.release.set()


@every_kind
def test_a_request_that_is_under_way_stands_in_the_journal_and_has_no_duration(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    with serve(kind, stage) as service:
        call = pool.submit(get, service.url + "/wait")
        stage.wait_entered()
        assert service.journal.lines == ["GET /wait → …"]
        assert service.journal.requests[0].duration is None
        stage.release.set()
        call.result()
        eventually(lambda: service.journal.requests[0].duration is not None)
        assert service.journal.requests[0].duration > 0


@every_kind
def test_the_path_in_the_journal_is_what_the_client_sent(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service:
        with Raw(service) as raw:
            raw.ask("/no%20hay?q=%C3%B1&x=1")
            raw.read_until(b"404")
        assert service.journal.lines == ["GET /no%20hay?q=%C3%B1&x=1 → 404"]
        assert service.journal.counts["errors"] == 0


@every_kind
def test_fifty_requests_at_once_are_all_answered_and_counted(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service, ThreadPoolExecutor(50) as many:
        calls = [many.submit(get, service.url + "/wait") for _ in range(50)]
        stage.wait_entered(50)
        stage.release.set()
        assert {call.result().status_code for call in calls} == {200}
        assert service.journal.counts == {"requests": 50, "errors": 0, "dropped": 0}


# stop


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


# kill, pause, resume, restart


@every_kind
def test_kill_refuses_at_once_and_cuts_what_is_in_flight(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    service = serve(kind, stage)
    with Raw(service) as silent:
        call = pool.submit(get, service.url + "/wait")
        stage.wait_entered()
        service.kill()
        assert refused(service.port)
        assert silent.read_to_end() == b""
        assert isinstance(call.exception(PATIENCE), requests.ConnectionError)
    assert service.state == "muerto"
    assert repr(service) == "tienda · muerto · 1 petición · 0 errores"
    service.start()
    assert get(service.url).text == "gen 2"
    service.stop()


@every_kind
def test_pause_accepts_and_does_not_answer_and_resume_answers_what_waited(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    with serve(kind, stage) as service:
        in_flight = pool.submit(get, service.url + "/wait")
        stage.wait_entered()
        service.pause()
        assert service.state == "en pausa"
        service.pause()
        stage.release.set()
        with Raw(service) as raw:  # accepted
            raw.ask()
            raw.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
            assert not in_flight.done()  # also who was in before is not answered
            raw.socket.settimeout(PATIENCE)
            service.resume()
            assert raw.read_until(b"gen 1")
        assert in_flight.result(PATIENCE).text == "done gen 1"
        assert service.state == "corriendo"
        assert get(service.url).text == "gen 1"


@every_kind
@pytest.mark.parametrize("action", ["stop", "kill"])
def test_stop_and_kill_while_paused_cut_who_waits_without_waiting_for_the_grace(
    kind: str, action: str, stage: Stage
) -> None:
    service = serve(kind, stage, grace=60)
    service.pause()
    with Raw(service) as asked, Raw(service) as silent:
        asked.ask()
        silent.send(b"GET")
        asked.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            asked.socket.recv(1)
        asked.socket.settimeout(PATIENCE)
        began = time.monotonic()
        getattr(service, action)()
        assert time.monotonic() - began < 10
        assert asked.read_to_end() == b""
        assert silent.read_to_end() == b""
    assert service.state == {"stop": "detenido", "kill": "muerto"}[action]
    assert can_bind(service.port)


@every_kind
def test_a_paused_service_that_is_restarted_is_not_paused(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service:
        service.pause()
        service.restart()
        assert service.state == "corriendo"
        assert get(service.url).text == "gen 2"


@every_kind
def test_restart_keeps_port_and_journal_and_makes_a_new_app(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service:
        port, journal = service.port, service.journal
        assert get(service.url).text == "gen 1"
        assert service.restart() is service
        assert get(service.url).text == "gen 2"
        assert service.port == port
        assert service.journal is journal
        assert service.journal.lines == ["GET / → 200", "GET / → 200"]


@every_kind
def test_start_of_what_runs_does_nothing(kind: str, stage: Stage) -> None:
    with serve(kind, stage) as service:
        assert service.start() is service
        assert get(service.url).text == "gen 1"


@every_kind
def test_pause_and_resume_of_what_does_not_run_are_refused(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    service.stop()
    with pytest.raises(WrongState, match="«tienda» está detenido: no se puede pausar"):
        service.pause()
    service.start()
    service.kill()
    with pytest.raises(WrongState, match="«tienda» está muerto: no se puede reanudar"):
        service.resume()


def test_an_aiohttp_app_without_a_factory_is_not_restarted_and_goes_on_running(stage: Stage) -> None:
    with labkit.serve(build("aiohttp", stage), name="tienda") as service:
        with pytest.raises(NotRestartable, match="función"):
            service.restart()
        assert service.state == "corriendo"
        assert get(service.url).text == "hola"
    with pytest.raises(NotRestartable):
        service.start()
    assert service.state == "detenido"


def test_a_wsgi_app_without_a_factory_is_restarted(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="tienda") as service:
        service.restart()
        assert get(service.url).text == "hola"


@every_kind
def test_a_port_that_was_taken_meanwhile_is_named_by_who_has_it_now(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    service.stop()
    with labkit.serve(build("flask", stage), name="otra", port=service.port):
        with pytest.raises(PortInUse, match="«otra»"):
            service.start()
        assert service.state == "detenido"
    service.start()
    service.stop()


@every_kind
def test_a_restart_whose_factory_raises_leaves_it_stopped_and_its_words_in_the_journal(
    kind: str, stage: Stage
) -> None:
    fail = threading.Event()

    def crear() -> Any:
        if fail.is_set():
            print("no encuentro la base de datos")
            raise LookupError("base de datos")
        return build(kind, stage)

    service = labkit.serve(crear, name="tienda")
    fail.set()
    with pytest.raises(LookupError, match="base de datos"):
        service.restart()
    assert service.state == "detenido"
    assert "no encuentro la base de datos" in service.journal.lines
    assert can_bind(service.port)
    fail.clear()
    service.start()
    assert get(service.url).text == "hola"
    service.stop()


@every_kind
def test_two_threads_that_restart_one_service_do_not_cross(
    kind: str, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    with serve(kind, stage) as service:
        for call in [pool.submit(service.restart) for _ in range(12)]:
            call.result(PATIENCE)
        assert get(service.url).text == "gen 13"


@every_kind
def test_nothing_piles_up_in_twenty_lives(kind: str, stage: Stage) -> None:
    service = serve(kind, stage)
    service.stop()
    threads, files = threading.active_count(), open_files()
    for ending in (service.stop, service.kill) * 10:
        service.start()
        get(service.url)
        ending()
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: open_files() <= files)


# groups


@every_kind
def test_replicas_have_names_of_their_own_and_are_stopped_killed_and_shown_one_by_one(
    kind: str, stage: Stage
) -> None:
    with labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=3) as group:
        assert [service.name for service in group] == ["inventario-1", "inventario-2", "inventario-3"]
        assert [get(url).text for url in group.urls] == [service.name for service in group]
        assert len(group) == 3
        assert len({service.port for service in group}) == 3
        group[1].kill()
        assert refused(group[1].port)
        assert get(group[0].url).text == "inventario-1"
        assert get(group[2].url).text == "inventario-3"
        assert repr(group).splitlines() == [
            "inventario-1 · corriendo · 2 peticiones · 0 errores",
            "inventario-2 · muerto · 1 petición · 0 errores",
            "inventario-3 · corriendo · 2 peticiones · 0 errores",
        ]
        group[1].restart()
        assert get(group[1].url).text == "inventario-2"
    assert [service.state for service in group] == ["detenido"] * 3


@every_kind
def test_a_rolling_restart_never_refuses_everywhere(kind: str, stage: Stage) -> None:
    calls: list[str] = []
    with labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=2) as group:
        ports = [service.port for service in group]
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                for url in group.urls:
                    try:
                        calls.append(get(url).text)
                        break
                    except requests.ConnectionError:
                        continue
                else:
                    calls.append("nobody")

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(5):
            group.restart()
        eventually(lambda: len(calls) > 3)
        done.set()
        asking.join()
        assert [service.port for service in group] == ports
        # Between the two looks the first may come up and the second go down, but not ten times over.
        assert calls.count("nobody") <= 5
        assert "inventario-1" in calls


@every_kind
def test_a_group_that_fails_in_the_middle_leaves_nothing_running(kind: str, stage: Stage) -> None:
    def crear(name: str) -> Any:
        if name.endswith("-3"):
            raise LookupError(name)
        return build(kind, stage, name)

    threads = threading.active_count()
    with pytest.raises(LookupError, match="frutas-3"):
        labkit.serve(crear, name="frutas", replicas=4)
    assert not [service for service in labkit.services() if service.running]
    eventually(lambda: threading.active_count() <= threads)


@every_kind
def test_a_group_stops_all_at_once_so_one_grace_is_enough(kind: str, stage: Stage) -> None:
    group = labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=8)
    raws = [Raw(service) for service in group]
    for raw in raws:
        raw.ask("/wait")
    stage.wait_entered(8)
    began = time.monotonic()
    group.stop(grace=1)
    assert time.monotonic() - began < 7  # and not 8 and more
    for raw in raws:
        raw.socket.close()


@every_kind
def test_a_group_is_paused_resumed_and_killed_as_one(kind: str, stage: Stage) -> None:
    group = labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=2)
    group.pause()
    assert [service.state for service in group] == ["en pausa"] * 2
    group.resume()
    assert [get(url).text for url in group.urls] == ["inventario-1", "inventario-2"]
    group.kill()
    assert all(refused(service.port) for service in group)
    group.start()
    assert group.running
    group.stop()


def test_calls_between_services_in_both_directions(stage: Stage) -> None:
    """A Flask service that calls an aiohttp service that calls a Flask service."""
    import aiohttp

    with labkit.serve(build("flask", stage, "fondo"), name="fondo") as bottom:

        async def handler(request: web.Request) -> web.Response:
            async with aiohttp.ClientSession() as session, session.get(bottom.url) as answer:
                return web.Response(text="medio " + await answer.text())

        app = web.Application()
        app.router.add_get("/", handler)
        with labkit.serve(app, name="medio") as middle:
            top_app = flask.Flask("tapa")
            top_app.add_url_rule("/", "index", lambda: "tapa " + get(middle.url).text)
            with labkit.serve(top_app, name="tapa") as top:
                assert get(top.url).text == "tapa medio fondo"


def test_a_handler_that_blocks_freezes_its_own_aiohttp_service_and_no_other(stage: Stage) -> None:
    frozen = labkit.serve(build("aiohttp", stage), name="helada")
    with labkit.serve(build("aiohttp", stage), name="libre") as free, Raw(frozen) as raw:
        raw.ask("/block")
        stage.wait_entered()
        with pytest.raises(requests.Timeout):
            requests.get(frozen.url, timeout=0.3)
        assert get(free.url).text == "hola"
    stage.release.set()
    frozen.stop()


def test_it_listens_on_127_0_0_1_alone() -> None:
    import psutil

    for kind in KINDS:
        with new_stage() as stage, serve(kind, stage) as service:
            listening = {
                connection.laddr.ip
                for connection in own_connections()
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == service.port
            }
            assert listening == {"127.0.0.1"}


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
@every_kind
def test_another_host_in_so_many_words(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="abierta", host="0.0.0.0") as service:
        assert service.url == f"http://127.0.0.1:{service.port}"
        assert get(service.url).text == "hola"
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return
    with labkit.serve(build(kind, stage), name="seis", host="::1") as service:
        assert get(service.url).text == "hola"
