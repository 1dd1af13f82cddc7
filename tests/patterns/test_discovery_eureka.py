"""A foreign client, py-eureka-client, against our registry over a real connection.

It runs in a process of its own: its heartbeat thread and its logger's thread never end. The child answers
each line it reads with a line of JSON: the operations of the client as published, nothing of ours. One child
serves all tests, with a new client for each.
"""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import requests
from discovery_support import instance_app

from labkit.patterns.discovery import DiscoveryClient, Registry, Status

pytest.importorskip("py_eureka_client")

CHILD = """
import asyncio, json, sys
import py_eureka_client.logger as logger
logger.set_level("ERROR")
import logging
logger.set_handler(logging.StreamHandler(sys.stderr))
from py_eureka_client import eureka_basic as basic, eureka_client as eureka

server, client, errors = None, None, []

async def new(registry_url, port):
    global server, client
    server = registry_url + "/eureka/"
    client = eureka.EurekaClient(
        eureka_server=registry_url + "/eureka", app_name="inventario", instance_port=int(port),
        instance_host="127.0.0.1", instance_ip="127.0.0.1", instance_id=ID,
        renewal_interval_in_secs=3600, duration_in_secs=90, metadata={"editorial": "Ñandú & Cía"},
        on_error=lambda kind, error: errors.append(kind),
    )

ID = "127.0.0.1:inventario:extranjera"

def told(instance):
    return {
        "id": instance.instanceId, "app": instance.app, "status": instance.status,
        "override": instance.overriddenstatus, "host": instance.hostName, "port": instance.port.port,
        "enabled": instance.port.enabled, "metadata": instance.metadata, "vip": instance.vipAddress,
        "ttl": instance.leaseInfo.durationInSecs, "health": instance.healthCheckUrl,
        "action": instance.actionType, "center": instance.dataCenterInfo.name,
    }

def listed(applications):
    return {
        app.name: {each.instanceId: told(each) for each in app.instances}
        for app in applications.applications
    }

async def fetch_delta():
    await client._EurekaClient__fetch_delta()
    # What its own merge left, by its own hash of it.
    return {"apps": listed(client.applications), "matches": client._EurekaClient__is_hash_match()}

async def full():
    apps = await basic.get_applications(server)
    return {"apps": listed(apps), "hash": apps.appsHashcode}

async def delta():
    apps = await basic.get_delta(server)
    return {"apps": listed(apps), "hash": apps.appsHashcode}

async def code(awaitable):
    try:
        await awaitable
        return "ok"
    except Exception as error:
        return getattr(error, "code", repr(error))

operations = {
    "new": new,
    "start": lambda: client.start(),
    "stop": lambda: client.stop(),
    "beat": lambda: client.send_heartbeat(),
    "bare beat": lambda: code(basic.send_heartbeat(server, "inventario", ID, 0)),
    "bare cancel": lambda: code(basic.cancel(server, "inventario", ID)),
    "out of service": lambda: client.status_update("OUT_OF_SERVICE"),
    "back in service": lambda: client.delete_status_override(),
    "full": full,
    "delta": delta,
    "fetch delta": fetch_delta,
    "vip": lambda: both(basic.get_vip(server, "inventario"), listed),
    "svip": lambda: both(basic.get_secure_vip(server, "inventario"), listed),
    "application": lambda: both(basic.get_application(server, "inventario"), lambda app: app.name),
    "instance": lambda: both(basic.get_app_instance(server, "inventario", ID), told),
    "call": lambda: client.do_service("inventario", "/stock/42", return_type="json"),
}

async def both(awaitable, then):
    return then(await awaitable)

async def main():
    for line in sys.stdin:
        try:
            operation, *arguments = json.loads(line)
            answer = await operations[operation](*arguments)
        except Exception as error:
            answer = {"raised": repr(error)}
        print(json.dumps({"answer": answer, "errors": list(errors)}), flush=True)
        errors.clear()

asyncio.run(main())
"""


class Foreign:
    """py-eureka-client in a child process; call it with the name of an operation."""

    def __init__(self):
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __call__(self, operation, *arguments, errors=()):
        self._child.stdin.write(json.dumps([operation, *arguments]) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        assert answer["errors"] == list(errors)
        return answer["answer"]

    def close(self):
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait(10)


@pytest.fixture
def registro(lab, clock):
    return lab.registry(Registry(clock=clock))


@pytest.fixture
def served(lab):
    return lab.serve(instance_app("extranjera"))


@pytest.fixture(scope="module")
def child():
    child = Foreign()
    yield child
    child.close()


@pytest.fixture
def foreign(child, registro, served):
    child("new", registro.url, served.port)
    return child


ID = "127.0.0.1:inventario:extranjera"


def test_a_foreign_client_lives_a_whole_life_in_our_registry(foreign, registro, served, clock):
    registry = registro.registry
    foreign("start")
    [found] = registry.instances("inventario")
    assert (found.id, found.url, found.ttl) == (ID, served.url, 90)
    assert found.metadata["editorial"] == "Ñandú & Cía"

    clock.advance(60)
    foreign("beat")
    assert registry.lease_left("inventario", ID) == 90

    foreign("out of service")
    assert registry.get("inventario", ID).status is Status.DRAINING
    assert registry.instances("inventario") == []
    foreign("back in service")
    assert registry.get("inventario", ID).status is Status.UP

    foreign("stop")
    assert registry.services() == {}


def test_a_foreign_client_registers_again_when_its_lease_has_run_out(foreign, registro, clock):
    foreign("start")
    clock.advance(90)
    assert len(registro.registry.evict().evicted) == 1
    assert foreign("bare beat") == 404
    assert foreign("bare cancel") == 404
    foreign("beat", errors=["EUREKA_ERROR_STATUS_UPDATE"])
    assert [each.id for each in registro.registry.instances("inventario")] == [ID]
    assert foreign("bare beat") == "ok"


def test_what_a_foreign_client_told_of_itself_it_reads_back(foreign):
    foreign("start")
    told = foreign("instance")
    assert told["metadata"]["editorial"] == "Ñandú & Cía"
    assert (told["app"], told["status"], told["override"]) == ("INVENTARIO", "UP", "UNKNOWN")
    assert (told["host"], told["enabled"], told["vip"], told["ttl"]) == ("127.0.0.1", True, "inventario", 90)
    assert (told["health"].endswith("/health"), told["center"]) == (True, "MyOwn")
    assert foreign("application") == "INVENTARIO"
    assert list(foreign("vip")["INVENTARIO"]) == list(foreign("svip")["INVENTARIO"]) == [ID]


def test_a_foreign_client_calls_a_service_of_ours_and_ours_calls_a_foreign_one(foreign, registro):
    foreign("start")
    assert foreign("call")["instancia"] == "extranjera"
    with DiscoveryClient(registro.url) as ours:
        assert ours.get("inventario", "/stock/42").json()["instancia"] == "extranjera"


def test_a_foreign_client_finds_what_registered_our_way(foreign, registro, served):
    registro.registry.register("inventario", served.url, instance_id="nuestra", metadata={"zona": "norte"})
    registro.registry.register("pagos", "https://127.0.0.1:7001/v1", instance_id="p", status="STARTING")
    apps = foreign("full")
    ours = apps["apps"]["INVENTARIO"]["nuestra"]
    assert (ours["host"], ours["port"], ours["metadata"]) == ("127.0.0.1", served.port, {"zona": "norte"})
    assert apps["apps"]["PAGOS"]["p"]["enabled"] is False
    assert apps["hash"] == "STARTING_1_UP_1_"


def test_a_foreign_client_follows_the_changes_by_delta(foreign, registro, clock):
    registry = registro.registry
    for number in (1, 2, 3):
        registry.register("inventario", f"http://127.0.0.1:500{number}", instance_id=f"i{number}")
    foreign("start")
    assert set(foreign("fetch delta")["apps"]["INVENTARIO"]) == {ID, "i1", "i2", "i3"}

    registry.deregister("inventario", "i1")
    registry.set_status("inventario", "i2", "DRAINING")
    registry.register("inventario", "http://127.0.0.1:5004", instance_id="i4")
    registro.requests.clear()
    merged = foreign("fetch delta")
    statuses = {key: told["status"] for key, told in merged["apps"]["INVENTARIO"].items()}
    assert statuses == {ID: "UP", "i2": "OUT_OF_SERVICE", "i3": "UP", "i4": "UP"}
    assert merged["matches"]
    # By the delta alone: its hash matched ours, so it had no need to read everything again.
    assert registro.requests == ["GET /eureka/apps/delta"]

    told = foreign("delta")
    actions = {key: each["action"] for key, each in told["apps"]["INVENTARIO"].items()}
    assert actions == {"i1": "DELETED", "i2": "MODIFIED", "i3": "ADDED", "i4": "ADDED", ID: "ADDED"}
    assert told["hash"] == "OUT_OF_SERVICE_1_UP_3_"
    clock.advance(200)
    assert foreign("delta")["apps"] == {}


def test_a_foreign_client_sees_a_change_that_leaves_the_counts_as_they_were(foreign, registro):
    registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="i1")
    foreign("start")
    foreign("fetch delta")
    registro.registry.deregister("inventario", "i1")
    registro.registry.register("inventario", "http://127.0.0.1:5002", instance_id="i2")
    assert set(foreign("fetch delta")["apps"]["INVENTARIO"]) == {ID, "i2"}


def test_a_client_that_missed_a_change_reads_everything_again(foreign, registro, clock):
    foreign("start")
    foreign("fetch delta")
    registro.registry.register("inventario", "http://127.0.0.1:5004", instance_id="i4")
    clock.advance(200)  # the delta no longer tells of it
    registro.requests.clear()
    merged = foreign("fetch delta")
    assert set(merged["apps"]["INVENTARIO"]) == {ID, "i4"}
    assert "GET /eureka/apps/" in registro.requests


def test_a_sick_instance_is_down_for_foreign_clients(foreign, registro):
    sick = registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="i1")
    for _ in range(3):
        registro.registry.report_health(sick, passed=False)
    assert foreign("full")["hash"] == "DOWN_1_"


@pytest.fixture
def status(registro):
    """Call Eureka's status operations on a registered instance and return what came of it."""
    registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="i1")
    url = f"{registro.url}/eureka/apps/INVENTARIO/i1/status"

    def call(method, query=""):
        answer = requests.request(method, url + query, timeout=10)
        now = registro.registry.get("inventario", "i1")
        return answer.status_code, now.status, now.override

    return call


def test_an_override_is_removed_and_the_instances_own_word_counts_again(status):
    assert status("PUT", "?value=OUT_OF_SERVICE") == (200, "DRAINING", "DRAINING")
    assert status("DELETE") == (200, "UP", None)
    assert status("DELETE", "?value=UNKNOWN") == (200, "UP", None)


def test_the_value_given_when_an_override_is_removed_stands_until_the_instance_speaks(status, registro):
    status("PUT", "?value=OUT_OF_SERVICE")
    assert status("DELETE", "?value=DOWN") == (200, "DOWN", None)
    assert status("DELETE", "?value=ARRIBA") == (400, "DOWN", None)
    registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="i1")
    assert status("DELETE") == (200, "UP", None)


def test_an_override_of_up_does_not_hand_out_an_instance_that_says_down(status, registro):
    registro.registry.set_status("inventario", "i1", "DOWN")
    assert status("PUT", "?value=UP") == (200, "DOWN", "UP")
    assert registro.registry.instances("inventario") == []


def test_eurekas_paths_answer_404_for_what_is_not_there(registro):
    for path in ("apps/NADIE", "apps/NADIE/x", "instances/x"):
        assert requests.get(f"{registro.url}/eureka/{path}", timeout=10).status_code == 404
    registro.registry.register("inventario", "http://127.0.0.1:5001", instance_id="i1")
    answer = requests.get(f"{registro.url}/eureka/instances/i1", timeout=10)
    assert ElementTree.fromstring(answer.content).findtext("instanceId") == "i1"


def test_a_foreign_instance_with_tls_only_gets_an_https_address(registro):
    body = {
        "instance": {
            "app": "PAGOS",
            "instanceId": "p1",
            "hostName": "127.0.0.1",
            "ipAddr": "127.0.0.1",
            "port": {"$": "7001", "@enabled": "false"},
            "securePort": {"$": 7443, "@enabled": True},
            "metadata": {"@class": "java.util.Collections$EmptyMap"},
            "dataCenterInfo": {"name": "MyOwn"},
        }
    }
    assert requests.post(f"{registro.url}/eureka/apps/PAGOS", json=body, timeout=10).status_code == 204
    assert registro.registry.instances("pagos")[0].url == "https://127.0.0.1:7443"
