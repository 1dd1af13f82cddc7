"""Staying registered: heartbeats, a registry that forgets or dies, and leaving."""

import asyncio
import threading

import pytest
from aiohttp import web
from discovery_support import dead_url
from flask import Flask

from labkit.patterns.discovery import InvalidInput, Registration, Registry


def registration(url, **options):
    options = {"instance_id": "inventario-1", "ttl": 30} | options
    return Registration(url, "inventario", "http://127.0.0.1:5001", **options)


def test_a_registration_is_there_from_start_to_stop(registro):
    with registration(registro.url, metadata={"zona": "norte"}):
        [found] = registro.registry.instances("inventario")
        assert (found.id, found.ttl, found.metadata["zona"]) == ("inventario-1", 30, "norte")
    assert registro.registry.instances("inventario") == []


def test_the_heartbeat_renews_in_the_background(registro):
    with registration(registro.url, interval=0.02):
        registro.wait_for("PUT /services/inventario/inventario-1/lease", times=3)


def test_each_registration_has_an_id_of_its_own(registro):
    first, second = (registration(registro.url, instance_id=None) for _ in range(2))
    assert first.instance_id != second.instance_id


def test_the_heartbeat_registers_again_when_the_registry_has_forgotten(lab, registro):
    with registration(registro.url, interval=0.02):
        registro.stop()
        reborn = lab.registry(Registry(), registro.port)
        assert reborn.registry.watch("inventario", index=1, wait=10).instances[0].id == "inventario-1"


def test_a_service_starts_before_its_registry(lab):
    port = int(dead_url().rpartition(":")[2])
    with registration(f"http://127.0.0.1:{port}", interval=0.02):
        late = lab.registry(Registry(), port)
        assert late.registry.watch("inventario", index=1, wait=10).instances[0].id == "inventario-1"


def test_a_heartbeat_says_what_it_came_to(registro, clock):
    mine = registration(registro.url)
    assert [mine.beat(), mine.beat()] == ["registered", "renewed"]
    clock.advance(30)
    registro.registry.evict()
    assert [mine.beat(), mine.beat()] == ["registered", "renewed"]
    registro.stop()
    assert mine.beat() == "unreachable"
    mine.stop()


@pytest.mark.parametrize("sick", [lambda: False, lambda: 1 / 0])
def test_a_service_that_is_not_well_does_not_renew_and_its_lease_runs_out(registro, clock, sick):
    health = [lambda: True]
    mine = registration(registro.url, healthy=lambda: health[0]())
    mine.beat()
    health[0] = sick
    assert mine.beat() == "unhealthy"
    clock.advance(30)
    assert len(registro.registry.evict().evicted) == 1
    health[0] = lambda: True
    assert mine.beat() == "registered"
    mine.stop()


def test_stopping_drains_first_and_then_leaves(registro):
    mine = registration(registro.url).start()
    mine.stop(drain=0.001)
    seen = [(change.action, change.instance.status) for change in registro.registry.changes()]
    assert seen == [("ADDED", "UP"), ("MODIFIED", "DRAINING"), ("DELETED", "DRAINING")]


def test_a_draining_service_that_must_register_again_stays_draining(registro, clock):
    mine = registration(registro.url)
    mine.beat()
    mine.drain()
    clock.advance(30)
    registro.registry.evict()
    assert mine.beat() == "registered"
    assert registro.registry.instances("inventario") == []
    mine.stop()


def test_a_registry_that_did_not_hear_of_draining_is_told_by_the_next_heartbeat(registro, monkeypatch):
    mine = registration(registro.url)
    mine.beat()
    with monkeypatch.context() as broken:
        broken.delattr(Registry, "set_status")  # the registry answers 500
        mine.drain()
    assert len(registro.registry.instances("inventario")) == 1
    assert mine.beat() == "registered"
    assert registro.registry.instances("inventario") == []
    mine.stop()


def test_stopping_does_not_need_the_registry(registro):
    mine = registration(registro.url, interval=0.02).start()
    registro.stop()
    mine.stop(drain=0.001)


def test_a_heartbeat_that_hangs_neither_holds_up_stopping_nor_registers_afterwards(registro):
    asked, release = threading.Event(), threading.Event()
    first = [True]

    def healthy():
        if first.pop() if first else False:
            return True
        asked.set()
        return release.wait(10)

    mine = registration(registro.url, interval=0.01, healthy=healthy, timeout=0.5).start()
    assert asked.wait(5)
    mine.stop()
    assert registro.registry.instances("inventario") == []
    release.set()
    assert mine.beat() == "stopped"
    assert registro.registry.instances("inventario") == []


def test_a_registration_can_start_again_but_not_twice_at_once(registro):
    mine = registration(registro.url).start()
    mine.drain()
    with pytest.raises(RuntimeError, match="ya está en marcha"):
        mine.start()
    assert registro.registry.instances("inventario") == []
    mine.stop()
    with mine:
        assert len(registro.registry.instances("inventario")) == 1


def test_a_registration_refuses_bad_input():
    for wrong in ({"ttl": 0}, {"interval": -1}, {"instance_id": "a/b"}, {"metadata": {"a b": "c"}}):
        with pytest.raises(InvalidInput):
            registration("http://127.0.0.1:5000", **wrong)
    with pytest.raises(InvalidInput):
        Registration("http://127.0.0.1:5000", "inventario", "127.0.0.1:5001")


def test_what_the_registry_refuses_is_raised_at_the_start(lab):
    strict = Flask("strict")
    strict.put("/services/<service>/<instance_id>")(lambda **_: ({"error": "no entra"}, 403))
    with pytest.raises(InvalidInput, match="no entra"):
        registration(lab.serve(strict).url).start()


def test_an_aiohttp_application_is_registered_while_it_runs(registro):
    async def registered(app):
        with registration(registro.url):
            yield

    async def main():
        app = web.Application()
        app.cleanup_ctx.append(registered)
        runner = web.AppRunner(app, handle_signals=False)
        await runner.setup()
        found = registro.registry.instances("inventario")
        await runner.cleanup()
        return [each.id for each in found]

    assert asyncio.run(main()) == ["inventario-1"]
    assert registro.registry.instances("inventario") == []
