"""labkit/service.py: the life of a service, the same for Flask, bare WSGI and aiohttp."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from support import (
    PATIENCE,
    Raw,
    Stage,
    build,
    can_bind,
    eventually,
    every_kind,
    free_port,
    get,
    open_files,
    refused,
    serve,
)

import labkit
from labkit.errors import NotRestartable, PortInUse, WrongState

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
