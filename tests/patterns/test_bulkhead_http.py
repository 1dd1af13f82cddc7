"""A full bulkhead over HTTP: real services of labkit, stopped and killed in the middle of a call."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from aiohttp import web
from flask import Flask
from support import PATIENCE, eventually, get

import labkit
from labkit.patterns.bulkhead import (
    Bulkhead,
    BulkheadFullError,
    BulkheadMiddleware,
    InvalidInput,
    bulkhead_middleware,
    full_response,
)


class Stage:
    """What a handler that waits, and its test, tell each other."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def wait(self):
        self.entered.release()
        assert self.go_on.wait(PATIENCE)

    async def wait_async(self):
        self.entered.release()
        while not self.go_on.is_set():
            await asyncio.sleep(0.001)

    def entered_by(self, number):
        for _ in range(number):
            assert self.entered.acquire(timeout=PATIENCE)


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    stage.go_on.set()


def flask_app(stage, compartments):
    app = Flask("tienda")

    @app.get("/pagos/<order>")
    def charge(order):
        stage.wait()
        return f"pagado {order}"

    @app.get("/catalogo")
    def catalogue():
        return "libros"

    @app.get("/stream")
    def stream():
        def parts():
            yield "uno "
            stage.wait()
            yield "dos"

        return parts()

    @app.get("/roto")
    def broken():
        raise ValueError("a propósito")

    app.wsgi_app = BulkheadMiddleware(app.wsgi_app, compartments)
    return app


def aiohttp_app(stage, compartments):
    async def charge(request):
        await stage.wait_async()
        return web.Response(text=f"pagado {request.match_info['order']}")

    async def catalogue(request):
        return web.Response(text="libros")

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"uno ")
        await stage.wait_async()
        await response.write(b"dos")
        return response

    async def broken(request):
        raise ValueError("a propósito")

    app = web.Application(middlewares=[bulkhead_middleware(compartments)])
    app.router.add_get("/pagos/{order}", charge)
    app.router.add_get("/catalogo", catalogue)
    app.router.add_get("/stream", stream)
    app.router.add_get("/roto", broken)
    return app


def serve(kind, stage, compartments):
    make = {"flask": flask_app, "aiohttp": aiohttp_app}[kind]
    return labkit.serve(lambda: make(stage, compartments), name="tienda")


KINDS = pytest.mark.parametrize("kind", ["flask", "aiohttp"])


@KINDS
def test_a_full_bulkhead_is_503_with_retry_after_and_other_routes_go_on(kind, stage):
    pagos, catalogo = Bulkhead(2, name="pagos"), Bulkhead(5, name="catalogo")
    with (
        serve(kind, stage, {"/pagos": pagos, "/catalogo": catalogo}) as tienda,
        ThreadPoolExecutor(2) as clients,
    ):
        paying = [clients.submit(get, f"{tienda.url}/pagos/{n}") for n in range(2)]
        stage.entered_by(2)
        refused = get(f"{tienda.url}/pagos/3")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.headers["Content-Type"].startswith("application/json")
        assert refused.json() == {
            "error": "Servicio saturado: inténtalo de nuevo más tarde.",
            "retry_after": 1,
        }
        assert get(f"{tienda.url}/catalogo").text == "libros"
        stage.go_on.set()
        assert sorted(future.result().text for future in paying) == ["pagado 0", "pagado 1"]
        eventually(lambda: pagos.in_use == 0)  # a client may have its answer a moment before
        assert get(f"{tienda.url}/pagos/4").text == "pagado 4"
    eventually(lambda: pagos.in_use == 0)
    assert pagos.metrics().rejected == 1


@KINDS
def test_one_bulkhead_for_all_waits_as_it_is_told(kind, stage):
    whole = Bulkhead(1, max_wait=PATIENCE)
    with serve(kind, stage, whole) as tienda, ThreadPoolExecutor(2) as clients:
        paying = clients.submit(get, f"{tienda.url}/pagos/1")
        stage.entered_by(1)
        waiting = clients.submit(get, f"{tienda.url}/catalogo")
        eventually(lambda: whole.waiting == 1)
        stage.go_on.set()
        assert (paying.result().text, waiting.result().text) == ("pagado 1", "libros")
    eventually(lambda: whole.in_use == 0)


@KINDS
def test_a_streamed_answer_holds_its_permit_to_its_end(kind, stage):
    whole = Bulkhead(1)
    with serve(kind, stage, whole) as tienda:
        answer = get(f"{tienda.url}/stream", stream=True)
        stage.entered_by(1)
        assert whole.in_use == 1
        assert get(f"{tienda.url}/catalogo").status_code == 503
        stage.go_on.set()
        assert answer.text == "uno dos"
        eventually(lambda: whole.in_use == 0)


@KINDS
def test_an_error_in_a_handler_gives_the_permit_back(kind, stage):
    whole = Bulkhead(1, max_wait=PATIENCE)
    with serve(kind, stage, whole) as tienda:
        assert [get(f"{tienda.url}/roto").status_code for _ in range(3)] == [500] * 3
        assert get(f"{tienda.url}/nada").status_code == 404
    eventually(lambda: whole.in_use == 0)


def test_killing_a_flask_service_keeps_the_permit_until_its_thread_ends(stage):
    """No thread can be killed: the work goes on, and so does its permit."""
    whole = Bulkhead(1)
    tienda = serve("flask", stage, whole)
    with ThreadPoolExecutor(1) as client:
        cut = client.submit(get, f"{tienda.url}/pagos/1")
        stage.entered_by(1)
        tienda.kill()
        with pytest.raises(requests.ConnectionError):
            cut.result(PATIENCE)
    assert whole.in_use == 1
    stage.go_on.set()
    eventually(lambda: whole.in_use == 0)
    whole.call(int)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_ending_an_aiohttp_service_cancels_who_is_inside_and_who_waits(end, stage):
    whole = Bulkhead(1, max_wait=PATIENCE)
    tienda = serve("aiohttp", stage, whole)
    with ThreadPoolExecutor(3) as clients:
        cut = [clients.submit(get, f"{tienda.url}/pagos/{n}") for n in range(3)]
        eventually(lambda: (whole.in_use, whole.waiting) == (1, 2))
        tienda.kill() if end == "kill" else tienda.stop(grace=0)
        for future in cut:
            with pytest.raises(requests.ConnectionError):
                future.result(PATIENCE)
    eventually(lambda: (whole.in_use, whole.waiting) == (0, 0))
    whole.call(int)


def test_stopping_a_flask_service_while_requests_wait_loses_no_permit(stage):
    whole = Bulkhead(1, max_wait=PATIENCE)
    tienda = serve("flask", stage, whole)
    with ThreadPoolExecutor(3) as clients:
        cut = [clients.submit(get, f"{tienda.url}/pagos/{n}") for n in range(3)]
        eventually(lambda: (whole.in_use, whole.waiting) == (1, 2))
        tienda.stop(grace=0)
        for future in cut:
            with pytest.raises(requests.ConnectionError):
                future.result(PATIENCE)
    stage.go_on.set()
    eventually(lambda: (whole.in_use, whole.waiting) == (0, 0))
    whole.call(int)


def test_a_flask_view_that_enters_a_bulkhead_itself():
    app, pagos = Flask("tienda"), Bulkhead(1, name="pagos")
    app.register_error_handler(BulkheadFullError, full_response)

    @app.get("/pagos")
    @pagos
    def charge():
        return "pagado"

    client = app.test_client()
    assert client.get("/pagos").text == "pagado"
    with pagos:
        refused = client.get("/pagos")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")


def test_an_aiohttp_handler_that_enters_a_bulkhead_itself():
    pagos = Bulkhead(1, name="pagos")

    @pagos
    async def charge(request):
        return web.Response(text="pagado")

    async def make():
        app = web.Application(middlewares=[bulkhead_middleware()])
        app.router.add_get("/pagos", charge)
        return app

    with labkit.serve(make, name="tienda") as tienda:
        assert get(f"{tienda.url}/pagos").text == "pagado"
        with pagos:
            refused = get(f"{tienda.url}/pagos")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/pagos", "pagos"),
        ("/pagos/", "pagos"),
        ("/pagos/7", "pagos"),
        ("/pagos/altas/7", "altas"),
        ("/pagosfalsos", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_longest_prefix_decides_by_whole_segments(path, name):
    entered = []

    def app(environ, start_response):
        entered.extend(bulkhead.name for bulkhead in compartments.values() if bulkhead.in_use)
        start_response("200 OK", [])
        return [b""]

    compartments = {"/pagos": Bulkhead(1, name="pagos"), "/pagos/altas/": Bulkhead(1, name="altas")}
    body = BulkheadMiddleware(app, compartments)({"PATH_INFO": path}, lambda *_: None)
    if hasattr(body, "close"):
        body.close()
    assert entered == ([name] if name else [])
    assert not any(bulkhead.in_use for bulkhead in compartments.values())


@pytest.mark.parametrize(("retry_after", "header"), [(0.001, "1"), (1.0, "1"), (2.1, "3")])
def test_retry_after_is_in_whole_seconds_and_never_now(retry_after, header):
    error = BulkheadFullError("lleno", name="pagos", retry_after=retry_after, waited=False)
    assert full_response(error)[1:] == (503, {"Retry-After": header})


@pytest.mark.parametrize("compartments", [None, {}, 3, {"/pagos": 3}, {"pagos": Bulkhead(1)}, [Bulkhead(1)]])
def test_compartments_are_bulkheads_by_path(compartments):
    with pytest.raises(InvalidInput):
        BulkheadMiddleware(lambda environ, start_response: [], compartments)
    if compartments is not None:
        with pytest.raises(InvalidInput):
            bulkhead_middleware(compartments)
