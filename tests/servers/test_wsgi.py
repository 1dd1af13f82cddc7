"""labkit/servers/wsgi.py: what is particular to WSGI; what all kinds share is in test_service.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import requests
from support import PATIENCE, Raw, Stage, build, eventually, get

import labkit
from labkit.errors import PortInUse

both = pytest.mark.parametrize("kind", ["flask", "wsgi"])


@both
def test_a_body_that_fails_at_once_is_a_500(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="x") as service:
        assert get(service.url + "/stillborn").status_code == 500
        assert "ZeroDivisionError: at once" in service.journal.text()
        assert service.journal.counts["errors"] == 1


@both
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/broken", "ZeroDivisionError: in the middle"),
        ("/exit-in-the-middle", "SystemExit: 3"),
        ("/broken-connection", "ConnectionResetError: the warehouse hung up"),
    ],
)
def test_a_body_that_fails_in_the_middle_breaks_off_whatever_it_raises(
    kind: str, path: str, said: str, stage: Stage
) -> None:
    with labkit.serve(build(kind, stage), name="x") as service:
        with pytest.raises(requests.RequestException):
            get(service.url + path)
        eventually(lambda: said in service.journal.text())
        assert service.journal.text().count(said) == 1
        assert get(service.url).status_code == 200


@pytest.mark.parametrize("setting", ["TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
def test_flask_settings_that_let_errors_out_change_nothing(setting: str, stage: Stage) -> None:
    app = build("flask", stage)
    app.config[setting] = True
    with labkit.serve(app, name="x") as service:
        assert get(service.url + "/boom").status_code == 500
        assert "ZeroDivisionError: boom" in service.journal.text()
        assert "Werkzeug Debugger" not in get(service.url + "/boom").text


def test_a_client_that_leaves_in_the_middle_of_a_stream_is_no_error(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="x") as service:
        with Raw(service) as raw:
            raw.ask("/stream")
            raw.read_until(b"first;")
        stage.release.set()
        eventually(lambda: service.journal.requests[0].duration is not None)
        assert service.journal.lines == ["GET /stream → 200"]


def test_bytes_that_are_no_http_get_a_400_and_harm_nobody(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="x") as service:
        for garbage in (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"HOLA\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n" * 10,
        ):
            with Raw(service) as raw:
                raw.send(garbage)
                raw.socket.shutdown(1)
                raw.read_to_end()
        assert get(service.url).text == "hola"


def test_the_body_of_a_response_is_closed(stage: Stage) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def close(self) -> None:
            closed.append(1)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "2")])
        return Body()

    with labkit.serve(app, name="x") as service:
        assert get(service.url).text == "ab"
        eventually(lambda: closed == [1])


def test_an_app_that_writes_and_one_that_gives_text_or_nothing(stage: Stage) -> None:
    def writes(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"hola")
        return []

    def text(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return ["no bytes"]

    def nothing(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])

    def no_start(environ: Any, start_response: Any) -> Any:
        return [b"hola"]

    with labkit.serve(writes, name="x") as service:
        assert get(service.url).text == "hola"
    for wrong in (text, nothing, no_start):
        with labkit.serve(wrong, name="x") as service:
            try:
                assert get(service.url).status_code == 500
            except requests.RequestException:  # too late for a status: the answer breaks off
                pass
            eventually(lambda service=service: "Error" in service.journal.text())


def test_methods_bodies_and_headers_arrive(stage: Stage) -> None:
    app = flask.Flask("x")

    @app.route("/", methods=["POST", "PUT", "DELETE"])
    def echo() -> Any:
        return flask.request.data, 201, {"X-Method": flask.request.method}

    with labkit.serve(app, name="x") as service:
        for method in ("POST", "PUT", "DELETE"):
            answer = requests.request(method, service.url, data=b"x" * 1_000_000, timeout=PATIENCE)
            assert (answer.status_code, len(answer.content)) == (201, 1_000_000)
            assert answer.headers["X-Method"] == method
        chunked = requests.post(service.url, data=iter([b"a", b"b"]), timeout=PATIENCE)
        assert chunked.content == b"ab"


def test_it_stops_at_once_and_not_after_a_poll_of_half_a_second(stage: Stage) -> None:
    import time

    began = time.monotonic()
    for _ in range(20):
        labkit.serve(build("flask", stage), name="x").stop()
    assert time.monotonic() - began < 9  # twenty polls of werkzeug's would be 10 s; it takes 0.1 s


def test_a_taken_port_is_no_system_exit_of_werkzeug_in_any_thread() -> None:
    with labkit.serve(flask.Flask("a"), name="a") as service, ThreadPoolExecutor(1) as pool:
        failure = pool.submit(labkit.serve, flask.Flask("b"), name="b", port=service.port).exception(PATIENCE)
    assert isinstance(failure, PortInUse)
