"""`labkit.load` against real services and, for what no decent server sends, against scripted sockets."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import psutil
import pytest
from aiohttp import web
from support import PATIENCE, eventually, free_port, open_files, own_connections

import labkit
from labkit.lens import load as load_module
from labkit.lens import load_messages as messages
from labkit.lens.load import NotLocal, load
from labkit.lens.result import Result, compare
from labkit.lens.samples import Sample


def shop(name: str) -> flask.Flask:
    app = flask.Flask(name)

    @app.get("/")
    def who() -> Any:
        return flask.jsonify(instancia=name)

    @app.get("/cabecera")
    def header() -> Any:
        return flask.Response("hola", headers={"X-Instancia": name})

    @app.route("/eco", methods=["GET", "POST", "PUT", "DELETE"])
    def echo() -> Any:
        app.config.setdefault("ECHOES", []).append(
            (
                flask.request.method,
                flask.request.data,
                dict(flask.request.headers),
                flask.request.args.get("q"),
            )
        )
        return "", 204

    @app.get("/estado/<int:status>")
    def status(status: int) -> Any:
        return "", status, {"Location": "http://192.0.2.1/"}

    return app


def quick(answer: str = "hola") -> web.Application:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=answer)

    app = web.Application()
    app.router.add_route("*", "/", handler)
    return app


@pytest.fixture
def service() -> Iterator[Any]:
    with labkit.serve(shop("catalogo"), name="catalogo") as service:
        yield service


@contextlib.contextmanager
def scripted(*replies: bytes | None, keep: bool = False) -> Iterator[str]:
    """The URL of a socket that gives each connection the next reply (None: cuts it) and closes it.

    `keep`: one connection gets all replies, a request each.
    """
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket, reply: bytes | None) -> bool:
        if not connection.recv(65536):
            return False
        if reply is None:
            return False
        connection.sendall(reply)
        return True

    def serve() -> None:
        with contextlib.suppress(OSError):
            rest = list(replies)
            while rest:
                connection, _ = listening.accept()
                with connection:
                    while rest and answer(connection, rest.pop(0)) and keep:
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(PATIENCE)


# Counting


def test_so_many_requests_and_each_has_its_answer(service: Any) -> None:
    result = load(service, requests=57, concurrency=8)
    assert len(result) == len(result.samples) == 57
    assert result.counts == {"200": 57}
    assert (result.ok, result.errors) == (57, 0)
    assert service.journal.counts["requests"] == 57


def test_without_a_number_it_is_a_hundred(service: Any) -> None:
    assert load(service.url).counts == {"200": 100}


def test_for_so_many_seconds(service: Any) -> None:
    began = time.monotonic()
    result = load(service, duration=0.2, concurrency=2)
    assert time.monotonic() - began < PATIENCE
    assert result.elapsed >= 0.2
    assert 0 < len(result) == result.ok == service.journal.counts["requests"]


def test_by_instance_from_a_field_and_from_a_header() -> None:
    with labkit.serve(shop, name="inventario", replicas=3) as group:
        result = load(group, requests=30)
        assert result.instances == {f"inventario-{n}": 10 for n in (1, 2, 3)}
        assert result.targets == {"GET inventario /": {"200": 30}}
        one = load(group[0].url + "/cabecera", requests=4, instance="X-Instancia")
        assert one.instances == {"inventario-1": 4}


def test_an_answer_that_names_nobody_counts_for_no_instance() -> None:
    for answer in ("hola", '{"instancia"', '["instancia"]', '{"otra": "instancia"}'):
        with labkit.serve(quick(answer), name="mudo") as service:
            assert load(service, requests=2).instances == {}


def test_each_status_counts_as_itself_and_no_redirect_is_followed(service: Any) -> None:
    for status in (302, 404, 503):
        result = load(f"{service.url}/estado/{status}", requests=3)
        assert result.counts == {str(status): 3}
    assert service.journal.counts["requests"] == 9


def test_where_nobody_listens_each_is_refused() -> None:
    result = load(f"http://127.0.0.1:{free_port()}/", requests=20)
    assert result.counts == {messages.REFUSED: 20}
    assert result.latencies == []
    assert result.percentiles == {}


def test_a_service_that_hangs_costs_its_timeout(service: Any) -> None:
    service.pause()
    result = load(service, requests=6, concurrency=3, timeout=0.1)
    assert result.counts == {messages.TIMED_OUT: 6}
    assert min(result.latencies) >= 0.1
    service.resume()


def test_a_service_that_is_killed_meanwhile_is_seen_to_die(service: Any) -> None:
    killer = threading.Thread(
        target=lambda: (eventually(lambda: service.journal.counts["requests"] > 20), service.kill())
    )
    killer.start()
    result = load(service, requests=2000, concurrency=4)
    killer.join(PATIENCE)
    assert len(result) == 2000
    assert result.counts["200"] > 0
    assert result.counts[messages.REFUSED] > 0
    assert set(result.counts) <= {"200", messages.REFUSED, messages.CUT}


def test_a_connection_that_ends_before_the_answer_is_cut() -> None:
    for reply in (
        None,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhol",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nho",
    ):
        with scripted(reply) as url:
            assert load(url, requests=1).counts == {messages.CUT: 1}, reply


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 muy bien\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Y: " + b"z" * 70_000,
    ],
)
def test_what_is_no_http_is_said_so(reply: bytes) -> None:
    with scripted(reply) as url:
        assert load(url, requests=1).counts == {messages.NOT_HTTP: 1}


@pytest.mark.parametrize(
    "reply",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"instancia":"a"}',
        b'HTTP/1.0 200 OK\r\n\r\n{"instancia":"a"}',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'4;x=y\r\n{"in\r\nD\r\nstancia":"a"}\r\n0\r\nT: 1\r\n\r\n',
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"instancia":"a"}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\ninstancia: a\r\n\r\n",
    ],
    ids=["counted", "until the end", "chunked", "interim", "header"],
)
def test_every_framing_of_a_body_is_understood(reply: bytes) -> None:
    with scripted(reply) as url:
        result = load(url, requests=1, instance="instancia")
    assert (result.counts, result.instances) == ({"200": 1}, {"a": 1})


def test_an_answer_that_comes_byte_by_byte_is_understood() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
    connection = load_module.Connection()

    class Loop:
        result: Any = None

        def done(self) -> bool:
            return self.result is not None

        def set_result(self, result: Any) -> None:
            self.result = result

        set_exception = set_result

    waiter = connection._waiter = Loop()  # type: ignore[assignment]
    for byte in reply:
        assert waiter.result is None
        connection.data_received(bytes([byte]))
    assert waiter.result.status == 200
    assert waiter.result.body == b"abcd"
    assert connection.reusable


def test_a_connection_is_kept_and_one_that_closes_is_not() -> None:
    with labkit.serve(quick(), name="rapido") as service:
        before = len(connections_to(service.port))
        result = load(service, requests=300, concurrency=3)
        assert result.counts == {"200": 300}
        assert before == 0
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    with scripted(kept, kept, kept, keep=True) as url:
        assert load(url, requests=3, concurrency=1).counts == {"200": 3}
    with scripted(kept, kept) as url:  # closed without a word: the next request meets its end, or a new one
        counts = load(url, requests=2, concurrency=1).counts
        assert counts["200"] >= 1
        assert set(counts) <= {"200", messages.CUT}


def connections_to(port: int) -> list[Any]:
    mine = own_connections()
    return [c for c in mine if c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED]


# What is sent


def test_method_body_and_headers_arrive() -> None:
    app = shop("eco")
    with labkit.serve(app, name="eco") as service:
        url = service.url + "/eco?q=año nuevo"
        load(url, requests=1, json={"libro": "Ñandú"}, headers={"X-Cliente": "7"})
        load(url, requests=1, method="put", json=[1], headers={"content-type": "text/x"})
        load(url, requests=1)
    (post, put, get) = app.config["ECHOES"]
    assert post[:2] == ("POST", '{"libro": "Ñandú"}'.encode())
    assert post[2]["Content-Type"] == "application/json"
    assert post[2]["X-Cliente"] == "7"
    assert post[3] == "año nuevo"
    assert put[:2] == ("PUT", b"[1]")
    assert put[2]["Content-Type"] == "text/x"
    assert get[:2] == ("GET", b"")
    assert "Content-Length" not in get[2]


def test_head_has_no_body_to_wait_for() -> None:
    with labkit.serve(quick(), name="rapido") as service:
        assert load(service, method="HEAD", requests=4, concurrency=1).counts == {"200": 4}


def test_a_mix_is_drawn_and_the_same_on_each_run(service: Any) -> None:
    mix = [service.url + "/", "POST " + service.url + "/eco", "GET " + service.url + "/estado/404"]
    first = load(mix, method="GET", requests=100, json="x", seed=7)
    assert first.targets == load(mix, method="GET", requests=100, json="x", seed=7, concurrency=3).targets
    assert first.targets != load(mix, method="GET", requests=100, json="x", seed=8).targets
    totals = {target: sum(counts.values()) for target, counts in first.targets.items()}
    assert set(totals) == {"GET catalogo /", "POST catalogo /eco", "GET catalogo /estado/404"}
    assert first.targets["POST catalogo /eco"] == {"204": totals["POST catalogo /eco"]}


def test_a_list_is_a_mix_of_equal_parts(service: Any) -> None:
    result = load([service, service.url + "/cabecera"], requests=100)
    assert set(result.targets) == {"GET catalogo /", "GET catalogo /cabecera"}
    assert min(sum(counts.values()) for counts in result.targets.values()) > 25


# Open loop


def test_an_open_loop_sends_what_was_asked_for(service: Any) -> None:
    result = load(service, rate=200, duration=0.25)
    assert len(result) == 50
    assert [round(sample.start * 200) for sample in result.samples] == list(range(50))
    assert load(service, rate=500, requests=10).counts == {"200": 10}


def test_in_an_open_loop_latency_counts_from_when_a_request_should_have_been_sent() -> None:
    release = threading.Event()

    def slow(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        release.wait(PATIENCE)
        start_response("200 OK", [])
        return []

    with labkit.serve(slow, name="lento") as service:
        threading.Timer(0.3, release.set).start()
        # One at a time: the others wait for their turn, and that wait is theirs, not the generator's secret.
        result = load(service, rate=100, requests=20, concurrency=1)
    assert result.counts == {"200": 20}
    assert sum(latency > 0.05 for latency in result.latencies) >= 15
    assert result.generator_limited
    [note] = result.notes
    assert "salieron tarde" in note
    assert "concurrency" in note


def test_a_rate_that_nobody_can_keep_is_said_to_be_the_generators_limit() -> None:
    with labkit.serve(quick(), name="rapido") as service:
        result = load(service, rate=20_000, requests=2_000)
    assert len(result) == 2_000
    assert result.generator_limited
    assert "salieron tarde" in result.notes[0]


def test_a_load_that_was_kept_up_with_has_no_note(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "_LATE", PATIENCE)  # this machine may be busy
    result = load(service, rate=5, requests=3)
    assert (result.generator_limited, result.notes) == (False, [])


def test_where_the_machine_gives_no_more_connections_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_none(host: str, port: int) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(load_module.Connection, "open", open_none)
    result = load("http://127.0.0.1:1/", requests=3)
    assert result.counts == {messages.OWN_LIMIT: 3}
    assert result.generator_limited
    assert "3 peticiones no llegaron a salir" in result.notes[0]


def test_no_load_outlives_its_longest_time(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "LONGEST", 0.2)
    result = load(service, requests=100_000, timeout=0.2)
    assert 0 < len(result) < 100_000
    assert result.notes[-1].startswith("La carga se detuvo a los 0.2 s")


# Whom it may be aimed at


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://8.8.8.8/",
        "http://192.168.1.1/",
        "http://10.0.0.1:80/",
        "http://0.0.0.0:80/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://[2001:db8::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1%25eth0]/",
        "http://localhost.example.com/",
    ],
)
def test_any_other_machine_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("looked up"))
    with pytest.raises(NotLocal, match="esta misma máquina"):
        load(url, requests=1)
    with pytest.raises(ValueError, match="esta misma máquina"):
        load(["http://127.0.0.1:1/", url], requests=1)


def test_the_addresses_of_this_machine_are_accepted(service: Any) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert load(f"http://{host}:{service.port}/", requests=1).counts == {"200": 1}
    for host in ("127.0.0.2", "[::1]"):
        assert len(load(f"http://{host}:{free_port()}/", requests=1, timeout=1)) == 1


def test_no_proxy_stands_in_between(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    assert load(service, requests=1).counts == {"200": 1}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no se puede cargar"):
        load(url)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"requests": 5, "duration": 1}, ValueError, "no los dos"),
        ({"requests": 0}, ValueError, "entero desde 1 hasta 100000"),
        ({"requests": 100_001}, ValueError, "entero desde 1 hasta 100000"),
        ({"requests": 2.5}, ValueError, "entero"),
        ({"requests": True}, ValueError, "entero"),
        ({"duration": 0}, ValueError, "mayor que 0"),
        ({"duration": 61}, ValueError, "como mucho 60"),
        ({"concurrency": 201}, ValueError, "hasta 200"),
        ({"rate": -1}, ValueError, "mayor que 0"),
        ({"rate": float("inf")}, ValueError, "mayor que 0"),
        ({"rate": 20_000, "duration": 60}, ValueError, "serían 1200000 peticiones"),
        ({"timeout": 0}, ValueError, "timeout=0"),
        ({"method": "G ET"}, ValueError, "método"),
        ({"method": "CONNECT"}, ValueError, "método"),
        ({"method": "GET", "json": {}}, ValueError, "no lleva cuerpo"),
        ({"headers": {"X": "a\r\nY: b"}}, ValueError, "cabecera"),
        ({"headers": {"X Y": "a"}}, ValueError, "cabecera"),
        ({"headers": {"X": 5}}, ValueError, "cabecera"),
        ({"headers": {"X": "日本"}}, ValueError, "cabecera"),
        ({"headers": {"Content-Length": "5"}}, ValueError, "cabecera"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    service: Any, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        load(service, **arguments)
    assert service.journal.counts["requests"] == 0


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ([], ValueError),
        ({}, TypeError),
        (None, TypeError),
        (5000, TypeError),
        ([["http://127.0.0.1"]], TypeError),
        ({"http://127.0.0.1:1/": 2}, TypeError),
    ],
)
def test_what_is_no_target_is_refused(target: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(target)


# While it runs, and afterwards


def test_a_short_run_prints_nothing(service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    load(service, requests=20)
    assert capsys.readouterr() == ("", "")


def test_a_long_run_shows_its_progress_and_erases_it(
    service: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load_module, "_PROGRESS_EVERY", 0.01)
    load(service, requests=10, rate=100, progress=True)
    shown = capsys.readouterr().out
    assert "/10 peticiones" in shown
    assert shown.split("\r")[-1] == ""
    assert shown.split("\r")[-2].strip() == ""
    load(service, duration=0.1, progress=True)
    assert "/0 s" in capsys.readouterr().out
    monkeypatch.setattr(load_module, "_PROGRESS_AFTER", 0.0)
    load(service, duration=0.1, progress=False)
    assert capsys.readouterr().out == ""


def test_nothing_is_left_of_it(service: Any) -> None:
    load([service, f"http://127.0.0.1:{free_port()}/"], requests=50)
    with labkit.serve(quick(), name="rapido") as other:
        load(other, requests=50)
        gc.collect()
        eventually(lambda: not connections_to(other.port))
        threads, files = threading.active_count(), eventually(open_files)
        for _ in range(5):
            load([service, other], requests=50, concurrency=20)
            load(other, rate=1000, requests=50)
        other.pause()
        load(other, requests=10, timeout=0.05)
        other.resume()
        eventually(lambda: not connections_to(other.port))
        eventually(lambda: threading.active_count() <= threads)
        eventually(lambda: open_files() <= files)
    assert not [thread for thread in threading.enumerate() if thread.name == "labkit-load"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent to a thread here")
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_it_cleanly(service: Any) -> None:
    service.pause()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        eventually(lambda: connections_to(service.port))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            load(service, requests=1000, timeout=30)
        assert time.monotonic() - began < 30
    finally:
        thread.join(PATIENCE)
    assert not [thread for thread in threading.enumerate() if thread.name == "labkit-load"]
    eventually(lambda: not connections_to(service.port))
    service.resume()


def test_a_mistake_in_the_generator_is_raised_and_not_swallowed(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module._InstanceOf, "in_response", lambda *_: 1 / 0)
    with pytest.raises(ExceptionGroup):
        load(service, requests=5)


def test_it_may_be_called_from_a_service(service: Any) -> None:
    app = flask.Flask("jefe")
    app.add_url_rule("/", view_func=lambda: repr(load(service, requests=5)))
    with labkit.serve(app, name="jefe") as chief:
        result = load(chief, requests=1)
    assert result.counts == {"200": 1}
    assert service.journal.counts["requests"] == 5


def test_its_calls_belong_to_the_block_that_observes_them(service: Any) -> None:
    pytest.importorskip("opentelemetry.sdk")
    with labkit.observe() as seen:
        load(service, requests=4)
        service.kill()
        load(service, requests=1)
    assert str(seen).splitlines() == [
        "cliente",
        *["├─ GET catalogo / → 200"] * 4,
        f"└─ GET catalogo / → {messages.REFUSED}",
    ]
    assert labkit.plots.topology(seen.calls).text == "cliente → catalogo: 5 llamadas, 1 error"


# The result


def made(*outcomes: tuple[str, float], elapsed: float = 2.0) -> Result:
    return Result(
        [Sample(0.1 * n, latency, outcome, "a", "GET /") for n, (outcome, latency) in enumerate(outcomes)],
        elapsed,
    )


def test_as_text_it_holds_counts_and_no_times() -> None:
    result = made(("200", 0.1), ("503", 0.2), ("200", 0.1), (messages.REFUSED, 0.0))
    assert repr(result).splitlines() == [
        "4 peticiones",
        "200: 2 · 503: 1 · conexión rechazada: 1",
        "por instancia: a: 4",
    ]
    assert repr(Result([], 0.0)) == "ninguna petición"
    assert Result([], 0.0).throughput == 0.0


def test_as_text_a_mix_says_what_came_of_each_target(service: Any) -> None:
    result = load([service.url + "/estado/503", service], requests=1, seed=1)
    assert repr(result).splitlines()[0] == "1 petición"
    result = load([service.url + "/estado/503", service], requests=40)
    bad, good = (sum(result.targets[f"GET catalogo {path}"].values()) for path in ("/estado/503", "/"))
    assert f"GET catalogo / → 200: {good}" in repr(result)
    assert f"GET catalogo /estado/503 → 503: {bad}" in repr(result)


def test_percentiles_are_those_of_who_waited_for_an_answer() -> None:
    waits = [("200", n / 100) for n in range(1, 100)] + [(messages.TIMED_OUT, 5.0)]
    result = made(*waits, (messages.REFUSED, 0.0), (messages.CUT, 0.0))
    assert result.percentile(50) == 0.5
    assert result.percentile(99) == 0.99
    assert result.percentile(100) == 5.0
    assert result.percentile(0) == 0.01
    assert list(result.percentiles) == [50, 90, 95, 99, 100]
    for percent in (-1, 101):
        with pytest.raises(ValueError, match="percentil"):
            result.percentile(percent)
    with pytest.raises(ValueError, match="percentil"):
        made((messages.REFUSED, 0.0)).percentile(50)


def test_throughput_is_of_good_answers() -> None:
    assert made(("200", 0.1), ("302", 0.1), ("404", 0.1), ("500", 0.1)).throughput == 1.0


def test_samples_are_in_the_order_of_sending_and_within_the_run(service: Any) -> None:
    result = load(service, requests=50, concurrency=5)
    starts = [sample.start for sample in result.samples]
    assert starts == sorted(starts)
    assert starts[0] >= 0
    assert all(sample.latency > 0 for sample in result.samples)
    assert max(sample.end for sample in result.samples) <= result.elapsed + 0.001


def test_it_shows_as_a_picture() -> None:
    result = made(("200", 0.1), ("503", 0.2))
    png = result._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")
    assert Result([], 0.0)._repr_png_() is None


def test_two_results_are_compared_by_name() -> None:
    before, after = made(("200", 0.1), ("503", 0.2)), made(("200", 0.1))
    assert compare(before, after).text == "antes: 200: 1 · 503: 1\ndespués: 200: 1"
    assert compare(before, after, before, names="xyz").text.splitlines()[2] == "z: 200: 1 · 503: 1"
    assert labkit.compare is compare
    for results, names in (
        ((before, after), ["a"]),
        ((before, after), ["a", "a"]),
        ((), []),
        ((before,), "ab"),
    ):
        with pytest.raises(ValueError, match="nombres"):
            compare(*results, names=names)
    with pytest.raises(TypeError, match=r"labkit\.load"):
        compare(before, 5)  # type: ignore[arg-type]


def test_both_are_public_names_and_cost_nothing_until_used() -> None:
    assert labkit.load is load
    code = "import sys, labkit; labkit.load; print('matplotlib' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
