"""The registry over HTTP: its API, the errors it answers, and watching."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from discovery_support import Lab, no_threads_left

from labkit.patterns.discovery import Registry


@pytest.fixture
def call(registro):
    """Call the registry's API: call("PUT", "/services/…", json=…)."""
    with requests.Session() as session:
        yield lambda method, path, **kwargs: session.request(
            method, registro.url + path, timeout=10, **kwargs
        )


@pytest.fixture(scope="module")
def picky():
    """A registry with one instance, for requests that must change nothing: one is enough for all."""
    with no_threads_left():
        lab = Lab()
        served = lab.registry(Registry())
        served.registry.register("inventario", "http://127.0.0.1:5009", instance_id="a")
        yield served
        lab.close()


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


def test_a_draining_instance_is_not_listed_and_can_still_be_read(call):
    call("PUT", "/services/inventario/a", json={"url": "http://127.0.0.1:5001"})
    assert call("PUT", "/services/inventario/a/status", json={"status": "DRAINING"}).status_code == 200
    assert call("GET", "/services/inventario").json()["instances"] == []
    assert call("GET", "/services/inventario/a").json()["status"] == "DRAINING"


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
