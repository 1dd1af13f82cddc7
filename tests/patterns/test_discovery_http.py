"""The registry over HTTP and its clients, over real connections on 127.0.0.1."""

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
import requests
from aiohttp import web
from discovery_support import (
    Lab,
    ManualClock,
    dead_url,
    hang,
    hang_up,
    instance_app,
    no_threads_left,
)
from flask import Flask, make_response

from labkit.patterns.discovery import (
    AsyncDiscoveryClient,

    DiscoveryClient,
    Evictor,
    HealthChecker,
    InvalidInput,
    NoInstanceAnswered,
    NoInstances,
    Registration,
    Registry,
    RegistryUnavailable,

)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def lab():
    with no_threads_left():
        lab = Lab()
        yield lab
        lab.close()


@pytest.fixture
def registro(lab, clock):
    return lab.registry(Registry(ttl=30, clock=clock))


@pytest.fixture
def call(registro):
    """Call the registry's API: call("PUT", "/services/…", json=…)."""
    with requests.Session() as session:
        yield lambda method, path, **kwargs: session.request(
            method, registro.url + path, timeout=10, **kwargs
        )


@pytest.fixture
def inventario(lab, registro):
    """Three instances, registered, each with `.asked`: what it was asked."""
    servers = []
    for number in (1, 2, 3):
        app = instance_app(f"inventario-{number}")
        server = lab.serve(app)
        server.asked = app.config["ASKED"]
        registro.registry.register("inventario", server.url, instance_id=f"inventario-{number}")
        servers.append(server)
    return servers


@pytest.fixture(scope="module")
def picky():
    """A registry with one instance, for requests that must change nothing: one is enough for all."""
    with no_threads_left():
        lab = Lab()
        served = lab.registry(Registry())
        served.registry.register("inventario", "http://127.0.0.1:5009", instance_id="a")
        yield served
        lab.close()


def who(response):
    return response.json()["instancia"][-1]


# The API


def test_an_instance_registers_renews_is_found_and_leaves(call, clock):
    path = "/services/inventario/inventario-1"
    created = call("PUT", path, json={"url": "http://127.0.0.1:5001", "metadata": {"zona": "norte"}})
    assert created.status_code == 201
    assert call("PUT", path, json={"url": "http://127.0.0.1:5001"}).status_code == 200
    [found] = call("GET", "/services/inventario").json()["instances"]
    assert (found["id"], found["url"], found["status"]) == ("inventario-1", "http://127.0.0.1:5001", "UP")
    clock.advance(20)
    assert call("PUT", f"{path}/lease").status_code == 200
    assert call("GET", path).json()["id"] == "inventario-1"
    assert call("DELETE", path).status_code == 200
    assert call("GET", "/services/inventario").json()["instances"] == []


def test_without_an_id_the_registry_makes_one_up_and_says_where_it_is(call):
    first = call("POST", "/services/inventario", json={"url": "http://127.0.0.1:5001"})
    second = call("POST", "/services/inventario", json={"url": "http://127.0.0.1:5002"})
    assert first.status_code == 201
    assert call("GET", first.headers["Location"]).json()["url"] == "http://127.0.0.1:5001"
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize(("method", "path"), [("PUT", "/lease"), ("DELETE", ""), ("GET", "")])
def test_an_unknown_instance_is_404(picky, method, path):
    answer = requests.request(method, f"{picky.url}/services/inventario/nadie{path}", timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_instance")


def test_a_draining_instance_is_listed_only_when_asked_for_all(call):
    call("PUT", "/services/inventario/a", json={"url": "http://127.0.0.1:5001"})
    assert call("PUT", "/services/inventario/a/status", json={"status": "DRAINING"}).status_code == 200
    assert call("GET", "/services/inventario").json()["instances"] == []
    [found] = call("GET", "/services/inventario?all=1").json()["instances"]
    assert found["status"] == "DRAINING"


def test_the_list_of_services_says_how_many_are_there_and_whether_it_preserves_itself(call, clock, registro):
    for port in (5001, 5002, 5003):
        call("POST", "/services/inventario", json={"url": f"http://127.0.0.1:{port}"})
    clock.advance(30)
    registro.registry.evict()
    answer = call("GET", "/services").json()
    assert answer["services"] == {"inventario": {"available": 3, "registered": 3}}
    assert answer["self_preservation"] is True


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/services/inventario", b"{"),
        ("POST", "/services/inventario", b""),
        ("POST", "/services/inventario", b"[]"),
        ("POST", "/services/inventario", b"\xff\xfe"),
        ("POST", "/services/inventario", b"{}"),
        ("POST", "/services/inventario", b'{"url": "nada"}'),
        ("POST", "/services/inventario", b'{"url": "http://127.0.0.1:5001", "tll": 3}'),
        ("POST", "/services/inventario", b'{"url": "http://127.0.0.1:5001", "ttl": NaN}'),
        ("POST", "/services/inventario", b'{"url": "http://127.0.0.1:5001", "ttl": 1e999}'),
        ("POST", "/services/inventario", b'{"url": "http://127.0.0.1:5001", "status": ["UP"]}'),
        ("POST", "/services/inventario", b'{"url": "http://127.0.0.1:5001", "metadata": [1]}'),
        ("POST", "/services/a%20b", b'{"url": "http://127.0.0.1:5001"}'),
        ("PUT", "/services/inventario/a%20b", b'{"url": "http://127.0.0.1:5001"}'),
        ("PUT", "/services/inventario/a/status", b'{"status": "ARRIBA"}'),
        ("PUT", "/services/inventario/a/status", b"{}"),
        ("GET", "/services/a%20b", None),
        ("GET", "/services/inventario?all=si", None),
        ("GET", "/services/inventario?index=-1", None),
        ("GET", "/services/inventario?index=x", None),
        ("GET", "/services/inventario?index=1&wait=-1", None),
        ("GET", "/services/inventario?index=1&wait=nan", None),
        ("GET", "/services/inventario?index=1&wait=61", None),
        ("POST", "/eureka/apps/INVENTARIO", b"{}"),
        ("POST", "/eureka/apps/INVENTARIO", b'{"instance": []}'),
        ("POST", "/eureka/apps/INVENTARIO", b'{"instance": {"app": "PAGOS"}}'),
        ("POST", "/eureka/apps/INVENTARIO", b'{"instance": {"port": 9}}'),
        ("POST", "/eureka/apps/INVENTARIO", b'{"instance": {"port": {"$": 99999}}}'),
        ("POST", "/eureka/apps/INVENTARIO", b'{"instance": {"leaseInfo": {"durationInSecs": "x"}}}'),
        ("POST", "/eureka/apps/INVENTARIO", b'{"instance": {"metadata": [1]}}'),
    ],
)
def test_bad_input_is_400_with_a_reason_and_changes_nothing(picky, method, path, body):
    before = picky.registry.services()
    answer = requests.request(method, picky.url + path, data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert picky.registry.services() == before


def test_other_errors_are_json_too(call):
    assert call("GET", "/nada").json()["error"]
    assert call("PATCH", "/services/inventario").status_code == 405
    as_json = {"Content-Type": "application/json"}
    huge = call("POST", "/services/inventario", data=b'{"url": "' + b"x" * 100_000, headers=as_json)
    assert (huge.status_code, bool(huge.json()["error"])) == (413, True)
    assert call("GET", "/health").json() == {"status": "UP"}


# Watching


def test_a_watch_over_http_answers_when_the_index_moves(call, registro):
    index = call("GET", "/services/inventario").json()["index"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call, "GET", f"/services/inventario?index={index}&wait=30")
        registro.wait_for("GET /services/inventario", times=2)
        assert not answer.done()
        registro.registry.register("inventario", "http://127.0.0.1:5001")
        changed = answer.result(10).json()
    assert changed["index"] > index
    assert len(changed["instances"]) == 1


def test_a_watch_over_http_answers_unchanged_when_its_time_is_up(call):
    index = call("GET", "/services/inventario").json()["index"]
    answer = call("GET", f"/services/inventario?index={index}&wait=0.05").json()
    assert (answer["index"], answer["instances"]) == (index, [])


def test_a_client_that_watches_learns_of_a_change_without_asking_again(registro):
    with DiscoveryClient(registro.url, cache_ttl=1000) as client, ThreadPoolExecutor(1) as pool:
        first = client.watch("inventario")
        waiting = pool.submit(client.watch, "inventario", first.index)
        registro.wait_for("GET /services/inventario", times=2)
        registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="a")
        waiting.result(10)
        assert client.pick("inventario").id == "a"
        assert len(registro.requests) == 2


# The client


def test_a_client_balances_by_itself_and_asks_the_registry_once(registro, inventario):
    with DiscoveryClient(registro.url) as client:
        assert [who(client.get("inventario", "/stock/42")) for _ in range(6)] == list("123123")
    assert registro.requests == ["GET /services/inventario"]


def test_a_list_that_is_no_longer_fresh_is_asked_for_again(registro, inventario, clock):
    with DiscoveryClient(registro.url, cache_ttl=5, clock=clock) as client:
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


def test_a_client_survives_the_registrys_death(registro, inventario):
    with DiscoveryClient(registro.url, cache_ttl=0) as client:
        client.get("inventario", "/stock/42")
        registro.stop()
        assert [who(client.get("inventario", "/stock/42")) for _ in range(3)] == list("231")
        assert len(client.instances("inventario")) == 3


def test_a_registry_that_fails_is_not_asked_at_every_call(lab, registro, inventario, clock):
    with DiscoveryClient(registro.url, cache_ttl=5, clock=clock) as client:
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


def test_another_server_on_the_registrys_port_is_no_registry(lab, registro, inventario):
    with DiscoveryClient(registro.url, cache_ttl=0) as client:
        client.get("inventario", "/stock/42")
        registro.stop()
        other = Flask("other")
        other.get("/services/<name>")(lambda name: {"instances": [{"url": "http://127.0.0.1:1"}]})
        lab.serve(other, registro.port)
        assert client.get("inventario", "/stock/42").ok


def test_without_a_registry_and_without_a_list_it_says_so():
    with DiscoveryClient(dead_url()) as client, pytest.raises(RegistryUnavailable, match="disponible"):
        client.get("inventario", "/stock/42")


def test_a_client_survives_a_dead_instance(registro, inventario):
    inventario[1].stop()
    with DiscoveryClient(registro.url) as client:
        answers = [client.get("inventario", "/stock/42") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert Counter(map(who, answers)) == {"1": 3, "3": 3}


def test_an_unreachable_instance_is_passed_over_for_a_while(lab, registro, inventario, clock):
    broken = lab.raw(hang_up)
    registro.registry.register("inventario", broken.url, instance_id="roto")
    with DiscoveryClient(registro.url, cache_ttl=1000, ejection_time=10, clock=clock) as client:
        for _ in range(20):
            assert client.get("inventario", "/stock/42").ok
        assert broken.connections == 1
        clock.advance(10)
        for _ in range(20):
            assert client.get("inventario", "/stock/42").ok
        assert broken.connections == 2


def test_a_post_that_may_have_arrived_is_never_sent_again(lab, registro, inventario):
    broken = lab.raw(hang_up)
    registro.registry.register("pagos", broken.url)
    for server in inventario:
        registro.registry.register("pagos", server.url)
    with DiscoveryClient(registro.url) as client:
        with pytest.raises(requests.ConnectionError):
            client.post("pagos", "/stock/42", json={"importe": 10})
        assert broken.connections == 1
        assert [server.asked for server in inventario] == [[], [], []]
        assert client.post("pagos", "/stock/42").ok


def test_a_post_whose_connection_was_refused_goes_to_the_next(registro, inventario):
    registro.registry.register("pagos", dead_url())
    registro.registry.register("pagos", inventario[0].url)
    with DiscoveryClient(registro.url) as client:
        assert [who(client.post("pagos", "/stock/42")) for _ in range(3)] == list("111")


def test_a_put_whose_connection_broke_goes_to_the_next_unless_its_body_is_used_up(lab, registro, inventario):
    registro.registry.register("pagos", lab.raw(hang_up).url)
    registro.registry.register("pagos", inventario[0].url)
    with DiscoveryClient(registro.url, ejection_time=0) as client:
        assert who(client.request("PUT", "pagos", "/stock/42", data=b"7")) == "1"
        with pytest.raises(requests.ConnectionError):
            client.request("PUT", "pagos", "/stock/42", data=iter([b"7"]))


def test_an_answer_that_is_late_is_an_error_and_not_asked_for_again(lab, registro, inventario):
    slow = lab.raw(hang)
    registro.registry.register("pagos", slow.url)
    registro.registry.register("pagos", inventario[0].url)
    with DiscoveryClient(registro.url, timeout=0.2) as client, pytest.raises(requests.ReadTimeout):
        client.get("pagos", "/stock/42")
    assert inventario[0].asked == []


def test_a_body_that_is_late_is_not_asked_for_again_either(lab, registro, inventario):
    def half(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhola")

    registro.registry.register("pagos", lab.raw(half).url)
    registro.registry.register("pagos", inventario[0].url)
    with DiscoveryClient(registro.url, timeout=0.2) as client:
        with pytest.raises(requests.ConnectionError, match="timed out"):
            client.get("pagos", "/stock/42")
    assert inventario[0].asked == []


def test_an_error_status_is_an_answer(lab, registro):
    failing = Flask("failing")
    failing.get("/")(lambda: ("roto", 503))
    registro.registry.register("pagos", lab.serve(failing).url)
    with DiscoveryClient(registro.url) as client:
        assert client.get("pagos").status_code == 503


def test_when_nobody_can_be_reached_it_says_how_many_were_tried(registro):
    for number in (1, 2, 3):
        registro.registry.register("pagos", dead_url(), instance_id=f"p{number}")
    with DiscoveryClient(registro.url) as client:
        with pytest.raises(NoInstanceAnswered, match="probadas: 3") as raised:
            client.get("pagos")
        assert isinstance(raised.value.__cause__, requests.ConnectionError)
        with pytest.raises(NoInstances, match="envios"):
            client.get("envios")


def test_an_answer_that_breaks_off_is_asked_for_at_the_next(lab, registro, inventario):
    def break_off(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nho")
        connection.close()

    registro.registry.register("pagos", lab.raw(break_off).url)
    registro.registry.register("pagos", inventario[0].url)
    with DiscoveryClient(registro.url) as client:
        assert who(client.get("pagos", "/stock/42")) == "1"


def test_users_of_one_client_do_not_see_each_others_cookies(lab, registro):
    app = Flask("cookies")
    seen = []

    @app.get("/")
    def cookie():
        from flask import request

        seen.append(dict(request.cookies))
        answer = make_response("ok")
        answer.set_cookie("sesion", "ana")
        return answer

    registro.registry.register("cuentas", lab.serve(app).url)
    with DiscoveryClient(registro.url) as client:
        for _ in range(2):
            client.get("cuentas")
    assert seen == [{}, {}]


def test_a_client_refuses_bad_input():
    for wrong in ({"cache_ttl": -1}, {"timeout": 0}, {"ejection_time": "x"}):
        with pytest.raises(InvalidInput):
            DiscoveryClient("http://127.0.0.1:5000", **wrong)
    with pytest.raises(InvalidInput):
        DiscoveryClient("127.0.0.1:5000")
    with DiscoveryClient("http://127.0.0.1:5000") as client, pytest.raises(InvalidInput):
        client.get("a b")


# Staying registered


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
    mine.stop(drain=0.05)
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


def test_stopping_does_not_need_the_registry(registro):
    mine = registration(registro.url, interval=0.02).start()
    registro.stop()
    mine.stop(drain=0.01)


def test_a_heartbeat_that_hangs_neither_holds_up_stopping_nor_registers_afterwards(registro):
    asked, release = threading.Event(), threading.Event()
    first = [True]

    def healthy():
        if first.pop() if first else False:
            return True
        asked.set()
        return release.wait(10)

    mine = registration(registro.url, interval=0.01, healthy=healthy, timeout=0.1).start()
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


# Eviction and health checks in the background


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


# The asynchronous side


async def whose(client, service="inventario", **kwargs):
    response = await client.get(service, "/stock/42", **kwargs)
    return (await response.json())["instancia"][-1]


def test_the_asynchronous_client_balances_and_asks_the_registry_once(registro, inventario):
    async def main():
        async with AsyncDiscoveryClient(registro.url) as client:
            return Counter(await asyncio.gather(*(whose(client) for _ in range(30))))

    assert asyncio.run(main()) == {"1": 10, "2": 10, "3": 10}
    assert registro.requests == ["GET /services/inventario"]


def test_the_asynchronous_client_survives_the_registry_and_a_dead_instance(registro, inventario):
    async def main():
        async with AsyncDiscoveryClient(registro.url, cache_ttl=0) as client:
            await whose(client)
            await asyncio.to_thread(registro.stop)
            await asyncio.to_thread(inventario[1].stop)
            return Counter([await whose(client) for _ in range(6)])

    assert asyncio.run(main()) == {"1": 3, "3": 3}


def test_the_asynchronous_client_never_sends_a_post_again(lab, registro, inventario):
    broken = lab.raw(hang_up)
    registro.registry.register("pagos", broken.url)
    registro.registry.register("pagos", inventario[0].url)
    registro.registry.register("envios", dead_url())
    registro.registry.register("envios", inventario[0].url)

    async def main():
        async with AsyncDiscoveryClient(registro.url) as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.post("pagos", "/stock/42", json={"importe": 10})
            assert inventario[0].asked == []
            assert (await client.post("envios", "/stock/42")).status == 200
            assert await whose(client, "pagos") == "1"

    asyncio.run(main())
    assert broken.connections == 1


def test_the_asynchronous_client_raises_what_is_late_and_what_nobody_answers(lab, registro):
    registro.registry.register("pagos", lab.raw(hang).url)
    registro.registry.register("envios", dead_url())

    async def main():
        async with AsyncDiscoveryClient(registro.url, timeout=0.2) as client:
            with pytest.raises(TimeoutError):
                await client.get("pagos")
            with pytest.raises(NoInstanceAnswered):
                await client.get("envios")
            with pytest.raises(NoInstances):
                await client.pick("catalogo")
        async with AsyncDiscoveryClient(dead_url()) as client:
            with pytest.raises(RegistryUnavailable):
                await client.instances("pagos")

    asyncio.run(main())


def test_the_asynchronous_client_watches(registro):
    async def main():
        async with AsyncDiscoveryClient(registro.url) as client:
            first = await client.watch("inventario")
            waiting = asyncio.create_task(client.watch("inventario", first.index))
            await asyncio.to_thread(registro.wait_for, "GET /services/inventario", 2)
            registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="a")
            return [each.id for each in (await waiting).instances]

    assert asyncio.run(main()) == ["a"]


def test_the_asynchronous_client_says_that_it_belongs_to_one_loop(registro, inventario):
    client = AsyncDiscoveryClient(registro.url, cache_ttl=0)

    async def other():
        with pytest.raises(RuntimeError, match="otro bucle"):
            await client.get("inventario", "/stock/42")

    async def main():
        await whose(client)
        await asyncio.to_thread(asyncio.run, other())
        await client.close()

    asyncio.run(main())


def test_an_asynchronous_registration_lives_like_the_other(lab, registro, clock):
    sick = []

    async def healthy():
        return not sick

    async def main():
        mine = AsyncRegistration(
            registro.url, "inventario", "http://127.0.0.1:5001", interval=0.02, healthy=healthy
        )
        async with mine:
            await asyncio.to_thread(
                registro.wait_for, f"PUT /services/inventario/{mine.instance_id}/lease", 2
            )
            await asyncio.to_thread(registro.stop)
            reborn = lab.registry(Registry(clock=clock), registro.port)
            found = await asyncio.to_thread(reborn.registry.watch, "inventario", 1, 10)
            assert [each.id for each in found.instances] == [mine.instance_id]
            sick.append(1)
            assert await mine.beat() == "unhealthy"
            await mine.drain()
            assert reborn.registry.instances("inventario") == []
        assert reborn.registry.services() == {}

    asyncio.run(main())


def test_an_aiohttp_application_is_registered_while_it_runs(registro):
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def stock(request):
        return web.json_response({"instancia": "aio-1"})

    async def main():
        app = web.Application()
        app.router.add_get("/stock/42", stock)
        app.cleanup_ctx.append(registration_ctx(registro.url, "inventario", url, drain=0.01))
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        async with AsyncDiscoveryClient(registro.url) as client:
            assert await whose(client) == "1"
        await runner.cleanup()

    asyncio.run(main())
    assert [change.instance.status for change in registro.registry.changes()] == [
        "UP",
        "DRAINING",
        "DRAINING",
    ]


def test_bad_input_for_an_application_is_refused_before_it_starts():
    with pytest.raises(InvalidInput):
        registration_ctx("http://127.0.0.1:5000", "inventario", "127.0.0.1:5001")


def test_what_the_registry_refuses_is_raised_at_the_start(lab):
    strict = Flask("strict")
    strict.put("/services/<service>/<instance_id>")(lambda **_: ({"error": "no entra"}, 403))
    url = lab.serve(strict).url
    with pytest.raises(InvalidInput, match="no entra"):
        registration(url).start()

    async def main():
        mine = AsyncRegistration(url, "inventario", "http://127.0.0.1:5001")
        with pytest.raises(InvalidInput, match="no entra"):
            await mine.start()

    asyncio.run(main())


def test_what_a_client_survives_is_logged_and_shown_only_to_who_asks(registro, inventario, caplog, capfd):
    inventario[0].stop()
    with DiscoveryClient(registro.url) as client:
        client.get("inventario", "/stock/42")
    assert "pruebo con la siguiente" in caplog.text
    assert capfd.readouterr().err.count("pruebo") == 0


def test_an_asynchronous_registration_survives_what_the_other_does(registro):
    health = [lambda: 1 / 0]

    async def main():
        mine = AsyncRegistration(
            registro.url, "inventario", "http://127.0.0.1:5001", interval=10, healthy=lambda: health[0]()
        )
        assert await mine.beat() == "unhealthy"
        health[0] = lambda: True
        await mine.start()
        with pytest.raises(RuntimeError, match="ya está en marcha"):
            await mine.start()
        assert await mine.beat() == "renewed"
        await asyncio.to_thread(registro.stop)
        assert await mine.beat() == "unreachable"
        await mine.stop(drain=0.01)

    asyncio.run(main())
    assert len(registro.registry.instances("inventario")) == 1


def test_the_asynchronous_client_takes_no_other_server_for_a_registry(lab, registro, inventario):
    async def main():
        async with AsyncDiscoveryClient(registro.url, cache_ttl=0) as client:
            assert (await client.pick("inventario")).id == "inventario-1"
            await asyncio.to_thread(registro.stop)
            other = Flask("other")
            other.get("/services/<name>")(lambda name: "<h1>hola</h1>")
            await asyncio.to_thread(lab.serve, other, registro.port)
            return await whose(client)

    assert asyncio.run(main()) == "2"
