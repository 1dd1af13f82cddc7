"""labkit/servers/process.py and child.py: faults in a process count and act as in a thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from process_support import FLASK, KINDS, every_kind, script
from support import (
    PATIENCE,
    Raw,
    build,
    eventually,
    get,
    new_stage,
)

import labkit

pytestmark = pytest.mark.usefixtures("nothing_left")


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
