"""labkit/service.py: groups of services, services that call each other, and where they listen."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import flask
import pytest
import requests
from aiohttp import web
from support import (
    KINDS,
    Raw,
    Stage,
    build,
    eventually,
    every_kind,
    get,
    new_stage,
    own_connections,
    refused,
    serve,
)

import labkit


@every_kind
def test_replicas_have_names_of_their_own_and_are_stopped_killed_and_shown_one_by_one(
    kind: str, stage: Stage
) -> None:
    with labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=3) as group:
        assert [service.name for service in group] == ["inventario-1", "inventario-2", "inventario-3"]
        assert [get(url).text for url in group.urls] == [service.name for service in group]
        assert len(group) == 3
        assert len({service.port for service in group}) == 3
        group[1].kill()
        assert refused(group[1].port)
        assert get(group[0].url).text == "inventario-1"
        assert get(group[2].url).text == "inventario-3"
        assert repr(group).splitlines() == [
            "inventario-1 · corriendo · 2 peticiones · 0 errores",
            "inventario-2 · muerto · 1 petición · 0 errores",
            "inventario-3 · corriendo · 2 peticiones · 0 errores",
        ]
        group[1].restart()
        assert get(group[1].url).text == "inventario-2"
    assert [service.state for service in group] == ["detenido"] * 3


@every_kind
def test_a_rolling_restart_never_refuses_everywhere(kind: str, stage: Stage) -> None:
    calls: list[str] = []
    with labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=2) as group:
        ports = [service.port for service in group]
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                for url in group.urls:
                    try:
                        calls.append(get(url).text)
                        break
                    except requests.ConnectionError:
                        continue
                else:
                    calls.append("nobody")

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(5):
            group.restart()
        eventually(lambda: len(calls) > 3)
        done.set()
        asking.join()
        assert [service.port for service in group] == ports
        # Between the two looks the first may come up and the second go down, but not ten times over.
        assert calls.count("nobody") <= 5
        assert "inventario-1" in calls


@every_kind
def test_a_group_that_fails_in_the_middle_leaves_nothing_running(kind: str, stage: Stage) -> None:
    def crear(name: str) -> Any:
        if name.endswith("-3"):
            raise LookupError(name)
        return build(kind, stage, name)

    threads = threading.active_count()
    with pytest.raises(LookupError, match="frutas-3"):
        labkit.serve(crear, name="frutas", replicas=4)
    assert not [service for service in labkit.services() if service.running]
    eventually(lambda: threading.active_count() <= threads)


@every_kind
def test_a_group_stops_all_at_once_so_one_grace_is_enough(kind: str, stage: Stage) -> None:
    group = labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=8)
    raws = [Raw(service) for service in group]
    for raw in raws:
        raw.ask("/wait")
    stage.wait_entered(8)
    began = time.monotonic()
    group.stop(grace=1)
    assert time.monotonic() - began < 7  # and not 8 and more
    for raw in raws:
        raw.socket.close()


@every_kind
def test_a_group_is_paused_resumed_and_killed_as_one(kind: str, stage: Stage) -> None:
    group = labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=2)
    group.pause()
    assert [service.state for service in group] == ["en pausa"] * 2
    group.resume()
    assert [get(url).text for url in group.urls] == ["inventario-1", "inventario-2"]
    group.kill()
    assert all(refused(service.port) for service in group)
    group.start()
    assert group.running
    group.stop()


def test_calls_between_services_in_both_directions(stage: Stage) -> None:
    """A Flask service that calls an aiohttp service that calls a Flask service."""
    import aiohttp

    with labkit.serve(build("flask", stage, "fondo"), name="fondo") as bottom:

        async def handler(request: web.Request) -> web.Response:
            async with aiohttp.ClientSession() as session, session.get(bottom.url) as answer:
                return web.Response(text="medio " + await answer.text())

        app = web.Application()
        app.router.add_get("/", handler)
        with labkit.serve(app, name="medio") as middle:
            top_app = flask.Flask("tapa")
            top_app.add_url_rule("/", "index", lambda: "tapa " + get(middle.url).text)
            with labkit.serve(top_app, name="tapa") as top:
                assert get(top.url).text == "tapa medio fondo"


def test_a_handler_that_blocks_freezes_its_own_aiohttp_service_and_no_other(stage: Stage) -> None:
    frozen = labkit.serve(build("aiohttp", stage), name="helada")
    with labkit.serve(build("aiohttp", stage), name="libre") as free, Raw(frozen) as raw:
        raw.ask("/block")
        stage.wait_entered()
        with pytest.raises(requests.Timeout):
            requests.get(frozen.url, timeout=0.3)
        assert get(free.url).text == "hola"
    stage.release.set()
    frozen.stop()


def test_it_listens_on_127_0_0_1_alone() -> None:
    import psutil

    for kind in KINDS:
        with new_stage() as stage, serve(kind, stage) as service:
            listening = {
                connection.laddr.ip
                for connection in own_connections()
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == service.port
            }
            assert listening == {"127.0.0.1"}


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
@every_kind
def test_another_host_in_so_many_words(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="abierta", host="0.0.0.0") as service:
        assert service.url == f"http://127.0.0.1:{service.port}"
        assert get(service.url).text == "hola"
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return
    with labkit.serve(build(kind, stage), name="seis", host="::1") as service:
        assert get(service.url).text == "hola"
