"""The edges of a service: what spans say of requests and calls, redirects, failures, streams, strangers."""

import asyncio
import socket
import threading
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests
from aiohttp import web
from flask import Flask, Response, abort, redirect, request

import labkit
from labkit.patterns.tracing import (
    Tracer,
    TracingAdapter,
    TracingMiddleware,
    current_span,
    get_baggage,
    orphans,
    set_baggage,
    trace_config,
    tracing_middleware,
)

STRANGER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def flask_app(tracer, go_on, trusted=True):
    app = Flask("tienda")

    @app.get("/stock/<isbn>")
    def stock(isbn):
        return {"baggage": get_baggage(), "traceparent": request.headers.get("traceparent")}

    @app.get("/stream")
    def stream():
        def pieces():
            yield current_span().name
            assert go_on.wait(20)
            with tracer.span("segunda parte"):
                yield "x"

        return Response(pieces())

    for path, view in {
        "/old": lambda: redirect("/stock/7"),
        "/abort": lambda: abort(409),
        "/broken": lambda: 1 / 0,
        "/busy": lambda: ("", 503),
    }.items():
        app.add_url_rule(path, path, view)
    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer, trusted=trusted)
    return app


def aiohttp_app(tracer, go_on, trusted=True):
    async def stock(request):
        return web.json_response(
            {"baggage": get_baggage(), "traceparent": request.headers.get("traceparent")}
        )

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(current_span().name.encode())
        assert await asyncio.to_thread(go_on.wait, 20)
        with tracer.span("segunda parte"):
            await response.write(b"x")
        return response

    async def old(request):
        raise web.HTTPFound("/stock/7")

    async def conflict(request):
        raise web.HTTPConflict

    async def broken(request):
        return 1 / 0

    async def busy(request):
        return web.Response(status=503)

    app = web.Application(middlewares=[tracing_middleware(tracer, trusted=trusted)])
    app.add_routes(
        [
            web.get("/stock/{isbn}", stock),
            web.get("/stream", stream),
            web.get("/old", old),
            web.get("/abort", conflict),
            web.get("/broken", broken),
            web.get("/busy", busy),
        ]
    )
    return app


class World:
    """A service of one kind, a client of one kind, and the spans of both."""

    def __init__(self, kind, client, stack):
        self.kind, self.client = kind, client
        self.spans = []
        self.go_on = threading.Event()
        self.tracer = Tracer("cliente", self.spans.append)
        self._stack = stack

    def serve(self, **kwargs):
        make = flask_app if self.kind == "flask" else aiohttp_app
        self.service = self._stack.enter_context(
            labkit.serve(make(Tracer("tienda", self.spans.append), self.go_on, **kwargs), name="tienda")
        )
        return self

    def get(self, path, baggage=True, **kwargs):
        """Status and JSON (None where there is none)."""
        if self.client == "requests":
            with requests.Session() as session:
                session.mount("http://", TracingAdapter(self.tracer, baggage=baggage))
                answer = session.get(self.service.url + path, **{"timeout": 20, **kwargs})
                is_json = answer.headers.get("Content-Type", "").startswith("application/json")
                return answer.status_code, answer.json() if is_json else None
        return asyncio.run(self._get(self.service.url + path, baggage, **kwargs))

    async def _get(self, url, baggage, **kwargs):
        config = trace_config(self.tracer, baggage=baggage)
        async with (
            aiohttp.ClientSession(trace_configs=[config]) as session,
            session.get(url, **kwargs) as answer,
        ):
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.read() and None

    def ended(self, service, number=1):
        """The spans of a service, in order of their beginning, when so many have ended."""

        def those():
            found = [span for span in list(self.spans) if span.service == service]
            return found if len(found) >= number else None

        return sorted(labkit.eventually(those, 20), key=lambda span: span.start)


@pytest.fixture(params=["flask", "aiohttp"])
def kind(request):
    return request.param


@pytest.fixture(params=["requests", "aiohttp"])
def client(request):
    return request.param


@pytest.fixture
def world(kind, client):
    with ExitStack() as stack:
        made = World(kind, client, stack)
        yield made
        made.go_on.set()


@pytest.fixture
def server_side(kind):
    with ExitStack() as stack:
        made = World(kind, "requests", stack)
        yield made
        made.go_on.set()


def test_a_call_is_two_spans_the_clients_and_below_it_the_servers(world):
    status, _ = world.serve().get("/stock/42?secreto=1")
    assert status == 200
    [server] = world.ended("tienda")
    [client] = world.ended("cliente")
    where = urlsplit(world.service.url)
    assert server.parent_id == client.context.span_id
    assert (client.kind, client.name, server.kind) == ("client", "GET", "server")
    route = "/stock/<isbn>" if world.kind == "flask" else "/stock/{isbn}"
    assert server.name == f"GET {route}"
    assert server.attributes == {
        "http.request.method": "GET",
        "url.path": "/stock/42",
        "http.route": route,
        "http.response.status_code": 200,
    }
    assert client.attributes == {
        "http.request.method": "GET",
        "server.address": where.hostname,
        "server.port": where.port,
        "url.full": f"{world.service.url}/stock/42",
        "http.response.status_code": 200,
    }
    assert client.start <= server.start
    assert (client.status, server.status) == ("unset", "unset")


@pytest.mark.parametrize(
    ("path", "status", "of_server", "of_client"),
    [
        ("/abort", 409, "unset", "error"),
        ("/busy", 503, "error", "error"),
        ("/broken", 500, "error", "error"),
        ("/nowhere", 404, "unset", "error"),
    ],
)
def test_from_400_on_the_client_has_failed_and_from_500_on_the_server_too(
    world, path, status, of_server, of_client
):
    assert world.serve().get(path)[0] == status
    [below], [above] = world.ended("tienda"), world.ended("cliente")
    assert (below.status, above.status) == (of_server, of_client)
    assert above.attributes["error.type"] == str(status)
    assert above.attributes["http.response.status_code"] == status


def test_each_hop_of_a_redirect_is_a_call_of_its_own(world):
    with world.tracer.span("comprar") as root:
        status, answer = world.serve().get("/old")
    first, second = [span for span in world.ended("cliente", 3) if span.kind == "client"]
    assert status == 200
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [302, 200]
    assert second.attributes["url.full"].endswith("/stock/7")
    assert first.parent_id == second.parent_id == root.context.span_id
    assert answer["traceparent"] == second.context.traceparent
    assert [span.parent_id for span in world.ended("tienda", 2)] == [
        first.context.span_id,
        second.context.span_id,
    ]


def test_a_call_that_nobody_answers_fails_its_span(world):
    world.serve()
    world.service.stop()
    with pytest.raises((requests.ConnectionError, aiohttp.ClientConnectionError)):
        world.get("/stock/42")
    [client] = world.ended("cliente")
    assert client.status == "error"
    assert client.attributes["error.type"] in ("ConnectionError", "ClientConnectorError")


def test_a_call_that_is_given_up_ends_its_span_while_the_server_goes_on(world):
    limit = 0.3 if world.client == "requests" else aiohttp.ClientTimeout(0.3)
    with world.serve().service.faults.hang(), pytest.raises((requests.Timeout, TimeoutError)):
        world.get("/stock/42", timeout=limit)
    [client] = world.ended("cliente")
    assert client.status == "error"


def test_baggage_goes_along_and_not_to_hosts_that_are_none_of_ours(world):
    with set_baggage(cliente="oro"):
        assert world.serve().get("/stock/42")[1]["baggage"] == {"cliente": "oro"}
        _, answer = world.get("/stock/42", baggage=False)
        assert answer["baggage"] == {}
        assert answer["traceparent"] is not None
        _, answer = world.get("/stock/42", baggage=False, headers={"Baggage": "cliente=oro"})
        assert answer["baggage"] == {}
    assert world.get("/stock/42")[1]["baggage"] == {}


def test_a_request_leaves_no_span_and_no_baggage_behind(server_side):
    server_side.serve()
    for _ in range(3):
        with set_baggage(a="1"):
            server_side.get("/stock/42")
    assert server_side.get("/stock/42")[1]["baggage"] == {}
    assert len({span.context.trace_id for span in server_side.ended("tienda", 4)}) == 4


def test_a_stream_is_in_its_span_until_its_last_piece(server_side):
    server_side.serve()
    with requests.get(server_side.service.url + "/stream", stream=True, timeout=20) as answer:
        pieces = answer.iter_content(1)
        assert next(pieces) == b"G"
        assert server_side.spans == []  # still running
        server_side.go_on.set()
        assert b"".join(pieces).endswith(b"/streamx")
    whole, part = server_side.ended("tienda", 2)
    assert part.parent_id == whole.context.span_id
    assert part.end_time <= whole.end_time


def test_a_client_that_leaves_in_the_middle_of_a_stream_loses_no_span(server_side):
    server_side.serve()
    where = urlsplit(server_side.service.url)
    with socket.create_connection((where.hostname, where.port), 20) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    server_side.go_on.set()
    labkit.eventually(lambda: any(span.kind == "server" for span in list(server_side.spans)), 20)
    server_side.service.stop()
    assert orphans(server_side.spans) == []


def test_a_stranger_at_the_edge_begins_no_trace_of_ours_and_is_linked(server_side):
    server_side.serve(trusted=False)
    headers = {"traceparent": STRANGER, "tracestate": "rojo=1", "baggage": "admin=1"}
    answer = requests.get(server_side.service.url + "/stock/42", headers=headers, timeout=20).json()
    [span] = server_side.ended("tienda")
    assert span.parent_id is None
    assert span.context.trace_id not in STRANGER
    assert span.context.tracestate == ""
    assert [link.context.traceparent for link in span.links] == [STRANGER]
    assert answer["baggage"] == {}


def test_a_method_that_nobody_knows_makes_no_name(server_side):
    server_side.serve()
    assert requests.request("PROPFIND", server_side.service.url + "/stock/42", timeout=20).status_code == 405
    [span] = server_side.ended("tienda")
    assert span.name.split()[0] == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"


def test_passwords_of_an_address_are_not_written_down():
    spans = []
    with requests.Session() as session:
        session.mount("http://", TracingAdapter(Tracer("a", spans.append)))
        with pytest.raises(requests.ConnectionError):
            session.get("http://ana:secreto@[::1]:9/x?clave=secreto", timeout=20)
    [span] = spans
    assert span.attributes["url.full"] == "http://[::1]:9/x"
    assert "secreto" not in str(span.attributes)


def test_a_wsgi_application_that_raises_ends_its_span():
    spans = []

    def app(environ, start_response):
        raise KeyError("isbn")

    middleware = TracingMiddleware(app, Tracer("a", spans.append))
    with pytest.raises(KeyError):
        middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *_: None)
    assert [(span.name, span.status, span.attributes["error.type"]) for span in spans] == [
        ("GET", "error", "KeyError")
    ]
    assert current_span() is None


def test_a_wsgi_body_that_raises_fails_its_span():
    spans = []

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise OSError("disco")

    body = TracingMiddleware(app, Tracer("a", spans.append))({"REQUEST_METHOD": "GET"}, lambda *_: None)
    assert next(body) == b"a"
    with pytest.raises(OSError, match="disco"):
        next(body)
    body.close()
    assert [(span.status, span.message) for span in spans] == [("error", "disco")]


def test_closing_reaches_the_application_even_if_it_was_never_read():
    closed, spans = [], []

    class Body(list):
        def close(self):
            closed.append(current_span().kind)

    body = TracingMiddleware(lambda *_: Body([b"x"]), Tracer("a", spans.append))({}, lambda *_: None)
    body.close()
    assert closed == ["server"]
    assert len(spans) == 1


def test_an_aiohttp_handler_that_is_cancelled_ends_its_span():
    spans = []

    async def main():
        begun = asyncio.Event()

        async def wait(request):
            begun.set()
            await asyncio.Event().wait()

        app = web.Application(middlewares=[tracing_middleware(Tracer("a", spans.append))])
        app.router.add_get("/", wait)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        writer.transport.abort()
        while not spans:
            await asyncio.sleep(0.001)
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert [span.attributes["error.type"] for span in spans] == ["CancelledError"]


@contextmanager
def no_redirect_target():
    """A service that answers 302 without saying where to."""
    app = Flask("mudo")
    app.get("/")(lambda: ("", 302))
    with labkit.serve(app, name="mudo") as service:
        yield service.url


def test_a_redirect_without_a_target_is_an_answer():
    spans = []

    async def main(url):
        config = trace_config(Tracer("a", spans.append))
        async with aiohttp.ClientSession(trace_configs=[config]) as session, session.get(url) as answer:
            return answer.status

    with no_redirect_target() as url:
        assert asyncio.run(main(url)) == 302
    assert [span.attributes["http.response.status_code"] for span in spans] == [302]
