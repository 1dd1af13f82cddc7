"""What runs beside the registry: eviction and active health checks."""

import asyncio
import contextlib
import threading

import pytest
from discovery_support import dead_url, hang, hang_up, instance_app, no_threads_left
from flask import Flask

from labkit.patterns.discovery import DiscoveryClient, Evictor, HealthChecker, InvalidInput, Registry


def test_an_evictor_evicts_until_it_is_stopped(clock):
    registry = Registry(ttl=30, clock=clock)
    registry.register("inventario", "http://127.0.0.1:5001")
    index = registry.index("inventario")
    with no_threads_left(), Evictor(registry, interval=0.01):
        clock.advance(30)
        assert registry.watch("inventario", index, wait=10).instances == ()


def test_a_bad_round_does_not_end_the_later_ones():
    rounds = []
    done = threading.Event()

    class Failing(Registry):
        def evict(self):
            rounds.append(1)
            if len(rounds) == 3:
                done.set()
            raise RuntimeError("a bad round")

    with Evictor(Failing(), interval=0.01):
        assert done.wait(5)


def test_a_check_tells_the_well_from_the_sick_the_slow_and_the_dead(lab, registro, inventario):
    def drip(connection):
        connection.recv(65536)
        connection.settimeout(0.05)
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(b"H")
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        return

    sick = Flask("sick")
    sick.get("/health")(lambda: ("mal", 500))
    odd = lab.raw(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"))
    for name, url in {
        "sick": lab.serve(sick).url,
        "moved": lab.serve(Flask("moved")).url,
        "slow": lab.raw(hang).url,
        "drip": lab.raw(drip).url,
        "closes": lab.raw(hang_up).url,
        "odd": odd.url,
        "dead": dead_url(),
    }.items():
        registro.registry.register("pagos", url, instance_id=name)
    passed = HealthChecker(registro.registry, timeout=0.3).check()
    assert {name for name, good in passed.items() if good} == {f"inventario-{n}" for n in (1, 2, 3)}
    assert len(passed) == 10


def test_all_instances_are_asked_at_the_same_time(lab, registro):
    together = threading.Barrier(8)

    def health():
        together.wait(5)
        return "ok"

    for number in range(8):
        app = Flask(f"i{number}")
        app.get("/health")(health)
        registro.registry.register("inventario", lab.serve(app).url)
    assert list(HealthChecker(registro.registry, timeout=5).check().values()) == [True] * 8


def test_rounds_take_the_sick_out_and_bring_the_well_back(lab, registro, inventario):
    checker = HealthChecker(registro.registry, timeout=1)
    inventario[0].stop()

    def seen(rounds):
        counts = []
        for _ in range(rounds):
            checker.check()
            counts.append(len(registro.registry.instances("inventario")))
        return counts

    assert seen(3) == [3, 3, 2]
    lab.serve(instance_app("inventario-1"), inventario[0].port)
    assert seen(2) == [2, 3]


def test_a_look_up_asks_no_instance(registro, inventario):
    with DiscoveryClient(registro.url, cache_ttl=0) as client:
        for _ in range(5):
            client.instances("inventario")
            registro.registry.pick("inventario")
    assert [server.asked for server in inventario] == [[], [], []]


def test_a_checker_runs_in_the_background_until_it_is_stopped(registro, inventario):
    index = registro.registry.index("inventario")
    inventario[0].stop()
    with HealthChecker(registro.registry, interval=0.01, timeout=1):
        assert len(registro.registry.watch("inventario", index, wait=10).instances) == 2


def test_who_does_not_say_it_is_up_is_not_asked(registro, inventario):
    registro.registry.set_status("inventario", "inventario-1", "STARTING")
    assert set(HealthChecker(registro.registry).check()) == {"inventario-2", "inventario-3"}
    assert HealthChecker(Registry()).check() == {}


def test_a_checker_refuses_bad_input():
    for wrong in ({"path": "health"}, {"timeout": 0}, {"interval": -1}):
        with pytest.raises(InvalidInput):
            HealthChecker(Registry(), **wrong)


def test_a_check_can_be_made_where_a_loop_runs_already(registro, inventario):
    async def main():
        return HealthChecker(registro.registry).check()

    assert list(asyncio.run(main()).values()) == [True] * 3
