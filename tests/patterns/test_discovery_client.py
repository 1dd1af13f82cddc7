"""The client, on requests and on aiohttp: one table of behaviours, since they share their decisions."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
import requests
from discovery_support import BlockingClient, dead_url, hang, hang_up
from flask import Flask, make_response
from flask import request as flask_request

from labkit.patterns.discovery import (
    AsyncDiscoveryClient,
    DiscoveryClient,
    InvalidInput,
    NoInstanceAnswered,
    NoInstances,
    Registry,
    RegistryUnavailable,
)

BROKEN = (requests.ConnectionError, aiohttp.ClientConnectionError)
LATE = (requests.ReadTimeout, requests.ConnectionError, TimeoutError)


@pytest.fixture(params=[DiscoveryClient, BlockingClient], ids=["requests", "aiohttp"])
def connect(request):
    """Make a client of either kind; the context closes it."""
    return request.param


def who(response):
    return response.json()["instancia"][-1]


def ids(instances):
    return [each.id for each in instances]


def impatient(connect, registro):
    """A client with little patience that has its list already: the registry may be slow on a busy machine."""
    client = connect(registro.url, timeout=0.05)
    client.cache.store("pagos", registro.registry.instances("pagos"))
    return client


# The list


def test_it_balances_by_itself_and_asks_the_registry_once(connect, registro, inventario):
    with connect(registro.url) as client:
        assert [who(client.get("inventario", "/stock/42")) for _ in range(6)] == list("123123")
    assert registro.requests == ["GET /services/inventario"]


def test_a_list_that_is_no_longer_fresh_is_asked_for_again(connect, registro, inventario, clock):
    with connect(registro.url, cache_ttl=5, clock=clock) as client:
        client.get("inventario", "/stock/42")
        registro.registry.deregister("inventario", "inventario-2")
        clock.advance(5)
        assert [who(client.get("inventario", "/stock/42")) for _ in range(4)] == list("3131")


def test_fifty_threads_with_no_list_yet_ask_the_registry_once_and_share_evenly(registro, inventario):
    start = threading.Barrier(50)

    def caller(_):
        start.wait()
        return who(client.get("inventario", "/stock/42", timeout=20))

    with DiscoveryClient(registro.url) as client, ThreadPoolExecutor(50) as pool:
        answers = Counter(pool.map(caller, range(50)))
    assert sum(answers.values()) == 50
    assert max(answers.values()) - min(answers.values()) <= 1
    assert registro.requests == ["GET /services/inventario"]


def test_thirty_tasks_with_no_list_yet_ask_the_registry_once_and_share_evenly(registro, inventario):
    async def caller(client):
        return (await (await client.get("inventario", "/stock/42")).json())["instancia"]

    async def main():
        async with AsyncDiscoveryClient(registro.url) as client:
            return Counter(await asyncio.gather(*(caller(client) for _ in range(30))))

    assert set(asyncio.run(main()).values()) == {10}
    assert registro.requests == ["GET /services/inventario"]


def test_a_client_that_watches_learns_of_a_change_without_asking_again(connect, registro):
    with connect(registro.url, cache_ttl=1000) as client, ThreadPoolExecutor(1) as pool:
        first = client.watch("inventario")
        waiting = pool.submit(client.watch, "inventario", first.index)
        registro.wait_for("GET /services/inventario", times=2)
        registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="a")
        assert ids(waiting.result(10).instances) == ids(client.instances("inventario")) == ["a"]
        assert len(registro.requests) == 2


def test_an_instance_that_leaves_the_list_and_returns_goes_to_the_end(connect, registro, inventario):
    with connect(registro.url, cache_ttl=0) as client:
        assert who(client.get("inventario", "/stock/42")) == "1"
        registro.registry.deregister("inventario", "inventario-2")
        client.instances("inventario")
        registro.registry.register("inventario", inventario[1].url, instance_id="inventario-2")
        assert [who(client.get("inventario", "/stock/42")) for _ in range(3)] == list("312")


# The registry is dead


def test_it_survives_the_registrys_death(connect, registro, inventario):
    with connect(registro.url, cache_ttl=0) as client:
        client.get("inventario", "/stock/42")
        registro.stop()
        assert [who(client.get("inventario", "/stock/42")) for _ in range(3)] == list("231")
        assert len(client.instances("inventario")) == 3


def test_a_last_good_list_serves_until_it_is_too_old(connect, lab, registro, inventario, clock):
    with connect(registro.url, cache_ttl=5, max_age=60, clock=clock) as client:
        client.instances("inventario")
        registro.stop()
        for _ in range(11):
            clock.advance(5)
            assert len(client.instances("inventario")) == 3
        clock.advance(5)
        with pytest.raises(RegistryUnavailable):
            client.instances("inventario")
        reborn = lab.registry(Registry(), registro.port)
        reborn.registry.register("inventario", inventario[0].url, instance_id="a")
        assert ids(client.instances("inventario")) == ["a"]


def test_a_list_is_not_fresh_for_longer_than_it_may_be_old(connect, registro, inventario, clock):
    with connect(registro.url, cache_ttl=1000, max_age=60, clock=clock) as client:
        client.instances("inventario")
        clock.advance(60)
        client.instances("inventario")
    assert len(registro.requests) == 2


def test_without_a_limit_a_last_good_list_serves_for_ever(connect, registro, inventario, clock):
    with connect(registro.url, clock=clock) as client:
        client.instances("inventario")
        registro.stop()
        clock.advance(1_000_000)
        assert len(client.instances("inventario")) == 3


def test_a_registry_that_fails_is_not_asked_at_every_call(connect, lab, registro, inventario, clock):
    with connect(registro.url, cache_ttl=5, clock=clock) as client:
        client.get("inventario", "/stock/42")
        registro.stop()
        asked = []
        broken = Flask("broken")
        broken.before_request(lambda: asked.append(1) or make_response("roto", 500))
        lab.serve(broken, registro.port)
        for _ in range(3):
            clock.advance(5)
            assert [client.get("inventario", "/stock/42").ok for _ in range(4)] == [True] * 4
        assert len(asked) == 3


@pytest.mark.parametrize(
    "said",
    [
        "<h1>hola</h1>",
        {"instances": [{"url": "http://127.0.0.1:1"}]},
        {"service": "inventario", "instances": 7, "index": 1},
        {"service": "inventario", "instances": [], "index": "siete"},
    ],
    ids=["a page", "other instances", "a number", "a word"],
)
def test_another_server_on_the_registrys_port_is_no_registry(connect, lab, registro, inventario, said):
    with connect(registro.url, cache_ttl=0) as client:
        client.get("inventario", "/stock/42")
        registro.stop()
        other = Flask("other")
        other.get("/services/<name>")(lambda name: said)
        lab.serve(other, registro.port)
        assert who(client.get("inventario", "/stock/42")) == "2"


def test_without_a_registry_and_without_a_list_it_says_so(connect):
    with connect(dead_url()) as client, pytest.raises(RegistryUnavailable, match="disponible"):
        client.get("inventario", "/stock/42")


def test_who_has_an_older_list_goes_on_with_it_while_another_asks(connect, registro, inventario, clock):
    holding, release = threading.Event(), threading.Event()
    watch = registro.registry.watch

    def held(*args):
        holding.set()
        assert release.wait(10)
        return watch(*args)

    with connect(registro.url, cache_ttl=5, clock=clock) as client, ThreadPoolExecutor(1) as pool:
        client.instances("inventario")
        registro.registry.watch = held
        clock.advance(5)
        asking = pool.submit(client.instances, "inventario")
        assert holding.wait(10)
        registro.registry.deregister("inventario", "inventario-1")
        assert len(client.instances("inventario")) == 3
        release.set()
        assert len(asking.result(10)) == 2


# An instance is dead, slow or breaks off


def test_it_survives_a_dead_instance(connect, registro, inventario):
    inventario[1].stop()
    with connect(registro.url) as client:
        answers = [client.get("inventario", "/stock/42") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert Counter(map(who, answers)) == {"1": 3, "3": 3}


def test_an_unreachable_instance_is_passed_over_for_a_while(connect, lab, registro, inventario, clock):
    broken = lab.raw(hang_up)
    registro.registry.register("inventario", broken.url, instance_id="roto")
    with connect(registro.url, cache_ttl=1000, ejection_time=10, clock=clock) as client:
        assert [client.get("inventario", "/stock/42").ok for _ in range(4)] == [True] * 4
        once = broken.connections  # aiohttp itself tries an idempotent request twice
        assert once >= 1
        assert [client.get("inventario", "/stock/42").ok for _ in range(20)] == [True] * 20
        assert broken.connections == once
        clock.advance(10)
        assert [client.get("inventario", "/stock/42").ok for _ in range(20)] == [True] * 20
        assert broken.connections == 2 * once


def test_a_post_that_may_have_arrived_is_never_sent_again(connect, lab, registro, inventario):
    broken = lab.raw(hang_up)
    registro.registry.register("pagos", broken.url)
    for server in inventario:
        registro.registry.register("pagos", server.url)
    with connect(registro.url) as client:
        with pytest.raises(BROKEN):
            client.post("pagos", "/stock/42", json={"importe": 10})
        assert broken.connections == 1
        assert [server.asked for server in inventario] == [[], [], []]
        assert client.post("pagos", "/stock/42").ok


def test_a_post_whose_connection_was_refused_goes_to_the_next(connect, registro, inventario):
    registro.registry.register("pagos", dead_url())
    registro.registry.register("pagos", inventario[0].url)
    with connect(registro.url) as client:
        assert [who(client.post("pagos", "/stock/42")) for _ in range(3)] == list("111")


def test_a_put_whose_connection_broke_goes_to_the_next_unless_its_body_is_used_up(
    connect, lab, registro, inventario
):
    registro.registry.register("pagos", lab.raw(hang_up).url)
    registro.registry.register("pagos", inventario[0].url)

    async def once():
        yield b"7"

    used_up = iter([b"7"]) if connect is DiscoveryClient else once()
    with connect(registro.url, ejection_time=0) as client:
        assert who(client.request("PUT", "pagos", "/stock/42", data=b"7")) == "1"
        with pytest.raises(BROKEN):
            client.request("PUT", "pagos", "/stock/42", data=used_up)


def test_an_answer_that_is_late_is_an_error_and_not_asked_for_again(connect, lab, registro, inventario):
    registro.registry.register("pagos", lab.raw(hang).url)
    registro.registry.register("pagos", inventario[0].url)
    with impatient(connect, registro) as client, pytest.raises(LATE):
        client.get("pagos", "/stock/42")
    assert inventario[0].asked == []


def test_a_body_that_is_late_is_not_asked_for_again_either(connect, lab, registro, inventario):
    def half(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhola")

    registro.registry.register("pagos", lab.raw(half).url)
    registro.registry.register("pagos", inventario[0].url)
    with impatient(connect, registro) as client, pytest.raises(LATE, match=r"timed out|Timeout"):
        client.get("pagos", "/stock/42")
    assert inventario[0].asked == []


def test_an_answer_that_breaks_off_is_asked_for_at_the_next(connect, lab, registro, inventario):
    def break_off(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nho")
        connection.close()

    registro.registry.register("pagos", lab.raw(break_off).url)
    registro.registry.register("pagos", inventario[0].url)
    with connect(registro.url) as client:
        assert who(client.get("pagos", "/stock/42")) == "1"


def test_an_error_status_is_an_answer(connect, lab, registro):
    failing = Flask("failing")
    failing.get("/")(lambda: ("roto", 503))
    registro.registry.register("pagos", lab.serve(failing).url)
    with connect(registro.url) as client:
        assert client.get("pagos").status_code == 503


def test_when_nobody_can_be_reached_it_says_how_many_were_tried(connect, registro):
    for number in (1, 2, 3):
        registro.registry.register("pagos", dead_url(), instance_id=f"p{number}")
    with connect(registro.url) as client:
        with pytest.raises(NoInstanceAnswered, match="probadas: 3") as raised:
            client.get("pagos")
        assert isinstance(raised.value.__cause__, BROKEN)
        with pytest.raises(NoInstances, match="envios"):
            client.get("envios")


# Its users


def test_users_of_one_client_do_not_see_each_others_cookies(connect, lab, registro):
    app = Flask("cookies")
    seen = []

    @app.get("/")
    def cookie():
        seen.append(dict(flask_request.cookies))
        answer = make_response("{}")
        answer.set_cookie("sesion", "ana")
        return answer

    registro.registry.register("cuentas", lab.serve(app).url)
    with connect(registro.url) as client:
        for _ in range(2):
            client.get("cuentas")
    assert seen == [{}, {}]


def test_a_client_refuses_bad_input(connect):
    for wrong in ({"cache_ttl": -1}, {"timeout": 0}, {"ejection_time": "x"}, {"max_age": 0}):
        with pytest.raises(InvalidInput):
            connect("http://127.0.0.1:5000", **wrong)
    with pytest.raises(InvalidInput):
        connect("127.0.0.1:5000")
    with connect("http://127.0.0.1:5000") as client:
        with pytest.raises(InvalidInput):
            client.get("a b")
        with pytest.raises(InvalidInput):
            client.watch("inventario", -1)


def test_the_asynchronous_client_says_that_it_belongs_to_one_loop(registro, inventario):
    client = AsyncDiscoveryClient(registro.url, cache_ttl=0)

    async def other():
        with pytest.raises(RuntimeError, match="otro bucle"):
            await client.get("inventario", "/stock/42")

    async def main():
        await client.get("inventario", "/stock/42")
        await asyncio.to_thread(asyncio.run, other())
        await client.close()

    asyncio.run(main())


def test_what_a_client_survives_is_logged_and_shown_only_to_who_asks(
    connect, registro, inventario, caplog, capfd
):
    inventario[0].stop()
    with connect(registro.url, cache_ttl=0) as client:
        client.get("inventario", "/stock/42")
        registro.stop()
        client.instances("inventario")
    assert "pruebo con la siguiente" in caplog.text
    assert f"El registro {registro.url} no está disponible" in caplog.text
    assert "la última lista buena de «inventario»" in caplog.text
    assert capfd.readouterr().err.count("pruebo") == 0
