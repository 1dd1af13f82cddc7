"""Foreign suites through the edge: the tests of `requests` and of httpx, and gunicorn's invalid requests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
from foreign import packages, source

import labkit
from labkit.patterns.edge import Edge, Route
from labkit.patterns.proxy import Retries, Timeouts

pytestmark = [pytest.mark.soak, pytest.mark.limit(600)]

HERE = Path(__file__).parent

PYTEST = f"pytest=={version('pytest')}"

# What a proxy must not hand on, so that a test of `requests` which expects it cannot pass through one.
OF_REQUESTS = {
    # RFC 9110, sections 7.6.1 and 11.7.2: it is for the proxy itself.
    "tests/test_requests.py::TestRequests::test_proxy_authorization_preserved_on_request",
}
# httpx's command line: its tests compare what it prints, the letters of the headers' names (aiohttp writes
# `Date` for `date`; RFC 9110, 5.1: there is no difference) and the port, which is the edge's and not 8000.
OF_HTTPX = {
    f"tests/test_main.py::test_{name}"
    for name in ("get", "json", "binary", "redirects", "follow_redirects", "post", "verbose", "auth")
}


def test_the_suite_of_requests_fails_nowhere_but_where_a_proxy_must():
    suite = source("requests", version("requests"))
    needed = packages(
        "requests-tests",
        "pytest-httpbin==2.1.0",
        "httpbin>=0.10.1",
        "pytest-mock",
        "pysocks",
        "trustme",
        PYTEST,
    )
    compare(suite, needed, OF_REQUESTS, at_least=500)


def test_the_suite_of_httpx_fails_nowhere_but_where_it_reads_what_is_the_edges_own():
    suite = source("httpx", "0.28.1")
    needed = packages(
        "httpx-tests",
        "httpx[brotli,cli,http2,socks,zstd]==0.28.1",
        "uvicorn",
        "trio",
        "trustme",
        "chardet",
        PYTEST,
    )
    compare(suite, needed, OF_HTTPX, at_least=1000)


def compare(suite, needed, must_fail, at_least):
    """Run a suite directly and through an edge: what fails more must be `must_fail`."""
    direct = outcomes(suite, needed)
    through = outcomes(suite, needed, "-p", "edge_in_front")
    assert direct["passed"] > at_least
    assert "edges in front: 1" in through["text"]
    assert through["failed"] - direct["failed"] == must_fail
    assert through["passed"] == direct["passed"] - len(must_fail)


def outcomes(suite, needed, *arguments):
    paths = os.pathsep.join(map(str, [needed, HERE, HERE.parent.parent]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "-q", "-rf", "-W", "ignore", "-p", "no:cacheprovider",
         "-o", "addopts=", "-o", "filterwarnings=", "--color=no", *arguments],
        cwd=suite, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    text = done.stdout
    assert re.search(r"\d+ passed", text), text[-2000:] + done.stderr[-2000:]
    return {
        "text": text,
        "passed": int(re.search(r"(\d+) passed", text)[1]),
        "failed": set(re.findall(r"^FAILED (\S+)", text, re.MULTILINE)),
    }


# gunicorn's collection of requests that a server must refuse. Where the edge may differ, and why.
ACCEPTED = {
    "006": "a line of 4,1xx bytes: gunicorn's limit is 4,094, ours 8,190",
    "008": "a header line over gunicorn's limit in this test and under ours",
    "011": "gunicorn's limit is set to 2 header lines",
    "012": "gunicorn's limit is set to 98 bytes a header line",
    "040": "gunicorn is told to refuse Content_Length; here no header with an underscore passes",
    "limit_header_default_01": "a long header line, shorter than our limit",
    "rfc9110_trailer_forbidden_host_01": "a Host among the trailers: none is passed on",
    "rfc9112_leading_crlf_02": "two empty lines before the request line: RFC 9112, 2.2 allows to ignore them",
}


class Service:
    """A service at the level of bytes: it answers each whole request, and keeps what it received."""

    def __init__(self):
        self.received = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        data = b""
        with connection:
            while piece := receive(connection):
                data += piece
                while (end := whole(data)) is not None:
                    self.received.append(data[:end])
                    data = data[end:]
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def receive(connection):
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def whole(data):
    """Where the first request of `data` ends; None when it is not all there."""
    head, mark, body = data.partition(b"\r\n\r\n")
    if not mark:
        return None
    length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
    if length:
        return len(head) + 4 + int(length[1]) if len(body) >= int(length[1]) else None
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        end = body.find(b"0\r\n\r\n")
        return None if end < 0 else len(head) + 4 + end + 5
    return len(head) + 4


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.socket.close()


@pytest.fixture(scope="module")
def edge(service):
    edge = Edge(
        [Route("/", to=service.url, public=True)],
        timeouts=Timeouts(head=0.5, body=0.5),
        retries=Retries(attempts=1),
    )
    with labkit.serve(edge.app, name="borde") as running:
        yield running


def collection():
    folder = source("gunicorn", "27.0.1") / "tests" / "requests" / "invalid"
    return {path.stem: bytes_of(path.read_bytes()) for path in sorted(folder.glob("*.http"))}


def bytes_of(text):
    """What the notation of gunicorn's files means."""
    for mark, meant in (
        (b"\n", b""),
        (b"\\r\\n", b"\r\n"),
        (b"\\0", b"\0"),
        (b"\\n", b"\n"),
        (b"\\t", b"\t"),
    ):
        text = text.replace(mark, meant)
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text)


def exchange(port, data):
    """Send bytes, and more requests behind them; return all statuses until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.settimeout(20)
        answer = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65536):
                answer += piece
                if answer.endswith(b"ok"):
                    break
        except ConnectionError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", answer)]


def test_what_gunicorn_collected_is_refused_and_nothing_of_it_reaches_the_service(edge, service):
    cases = collection()
    assert len(cases) >= 80
    accepted, refused, reached = {}, {}, {}
    for name, data in cases.items():
        service.received.clear()
        statuses = exchange(edge.port, data)
        if statuses[:1] == [200]:
            accepted[name] = list(service.received)
        else:
            refused[name] = statuses
            if service.received:
                reached[name] = list(service.received)
    assert accepted.keys() == ACCEPTED.keys()
    assert reached == {}
    assert {status for statuses in refused.values() for status in statuses} <= {
        400,
        404,
        408,
        414,
        431,
        501,
        505,
    }
    for name, received in accepted.items():
        assert len(received) == 1, name
        head = received[0].partition(b"\r\n\r\n")[0].lower()
        assert b"_" not in b"".join(line.partition(b":")[0] for line in head.split(b"\r\n")[1:])
        assert b"evil.example.com" not in received[0]


def test_a_request_that_is_hidden_behind_an_invalid_one_is_never_served(edge, service):
    for name, data in collection().items():
        if name in ACCEPTED:
            continue
        service.received.clear()
        exchange(edge.port, data + b"GET /escondida HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not [each for each in service.received if each.startswith(b"GET /escondida")], name
