"""A sidecar and its parts: balance, health, faults, metrics, log, configuration, and what the client sees."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web
from flask import Flask
from proxy_support import Client, Exchange, Origin, ask, on_a_loop, running, until

import labkit
from labkit.patterns.discovery import Registry, registry_app
from labkit.patterns.proxy import Retries, Timeouts
from labkit.patterns.sidecar import (
    Balancer,
    CacheSettings,
    Fault,
    HealthCheck,
    HealthMonitor,
    Notice,
    Outlier,
    Sidecar,
    SidecarConfig,
    sidecar,
)
from labkit.patterns.sidecar.metrics import Metrics, family

ONCE = Retries(attempts=1)
NAMES = ("http://a", "http://b", "http://c", "http://d")


@contextlib.asynccontextmanager
async def beside(*urls: str, **settings: Any) -> AsyncIterator[tuple[Sidecar, int, list[dict[str, Any]]]]:
    """A sidecar before these services: itself, its port and the lines of its log."""
    lines: list[dict[str, Any]] = []
    config = SidecarConfig(service=urls, log=lambda line: lines.append(json.loads(line)), **settings)
    beside = Sidecar(config)
    async with running(beside.app()) as port:
        yield beside, port, lines


# Balance


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def balancer(clock: Clock, **outlier: Any) -> Balancer:
    return Balancer(lambda: NAMES, Outlier(**outlier), clock=clock)


def turns(balanced: Balancer, count: int = 40) -> Counter[str | None]:
    return Counter(balanced.pick([]) for _ in range(count))


def test_turns_are_even() -> None:
    assert set(turns(balancer(Clock())).values()) == {10}


def test_an_instance_already_tried_gets_no_turn_while_another_is_left() -> None:
    balanced = balancer(Clock())
    assert {balanced.pick(NAMES[:3]) for _ in range(5)} == {"http://d"}
    assert balanced.pick(NAMES) in NAMES


def test_an_instance_that_fails_in_a_row_loses_its_turns_and_gets_them_back() -> None:
    clock = Clock()
    balanced = balancer(clock, failures=3, ejection=10)
    for status in (500, 503, 200, 502, 504, None, 500):
        assert balanced.ejected() == []
        balanced.report("http://a", status, 0.1)
    assert balanced.ejected() == ["http://a"]
    assert turns(balanced)["http://a"] == 0
    clock.now = 10
    assert balanced.ejected() == []
    assert turns(balanced)["http://a"] > 0


def test_each_time_it_is_out_for_longer_up_to_a_limit() -> None:
    clock = Clock()
    balanced = balancer(clock, failures=1, ejection=10, max_ejection=25)
    lengths = []
    for _ in range(4):
        balanced.report("http://a", 500, 0.1)
        began = clock.now
        while balanced.ejected():
            clock.now += 1
        lengths.append(clock.now - began)
    assert lengths == [10, 20, 25, 25]


def test_no_more_than_a_part_of_all_is_out_at_once() -> None:
    balanced = balancer(Clock(), failures=1, max_ejected=0.5)
    for url in NAMES:
        balanced.report(url, 500, 0.1)
    assert balanced.ejected() == ["http://a", "http://b"]
    assert balanced.ejections == 2


def test_without_a_healthy_instance_all_get_turns() -> None:
    nobody = Balancer(lambda: NAMES, healthy=lambda url: False)
    assert set(turns(nobody)) == set(NAMES)
    one = Balancer(lambda: NAMES, healthy=lambda url: url == "http://b")
    assert set(turns(one)) == {"http://b"}
    assert Balancer(list).pick([]) is None


@on_a_loop
async def test_a_failing_instance_is_hidden_from_the_client_and_soon_gets_no_requests() -> None:
    bad = Origin(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
    async with bad, Origin() as one, Origin() as other:
        retries = Retries(statuses=frozenset({500}))
        async with beside(bad.url, one.url, other.url, outlier=Outlier(failures=3), retries=retries) as (
            _,
            port,
            _,
        ):
            assert {(await ask(port))[0] for _ in range(30)} == {200}
    assert len(bad.heads) == 3


# Health


@on_a_loop
async def test_health_changes_after_enough_answers_in_a_row_and_each_change_is_told_once() -> None:
    async with Origin() as origin:
        notices: list[Notice] = []
        check = HealthCheck(path="/salud", interval=60, fall=2, rise=2)
        monitor = HealthMonitor(lambda: [origin.url], check, listeners=[notices.append], wall=lambda: 7.0)
        await monitor.start()
        try:
            seen = []
            for status in (500, 200, 500, 500, 500, 200, 500, 200, 200):
                origin.reply = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
                await monitor.check_all()
                seen.append(monitor.healthy(origin.url))
        finally:
            await monitor.stop()
    assert seen == [True, True, True, False, False, False, False, False, True]
    assert notices == [Notice(7.0, origin.url, False, "HTTP 500"), Notice(7.0, origin.url, True, "")]
    assert origin.lines[0] == "GET /salud HTTP/1.1"


@on_a_loop
async def test_an_instance_that_hangs_or_is_gone_is_unhealthy_and_a_bad_listener_stops_nothing() -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.gone()
        exchange.writer.close()

    def broken(notice: Notice) -> None:
        raise RuntimeError("mal oyente")

    heard: list[Notice] = []
    async with Origin(hang) as origin:
        check = HealthCheck(timeout=0.05, interval=60, fall=1)
        monitor = HealthMonitor(
            lambda: [origin.url, "http://127.0.0.1:9"], check, listeners=[broken, heard.append]
        )
        await monitor.start()
        await monitor.stop()
    assert [notice.healthy for notice in heard] == [False, False]
    assert "TimeoutError" in str(heard[0])


@on_a_loop
async def test_the_checks_go_on_by_themselves_until_the_sidecar_ends() -> None:
    async with Origin() as origin:
        async with beside(origin.url, health=HealthCheck(interval=0.01)):
            await until(lambda: len(origin.heads) > 3)
        ended = len(origin.heads)
        await asyncio.sleep(0.05)
        assert len(origin.heads) == ended
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "health"] == []


@on_a_loop
async def test_ready_is_the_sidecar_and_its_service_health_the_sidecar_alone() -> None:
    async with Origin(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n") as origin:
        async with beside(origin.url, health=HealthCheck(fall=1, interval=60)) as (this, port, _):
            assert (await ask(port, "GET /.sidecar/health HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
            assert (await ask(port, "GET /.sidecar/ready HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 503
            origin.reply = b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"
            await this.monitor.check_all()
            assert (await ask(port, "GET /.sidecar/ready HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
            assert (await ask(port, "GET /.sidecar/otra HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 404
            assert (await ask(port, "GET /.sidecar-no HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
    assert origin.lines[-1] == "GET /.sidecar-no HTTP/1.1"


# Faults


@on_a_loop
async def test_every_tenth_request_fails_and_the_service_never_sees_it() -> None:
    async with (
        Origin() as origin,
        beside(origin.url, faults=[Fault(every=10, status=503)]) as (this, port, _),
    ):
        statuses = [(await ask(port))[0] for _ in range(30)]
        assert [number for number, status in enumerate(statuses, 1) if status == 503] == [10, 20, 30]
        assert (len(origin.heads), this.faults.injected) == (27, 3)
        this.faults.active = ()
        assert {(await ask(port))[0] for _ in range(10)} == {200}


@on_a_loop
async def test_chance_is_drawn_from_the_seed_and_only_where_the_path_begins_so() -> None:
    async def story(seed: int) -> list[int]:
        faults = [Fault(probability=0.3, status=500, path="/pagos")]
        async with Origin() as origin, beside(origin.url, faults=faults, seed=seed) as (_, port, _):
            assert {(await ask(port))[0] for _ in range(20)} == {200}
            return [(await ask(port, "GET /pagos/1 HTTP/1.1\r\nHost: x\r\n\r\n"))[0] for _ in range(20)]

    assert await story(1) == await story(1) != await story(2)
    assert set(await story(1)) == {200, 500}


@on_a_loop
async def test_a_dropped_connection_and_a_delay() -> None:
    faults = [Fault(every=2, drop=True), Fault(every=1, delay=0.02)]
    async with Origin() as origin, beside(origin.url, faults=faults) as (_, port, lines):
        assert (await ask(port))[0] == 200
        assert lines[0]["ms"] >= 20
        async with Client(port) as client:
            await client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await client.rest() == b""
        await until(lambda: len(lines) == 2)
    assert (lines[1]["status"], len(origin.heads)) == (499, 1)


# Metrics and log


@on_a_loop
async def test_metrics_are_prometheus_text_that_counts_everything() -> None:
    async with Origin() as origin, beside(origin.url, cache=CacheSettings(), retries=ONCE) as (_, port, _):
        await ask(port)
        await ask(port, "BREW / HTTP/1.1\r\nHost: x\r\n\r\n")
        await ask(port, "POST / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: no\r\n\r\n")
        _, head, body = await ask(port, "GET /.sidecar/metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"text/plain; version=0.0.4" in head
    lines = body.decode().splitlines()
    assert 'sidecar_requests_total{method="GET",status="200"} 1' in lines
    assert 'sidecar_requests_total{method="POST",status="400"} 1' in lines
    assert 'sidecar_cache_requests_total{result="misses"} 1' in lines
    assert f'sidecar_instance_healthy{{instance="{origin.url}"}} 1' in lines
    assert "sidecar_requests_in_flight 0" in lines


def test_a_histogram_counts_up_and_labels_are_escaped_and_bounded() -> None:
    metrics = Metrics()
    for seconds in (0.005, 0.006, 11):
        metrics.record("INVENTADO", 200, seconds)
    lines = list(metrics.lines())
    assert 'sidecar_requests_total{method="OTHER",status="200"} 3' in lines
    assert [line.split()[-1] for line in lines if "_bucket" in line] == ["1", *["2"] * 10, "3"]
    assert list(family("a", "gauge", "b", [({"c": 'd"\\\n'}, 1)]))[-1] == 'a{c="d\\"\\\\\\n"} 1'


@on_a_loop
async def test_the_log_says_who_what_and_how_and_holds_no_secret() -> None:
    async with Origin() as origin, beside(origin.url, retries=ONCE) as (_, port, lines):
        await ask(
            port,
            "POST /pago?token=secreto HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secreto\r\n"
            "Cookie: s=secreto\r\nX-Request-ID: abc-1\r\nContent-Length: 7\r\n\r\nsecreto",
        )
        await ask(port, "GET /mal HTTP/1.1\r\nHost: x\r\nX-Request-ID: a b\r\nX-Request-Timeout: 0\r\n\r\n")
    line = lines[0]
    assert {name: line[name] for name in ("method", "path", "status", "received", "sent", "attempts")} == {
        "method": "POST",
        "path": "/pago",
        "status": 200,
        "received": 7,
        "sent": 4,
        "attempts": 1,
    }
    assert (line["request_id"], line["upstream"]) == ("abc-1", origin.url)
    assert dict(origin.headers())["x-request-id"] == "abc-1"
    assert (lines[1]["status"], lines[1]["error"]) == (400, "http_request_error")
    assert len(lines[1]["request_id"]) == 32
    assert "secreto" not in json.dumps(lines)


@on_a_loop
async def test_a_client_that_left_is_logged_as_499() -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.gone()
        exchange.writer.close()

    async with Origin(hang) as origin, beside(origin.url) as (this, port, lines):
        async with Client(port) as client:
            await client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: origin.heads)
        await until(lambda: lines)
        assert lines[0]["status"] == 499
        assert this.metrics.in_flight == 0


# With the services of the course


def test_it_is_one_line_before_a_service_of_any_kind_whose_code_does_not_change() -> None:
    app = Flask("inventario")
    app.get("/stock/<isbn>")(lambda isbn: {"isbn": isbn})
    with labkit.serve(app, name="inventario") as service:
        with labkit.serve(sidecar(service.url, log=print), name="sidecar") as before:
            answer = requests.get(before.url + "/stock/42", timeout=5)
            assert answer.json() == requests.get(service.url + "/stock/42", timeout=5).json()
            service.stop()
            assert requests.get(before.url + "/stock/42", timeout=5).status_code == 502
            before.restart()
            assert requests.get(before.url + "/.sidecar/health", timeout=5).json() == {"status": "UP"}


def test_it_finds_its_instances_in_the_registry_of_lesson_01() -> None:
    registry = Registry()

    def inventario(name: str) -> Flask:
        app = Flask(name)
        app.get("/")(lambda: name)
        return app

    with labkit.serve(registry_app(registry), name="registro") as where:
        with labkit.serve(inventario, name="inventario", replicas=3) as group:
            for instance in group:
                registry.register("inventario", instance.url)
            with labkit.serve(sidecar(registry=where.url, discover="inventario"), name="sidecar") as before:
                answers = Counter(requests.get(before.url, timeout=5).text for _ in range(9))
    assert sorted(answers.items()) == [("inventario-1", 3), ("inventario-2", 3), ("inventario-3", 3)]


@on_a_loop
async def test_events_and_websockets_pass_through_cache_and_all() -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await asyncio.Event().wait()
        return response

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_get("/events", events)
    app.router.add_get("/ws", echo)
    async with running(app) as service:
        async with beside(f"http://127.0.0.1:{service}", cache=CacheSettings()) as (_, port, _):
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.get("/events") as answer:
                    assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
                async with session.ws_connect("/ws") as socket:
                    await socket.send_str("hola")
                    assert (await socket.receive()).data == "hola"


# Configuration


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"service": "http://x", "registry": "http://r", "discover": "s"},
        {"registry": "http://r"},
        {"service": 3},
        {"service": ["http://x", "x"]},
        {"service": "http://x", "prefix": "sin-barra"},
        {"service": "http://x", "prefix": "/"},
        {"service": "http://x", "timeout": 0},
        {"service": "http://x", "name": "con espacio"},
        {"service": "http://x", "cache": True},
        {"service": "http://x", "health": "/health"},
        {"service": "http://x", "retries": 3},
        {"service": "http://x", "timeouts": None},
        {"service": "http://x", "faults": Fault(every=1, status=500)},
        {"service": "http://x", "faults": ["503"]},
        {"service": "http://x", "notices": ["consola"]},
        {"service": "http://x", "log": "log.txt"},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_at_once_in_a_sentence(
    settings: dict[str, Any],
) -> None:
    with pytest.raises((ValueError, TypeError), match=r"se acepta"):
        Sidecar(SidecarConfig(**settings))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault(status=500),
        lambda: Fault(every=1, probability=0.5, status=500),
        lambda: Fault(every=0, status=500),
        lambda: Fault(probability=2, status=500),
        lambda: Fault(every=1),
        lambda: Fault(every=1, status=500, drop=True),
        lambda: Fault(every=1, status=200),
        lambda: Fault(every=1, delay=-1),
        lambda: Fault(every=1, status=500, path="x"),
        lambda: HealthCheck(path="salud"),
        lambda: HealthCheck(interval=0),
        lambda: HealthCheck(fall=0),
        lambda: Outlier(failures=0),
        lambda: Outlier(max_ejected=1.5),
        lambda: CacheSettings(max_bytes=0),
        lambda: CacheSettings(stale_if_error=-1),
        lambda: Timeouts(head=None),  # type: ignore[arg-type]
    ],
)
def test_so_is_each_part(make: Any) -> None:
    with pytest.raises(ValueError, match=r"se acepta"):
        make()
