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


def test_the_well_pass_a_check(registro, inventario):
    passed = HealthChecker(registro.registry, timeout=10).check()
    assert passed == {f"inventario-{number}": True for number in (1, 2, 3)}


def check(registry, timeout, **urls):
    for name, url in urls.items():
        registry.register("pagos", url, instance_id=name)
    return HealthChecker(registry, timeout=timeout).check()


def test_the_sick_and_the_dead_fail_a_check(lab):
    sick = Flask("sick")
    sick.get("/health")(lambda: ("mal", 500))
    odd = lab.raw(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"))
    passed = check(
        Registry(),
        10,
        sick=lab.serve(sick).url,
        elsewhere=lab.serve(Flask("elsewhere")).url,
        closes=lab.raw(hang_up).url,
        odd=odd.url,
        dead=dead_url(),
    )
    assert passed == dict.fromkeys(["sick", "elsewhere", "closes", "odd", "dead"], False)


def test_the_slow_fail_a_check_even_when_a_byte_comes_now_and_then(lab):
    def drip(connection):
        connection.recv(65536)
        connection.settimeout(0.05)
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X" * 1000:
                connection.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        return

    passed = check(Registry(), 0.1, slow=lab.raw(hang).url, drip=lab.raw(drip).url)
    assert passed == {"slow": False, "drip": False}


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
    checker = HealthChecker(registro.registry, timeout=10)
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
    with HealthChecker(registro.registry, interval=0.01, timeout=10):
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
        return HealthChecker(registro.registry, timeout=10).check()

    assert list(asyncio.run(main()).values()) == [True] * 3
