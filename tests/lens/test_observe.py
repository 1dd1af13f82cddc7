"""`labkit.observe`: every call under its right parent, the same on every run, and nothing left in place."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import aiohttp
import flask
import pytest
import requests
from aiohttp import web
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from requests.adapters import HTTPAdapter
from support import PATIENCE, eventually, free_port, get
from urllib3 import Retry

import labkit
from labkit import client_hooks
from labkit.client_hooks import what_failed
from labkit.lens import diagrams, telemetry
from labkit.lens.observe import Journey, MissingPackage
from labkit.lens.tree import Call, as_text, branches
from labkit.servers import base

Start = Callable[..., Any]


@pytest.fixture
def start() -> Iterator[Start]:
    """`labkit.serve` for the length of a test."""
    started = []

    def serve(app: Any, **kwargs: Any) -> Any:
        started.append(labkit.serve(app, **kwargs))
        return started[-1]

    yield serve
    for service in reversed(started):
        service.stop(grace=0)


@pytest.fixture(autouse=True)
def nothing_left_in_place() -> Iterator[None]:
    before = in_place()
    yield
    eventually(lambda: in_place() == before)  # labkit.capture goes with the last thread of a service
    assert base.watcher is None
    assert not telemetry._open
    assert telemetry._here.get() is None


def in_place() -> list[Any]:
    return [
        HTTPAdapter.send,
        requests.Session.send,
        aiohttp.ClientSession._request,
        aiohttp.ClientResponse.read,
        threading.Thread.start,
        ThreadPoolExecutor.submit,
        asyncio.BaseEventLoop.create_task,
        asyncio.BaseEventLoop.call_soon_threadsafe,
    ]


def flask_app(**routes: Callable[[], Any]) -> flask.Flask:
    """`hola=f` answers /hola with what f returns; anything else is answered with its path."""
    app = flask.Flask("app")
    for name, answer in routes.items():
        app.add_url_rule(f"/{name}", name, answer, methods=["GET", "POST"])
    app.add_url_rule("/<path:path>", "any", lambda path: path, methods=["GET", "POST"])
    return app


def aiohttp_app(**routes: Callable[[web.Request], Any]) -> web.Application:
    app = web.Application()

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    for name, answer in routes.items():
        app.router.add_route("*", f"/{name}", answer)
    app.router.add_route("*", "/{path:.*}", echo)
    return app


async def fetch(url: str, method: str = "GET", **kwargs: Any) -> str:
    async with aiohttp.ClientSession() as session, session.request(method, url, **kwargs) as response:
        return await response.text()


def lines(journey: Journey) -> list[str]:
    return repr(journey).splitlines()


# The tree


@pytest.fixture
def shop(start: Start) -> Any:
    """Six services on three levels, of both kinds, that call each other in every way there is."""
    stock = start(lambda name: flask_app(), name="inventario", replicas=3)
    payments = start(flask_app(cobros=lambda: ("sin fondos", 503)), name="pagos")
    prices = start(aiohttp_app, name="precios")
    pool = ThreadPoolExecutor(2)  # older than every block

    def order() -> str:
        threads = [threading.Thread(target=get, args=(f"{one.url}/stock/7",)) for one in stock]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        list(pool.map(get, [f"{prices.url}/precio/{number}" for number in range(4)]))
        return str(requests.post(payments.url + "/cobros", timeout=PATIENCE).status_code)

    async def recommend(request: web.Request) -> web.Response:
        await asyncio.gather(*(fetch(f"{one.url}/similares") for one in reversed(stock)))
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(loop.run_in_executor(pool, get, f"{prices.url}/oferta/{number}") for number in range(3)),
            asyncio.to_thread(get, prices.url + "/hilo"),
        )
        return web.Response(text="ok")

    async def front(request: web.Request) -> web.Response:
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch(orders.url + "/pedido"))
            group.create_task(fetch(advice.url + "/sugerencias"))
        await fetch(prices.url + "/total", method="POST")
        return web.Response(text="ok")

    orders = start(flask_app(pedido=order), name="pedidos")
    advice = start(lambda: aiohttp_app(sugerencias=recommend), name="consejos")
    yield start(lambda: aiohttp_app(todo=front), name="portada")
    pool.shutdown()


SHOP = """\
cliente
└─ GET portada /todo → 200
   ├─ GET pedidos /pedido → 200
   │  ├─ GET inventario-1 /stock/7 → 200
   │  ├─ GET inventario-2 /stock/7 → 200
   │  ├─ GET inventario-3 /stock/7 → 200
   │  ├─ GET precios /precio/0 → 200
   │  ├─ GET precios /precio/1 → 200
   │  ├─ GET precios /precio/2 → 200
   │  ├─ GET precios /precio/3 → 200
   │  └─ POST pagos /cobros → 503
   ├─ GET consejos /sugerencias → 200
   │  ├─ GET inventario-3 /similares → 200
   │  ├─ GET inventario-2 /similares → 200
   │  ├─ GET inventario-1 /similares → 200
   │  ├─ GET precios /oferta/0 → 200
   │  ├─ GET precios /oferta/1 → 200
   │  ├─ GET precios /oferta/2 → 200
   │  └─ GET precios /hilo → 200
   └─ POST precios /total → 200"""


def test_a_hundred_runs_show_the_same_tree(shop: Any) -> None:
    for _ in range(100):
        with labkit.observe() as journey:
            get(shop.url + "/todo")
        assert repr(journey) == SHOP


def test_what_others_do_at_the_same_time_is_not_in_the_tree(shop: Any) -> None:
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set():
            get(shop.url + "/todo")

    other = threading.Thread(target=disturb)
    other.start()
    try:
        for _ in range(10):
            with labkit.observe() as journey:
                get(shop.url + "/todo")
            assert repr(journey) == SHOP
    finally:
        over.set()
        other.join()


def test_blocks_in_two_threads_do_not_see_each_other(shop: Any) -> None:
    def watch(name: str) -> list[str]:
        with labkit.observe() as journey:
            get(f"{shop.url}/{name}")
            get(f"{shop.url}/todo")
        return lines(journey)

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(watch, "abcd"))
    whole = SHOP.splitlines()
    for name, tree in zip("abcd", seen, strict=True):
        assert tree == ["cliente", f"├─ GET portada /{name} → 200", *whole[1:]]


def test_calls_are_plain_data(shop: Any) -> None:
    with labkit.observe() as journey:
        get(shop.url + "/todo")
    calls = journey.calls
    assert [call.index for call in calls] == list(range(19))
    first, second = calls[:2]
    assert (first.parent, first.caller, first.callee) == (None, "cliente", "portada")
    assert (second.parent, second.caller, second.callee) == (0, "portada", "pedidos")
    assert (second.method, second.path, second.status, second.error) == ("GET", "/pedido", 200, None)
    for call in calls:
        assert call.duration is not None
        if call.parent is not None:
            parent = calls[call.parent]
            assert call.caller == parent.callee
            assert parent.start <= call.start
            assert call.start + call.duration <= parent.start + (parent.duration or 0)
    with pytest.raises(AttributeError):
        first.status = 500  # type: ignore[misc]


def test_calls_one_after_the_other_stand_in_their_order(start: Start) -> None:
    one, two = start(flask_app(), name="zeta"), start(aiohttp_app, name="alfa")
    with labkit.observe() as journey:
        get(one.url + "/z?q=1")
        get(two.url + "/b")
        get(one.url + "/a")
    assert lines(journey)[1:] == [
        "├─ GET zeta /z?q=1 → 200",
        "├─ GET alfa /b → 200",
        "└─ GET zeta /a → 200",
    ]


def test_a_thread_stands_where_it_was_started_whoever_is_quicker(start: Start) -> None:
    """The thread's call begins after the block's own, and the other way round: the same tree."""
    service = start(flask_app(), name="s")
    for thread_first in (True, False):
        may_call = threading.Event()

        def call(may_call: threading.Event = may_call) -> None:
            may_call.wait(PATIENCE)
            get(service.url + "/hilo")

        with labkit.observe() as journey:
            thread = threading.Thread(target=call)
            thread.start()
            if thread_first:
                may_call.set()
                thread.join()
            get(service.url + "/propia")
            may_call.set()
            thread.join()
        assert lines(journey)[1:] == ["├─ GET s /hilo → 200", "└─ GET s /propia → 200"]


def test_a_task_stands_where_it_was_made_whoever_is_quicker(start: Start) -> None:
    service = start(flask_app(), name="s")

    async def call(name: str, after: asyncio.Event, done: asyncio.Event) -> None:
        await after.wait()
        await fetch(f"{service.url}/{name}/1")
        await fetch(f"{service.url}/{name}/2")
        done.set()

    async def backwards() -> None:
        now, second, first = asyncio.Event(), asyncio.Event(), asyncio.Event()
        now.set()
        await asyncio.gather(call("primera", second, first), call("segunda", now, second))

    with labkit.observe() as journey:
        labkit.run(backwards())
    assert [call.path for call in journey.calls] == ["/primera/1", "/primera/2", "/segunda/1", "/segunda/2"]
    assert journey.calls[0].start > journey.calls[3].start


def test_what_is_handed_to_a_loop_stands_where_it_was_handed_over(start: Start) -> None:
    service = start(flask_app(), name="s")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    may_call = threading.Event()

    async def call() -> None:
        await asyncio.to_thread(may_call.wait, PATIENCE)
        await fetch(service.url + "/bucle")

    with labkit.observe() as journey:
        future = asyncio.run_coroutine_threadsafe(call(), loop)
        get(service.url + "/propia")
        may_call.set()
        future.result(PATIENCE)
    assert [call.path for call in journey.calls] == ["/bucle", "/propia"]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_block_without_calls_says_so() -> None:
    with labkit.observe() as journey:
        pass
    assert repr(journey) == "cliente\n(ninguna llamada)"
    assert journey.calls == []
    assert journey._repr_png_() is None


def test_inside_the_block_it_shows_what_was_called_so_far(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        get(service.url + "/a")
        assert lines(journey)[1:] == ["└─ GET s /a → 200"]
        get(service.url + "/b")
    assert len(journey.calls) == 2


def test_a_block_that_raises_has_its_tree(start: Start) -> None:
    service = start(flask_app(), name="s")
    journey = labkit.observe()
    with pytest.raises(ZeroDivisionError), journey:
        raise ZeroDivisionError(get(service.url + "/a"))
    assert lines(journey)[1:] == ["└─ GET s /a → 200"]


def test_a_journey_is_used_once() -> None:
    with labkit.observe() as journey:
        pass
    with pytest.raises(RuntimeError, match="de nuevo"), journey:
        pass


# Ways of calling

WAYS: dict[str, Callable[[str], Any]] = {
    "requests": get,
    "a session of requests": lambda url: requests.Session().get(url, timeout=PATIENCE),
    "a thread": lambda url: in_thread(get, url),
    "a timer": lambda url: joined(threading.Timer(0, get, (url,))),
    "a subclass of Thread": lambda url: joined(Caller(url)),
    "a pool of its own": lambda url: in_pool(get, url),
    "a thread of a pool's thread": lambda url: in_pool(in_thread, get, url),
    "asyncio.run": lambda url: in_thread(asyncio.run, fetch(url)),
    "labkit.run": lambda url: labkit.run(fetch(url)),
    "a task": lambda url: labkit.run(in_task(fetch(url))),
    "wait_for": lambda url: labkit.run(asyncio.wait_for(fetch(url), PATIENCE)),
    "to_thread": lambda url: labkit.run(asyncio.to_thread(get, url)),
    "run_in_executor": lambda url: labkit.run(in_executor(get, url)),
}


class Caller(threading.Thread):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def run(self) -> None:
        get(self.url)


def joined(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def in_thread(function: Callable[..., Any], *args: Any) -> None:
    joined(threading.Thread(target=function, args=args))


def in_pool(function: Callable[..., Any], *args: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function, *args).result()


async def in_task(coroutine: Any) -> None:
    await asyncio.create_task(coroutine)


async def in_executor(function: Callable[..., Any], *args: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function, *args)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [flask_app, aiohttp_app])
def test_every_way_of_calling_is_seen(start: Start, way: str, kind: Callable[[], Any]) -> None:
    service = start(kind, name="s")
    with labkit.observe() as journey:
        WAYS[way](service.url + "/x")
    assert repr(journey) == "cliente\n└─ GET s /x → 200"


def test_a_session_and_a_pool_that_existed_before_are_seen(start: Start) -> None:
    service = start(aiohttp_app, name="s")

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get(service.url + "/x") as response:
            await response.read()

    session = labkit.run(make())
    given = session._trace_configs
    labkit.run(ask(session))
    for _ in range(2):
        with labkit.observe() as journey:
            labkit.run(ask(session))
        assert repr(journey) == "cliente\n└─ GET s /x → 200"
        assert session._trace_configs == given
    labkit.run(ask(session))
    labkit.run(session.close())


def test_a_pools_threads_begun_in_a_block_belong_to_nobody(start: Start) -> None:
    service = start(flask_app(), name="s")
    with ThreadPoolExecutor(1) as pool:
        with labkit.observe() as journey:
            pool.submit(get, service.url + "/mine").result()
            # A thread that is not observed uses the same worker meanwhile.
            other = [threading.Thread(target=lambda: None)]
            done: Future[Any] = Future()
            with client_hooks.standing(None):
                other = [threading.Thread(target=lambda: done.set_result(ask_pool(pool, service.url)))]
                other[0].start()
            assert done.result(PATIENCE).status_code == 200
            other[0].join()
        assert lines(journey)[1:] == ["└─ GET s /mine → 200"]


def ask_pool(pool: ThreadPoolExecutor, url: str) -> Any:
    return pool.submit(get, url + "/other").result()


def test_a_service_that_a_block_starts_is_no_part_of_what_the_block_does(start: Start) -> None:
    """What its own tasks and the requests of others make it call is not the block's."""
    target = start(flask_app(), name="destino")
    beaten = threading.Event()

    async def beat(app: web.Application) -> None:
        await fetch(target.url + "/latido")
        beaten.set()

    def make() -> web.Application:
        async def relay(request: web.Request) -> web.Response:
            return web.Response(text=await fetch(target.url + "/x"))

        app = aiohttp_app(relay=relay)
        app.on_startup.append(beat)
        return app

    def relay() -> str:
        return get(target.url + "/x").text

    with labkit.observe() as journey:
        both = [start(make, name="a"), start(flask_app(relay=relay), name="f")]
        assert beaten.wait(PATIENCE)
        with client_hooks.standing(None):
            for service in both:
                get(service.url + "/relay")
    assert journey.calls == []


# How calls end


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


# Blocks inside blocks


def test_an_inner_block_sees_its_part_and_the_outer_one_sees_all(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as outer:
        get(service.url + "/a")
        with labkit.observe() as inner:
            get(service.url + "/b")
            with labkit.observe() as innermost:
                get(service.url + "/c")
            get(service.url + "/d")
        get(service.url + "/e")
    paths = [[call.path for call in journey.calls] for journey in (outer, inner, innermost)]
    assert paths == [["/a", "/b", "/c", "/d", "/e"], ["/b", "/c", "/d"], ["/c"]]
    assert [call.index for call in inner.calls] == [0, 1, 2]


def test_a_block_in_a_handler_is_the_services_own(start: Start) -> None:
    behind = start(flask_app(), name="detras")
    seen: list[str] = []

    def handler() -> str:
        with labkit.observe() as journey:
            get(behind.url + "/y")
        seen.append(repr(journey))
        return "ok"

    service = start(flask_app(x=handler), name="s")
    with labkit.observe() as journey:
        get(service.url + "/x")
    assert repr(journey) == "cliente\n└─ GET s /x → 200\n   └─ GET detras /y → 200"
    get(service.url + "/x")
    assert seen == ["s\n└─ GET detras /y → 200", "cliente\n└─ GET detras /y → 200"]


# Nothing else changes


def test_nothing_is_loaded_nor_patched_before_the_first_block() -> None:
    program = """
import sys, threading, asyncio, requests, aiohttp
import labkit
labkit.observe
before = (threading.Thread.start, requests.Session.send, aiohttp.ClientSession._request)
assert not any(name.startswith(("opentelemetry", "matplotlib", "pandas")) for name in sys.modules)
with labkit.observe() as journey:
    assert threading.Thread.start is not before[0]
repr(journey)
assert before == (threading.Thread.start, requests.Session.send, aiohttp.ClientSession._request)
assert not any(name.startswith(("matplotlib", "pandas")) for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_services_may_come_and_go_while_a_block_lasts(start: Start) -> None:
    """labkit.capture patches the same functions for as long as services run."""
    before = in_place()
    for inside in (True, False):
        if not inside:
            service = start(flask_app(), name="s")
        with labkit.observe() as journey:
            if inside:
                service = start(flask_app(), name="s")
            in_thread(get, service.url + "/a")
            service.stop()
            service.start()
            in_thread(get, service.url + "/b")
            in_pool(get, service.url + "/c")
            service.stop()
            with pytest.raises(requests.ConnectionError):
                get(service.url + "/d")
        assert [call.path for call in journey.calls] == ["/a", "/b", "/c", "/d"]
        eventually(lambda before=before: in_place() == before)


def test_what_somebody_puts_on_top_and_leaves_there_does_no_harm(start: Start) -> None:
    service = start(flask_app(), name="s")
    original = requests.Session.send
    with labkit.observe():
        beneath = requests.Session.send

        def theirs(*args: Any, **kwargs: Any) -> Any:
            return beneath(*args, **kwargs)

        requests.Session.send = theirs  # type: ignore[method-assign]
    try:
        assert requests.Session.send is theirs
        with labkit.observe() as journey:
            get(service.url + "/x")
        assert len(journey.calls) == 1
        get(service.url + "/y")
        assert len(journey.calls) == 1
    finally:
        requests.Session.send = original  # type: ignore[method-assign]


def test_a_request_of_the_learners_is_left_as_it_is(start: Start) -> None:
    arrived: list[dict[str, str]] = []

    def note() -> str:
        arrived.append(dict(flask.request.headers))
        return "ok"

    service = start(flask_app(x=note), name="s")
    theirs = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=a,otro=b",
        "X-Mine": "yes",
    }
    session = requests.Session()
    prepared = session.prepare_request(requests.Request("GET", service.url + "/x", headers=theirs))
    before = dict(prepared.headers)
    with labkit.observe() as journey:
        for _ in range(2):
            response = session.send(prepared, timeout=PATIENCE)
            assert dict(prepared.headers) == before
            assert dict(response.request.headers) == before
        labkit.run(fetch(service.url + "/x", headers=theirs))
        get(service.url + "/x")
    assert lines(journey)[1:] == [*["├─ GET s /x → 200"] * 3, "└─ GET s /x → 200"]
    for headers in arrived[:3]:
        assert headers["Traceparent"] == theirs["traceparent"]
        ours, *others = headers["Tracestate"].split(",")
        assert ours.startswith("labkit=")
        assert others == ["vendor=a", "otro=b"]
    assert arrived[3]["Traceparent"].startswith(f"00-{journey.spans[0].context.trace_id:032x}-")
    assert not {"Baggage", "B3"} & arrived[3].keys()


def test_a_handler_that_passes_its_headers_on_is_no_riddle(start: Start) -> None:
    behind = start(flask_app(), name="detras")

    def passed_on(*names: str) -> dict[str, str]:
        return {name: flask.request.headers[name] for name in names if name in flask.request.headers}

    def gateway() -> str:
        get(behind.url + "/all", headers=passed_on("traceparent", "tracestate"))
        get(behind.url + "/one", headers=passed_on("traceparent"))
        return "ok"

    service = start(flask_app(x=gateway), name="puerta")
    with labkit.observe() as journey:
        get(service.url + "/x")
    assert lines(journey)[1:] == [
        "└─ GET puerta /x → 200",
        "   ├─ GET detras /all → 200",
        "   └─ GET detras /one → 200",
    ]


@pytest.mark.parametrize("passed", [["traceparent", "tracestate"], ["traceparent"]])
def test_a_server_that_knows_nothing_of_labkit_passes_the_trace_on(start: Start, passed: list[str]) -> None:
    """Only headers cross it: it makes its call in a thread that no context reaches, as a process would."""
    behind = start(flask_app(), name="detras")

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name: self.headers[name] for name in passed}
            with client_hooks.standing(None):
                get(behind.url + "/y", headers=headers)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as foreign:
        thread = threading.Thread(target=foreign.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"127.0.0.1:{foreign.server_port}"
        with labkit.observe() as journey:
            get(f"http://{address}/x")
        foreign.shutdown()
        thread.join()
    assert lines(journey)[1:] == [f"└─ GET {address} /x → 200", "   └─ GET detras /y → 200"]
    assert journey.calls[1].caller == address


def test_a_stranger_with_headers_of_ours_or_nonsense_is_not_seen(start: Start) -> None:
    service = start(flask_app(), name="s")
    nonsense = [
        {"tracestate": "labkit=zz-1", "traceparent": "00-zz"},
        {"tracestate": "labkit=1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"tracestate": f"labkit={1:032x}-{1:016x}"},
        {"traceparent": ""},
    ]
    with labkit.observe() as journey, client_hooks.standing(None):
        for headers in nonsense:
            assert get(service.url + "/x", headers=headers).status_code == 200
    assert journey.calls == []


def test_seeded_random_numbers_are_the_same_observed_or_not(start: Start) -> None:
    service = start(flask_app(), name="s")
    drawn = []
    for observed in (False, True):
        with labkit.observe() if observed else contextlib.nullcontext():
            random.seed(7)
            get(service.url + "/x")
            drawn.append(random.random())
    assert drawn[0] == drawn[1]


def test_the_learners_own_traces_are_the_same_observed_or_not(start: Start) -> None:
    """With OpenTelemetry's instrumentations in place, as in lesson 09, baggage included."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    heard: list[str | None] = []
    app, behind_app = flask_app(), flask_app()
    behind_app.add_url_rule("/y", "y", lambda: heard.append(flask.request.headers.get("baggage")) or "ok")
    behind = start(behind_app, name="detras")

    async def fan_out() -> None:
        configuration = create_trace_config(tracer_provider=provider)
        async with aiohttp.ClientSession(trace_configs=[configuration]) as session:
            async with session.get(behind.url + "/z") as response:
                await response.read()

    def handler() -> str:
        with provider.get_tracer("lesson").start_as_current_span("own"):
            in_pool(get, behind.url + "/y")
            asyncio.run(fan_out())
        return "ok"

    app.add_url_rule("/x", "x", handler)
    for each in (app, behind_app):
        FlaskInstrumentor().instrument_app(each, tracer_provider=provider)
    service = start(app, name="s")

    def walk() -> list[tuple[str, str, str, bool]]:
        token = context.attach(baggage.set_baggage("cliente", "vip"))
        get(service.url + "/x")
        context.detach(token)
        eventually(lambda: len(exporter.get_finished_spans()) == 7)
        spans = exporter.get_finished_spans()
        exporter.clear()
        names = {span.context.span_id: span.name for span in spans}
        assert len({span.context.trace_id for span in spans}) == 1
        return sorted(
            (
                span.name,
                span.kind.name,
                names[span.parent.span_id] if span.parent else "",
                bool(span.status.description),
            )
            for span in spans
        )

    RequestsInstrumentor().instrument(tracer_provider=provider)
    ThreadingInstrumentor().instrument()
    try:
        without = walk()
        with labkit.observe() as journey:
            during = walk()
        after = walk()
    finally:
        ThreadingInstrumentor().uninstrument()
        RequestsInstrumentor().uninstrument()
    assert without == during == after
    assert heard == ["cliente=vip"] * 3
    assert lines(journey)[1:] == [
        "└─ GET s /x → 200",
        "   ├─ GET detras /y → 200",
        "   └─ GET detras /z → 200",
    ]
    assert trace.get_tracer_provider() is not provider
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)  # nor is ours the global one


def test_instrumentations_switched_on_inside_a_block_stay_out_of_its_way(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        RequestsInstrumentor().instrument(tracer_provider=TracerProvider())
        get(service.url + "/a")
    with labkit.observe() as second:
        get(service.url + "/b")
    RequestsInstrumentor().uninstrument()
    get(service.url + "/c")
    assert [call.path for call in (*journey.calls, *second.calls)] == ["/a", "/b"]
    # Its own way of uninstalling gives back what it found, which was ours and does nothing now.
    requests.Session.send = requests.Session.send.__wrapped__  # type: ignore[attr-defined,method-assign]


def test_the_spans_are_those_of_the_http_conventions(start: Start) -> None:
    service = start(flask_app(cobros=lambda: ("", 503)), name="pagos")
    with labkit.observe() as journey:
        requests.post(service.url + "/cobros?moneda=eur", timeout=PATIENCE)
    block, client, server = journey.spans
    assert [span.kind.name for span in journey.spans] == ["INTERNAL", "CLIENT", "SERVER"]
    for child, parent in pairwise([server, client, block]):
        assert child.parent is not None
        assert child.parent.span_id == parent.context.span_id
        assert child.start_time is not None
        assert parent.start_time is not None
        assert child.start_time >= parent.start_time
    for span in (client, server):
        assert span.name == "POST"
        assert span.attributes is not None
        assert dict(span.attributes) == {
            "http.request.method": "POST",
            "url.path": "/cobros",
            "url.query": "moneda=eur",
            "peer.service": "pagos",
            "http.response.status_code": 503,
        }
        assert span.status.status_code.name == "ERROR"
    assert '"traceparent"' not in server.to_json()


# As a table


def test_a_frame_has_a_row_for_each_call(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        get(service.url + "/x")
        service.kill()
        with pytest.raises(requests.ConnectionError):
            get(service.url + "/x")
    table = journey.frame()
    assert list(table.columns) == list(Call.__dataclass_fields__)[1:]
    assert table["callee"].tolist() == ["s", "s"]
    assert table["status"].isna().tolist() == [False, True]
    assert table["status"][0] == 200
    assert table["parent"].isna().all()
    with labkit.observe() as empty:
        pass
    assert len(empty.frame()) == 0


def test_without_pandas_or_opentelemetry_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with labkit.observe() as journey:
        pass
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackage, match="pip install pandas"):
        journey.frame()
    program = (
        "import sys; sys.modules['opentelemetry'] = None; import labkit\n"
        "try:\n    with labkit.observe(): pass\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install '.[course]'" in said, "what works for a package that is on no index"


def test_without_matplotlib_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None; import labkit\n"
        "with labkit.observe() as journey: pass\n"
        "for draw in (journey.sequence, journey.waterfall,\n"
        "             lambda: labkit.plots.states([(0, 'a', 'x')]),\n"
        "             lambda: labkit.plots.outcomes({'a': ['x']})):\n"
        "    try: draw()\n"
        "    except ImportError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.count("pip install matplotlib") == 4


# Text and pictures of given calls


def a_call(index: int, parent: int | None, caller: str, callee: str, **changes: Any) -> Call:
    values: dict[str, Any] = {"method": "GET", "path": f"/ruta/{index}", "status": 200, "error": None}
    values |= {"start": index / 100, "duration": (40 - 2 * index) / 100}
    return Call(index=index, parent=parent, caller=caller, callee=callee, **{**values, **changes})


MANY = [
    a_call(0, None, "cliente", "puerta-de-enlace"),
    *(a_call(i, 0, "puerta-de-enlace", f"servicio-de-inventario-{i % 5}") for i in range(1, 12)),
    a_call(12, 11, "servicio-de-inventario-1", "servicio-de-inventario-1"),
    a_call(13, 0, "puerta-de-enlace", "pagos", status=503),
    a_call(14, 0, "puerta-de-enlace", "pagos", status=None, error="sin respuesta a tiempo"),
    a_call(15, 0, "puerta-de-enlace", "pagos", status=None, error="conexión rechazada", method="DELETE"),
    a_call(16, 15, "pagos", "ejemplo.org", path="/una/ruta/larga/" + "x" * 90 + "?fin=si"),
    a_call(17, None, "cliente", "puerta-de-enlace", status=None, duration=None),
    a_call(18, 17, "puerta-de-enlace", "pagos", status=None, duration=None),
    a_call(19, None, "cliente", "zeta"),
]


def test_branches_are_drawn_to_the_last_child() -> None:
    calls = [a_call(0, None, "", "a"), a_call(1, 0, "", "b"), a_call(2, 1, "", "c"), a_call(3, 0, "", "d")]
    assert branches(calls) == ["└─ ", "   ├─ ", "   │  └─ ", "   └─ "]


def test_a_very_long_tree_is_cut_and_says_so() -> None:
    calls = [a_call(index, None, "cliente", "s") for index in range(250)]
    text = as_text("cliente", calls).splitlines()
    assert len(text) == 202
    assert text[-1] == "(… y 50 llamadas más: están en .calls)"


def texts_of(figure: Any) -> list[Any]:
    renderer = figure.canvas.get_renderer()
    shown = []
    for axes in figure.axes:
        own = [*axes.texts, *(axes.get_yticklabels() if axes.axison else []), axes.xaxis.label, axes.title]
        shown += [text for text in own if text.get_text()]
        for child in axes.child_axes:
            shown += child.get_yticklabels()
    return [(text, text.get_window_extent(renderer)) for text in shown]


@pytest.mark.parametrize(
    "draw", [diagrams.both, diagrams.sequence, lambda _, calls: diagrams.waterfall(calls)]
)
@pytest.mark.parametrize("calls", [MANY, MANY[:1], MANY * 3], ids=["twenty", "one", "sixty"])
def test_no_label_is_cut(draw: Any, calls: list[Call]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if len(calls) > len(MANY):
        calls = [a_call(index, None, "cliente", f"servicio-{index % 4}") for index in range(60)]
    figure = draw("cliente", calls)
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox
    for text, box in texts_of(figure):
        assert whole.x0 <= box.x0, text
        assert box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0, text
        assert box.y1 <= whole.y1, text


def test_the_sequence_has_a_lifeline_for_each_service_and_their_names_do_not_touch() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = diagrams.sequence("cliente", MANY)
    FigureCanvasAgg(figure).draw()
    heads = [(text, box) for text, box in texts_of(figure) if text.get_weight() == "bold"]
    names = ["cliente", "puerta-de-enlace", *(f"servicio-de-inventario-{i}" for i in (1, 2, 3, 4, 0))]
    assert [text.get_text().replace("\n", "") for text, _ in heads] == [
        *names,
        "pagos",
        "ejemplo.org",
        "zeta",
    ]
    for (_, left), (_, right) in pairwise(heads):
        assert left.x1 + 5 < right.x0
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"503", "sin respuesta a tiempo", "conexión rechazada", "en curso", "GET /ruta/1"} <= set(said)


def test_the_waterfall_has_a_bar_for_each_call_as_long_as_it_took() -> None:
    figure = diagrams.waterfall(MANY)
    axes = figure.axes[0]
    bars = axes.patches
    assert [bar.get_x() for bar in bars] == pytest.approx([10.0 * index for index in range(20)])
    assert bars[3].get_width() == pytest.approx(340)
    assert [bar.get_hatch() is not None for bar in bars] == [call.failed for call in MANY]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "├─ GET puerta-de-enlace /ruta/0"
    assert labels[1] == "│  ├─ GET servicio-de-inventario-1 /ruta/1"
    assert "…" in labels[16]
    ends = [label.get_text() for label in axes.child_axes[0].get_yticklabels()]
    assert ends[0] == "200 · 400 ms"
    assert ends[13] == "503 · 140 ms"
    assert ends[15] == "conexión rechazada · 100 ms"
    assert ends[17] == "en curso"


def test_a_picture_says_what_it_leaves_out() -> None:
    calls = [a_call(index, None, "cliente", "s") for index in range(60)]
    assert len(diagrams.waterfall(calls).axes[0].patches) == 40
    assert "20 llamadas más" in diagrams.waterfall(calls).axes[0].get_title(loc="left")
    assert any("20 llamadas más" in text.get_text() for text in diagrams.sequence("c", calls).axes[0].texts)


def test_pictures_have_the_tree_as_their_text(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        get(service.url + "/x")
    for drawing in (journey.waterfall(), journey.sequence()):
        assert repr(drawing) == repr(journey)
        assert drawing._repr_png_().startswith(b"\x89PNG")
    png = journey._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")
