"""An open circuit over HTTP: real servers, and callers that tell it apart from a failure of the service."""

import asyncio
import contextlib

import flask
import pytest
import requests
from aiohttp import ClientSession, web
from breaker_support import PATIENCE, ManualClock
from discovery_support import Server

from labkit.patterns.circuit_breaker import (
    BreakerAdapter,
    CircuitBreaker,
    CircuitOpenError,
    answer_open_circuits,
    open_circuit_answer,
    open_circuit_middleware,
    open_circuit_of,
    service_failed,
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def serve():
    """Serve Flask applications on 127.0.0.1 until the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(app):
            server = Server(app)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def payments():
    """A service with a switch."""
    app = flask.Flask("pagos")
    app.config["status"] = 200
    app.config["asked"] = 0

    @app.get("/")
    def answer():
        app.config["asked"] += 1
        return "pagos", app.config["status"]

    return app


def open_breaker(clock, name="pagos"):
    return CircuitBreaker(name, state="open", reset_timeout=7.5, clock=clock)


# What the caller's own clients are told


def orders(breaker):
    app = answer_open_circuits(flask.Flask("pedidos"))

    @app.get("/")
    def order():
        return breaker.call(lambda: "hecho")

    @app.get("/broken")
    def broken():
        flask.abort(503)

    return app


def test_flask_answers_an_open_circuit_with_503_and_retry_after(serve, session, clock):
    pedidos = serve(orders(open_breaker(clock)))
    answer = session.get(pedidos.url, timeout=PATIENCE)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "8"
    assert answer.headers["X-Circuit-Open"] == "pagos"
    assert answer.json() == {
        "error": "El circuito «pagos» está abierto: no se ha hecho la llamada. Prueba de nuevo en 7.5 s.",
        "code": "circuit_open",
        "circuit": "pagos",
        "retry_after": 7.5,
    }
    assert open_circuit_of(answer) == "pagos"


def test_an_open_circuit_is_told_apart_from_a_failure_of_the_service(serve, session, clock):
    pedidos = serve(orders(open_breaker(clock)))
    own = session.get(pedidos.url + "/broken", timeout=PATIENCE)
    circuit = session.get(pedidos.url, timeout=PATIENCE)
    assert own.status_code == circuit.status_code == 503
    assert (open_circuit_of(own), open_circuit_of(circuit)) == (None, "pagos")
    assert (service_failed(own), service_failed(circuit)) == (True, False)


def test_aiohttp_answers_the_same(clock):
    breaker = open_breaker(clock)

    async def order(request):
        return await breaker.acall(asyncio.sleep, 0)

    async def broken(request):
        raise web.HTTPServiceUnavailable

    async def main():
        app = web.Application(middlewares=[open_circuit_middleware])
        app.add_routes([web.get("/", order), web.get("/broken", broken)])
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with ClientSession() as client:
                async with client.get(url) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "8")
                    assert (await answer.json())["code"] == "circuit_open"
                    assert (open_circuit_of(answer), service_failed(answer)) == ("pagos", False)
                async with client.get(url + "/broken") as answer:
                    assert (open_circuit_of(answer), service_failed(answer)) == (None, True)
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_flasks_test_client_can_be_asked_too(clock):
    client = orders(open_breaker(clock)).test_client()
    assert open_circuit_of(client.get("/")) == "pagos"
    assert service_failed(client.get("/broken"))


@pytest.mark.parametrize(
    ("retry_after", "header"), [(7.5, "8"), (8.0, "8"), (0.2, "1"), (0.0, "1"), (None, None)]
)
def test_retry_after_is_whole_seconds_rounded_up_and_absent_when_nobody_knows(retry_after, header):
    body, headers = open_circuit_answer(CircuitOpenError("pagos", "open", retry_after))
    assert headers.get("Retry-After") == header
    assert body["retry_after"] == retry_after


@pytest.mark.parametrize("name", ["envíos", "pagos y cobros", "a\r\nSet-Cookie: x", "50 %"])
def test_any_name_travels_in_a_header(clock, name):
    answer = orders(open_breaker(clock, name)).test_client().get("/")
    assert "Set-Cookie" not in answer.headers
    assert open_circuit_of(answer) == name


def test_a_header_of_that_name_on_a_success_means_nothing():
    app = flask.Flask("otro")
    app.add_url_rule("/", view_func=lambda: ("bien", 200, {"X-Circuit-Open": "pagos"}))
    assert open_circuit_of(app.test_client().get("/")) is None


# requests


def guarded(session, service, **options):
    options = {"fail_threshold": 2, "failed_result": service_failed, **options}
    breaker = CircuitBreaker("pagos", **options)
    session.mount(service.url, BreakerAdapter(breaker))
    return breaker


def test_a_session_stops_asking_a_service_that_fails_and_notices_that_it_is_well_again(serve, session, clock):
    app = payments()
    service = serve(app)
    breaker = guarded(session, service, clock=clock)
    app.config["status"] = 500
    for _ in range(2):
        assert session.get(service.url, timeout=PATIENCE).status_code == 500
    with pytest.raises(CircuitOpenError):
        session.get(service.url, timeout=PATIENCE)
    assert app.config["asked"] == 2
    app.config["status"] = 200
    clock.advance(10)
    assert session.get(service.url, timeout=PATIENCE).text == "pagos"
    assert breaker.state == "closed"


def test_refused_connections_and_late_answers_count(serve, session):
    server = Server(payments())
    server.stop()
    breaker = guarded(session, server)
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            session.get(server.url, timeout=PATIENCE)
    assert breaker.state == "open"


def test_a_client_error_does_not_count(serve, session):
    app = payments()
    app.config["status"] = 404
    service = serve(app)
    breaker = guarded(session, service)
    for _ in range(5):
        session.get(service.url, timeout=PATIENCE)
    assert (breaker.state, breaker.metrics.successes) == ("closed", 5)


def test_the_open_circuit_behind_a_service_does_not_open_the_circuit_to_it(serve, session, clock):
    service = serve(orders(open_breaker(clock, "banco")))
    breaker = guarded(session, service)
    for _ in range(5):
        assert open_circuit_of(session.get(service.url, timeout=PATIENCE)) == "banco"
    assert breaker.state == "closed"


def cut_off():
    """Says that ten bytes will come and hangs up after four."""
    app = flask.Flask("pagos")

    @app.get("/")
    def answer():
        return flask.Response(iter([b"half"]), headers={"Content-Length": "10"})

    return app


def test_a_body_that_breaks_off_is_a_failure_unless_it_is_streamed(serve, session):
    service = serve(cut_off())
    breaker = guarded(session, service, fail_threshold=1)
    session.get(service.url, timeout=PATIENCE, stream=True).close()
    assert breaker.state == "closed"
    with pytest.raises(requests.RequestException):
        session.get(service.url, timeout=PATIENCE)
    assert breaker.state == "open"
