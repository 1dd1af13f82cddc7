"""The long ones: nothing piles up, a hundred live at once, and nobody is ever answered by the dead."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import requests
from aiohttp import web
from support import PATIENCE, eventually, free_port, get, open_files, refused, soak

import labkit


def make(kind: str, answer: Any) -> Any:
    """An application that answers with what `answer()` says."""
    if kind == "flask":
        app = flask.Flask("x")
        app.add_url_rule("/", "index", lambda: str(answer()))
        return app

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=str(answer()))

    application = web.Application()
    application.router.add_get("/", handler)
    return application


@pytest.mark.parametrize("times", [50, soak(500)])
@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_serve_call_stop_so_often_leave_threads_and_open_files_as_they_were(kind: str, times: int) -> None:
    def life(number: int) -> None:
        with labkit.serve(make(kind, lambda: number), name="x") as service:
            assert get(service.url).text == str(number)

    life(-1)  # what is imported and cached with the first
    gc.collect()
    threads, files = threading.active_count(), open_files()
    for number in range(times):
        life(number)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: open_files() <= files)


def test_100_services_alive_at_once_each_answer() -> None:
    threads, files = threading.active_count(), open_files()
    services = [
        labkit.serve(make(("flask", "aiohttp")[number % 2], lambda number=number: number), name=f"s{number}")
        for number in range(100)
    ]
    assert len({service.port for service in services}) == 100
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda service: get(service.url).text, services * 2))
    assert answers == [str(number) for number in range(100)] * 2
    assert {service.journal.counts["requests"] for service in services} == {2}
    labkit.stop_all()
    assert all(refused(service.port) for service in services)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: open_files() <= files)


@pytest.mark.parametrize("times", [20, soak(200)])
@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "kept connections"])
@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_while_b_is_replaced_a_sees_the_current_b_or_a_refused_connection(
    kind: str, keep_alive: bool, times: int
) -> None:
    """No hang, no answer from an old B: generation at sending ≤ answer ≤ generation at receiving."""
    generation = 0
    port = free_port()
    b = labkit.serve(make(kind, lambda: 0), name="b", port=port, grace=PATIENCE)
    done = threading.Event()
    answered, refusals, faults = [], [0], []
    sessions = threading.local()

    def call_b() -> str:
        before = generation  # set when the old one has ended, before the new one may answer
        try:
            if keep_alive:
                session = sessions.__dict__.setdefault("session", requests.Session())
                answer = session.get(b.url, timeout=PATIENCE)
            else:
                answer = get(b.url)
        except requests.ConnectionError:  # a timeout is none, and fails
            refusals[0] += 1
            return "refused"
        after = generation
        if answer.status_code != 200 or not before <= int(answer.text) <= after:
            faults.append((before, answer.status_code, answer.text, after))
        answered.append(int(answer.text))
        return answer.text

    with labkit.serve(make("flask", call_b), name="a") as a:

        def ask_a() -> None:
            while not done.is_set():
                try:
                    answer = get(a.url)
                    if answer.status_code != 200:
                        faults.append(answer.status_code)
                        return
                except requests.RequestException as error:
                    faults.append(error)
                    return

        def ask_b() -> None:
            while not done.is_set():
                try:
                    call_b()
                except Exception as error:
                    faults.append(error)
                    return

        # Kept connections need threads that last: A's own last for one request.
        asking = [threading.Thread(target=ask) for ask in ([ask_b, ask_b] if keep_alive else [ask_a, ask_b])]
        for thread in asking:
            thread.start()
        eventually(lambda: len(answered) > 5)
        for number in range(1, times + 1):
            b.stop()
            generation = number
            b = labkit.serve(make(kind, lambda number=number: number), name="b", port=port, grace=PATIENCE)
            if number % (times // 10) == 0:  # let some through, however busy the machine is
                so_far = len(answered)
                eventually(lambda so_far=so_far: len(answered) > so_far + 2 or faults)
            if faults:
                break
        done.set()
        for thread in asking:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()
    b.stop()
    assert faults == []
    assert len(set(answered)) > 5


@pytest.mark.parametrize("times", [20, soak(200)])
@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_while_b_is_restarted_no_answer_is_cut_short(kind: str, times: int) -> None:
    """A restart with a grace loses nothing that was begun: an answer is whole or the connection refused."""
    body = "x" * 100_000
    service = labkit.serve(lambda: make(kind, lambda: body), name="b", grace=PATIENCE)
    done = threading.Event()
    answers: list[int] = []
    faults: list[Any] = []

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(len(get(service.url).text))
            except requests.exceptions.ChunkedEncodingError as error:
                faults.append(error)
            except requests.ConnectionError:
                pass
            except requests.RequestException as error:
                faults.append(error)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for _ in range(times):
        service.restart()
    eventually(lambda: len(answers) > 10)
    done.set()
    for thread in asking:
        thread.join(2 * PATIENCE)
    service.stop()
    assert faults == []
    assert set(answers) == {100_000}
