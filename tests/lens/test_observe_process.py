"""`labkit.observe` across the process border: what services in processes of their own do is seen as well."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import requests
from support import eventually, get

import labkit
from labkit.roster import ROSTER
from labkit.servers import Program, base

FRONT = """
import asyncio, os, sys, threading
import flask, requests
from concurrent.futures import ThreadPoolExecutor

app = flask.Flask("front")
back = os.environ["LABKIT_TEST_BACK"]

def ask(path):
    return requests.get(back + path, timeout=20).text

@app.get("/one")
def one():
    return ask("/stock")

@app.get("/nothing")
def nothing():
    return "nada"

@app.get("/boom")
def boom():
    raise ZeroDivisionError

@app.get("/several")
def several():
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, ["/a", "/b", "/c"]))
    thread = threading.Thread(target=ask, args=("/thread",))
    thread.start()
    thread.join()
    return ask("/last")

@app.get("/aiohttp")
def with_aiohttp():
    import aiohttp  # not loaded before anybody observes
    async def main():
        async with aiohttp.ClientSession() as session, session.get(back + "/stock") as answer:
            return await answer.text()
    return asyncio.run(main())

@app.get("/refused")
def refused():
    try:
        ask(":1/")
    except requests.RequestException:
        pass
    try:
        requests.get("http://127.0.0.1:1/", timeout=20)
    except requests.ConnectionError:
        return "nadie"

@app.get("/headers")
def headers():
    sent = {"tracestate": "mio=1"}
    answer = requests.get(back + "/echo", headers=sent, timeout=20)
    return {"sent": sent, "seen": answer.json()}

@app.get("/loaded")
def loaded():
    return {"lens": "labkit.client_hooks" in sys.modules, "otel": "opentelemetry" in sys.modules}
"""

AIOHTTP_FRONT = """
import os
import aiohttp
from aiohttp import web

back = os.environ["LABKIT_TEST_BACK"]

async def one(request):
    async with aiohttp.ClientSession() as session, session.get(back + "/stock") as answer:
        return web.Response(text=await answer.text())

app = web.Application()
app.add_routes([web.get("/one", one)])
"""


def back_app() -> flask.Flask:
    app = flask.Flask("back")
    app.add_url_rule("/echo", "echo", lambda: dict(flask.request.headers))
    app.add_url_rule("/<path:path>", "any", lambda path: path)
    return app


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with labkit.serve(back_app(), name="almacén") as service:
        monkeypatch.setenv("LABKIT_TEST_BACK", service.url)
        yield service
    ROSTER.stop_all(0)
    assert base.watcher is None
    assert base.caller is None


@pytest.fixture
def front(back: Any) -> Iterator[Any]:
    with script(FRONT, "tienda") as service:
        yield service


def script(text: str, name: str) -> Any:
    return labkit.serve(Program(text=text), name=name, isolation="process")


def seen(url: str) -> str:
    with labkit.observe() as journey:
        get(url)
    return repr(journey)


def test_a_process_and_the_calls_that_it_makes_are_seen(front: Any) -> None:
    expected = "cliente\n└─ GET tienda /one → 200\n   └─ GET almacén /stock → 200"
    for _ in range(3):
        assert seen(front.url + "/one") == expected
    assert seen(front.url + "/boom") == "cliente\n└─ GET tienda /boom → 500"
    assert seen(front.url + "/nothing") == "cliente\n└─ GET tienda /nothing → 200"


def test_from_process_to_process(back: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with script(AIOHTTP_FRONT, "medio") as middle:
        monkeypatch.setenv("LABKIT_TEST_BACK", middle.url)
        with script(FRONT.replace("/stock", "/one"), "tienda") as front:
            with labkit.observe() as journey:
                get(front.url + "/one")
                get(front.url + "/aiohttp")
            assert repr(journey) == (
                "cliente\n"
                "├─ GET tienda /one → 200\n"
                "│  └─ GET medio /one → 200\n"
                "│     └─ GET almacén /stock → 200\n"
                "└─ GET tienda /aiohttp → 200\n"
                "   └─ GET medio /one → 200\n"
                "      └─ GET almacén /stock → 200"
            )
            assert len({span.context.trace_id for span in journey.spans}) == 1
            assert len(journey.spans) == 13
            assert all(call.duration is not None for call in journey.calls)
            parents = [call.parent for call in journey.calls]
            for call, parent in zip(journey.calls, parents, strict=True):
                if parent is not None:  # within its parent's time, by a clock of the kernel's
                    outer = journey.calls[parent]
                    assert outer.start <= call.start
                    assert call.start + call.duration <= outer.start + outer.duration + 0.05


def test_calls_stand_in_the_order_in_which_the_code_asks_for_them(front: Any) -> None:
    for _ in range(3):
        assert seen(front.url + "/several").splitlines()[1:] == [
            "└─ GET tienda /several → 200",
            *(f"   ├─ GET almacén /{path} → 200" for path in ("a", "b", "c", "thread")),
            "   └─ GET almacén /last → 200",
        ]


def test_a_library_that_is_loaded_while_somebody_observes_is_seen(front: Any) -> None:
    assert "almacén /stock" in seen(front.url + "/aiohttp")


def test_why_there_was_no_answer(front: Any) -> None:
    assert seen(front.url + "/refused").splitlines()[-1] == "   └─ GET 127.0.0.1:1 / → conexión rechazada"


def test_what_the_script_sends_of_its_own_is_left_to_it(front: Any) -> None:
    with labkit.observe():
        facts = get(front.url + "/headers").json()
    assert facts["sent"] == {"tracestate": "mio=1"}
    assert facts["seen"]["Tracestate"].startswith("labkit=")
    assert facts["seen"]["Tracestate"].endswith(",mio=1")
    assert "Traceparent" in facts["seen"]
    assert "Traceparent" not in get(front.url + "/headers").json()["seen"]


def test_nothing_is_loaded_there_before_the_first_block_and_opentelemetry_never(front: Any) -> None:
    assert get(front.url + "/loaded").json() == {"lens": False, "otel": False}
    with labkit.observe():
        assert get(front.url + "/loaded").json() == {"lens": True, "otel": False}


def test_a_process_that_starts_inside_the_block_is_seen(back: Any) -> None:
    with labkit.observe() as journey, script(FRONT, "tienda") as front:
        get(front.url + "/one")
        front.restart()
        get(front.url + "/one")
    assert repr(journey).count("almacén /stock → 200") == 2


def test_blocks_at_once_see_their_own_calls_only(front: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        for journey in pool.map(seen, [front.url + "/one"] * 12):
            assert journey == "cliente\n└─ GET tienda /one → 200\n   └─ GET almacén /stock → 200"


def test_a_process_that_dies_meanwhile(front: Any) -> None:
    with labkit.observe() as journey:
        get(front.url + "/one")
        front.kill()
        with pytest.raises(requests.ConnectionError):
            get(front.url + "/one")
    assert repr(journey).splitlines()[-1] == "└─ GET tienda /one → conexión rechazada"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
def test_a_process_that_does_not_react_holds_up_nobody_for_long(front: Any) -> None:
    import signal

    os.kill(front.pid, signal.SIGSTOP)
    try:
        with labkit.observe() as journey:
            with pytest.raises(requests.Timeout):
                requests.get(front.url + "/one", timeout=0.2)
        assert "tienda /one → sin respuesta a tiempo" in repr(journey)
    finally:
        os.kill(front.pid, signal.SIGCONT)
    eventually(lambda: seen(front.url + "/nothing").endswith("/nothing → 200"))
