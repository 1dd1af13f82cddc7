"""`labkit.observe` changes nothing else: other traces, headers and libraries; the spans, and as a table."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import aiohttp
import flask
import pytest
import requests
from observe_support import Start, fetch, flask_app, in_place, in_pool, in_thread, lines
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import PATIENCE, eventually, get

import labkit
from labkit import client_hooks
from labkit.lens.observe import MissingPackage
from labkit.lens.tree import Call

pytestmark = pytest.mark.usefixtures("nothing_left_in_place")


def test_nothing_is_loaded_nor_patched_before_the_first_block() -> None:
    program = """
import sys, threading, asyncio, requests, aiohttp
import labkit
labkit.observe
before = (threading.Thread.start, requests.Session.send, aiohttp.ClientSession._request)
assert not any(name.startswith(("opentelemetry", "matplotlib", "pandas")) for name in sys.modules)
with labkit.observe() as journey:
    assert threading.Thread.start is not before[0]
repr(journey)
assert before == (threading.Thread.start, requests.Session.send, aiohttp.ClientSession._request)
assert not any(name.startswith(("matplotlib", "pandas")) for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_services_may_come_and_go_while_a_block_lasts(start: Start) -> None:
    """labkit.capture patches the same functions for as long as services run."""
    before = in_place()
    for inside in (True, False):
        if not inside:
            service = start(flask_app(), name="s")
        with labkit.observe() as journey:
            if inside:
                service = start(flask_app(), name="s")
            in_thread(get, service.url + "/a")
            service.stop()
            service.start()
            in_thread(get, service.url + "/b")
            in_pool(get, service.url + "/c")
            service.stop()
            with pytest.raises(requests.ConnectionError):
                get(service.url + "/d")
        assert [call.path for call in journey.calls] == ["/a", "/b", "/c", "/d"]
        eventually(lambda before=before: in_place() == before)


def test_what_somebody_puts_on_top_and_leaves_there_does_no_harm(start: Start) -> None:
    service = start(flask_app(), name="s")
    original = requests.Session.send
    with labkit.observe():
        beneath = requests.Session.send

        def theirs(*args: Any, **kwargs: Any) -> Any:
            return beneath(*args, **kwargs)

        requests.Session.send = theirs  # type: ignore[method-assign]
    try:
        assert requests.Session.send is theirs
        with labkit.observe() as journey:
            get(service.url + "/x")
        assert len(journey.calls) == 1
        get(service.url + "/y")
        assert len(journey.calls) == 1
    finally:
        requests.Session.send = original  # type: ignore[method-assign]


def test_a_request_of_the_learners_is_left_as_it_is(start: Start) -> None:
    arrived: list[dict[str, str]] = []

    def note() -> str:
        arrived.append(dict(flask.request.headers))
        return "ok"

    service = start(flask_app(x=note), name="s")
    theirs = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=a,otro=b",
        "X-Mine": "yes",
    }
    session = requests.Session()
    prepared = session.prepare_request(requests.Request("GET", service.url + "/x", headers=theirs))
    before = dict(prepared.headers)
    with labkit.observe() as journey:
        for _ in range(2):
            response = session.send(prepared, timeout=PATIENCE)
            assert dict(prepared.headers) == before
            assert dict(response.request.headers) == before
        labkit.run(fetch(service.url + "/x", headers=theirs))
        get(service.url + "/x")
    assert lines(journey)[1:] == [*["├─ GET s /x → 200"] * 3, "└─ GET s /x → 200"]
    for headers in arrived[:3]:
        assert headers["Traceparent"] == theirs["traceparent"]
        ours, *others = headers["Tracestate"].split(",")
        assert ours.startswith("labkit=")
        assert others == ["vendor=a", "otro=b"]
    assert arrived[3]["Traceparent"].startswith(f"00-{journey.spans[0].context.trace_id:032x}-")
    assert not {"Baggage", "B3"} & arrived[3].keys()


def test_a_handler_that_passes_its_headers_on_is_no_riddle(start: Start) -> None:
    behind = start(flask_app(), name="detras")

    def passed_on(*names: str) -> dict[str, str]:
        return {name: flask.request.headers[name] for name in names if name in flask.request.headers}

    def gateway() -> str:
        get(behind.url + "/all", headers=passed_on("traceparent", "tracestate"))
        get(behind.url + "/one", headers=passed_on("traceparent"))
        return "ok"

    service = start(flask_app(x=gateway), name="puerta")
    with labkit.observe() as journey:
        get(service.url + "/x")
    assert lines(journey)[1:] == [
        "└─ GET puerta /x → 200",
        "   ├─ GET detras /all → 200",
        "   └─ GET detras /one → 200",
    ]


@pytest.mark.parametrize("passed", [["traceparent", "tracestate"], ["traceparent"]])
def test_a_server_that_knows_nothing_of_labkit_passes_the_trace_on(start: Start, passed: list[str]) -> None:
    """Only headers cross it: it makes its call in a thread that no context reaches, as a process would."""
    behind = start(flask_app(), name="detras")

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name: self.headers[name] for name in passed}
            with client_hooks.standing(None):
                get(behind.url + "/y", headers=headers)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as foreign:
        thread = threading.Thread(target=foreign.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"127.0.0.1:{foreign.server_port}"
        with labkit.observe() as journey:
            get(f"http://{address}/x")
        foreign.shutdown()
        thread.join()
    assert lines(journey)[1:] == [f"└─ GET {address} /x → 200", "   └─ GET detras /y → 200"]
    assert journey.calls[1].caller == address


def test_a_stranger_with_headers_of_ours_or_nonsense_is_not_seen(start: Start) -> None:
    service = start(flask_app(), name="s")
    nonsense = [
        {"tracestate": "labkit=zz-1", "traceparent": "00-zz"},
        {"tracestate": "labkit=1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"tracestate": f"labkit={1:032x}-{1:016x}"},
        {"traceparent": ""},
    ]
    with labkit.observe() as journey, client_hooks.standing(None):
        for headers in nonsense:
            assert get(service.url + "/x", headers=headers).status_code == 200
    assert journey.calls == []


def test_seeded_random_numbers_are_the_same_observed_or_not(start: Start) -> None:
    service = start(flask_app(), name="s")
    drawn = []
    for observed in (False, True):
        with labkit.observe() if observed else contextlib.nullcontext():
            random.seed(7)
            get(service.url + "/x")
            drawn.append(random.random())
    assert drawn[0] == drawn[1]


def test_the_learners_own_traces_are_the_same_observed_or_not(start: Start) -> None:
    """With OpenTelemetry's instrumentations in place, as in lesson 09, baggage included."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    heard: list[str | None] = []
    app, behind_app = flask_app(), flask_app()
    behind_app.add_url_rule("/y", "y", lambda: heard.append(flask.request.headers.get("baggage")) or "ok")
    behind = start(behind_app, name="detras")

    async def fan_out() -> None:
        configuration = create_trace_config(tracer_provider=provider)
        async with aiohttp.ClientSession(trace_configs=[configuration]) as session:
            async with session.get(behind.url + "/z") as response:
                await response.read()

    def handler() -> str:
        with provider.get_tracer("lesson").start_as_current_span("own"):
            in_pool(get, behind.url + "/y")
            asyncio.run(fan_out())
        return "ok"

    app.add_url_rule("/x", "x", handler)
    for each in (app, behind_app):
        FlaskInstrumentor().instrument_app(each, tracer_provider=provider)
    service = start(app, name="s")

    def walk() -> list[tuple[str, str, str, bool]]:
        token = context.attach(baggage.set_baggage("cliente", "vip"))
        get(service.url + "/x")
        context.detach(token)
        eventually(lambda: len(exporter.get_finished_spans()) == 7)
        spans = exporter.get_finished_spans()
        exporter.clear()
        names = {span.context.span_id: span.name for span in spans}
        assert len({span.context.trace_id for span in spans}) == 1
        return sorted(
            (
                span.name,
                span.kind.name,
                names[span.parent.span_id] if span.parent else "",
                bool(span.status.description),
            )
            for span in spans
        )

    RequestsInstrumentor().instrument(tracer_provider=provider)
    ThreadingInstrumentor().instrument()
    try:
        without = walk()
        with labkit.observe() as journey:
            during = walk()
        after = walk()
    finally:
        ThreadingInstrumentor().uninstrument()
        RequestsInstrumentor().uninstrument()
    assert without == during == after
    assert heard == ["cliente=vip"] * 3
    assert lines(journey)[1:] == [
        "└─ GET s /x → 200",
        "   ├─ GET detras /y → 200",
        "   └─ GET detras /z → 200",
    ]
    assert trace.get_tracer_provider() is not provider
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)  # nor is ours the global one


def test_instrumentations_switched_on_inside_a_block_stay_out_of_its_way(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        RequestsInstrumentor().instrument(tracer_provider=TracerProvider())
        get(service.url + "/a")
    with labkit.observe() as second:
        get(service.url + "/b")
    RequestsInstrumentor().uninstrument()
    get(service.url + "/c")
    assert [call.path for call in (*journey.calls, *second.calls)] == ["/a", "/b"]
    # Its own way of uninstalling gives back what it found, which was ours and does nothing now.
    requests.Session.send = requests.Session.send.__wrapped__  # type: ignore[attr-defined,method-assign]


def test_the_spans_are_those_of_the_http_conventions(start: Start) -> None:
    service = start(flask_app(cobros=lambda: ("", 503)), name="pagos")
    with labkit.observe() as journey:
        requests.post(service.url + "/cobros?moneda=eur", timeout=PATIENCE)
    block, client, server = journey.spans
    assert [span.kind.name for span in journey.spans] == ["INTERNAL", "CLIENT", "SERVER"]
    for child, parent in pairwise([server, client, block]):
        assert child.parent is not None
        assert child.parent.span_id == parent.context.span_id
        assert child.start_time is not None
        assert parent.start_time is not None
        assert child.start_time >= parent.start_time
    for span in (client, server):
        assert span.name == "POST"
        assert span.attributes is not None
        assert dict(span.attributes) == {
            "http.request.method": "POST",
            "url.path": "/cobros",
            "url.query": "moneda=eur",
            "peer.service": "pagos",
            "http.response.status_code": 503,
        }
        assert span.status.status_code.name == "ERROR"
    assert '"traceparent"' not in server.to_json()


def test_a_frame_has_a_row_for_each_call(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        get(service.url + "/x")
        service.kill()
        with pytest.raises(requests.ConnectionError):
            get(service.url + "/x")
    table = journey.frame()
    assert list(table.columns) == list(Call.__dataclass_fields__)[1:]
    assert table["callee"].tolist() == ["s", "s"]
    assert table["status"].isna().tolist() == [False, True]
    assert table["status"][0] == 200
    assert table["parent"].isna().all()
    with labkit.observe() as empty:
        pass
    assert len(empty.frame()) == 0


def test_without_pandas_or_opentelemetry_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with labkit.observe() as journey:
        pass
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackage, match="pip install pandas"):
        journey.frame()
    program = (
        "import sys; sys.modules['opentelemetry'] = None; import labkit\n"
        "try:\n    with labkit.observe(): pass\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install '.[course]'" in said, "what works for a package that is on no index"


def test_without_matplotlib_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None; import labkit\n"
        "with labkit.observe() as journey: pass\n"
        "for draw in (journey.sequence, journey.waterfall,\n"
        "             lambda: labkit.plots.states([(0, 'a', 'x')]),\n"
        "             lambda: labkit.plots.outcomes({'a': ['x']})):\n"
        "    try: draw()\n"
        "    except ImportError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.count("pip install matplotlib") == 4
