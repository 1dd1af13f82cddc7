"""`labkit.observe`: every call under its right parent, the same on every run, in blocks inside blocks too."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from aiohttp import web
from observe_support import Start, aiohttp_app, fetch, flask_app, lines
from support import PATIENCE, get

import labkit

pytestmark = pytest.mark.usefixtures("nothing_left_in_place")


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
