"""The store as a service: the same verbs and errors through HTTP, and answers that get lost."""

from __future__ import annotations

import re
import socket
import socketserver
import threading

import pytest
import requests

from labkit import serve
from labkit.patterns.event_sourcing import (
    DuplicateEvent,
    Event,
    EventStore,
    InvalidInput,
    RemoteStore,
    Sqlite,
    StoreBusy,
    StoreUnavailable,
    UnknownSchema,
    Upcasters,
    VersionConflict,
    store_app,
)


@pytest.fixture
def store(tmp_path):
    with EventStore(Sqlite(tmp_path / "hechos.db", lock_timeout=0.05)) as store:
        yield store


@pytest.fixture
def service(store):
    service = serve(store_app(store), name="hechos")
    yield service
    service.stop(grace=0)


@pytest.fixture
def remote(service) -> RemoteStore:
    return RemoteStore(service.url)


def sold(units: int = 1, **more) -> Event:
    return Event("Vendido", {"unidades": units}, **more)


def test_the_client_does_what_the_store_does(store, remote):
    recorded = remote.append("libro-1", [Event("Recibido", {"n": "ñ"}, {"por": "Ana"}), sold()], 0)
    assert recorded == store.read("libro-1") == remote.read("libro-1") == list(remote.read_all())
    assert (remote.version("libro-1"), remote.version("libro-9"), remote.head()) == (2, 0, 2)
    assert remote.append("libro-1", [], 2) == []


def test_long_streams_come_in_pages(store, remote):
    store.append("libro-1", [sold(n) for n in range(2500)], 0)
    assert [event.version for event in remote.read("libro-1")] == list(range(1, 2501))
    assert [event.version for event in remote.read("libro-1", after=10, until=1500)] == list(range(11, 1501))
    assert [event.position for event in remote.read_all()] == list(range(1, 2501))
    assert [event.position for event in remote.read_all(after=400, limit=1200)] == list(range(401, 1601))


def test_the_errors_are_the_stores_own(store, remote):
    remote.append("libro-1", [sold(id="uno")], 0)
    with pytest.raises(VersionConflict) as caught:
        remote.append("libro-1", [sold()], 0)
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("libro-1", 0, 1)
    with pytest.raises(DuplicateEvent):
        remote.append("libro-2", [sold(id="uno")], 0)
    for wrong in (-1, 7, "1", 1.5):
        with pytest.raises(InvalidInput):
            remote.append("libro-1", [sold()], wrong)
    with pytest.raises(InvalidInput):
        remote.append("libro-1", [Event("Vendido", {"par": (1, 2)})], 1)
    with pytest.raises(InvalidInput):
        remote.append("a/b", [sold()], 0)
    assert store.head() == 1


def test_a_busy_store_is_503_and_says_when_to_come_again(store, service, remote, tmp_path):
    with EventStore(tmp_path / "hechos.db") as other, other.transaction():
        answer = requests.post(
            f"{service.url}/streams/libro-1",
            json={"events": [{"type": "Vendido"}], "expected_version": 0},
            timeout=5,
        )
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert answer.headers["Retry-After"] == "1"
        with pytest.raises(StoreBusy):
            remote.append("libro-1", [sold()], 0)


def test_a_service_that_knows_too_little_says_so(tmp_path):
    upcasters = Upcasters()
    upcasters.step("Vendido", 1)(lambda data: data)
    with EventStore(tmp_path / "a.db", upcasters=upcasters) as store:
        service = serve(store_app(store), name="hechos")
        try:
            remote = RemoteStore(service.url)
            remote.append("libro-1", [sold(schema_version=3)], 0)
            with pytest.raises(UnknownSchema):
                remote.read("libro-1")
        finally:
            service.stop(grace=0)


class LosesTheFirstAnswer(socketserver.BaseRequestHandler):
    """Carry a request to the service, and cut the connection when the first answer is there."""

    upstream: tuple[str, int]
    carried = 0

    def handle(self) -> None:
        request = self.request.recv(65536)
        while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < length(request):
            request += self.request.recv(65536)
        with socket.create_connection(self.upstream) as service:
            service.sendall(request)
            answer = b"".join(iter(lambda: service.recv(65536), b""))  # werkzeug closes
        type(self).carried += 1
        if self.carried > 1:
            self.request.sendall(answer)


def length(request: bytes) -> int:
    found = re.search(rb"(?i)content-length: (\d+)", request)
    return int(found[1]) if found else 0


def test_an_append_whose_answer_was_lost_is_repeated_and_done_once(store, service):
    LosesTheFirstAnswer.upstream, LosesTheFirstAnswer.carried = ("127.0.0.1", service.port), 0
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), LosesTheFirstAnswer) as between:
        threading.Thread(target=between.serve_forever, args=(0.01,)).start()
        try:
            url = f"http://127.0.0.1:{between.server_address[1]}"
            recorded = RemoteStore(url).append("libro-1", [sold()], 0)
            assert (LosesTheFirstAnswer.carried, recorded) == (2, store.read("libro-1"))
            LosesTheFirstAnswer.carried = 0
            with pytest.raises(StoreUnavailable):
                RemoteStore(url, attempts=1).append("libro-1", [sold()], 1)
            assert store.version("libro-1") == 2  # an unknown outcome: it was recorded
        finally:
            between.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        "", "no es JSON", "[]", "7", "{}", '{"events": []}', '{"expected_version": 0}',
        '{"events": {}, "expected_version": 0}', '{"events": [7], "expected_version": 0}',
        '{"events": [{}], "expected_version": 0}', '{"events": [{"type": 7}], "expected_version": 0}',
        '{"events": [{"type": "V", "dato": {}}], "expected_version": 0}',
        '{"events": [{"type": "V", "data": [1]}], "expected_version": 0}',
        '{"events": [{"type": "V", "data": {"n": NaN}}], "expected_version": 0}',
        '{"events": [{"type": "V"}], "expected": 0, "expected_version": 0}',
        '{"events": [{"type": "V"}], "expected_version": -1}',
        '{"events": [{"type": "V"}], "expected_version": "0"}',
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_accepted_is_400_with_a_sentence(store, service, body):
    answer = requests.post(f"{service.url}/streams/libro-1", data=body.encode(), timeout=5)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert store.head() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/events?after=-1", "/events?after=x", "/events?limit=0", "/events?limit=1001", "/events?wait=31",
        "/events?wait=nan", "/events?after=99999999999999999999999", "/streams/libro-1?after=1.5",
        "/streams/.a", "/streams/a%20b",
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_accepted_is_400_with_a_sentence(service, path):
    answer = requests.get(service.url + path, timeout=5)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


def test_another_path_or_method_is_json_too(service):
    assert requests.get(service.url + "/nada", timeout=5).json()["error"]
    assert requests.delete(service.url + "/streams/libro-1", timeout=5).status_code == 405


def test_a_body_without_end_is_refused(service):
    answer = requests.post(f"{service.url}/streams/libro-1", data=b"x" * (5 * 1024 * 1024), timeout=5)
    assert answer.status_code in (400, 413)


def test_a_subscriber_is_told_as_soon_as_there_is_something(store, remote):
    stop, seen, ready = threading.Event(), [], threading.Event()
    store.append("libro-1", [sold(1)], 0)

    def follow() -> None:
        for event in remote.subscribe(wait=5, stop=stop):
            seen.append(event.position)
            ready.set()
            if len(seen) == 3:
                stop.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert ready.wait(10)
    store.append("libro-1", [sold(2), sold(3)], 1)
    follower.join(10)
    assert seen == [1, 2, 3]


def test_a_service_that_is_gone_is_told(service, remote):
    service.stop(grace=0)
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        remote.head()


def test_health_names_the_head(store, service):
    store.append("libro-1", [sold()], 0)
    assert requests.get(service.url + "/health", timeout=5).json() == {"head": 1, "status": "UP"}
