"""labkit/lens/telemetry.py: how calls end: refused, cut, cancelled, redirected, tried again, running."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import flask
import pytest
import requests
from observe_support import Start, aiohttp_app, fetch, flask_app, lines
from requests.adapters import HTTPAdapter
from support import PATIENCE, eventually, free_port, get
from urllib3 import Retry

import labkit
from labkit.client_hooks import what_failed
from labkit.lens import telemetry

pytestmark = pytest.mark.usefixtures("nothing_left_in_place")


def test_a_refused_call_names_the_service_that_is_not_there(start: Start) -> None:
    service = start(flask_app(), name="caida")
    service.kill()
    with labkit.observe() as journey:
        for way in (get, lambda url: labkit.run(fetch(url))):
            with pytest.raises((requests.ConnectionError, aiohttp.ClientConnectorError)):
                way(service.url + "/x")
    assert lines(journey)[1:] == [
        "├─ GET caida /x → conexión rechazada",
        "└─ GET caida /x → conexión rechazada",
    ]
    assert [(call.status, call.error) for call in journey.calls] == [(None, "conexión rechazada")] * 2


def test_a_call_that_gives_up_waiting_says_so_and_what_it_caused_is_there(start: Start) -> None:
    behind = start(flask_app(), name="detras")
    release = threading.Event()

    def slow() -> str:
        get(behind.url + "/y")
        asked.release()
        release.wait(PATIENCE)
        return "late"

    asked = threading.Semaphore(0)
    service = start(flask_app(slow=slow), name="lenta")
    timeout = aiohttp.ClientTimeout(total=0.3)

    def impatient(url: str) -> None:
        with pytest.raises(requests.Timeout):
            requests.get(url, timeout=0.3)

    def impatient_loop(url: str) -> None:
        with pytest.raises(TimeoutError):
            labkit.run(fetch(url, timeout=timeout))

    for give_up in (impatient, impatient_loop):
        with labkit.observe() as journey:
            give_up(service.url + "/slow")
            assert asked.acquire(timeout=PATIENCE)
        assert lines(journey)[1:] == [
            "└─ GET lenta /slow → sin respuesta a tiempo",
            "   └─ GET detras /y → 200",
        ]
    release.set()


def test_a_cancelled_call_says_so(start: Start) -> None:
    service = start(flask_app(), name="pausada")
    service.pause()

    async def give_up() -> None:
        task = asyncio.create_task(fetch(service.url + "/x"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with labkit.observe() as journey:
        labkit.run(give_up())
    assert lines(journey)[1:] == ["└─ GET pausada /x → cancelada"]


@pytest.mark.parametrize("client", ["requests", "aiohttp"])
def test_an_answer_that_breaks_off_is_no_answer(start: Start, client: str) -> None:
    def broken() -> Iterator[bytes]:
        yield b"first;"
        raise ZeroDivisionError

    service = start(
        flask_app(roto=lambda: flask.Response(broken(), headers={"Content-Length": "99"})), name="s"
    )
    with labkit.observe() as journey:
        if client == "requests":
            with pytest.raises(requests.RequestException):
                get(service.url + "/roto")
        else:
            with pytest.raises(aiohttp.ClientError):
                labkit.run(fetch(service.url + "/roto"))
    assert lines(journey)[1:] == ["└─ GET s /roto → conexión cortada"]
    assert journey.calls[0].status == 200


def test_an_error_that_the_caller_makes_of_an_answer_is_still_that_answer(start: Start) -> None:
    service = start(flask_app(mal=lambda: ("", 404)), name="s")

    async def strict() -> None:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            with pytest.raises(aiohttp.ClientResponseError):
                await session.get(service.url + "/mal")

    with labkit.observe() as journey:
        labkit.run(strict())
        session = requests.Session()
        session.hooks["response"].append(lambda response, **_: response.raise_for_status())
        with pytest.raises(requests.HTTPError):
            session.get(service.url + "/mal", timeout=PATIENCE)
    assert lines(journey)[1:] == ["├─ GET s /mal → 404", "└─ GET s /mal → 404"]


def test_each_hop_of_a_redirect_is_a_call(start: Start) -> None:
    target = start(flask_app(), name="destino")
    gone = f"http://127.0.0.1:{free_port()}/"
    service = start(
        flask_app(
            aqui=lambda: flask.redirect("/alla", 303),
            alla=lambda: flask.redirect(target.url + "/fin"),
            nada=lambda: flask.redirect(gone),
        ),
        name="s",
    )
    with labkit.observe() as journey:
        requests.post(service.url + "/aqui", timeout=PATIENCE)
        labkit.run(fetch(service.url + "/aqui", method="POST"))
        with pytest.raises(requests.ConnectionError):
            get(service.url + "/nada")
    hops = ["├─ POST s /aqui → 303", "├─ GET s /alla → 302", "├─ GET destino /fin → 200"]
    assert lines(journey)[1:7] == hops * 2
    assert lines(journey)[7] == "├─ GET s /nada → 302"
    assert lines(journey)[8] == f"└─ GET {gone[7:-1]} / → conexión rechazada"


def test_each_attempt_of_a_client_that_tries_again_is_a_call(start: Start) -> None:
    answers = iter([503, 503, 200])
    behind = start(flask_app(), name="detras")

    def shaky() -> tuple[str, int]:
        get(behind.url + "/y")
        return "", next(answers)

    service = start(flask_app(x=shaky), name="s")
    session = requests.Session()
    session.mount(
        "http://", HTTPAdapter(max_retries=Retry(total=5, status_forcelist=[503], backoff_factor=0))
    )
    with labkit.observe() as journey:
        session.get(service.url + "/x", timeout=PATIENCE)
    assert lines(journey)[1:] == [
        "├─ GET s /x → 503",
        "│  └─ GET detras /y → 200",
        "├─ GET s /x → 503",
        "│  └─ GET detras /y → 200",
        "└─ GET s /x → 200",
        "   └─ GET detras /y → 200",
    ]
    assert {call.caller for call in journey.calls} == {"cliente", "s"}


@pytest.mark.parametrize("kind", [flask_app, aiohttp_app])
def test_injected_faults_show_as_what_the_caller_gets(start: Start, kind: Callable[[], Any]) -> None:
    service = start(kind, name="s")
    with labkit.observe() as journey:
        with service.faults.error(503):
            get(service.url + "/error")
        with service.faults.drop(), pytest.raises(requests.ConnectionError):
            get(service.url + "/drop")
        with service.faults.hang(), pytest.raises(requests.Timeout):
            requests.get(service.url + "/hang", timeout=0.2)
        with service.faults.delay(0.05):
            get(service.url + "/delay")
    assert [call.outcome for call in journey.calls] == [
        "503",
        "conexión cortada",
        "sin respuesta a tiempo",
        "200",
    ]
    assert (journey.calls[3].duration or 0) >= 0.05


def test_an_address_that_is_no_service_is_named_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    with labkit.observe() as journey, pytest.raises(requests.ConnectionError):
        get(f"http://{address}/x")
    assert lines(journey)[1:] == [f"└─ GET {address} /x → conexión rechazada"]


def test_what_failed_tells_the_causes_apart() -> None:
    late = requests.ReadTimeout()
    late.__context__ = ConnectionRefusedError()  # another call's failure, after which this one was made
    assert what_failed(late) == "sin respuesta a tiempo"
    assert what_failed(requests.ConnectionError(ConnectionRefusedError())) == "conexión rechazada"
    assert what_failed(requests.ConnectionError(ConnectionResetError())) == "conexión cortada"
    assert what_failed(aiohttp.ServerDisconnectedError()) == "conexión cortada"
    assert what_failed(aiohttp.ServerTimeoutError()) == "sin respuesta a tiempo"
    assert what_failed(asyncio.CancelledError()) == "cancelada"
    assert what_failed(ValueError()) == "ValueError"


def test_what_still_runs_at_the_end_is_shown_so_and_forgotten(start: Start) -> None:
    behind = start(flask_app(), name="detras")
    release, entered, over = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        release.wait(PATIENCE)
        return get(behind.url + "/after").text

    service = start(flask_app(slow=slow), name="lenta")

    def call() -> None:
        get(service.url + "/slow")
        get(service.url + "/after")
        over.set()

    with labkit.observe() as journey:
        threading.Thread(target=call).start()
        assert entered.wait(PATIENCE)
        position = telemetry._here.get()
        assert position is not None
        remembered = weakref.ref(position.trace)
        del position
    shown = repr(journey)
    assert shown == "cliente\n└─ GET lenta /slow → en curso"
    assert journey.calls[0].duration is None
    assert journey._repr_png_()
    release.set()
    assert over.wait(PATIENCE)
    assert repr(journey) == shown
    eventually(lambda: gc.collect() is not None and remembered() is None)


def test_more_calls_than_the_limit_are_counted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "LIMIT", 7)  # two ends to a call, and the block
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        for _ in range(5):
            get(service.url + "/x")
    assert lines(journey)[1:] == [
        *["├─ GET s /x → 200"] * 2,
        "└─ GET s /x → 200",
        "(… y 2 llamadas más, que no se anotaron: el límite es 7)",
    ]
