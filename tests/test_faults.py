"""labkit/faults.py and what the servers make of it: faults that are injected into real services."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
import requests
from support import PATIENCE, Raw, Stage, build, eventually, every_kind, get

import labkit
from labkit.faults import Faults, GroupFaults
from labkit.journal import Journal

HOUR = 3600.0  # who waits so long waits until something else happens


both_kinds = pytest.mark.parametrize("kind", ["wsgi", "aiohttp"])


@pytest.fixture
def service(kind: str, stage: Stage) -> Iterator[Any]:
    """A service of the test's kind, made by a factory; its answer is `hola`."""
    with labkit.serve(lambda: build(kind, stage), name="tienda", grace=0.1) as service:
        yield service
        service.faults.clear()


@pytest.fixture
def group(kind: str, stage: Stage) -> Iterator[Any]:
    with labkit.serve(lambda: build(kind, stage), name="tienda", replicas=3) as group:
        yield group


def last_line(service: Any) -> str:
    return str(service.journal.requests[-1])


def struck(service: Any, times: int = 1) -> None:
    """Wait until faults have met that many requests."""
    eventually(lambda: service.faults.injected == times)


def call_at_once(service: Any, callers: int, each: int) -> None:
    """Requests from that many threads, which all begin at the same moment."""
    barrier = threading.Barrier(callers)

    def caller(_: int) -> None:
        barrier.wait(PATIENCE)
        for _ in range(each):
            get(service.url)

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(caller, range(callers)))


def positions(service: Any) -> list[int]:
    """Which requests were hit, counted from 1 in the order of the journal."""
    return [n for n, request in enumerate(service.journal.requests, 1) if request.faults]


def hits(faults: Faults, arrivals: int = 100) -> list[int]:
    """The same, without a server."""
    journal = Journal()
    return [n for n in range(1, arrivals + 1) if faults.meet(journal, "GET", "/", "/").ending()]


# which requests


@both_kinds
def test_every_10_is_exactly_the_tenth_and_twentieth_under_50_concurrent_callers(service: Any) -> None:
    fault = service.faults.error(503, every=10)
    call_at_once(service, callers=50, each=4)
    assert positions(service) == list(range(10, 201, 10))
    assert [r.status for r in service.journal.requests] == [
        200,
        200,
        200,
        200,
        200,
        200,
        200,
        200,
        200,
        503,
    ] * 20
    assert (fault.seen, fault.injected) == (200, 20)
    assert service.journal.counts == {"requests": 200, "errors": 20, "dropped": 0}


@both_kinds
def test_a_seed_hits_the_same_requests_on_each_run(kind: str, stage: Stage) -> None:
    runs = []
    for seed in (7, 7, 8):
        with labkit.serve(build(kind, stage), name="tienda") as service:
            service.faults.error(503, probability=0.3, seed=seed)
            call_at_once(service, callers=10, each=6)
            runs.append(positions(service))
    assert runs[0] == runs[1] != runs[2]
    assert 5 < len(runs[0]) < 35


def test_a_seed_hits_the_same_requests_with_jitter_and_without() -> None:
    smooth, rough = Faults("x"), Faults("x")
    smooth.delay(1, probability=0.5, seed=3)
    rough.delay(1, jitter=1, probability=0.5, seed=3)

    def waits(faults: Faults) -> list[Any]:
        journal = Journal()
        return [list(faults.meet(journal, "GET", "/", "/").waits()) for _ in range(100)]

    assert [len(wait) for wait in waits(smooth)] == [len(wait) for wait in waits(rough)]


def test_the_instances_of_a_group_do_not_fail_in_step() -> None:
    members = [Faults("x-1"), Faults("x-2")]
    GroupFaults(members).error(probability=0.5, seed=3)
    first, second = map(hits, members)
    assert first != second
    again = Faults("x-2")
    again.error(probability=0.5, seed=3)
    assert hits(again) == second


def test_jitter_stays_within_its_bounds_and_is_the_same_with_a_seed() -> None:
    def seconds() -> list[float | None]:
        faults, journal = Faults("x"), Journal()
        faults.delay(2, jitter=0.5, seed=1)
        met = [faults.meet(journal, "GET", "/", "/") for _ in range(200)]
        return [wait for encounter in met for _, wait in encounter.waits()]

    drawn = seconds()
    assert drawn == seconds()
    assert all(wait is not None and 1.5 <= wait <= 2.5 for wait in drawn)
    assert len(set(drawn)) > 100


def test_without_a_seed_and_at_the_edges_of_probability() -> None:
    for probability, expected in ((0, 0), (1, 100), (1.0, 100)):
        faults = Faults("x")
        faults.error(probability=probability)
        assert len(hits(faults)) == expected
    faults = Faults("x")
    faults.error(probability=0.5)
    assert 0 < len(hits(faults)) < 100


@both_kinds
def test_a_path_is_that_path_and_what_lies_below_it(service: Any) -> None:
    fault = service.faults.error(503, path="/stock")
    hit = ["/stock", "/stock/", "/stock/7", "/stock?color=azul", "/%73tock/7"]
    missed = ["/", "/stockholm", "/otra/stock", "/?path=/stock"]
    assert [get(service.url + path).status_code for path in hit] == [503] * len(hit)
    assert 503 not in [get(service.url + path).status_code for path in missed]
    assert fault.seen == fault.injected == len(hit)
    assert str(service.journal.requests[3]) == "GET /stock?color=azul → 503 (fallo inyectado: error)"


@both_kinds
def test_a_path_with_letters_beyond_ascii(service: Any) -> None:
    service.faults.error(503, path="/almacén/")
    assert get(service.url + "/almacén/7").status_code == 503
    assert get(service.url + "/almacén").status_code == 503


@both_kinds
def test_a_method_and_only_what_matches_is_counted(service: Any) -> None:
    service.faults.error(503, method="post", every=2)
    statuses = []
    for method in ("GET", "POST", "GET", "GET", "POST", "POST", "POST"):
        statuses.append(requests.request(method, service.url, timeout=PATIENCE).status_code == 503)
    assert statuses == [False, False, False, False, True, False, True]


# each fault


@every_kind
def test_a_delay_comes_before_the_answer(service: Any) -> None:
    service.faults.delay(0.2)
    began = time.monotonic()
    assert get(service.url).text == "hola"
    assert time.monotonic() - began >= 0.2
    assert last_line(service) == "GET / → 200 (fallo inyectado: retraso)"


@every_kind
def test_a_delay_holds_nobody_else_up_and_ends_when_it_is_cleared(
    service: Any, pool: ThreadPoolExecutor
) -> None:
    fault = service.faults.delay(HOUR, path="/pieces")
    slow = pool.submit(get, service.url + "/pieces")
    struck(service)
    assert str(service.journal.requests[0]) == "GET /pieces → … (fallo inyectado: retraso)"
    assert [get(service.url).text for _ in range(20)] == ["hola"] * 20
    assert not slow.done()
    fault.clear()
    assert slow.result(PATIENCE).text == "hola"
    assert str(service.journal.requests[0]) == "GET /pieces → 200 (fallo inyectado: retraso)"


@every_kind
def test_a_delayed_request_is_served_also_when_its_client_gave_up(service: Any, stage: Stage) -> None:
    """As in a slow service: whoever retries after a timeout may have things done twice."""
    with Raw(service) as client:
        fault = service.faults.delay(HOUR)
        client.ask("/wait")
        struck(service)
    fault.clear()
    stage.wait_entered()
    stage.release.set()


@every_kind
def test_an_error_answers_in_the_applications_place(service: Any, stage: Stage) -> None:
    with service.faults.error(503, retry_after=2):
        answer = get(service.url + "/wait")
    assert (answer.status_code, answer.reason) == (503, "Service Unavailable")
    assert answer.text == "503 Service Unavailable"
    assert answer.headers["Retry-After"] == "2"
    assert not stage.entered.acquire(blocking=False), "the handler was reached"
    assert service.journal.text() == "GET /wait → 503 (fallo inyectado: error)"
    assert service.journal.counts["errors"] == 1


@every_kind
@pytest.mark.parametrize(
    ("body", "content", "media_type"),
    [
        ("vacío", "vacío".encode(), "text/plain; charset=utf-8"),
        (b"\x00\x01", b"\x00\x01", "application/octet-stream"),
        ({"error": "vacío"}, '{"error": "vacío"}'.encode(), "application/json"),
        ([1, 2], b"[1, 2]", "application/json"),
        ("", b"", "text/plain; charset=utf-8"),
    ],
)
def test_an_error_has_the_body_that_was_given(
    service: Any, body: Any, content: bytes, media_type: str
) -> None:
    service.faults.error(429, body=body)
    answer = get(service.url)
    assert (answer.status_code, answer.content) == (429, content)
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Content-Length"] == str(len(content))


@every_kind
@pytest.mark.parametrize("status", [200, 204, 304, 418, 599])
def test_an_error_of_any_status_is_a_whole_answer(service: Any, status: int) -> None:
    service.faults.error(status, body="cuerpo")
    with Raw(service) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = client.read_to_end().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert body == (b"" if status in (204, 304) else b"cuerpo")
    assert service.journal.requests[0].status == status


@every_kind
def test_an_error_to_a_head_request_has_a_length_and_no_body(service: Any) -> None:
    service.faults.error(503, body="cuerpo")
    with Raw(service) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = client.read_to_end().partition(b"\r\n\r\n")
    assert b"content-length: 6" in head.lower()
    assert body == b""


@every_kind
def test_an_error_reaches_a_client_that_sends_a_long_body(service: Any) -> None:
    service.faults.error(503)
    assert requests.post(service.url, data=b"x" * 1_000_000, timeout=PATIENCE).status_code == 503


@pytest.mark.parametrize("kind", ["aiohttp"])
def test_an_error_leaves_a_connection_alive_for_the_next_request(service: Any) -> None:
    service.faults.error(503, every=2)
    with Raw(service) as client:
        for status, end in ((200, b"hola"), (503, b"\r\n\r\n503 Service Unavailable"), (200, b"hola")):
            client.ask("/")
            assert client.read_until(end).startswith(f"HTTP/1.1 {status} ".encode())


@every_kind
def test_a_hang_answers_nobody_until_it_is_cleared(service: Any, pool: ThreadPoolExecutor) -> None:
    fault = service.faults.hang(path="/pieces")
    hung = [pool.submit(get, service.url + "/pieces") for _ in range(5)]
    struck(service, 5)
    assert service.journal.text() == "\n".join(["GET /pieces → … (fallo inyectado: cuelgue)"] * 5)
    assert get(service.url).text == "hola"
    assert not any(answer.done() for answer in hung)
    fault.clear()
    assert [answer.result(PATIENCE).text for answer in hung] == ["hola"] * 5
    assert str(service.journal.requests[0]) == "GET /pieces → 200 (fallo inyectado: cuelgue)"
    assert fault.injected == 5
    assert get(service.url + "/pieces").status_code == 200


@every_kind
def test_who_gave_up_a_hanging_request_is_not_served_afterwards(service: Any, stage: Stage) -> None:
    with Raw(service) as client:
        fault = service.faults.hang(path="/wait")
        client.ask("/wait")
        struck(service)
    assert get(service.url).text == "hola"  # by now the service has seen the other connection's end
    fault.clear()
    eventually(
        lambda: str(service.journal.requests[0]) == "GET /wait → sin respuesta (fallo inyectado: cuelgue)"
    )
    assert not stage.entered.acquire(blocking=False), "the handler was reached"


@every_kind
def test_a_drop_closes_the_connection_without_an_answer(service: Any, stage: Stage) -> None:
    fault = service.faults.drop()
    with Raw(service) as client:
        client.ask("/wait")
        assert client.read_to_end() == b""
    assert service.journal.text() == "GET /wait → sin respuesta (fallo inyectado: corte)"
    with pytest.raises(requests.ConnectionError):
        get(service.url)
    fault.clear()
    assert get(service.url).text == "hola"
    assert not stage.entered.acquire(blocking=False), "the handler was reached"
    assert service.journal.counts == {"requests": 3, "errors": 0, "dropped": 0}
    assert service.journal.lines[:2] == [
        "GET /wait → sin respuesta (fallo inyectado: corte)",
        "GET / → sin respuesta (fallo inyectado: corte)",
    ]


@pytest.mark.parametrize("kind", ["aiohttp"])
def test_a_websocket_can_be_delayed_and_refused(service: Any) -> None:
    async def greet() -> str:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(service.url + "/ws") as socket:
                await socket.send_str("hola")
                return (await socket.receive(timeout=PATIENCE)).data

    with service.faults.delay(0.01):
        assert asyncio.run(greet()) == "first;"
    with service.faults.error(503), pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        asyncio.run(greet())


# several at once


@both_kinds
def test_several_faults_act_in_the_documented_order(service: Any, pool: ThreadPoolExecutor) -> None:
    service.faults.error(500)
    error = service.faults.error(503, body="lleno")
    hang = service.faults.hang()
    service.faults.delay(0.01)
    service.faults.delay(0.02)
    answer = pool.submit(get, service.url)
    struck(service, 3)
    hang.clear()
    assert (answer.result(PATIENCE).status_code, answer.result().text) == (503, "lleno")
    request = service.journal.requests[0]
    assert request.faults == ("retraso", "retraso", "cuelgue", "error")
    assert str(request) == "GET / → 503 (fallo inyectado: retraso, cuelgue, error)"
    assert (error.injected, service.faults.injected) == (1, 4)


@both_kinds
def test_a_dropped_request_counts_for_others_but_does_not_reach_them(service: Any) -> None:
    error = service.faults.error(503, every=2)
    drop = service.faults.drop(every=4)
    outcomes: list[Any] = []
    for _ in range(8):
        try:
            outcomes.append(get(service.url).status_code)
        except requests.ConnectionError:
            outcomes.append("corte")
    assert outcomes == [200, 503, 200, "corte"] * 2
    assert (error.seen, error.injected, drop.injected) == (8, 2, 2)


@both_kinds
def test_a_fault_that_is_cleared_while_the_request_waits_does_not_strike(
    service: Any, pool: ThreadPoolExecutor
) -> None:
    hang, error = service.faults.hang(), service.faults.error(503)
    answer = pool.submit(get, service.url)
    struck(service)
    error.clear()
    hang.clear()
    assert answer.result(PATIENCE).status_code == 200
    assert error.injected == 0


# until when


@every_kind
def test_a_with_block_ends_the_fault_also_after_an_exception(service: Any) -> None:
    with service.faults.error(503) as fault:
        assert get(service.url).status_code == 503
    assert get(service.url).status_code == 200
    with pytest.raises(ZeroDivisionError), service.faults.error(503):
        1 / 0
    assert get(service.url).status_code == 200
    assert fault.cleared
    assert len(service.faults) == 0


@both_kinds
def test_leaving_the_block_lets_go_who_waits_in_it(service: Any, pool: ThreadPoolExecutor) -> None:
    with service.faults.hang():
        answer = pool.submit(get, service.url)
        struck(service)
    assert answer.result(PATIENCE).text == "hola"


@both_kinds
def test_clear_ends_one_or_all_and_can_be_repeated(service: Any) -> None:
    first, second = service.faults.error(503, path="/a"), service.faults.error(504, path="/b")
    assert list(service.faults) == [first, second]
    first.clear()
    first.clear()
    assert list(service.faults) == [second]
    assert get(service.url + "/b").status_code == 504
    service.faults.clear()
    service.faults.clear()
    assert len(service.faults) == 0
    assert get(service.url + "/b").status_code in (200, 404)


@both_kinds
def test_50_callers_that_hang_are_all_answered_when_it_is_cleared(service: Any) -> None:
    fault = service.faults.hang()
    with ThreadPoolExecutor(50) as threads:
        answers = [threads.submit(get, service.url) for _ in range(50)]
        struck(service, 50)
        fault.clear()
        assert [answer.result(PATIENCE).text for answer in answers] == ["hola"] * 50
    assert fault.injected == 50


@both_kinds
def test_faults_and_their_counts_survive_a_restart_and_end_when_the_name_is_served_anew(
    kind: str, stage: Stage
) -> None:
    with labkit.serve(lambda: build(kind, stage), name="tienda") as service:
        fault = service.faults.error(503, every=3)
        assert [get(service.url).status_code for _ in range(2)] == [200, 200]
        service.restart()
        assert [get(service.url).status_code for _ in range(2)] == [503, 200]
        service.kill()
        service.start()
        assert [get(service.url).status_code for _ in range(2)] == [200, 503]
        assert fault.injected == 2
        with labkit.serve(lambda: build(kind, stage), name="tienda") as anew:
            assert len(anew.faults) == 0
            assert [get(anew.url).status_code for _ in range(3)] == [200] * 3


@both_kinds
def test_a_fault_injected_while_it_is_stopped_waits_for_its_start(service: Any) -> None:
    service.stop()
    service.faults.error(503)
    service.start()
    assert get(service.url).status_code == 503


@both_kinds
def test_a_fault_that_was_injected_before_a_restart_lets_go_after_it(
    service: Any, pool: ThreadPoolExecutor
) -> None:
    fault = service.faults.hang()
    service.restart()
    answer = pool.submit(get, service.url)
    struck(service)
    fault.clear()
    assert answer.result(PATIENCE).text == "hola"


# stop, kill, restart, pause


ENDS: dict[str, Callable[[Any], object]] = {
    "stop": lambda service: service.stop(grace=HOUR),
    "kill": lambda service: service.kill(),
    "restart": lambda service: service.restart(grace=HOUR),
}


@every_kind
@pytest.mark.parametrize("end", ENDS)
def test_who_hangs_is_cut_by_a_stop_which_does_not_wait_for_it(service: Any, end: str) -> None:
    threads = threading.active_count()
    service.faults.hang()
    clients = [Raw(service) for _ in range(3)]
    for client in clients:
        client.ask("/")
    struck(service, 3)
    ENDS[end](service)
    for client in clients:
        with client:
            assert client.read_to_end() == b""
    assert [str(request) for request in service.journal.requests] == [
        "GET / → sin respuesta (fallo inyectado: cuelgue)"
    ] * 3
    notes = [line for line in service.journal.lines if "cuelgue" not in line]
    assert len(notes) == (end != "kill")
    assert all("3" in note for note in notes)
    eventually(lambda: threading.active_count() <= threads)


@every_kind
def test_what_takes_longer_than_the_grace_is_cut(service: Any) -> None:
    threads = threading.active_count()
    service.faults.delay(HOUR)
    with Raw(service) as client:
        client.ask("/")
        struck(service)
        service.stop(grace=0.05)
        assert client.read_to_end() == b""
    eventually(lambda: threading.active_count() < threads + 1)
    assert any(line.endswith("1") or line.startswith("1") for line in service.journal.lines[1:])


@every_kind
def test_kill_ends_who_waits(service: Any) -> None:
    threads = threading.active_count()
    service.faults.delay(HOUR)
    with Raw(service) as client:
        client.ask("/")
        struck(service)
        service.kill()
        assert b"ola" not in client.read_to_end()
    eventually(lambda: threading.active_count() < threads + 1)


@every_kind
def test_a_delay_within_the_grace_is_answered(service: Any, pool: ThreadPoolExecutor) -> None:
    service.faults.delay(0.1)
    answer = pool.submit(get, service.url)
    struck(service)
    service.stop(grace=PATIENCE)
    assert answer.result(PATIENCE).text == "hola"


@every_kind
def test_one_that_hangs_does_not_cost_another_its_grace(
    service: Any, stage: Stage, pool: ThreadPoolExecutor
) -> None:
    service.faults.hang(path="/pieces")
    with Raw(service) as hung:
        hung.ask("/pieces")
        struck(service)
        answer = pool.submit(get, service.url + "/wait")
        stage.wait_entered()
        stopped = pool.submit(service.stop, PATIENCE)
        eventually(lambda: service.state == "detenido")
        stage.release.set()
        assert answer.result(PATIENCE).text == "done hola"
        stopped.result(PATIENCE)
        assert hung.read_to_end() == b""


@both_kinds
def test_a_paused_service_keeps_its_faults_for_later(service: Any, pool: ThreadPoolExecutor) -> None:
    service.faults.error(503)
    hang = service.faults.hang(path="/pieces")
    hung = pool.submit(get, service.url + "/pieces")
    struck(service)
    service.pause()
    answer = pool.submit(get, service.url)
    hang.clear()
    eventually(lambda: service.faults.injected == 2)  # the one that hung has come as far as its error
    assert not hung.done()
    service.resume()
    assert answer.result(PATIENCE).status_code == hung.result(PATIENCE).status_code == 503


# a group


@both_kinds
def test_a_groups_fault_counts_for_each_member_by_itself(group: Any) -> None:
    fault = group.faults.error(503, every=2)
    statuses = [
        [get(url).status_code for _ in range(times)] for url, times in zip(group.urls, (1, 2, 4), strict=True)
    ]
    assert statuses == [[200], [200, 503], [200, 503, 200, 503]]
    assert [member.injected for member in fault] == [0, 1, 2]
    assert (fault.injected, group.faults.injected, len(fault), len(group.faults)) == (3, 3, 3, 3)
    assert fault[2] is group[2].faults.active[0]
    fault.clear()
    assert fault.cleared
    assert len(group.faults) == 0
    assert {get(url).status_code for url in group.urls} == {200}


@both_kinds
def test_a_groups_fault_as_a_block_and_one_members_own(group: Any) -> None:
    with group.faults.error(503):
        group[1].faults.error(504)
        assert [get(url).status_code for url in group.urls] == [503, 504, 503]
    assert [get(url).status_code for url in group.urls] == [200, 504, 200]
    group.faults.clear()
    assert [get(url).status_code for url in group.urls] == [200, 200, 200]


# how it shows


def test_faults_say_in_spanish_what_they_do() -> None:
    faults = Faults("inventario")
    assert repr(faults) == "inventario · ningún fallo"
    faults.delay(0.5, jitter=0.1, probability=0.3, seed=7)
    faults.error(503, every=10)
    faults.hang(path="/stock", method="get")
    last = faults.drop()
    assert repr(faults).split("\n") == [
        "inventario · retraso de 0.5 ± 0.1 s · con probabilidad 0.3 · inyectado 0 veces",
        "inventario · error 503 · 1 de cada 10 · inyectado 0 veces",
        "inventario · cuelgue · solo GET · en /stock · inyectado 0 veces",
        "inventario · corte · inyectado 0 veces",
    ]
    assert len(faults) == 4
    last.clear()
    assert repr(last) == "corte · inyectado 0 veces · retirado"
    faults.clear()
    faults.error()
    assert hits(faults, 1) == [1]
    assert repr(faults) == "inventario · error 500 · inyectado 1 vez"
    group = GroupFaults([Faults("a-1"), Faults("a-2")])
    assert repr(group) == "a-1 · ningún fallo\na-2 · ningún fallo"
    assert (
        repr(group.drop())
        == repr(group)
        == "a-1 · corte · inyectado 0 veces\na-2 · corte · inyectado 0 veces"
    )


@both_kinds
def test_a_service_shows_its_faults_while_it_has_any(group: Any) -> None:
    line, table = repr(group[1]), group._repr_html_()
    assert line == "tienda-2 · corriendo · 0 peticiones · 0 errores"
    with group[1].faults.error(503), group[1].faults.delay(0.5):
        assert repr(group[1]) == f"{line} · fallos: error 503, retraso de 0.5 s"
        assert repr(group).split("\n")[0] == "tienda-1 · corriendo · 0 peticiones · 0 errores"
        shown = group._repr_html_()
        assert ">fallos</th>" in shown
        assert ">error 503, retraso de 0.5 s</td>" in shown
        assert "error 503" in group[1]._repr_html_()
    assert (repr(group[1]), group._repr_html_()) == (line, table)
    assert "fallos" not in table
