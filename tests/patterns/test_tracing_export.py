"""The exporter: bounded, never waited for, every span accounted for. And OTLP/JSON, read back by protobuf."""

import base64
import json
import math
import random
import socket
import threading
from contextlib import closing

import pytest
import requests
from flask import Flask, request
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

import labkit
from labkit.patterns.tracing import (
    BatchExporter,
    Link,
    Metrics,
    OtlpFile,
    OtlpHttp,
    SpanContext,
    Tracer,
    TracingMiddleware,
    to_otlp,
)

PATIENCE = 20


class Receiver:
    """What `send` gives its batches to: it answers, hangs until told, or fails."""

    def __init__(self):
        self.batches = []
        self.entered = threading.Semaphore(0)
        self.answers = threading.Event()
        self.answers.set()
        self.error = None

    def __call__(self, spans):
        self.entered.release()
        assert self.answers.wait(PATIENCE)
        if self.error:
            raise self.error
        self.batches.append([span.name for span in spans])


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.answers.set()


def make(exporter, number, start=0):
    tracer = Tracer("pedidos", exporter)
    for n in range(start, start + number):
        tracer.span(f"s{n}").end()


def test_every_span_arrives_once_and_in_order(receiver):
    with BatchExporter(receiver, batch=10, interval=60) as exporter:
        make(exporter, 95)
        assert exporter.flush()
        assert exporter.metrics == Metrics(exported=95, failed=0, dropped=0, pending=0)
    assert [name for batch in receiver.batches for name in batch] == [f"s{n}" for n in range(95)]
    assert max(map(len, receiver.batches)) <= 10


def test_a_full_batch_waits_for_nothing_and_a_part_of_one_for_the_interval(receiver):
    with BatchExporter(receiver, batch=3, interval=60) as exporter:
        make(exporter, 3)
        assert receiver.entered.acquire(timeout=PATIENCE)
    with BatchExporter(receiver, batch=3, interval=0.01) as exporter:
        make(exporter, 1)
        assert receiver.entered.acquire(timeout=PATIENCE)


def test_a_receiver_that_hangs_is_waited_for_by_nobody_and_what_is_dropped_is_counted(receiver):
    receiver.answers.clear()
    exporter = BatchExporter(receiver, capacity=50, batch=10, interval=60)
    make(exporter, 10)
    assert receiver.entered.acquire(timeout=PATIENCE)  # ten are under way and hang
    make(exporter, 500, start=10)  # would hang here too, if anybody waited
    assert exporter.metrics == Metrics(exported=0, failed=0, dropped=450, pending=60)
    receiver.answers.set()
    assert exporter.close(PATIENCE)
    assert exporter.metrics == Metrics(exported=60, failed=0, dropped=450, pending=0)
    assert [name for batch in receiver.batches for name in batch] == [f"s{n}" for n in range(60)]


def test_a_receiver_that_fails_loses_what_it_was_given_and_the_next_batch_is_tried(receiver, caplog):
    receiver.error = OSError("sin sitio")
    with BatchExporter(receiver, batch=5, interval=60) as exporter:
        make(exporter, 15)
        assert exporter.flush()
        assert exporter.metrics == Metrics(exported=0, failed=15, dropped=0, pending=0)
        assert caplog.text.count("sin sitio") == 1, "once for an outage"
        receiver.error = None
        make(exporter, 2)
        assert exporter.flush()
        assert exporter.metrics == Metrics(exported=2, failed=15, dropped=0, pending=0)
        receiver.error = OSError("otra vez")
        make(exporter, 1)
        assert exporter.flush()
    assert "otra vez" in caplog.text


def test_close_sends_what_is_left_and_what_comes_after_is_dropped(receiver):
    exporter = BatchExporter(receiver, interval=60)
    make(exporter, 7)
    assert exporter.close()
    assert exporter.close()
    make(exporter, 2)
    assert exporter.metrics == Metrics(exported=7, failed=0, dropped=2, pending=0)


def test_close_does_not_wait_for_ever_and_counts_what_it_leaves(receiver):
    receiver.answers.clear()
    exporter = BatchExporter(receiver, batch=2, interval=60)
    make(exporter, 5)
    assert receiver.entered.acquire(timeout=PATIENCE)
    assert exporter.flush(timeout=0.01) is False
    assert exporter.close(timeout=0.01) is False
    assert exporter.metrics == Metrics(exported=0, failed=0, dropped=3, pending=2)
    receiver.answers.set()
    labkit.eventually(lambda: exporter.metrics == Metrics(2, 0, 3, 0), PATIENCE)


def test_an_exporter_that_got_nothing_has_no_thread(receiver):
    before = threading.active_count()
    with BatchExporter(receiver):
        assert threading.active_count() == before


def test_the_account_is_right_with_many_threads_and_a_receiver_that_fails_at_random():
    dice, seen = random.Random(3), []

    def send(spans):
        if dice.random() < 0.3:
            raise OSError
        seen.extend(spans)

    with BatchExporter(send, capacity=40, batch=8, interval=0.001) as exporter:
        threads = [threading.Thread(target=make, args=(exporter, 500)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert exporter.flush(PATIENCE)
        metrics = exporter.metrics
    assert metrics.exported + metrics.failed + metrics.dropped == 8 * 500
    assert metrics.exported == len(seen)
    assert metrics.pending == 0


# In front of a service whose receiver is dead, or hangs


def shop(exporter):
    app = Flask("tienda")
    app.get("/")(lambda: "hola")
    app.wsgi_app = TracingMiddleware(app.wsgi_app, Tracer("tienda", exporter))
    return app


def ask(service, times):
    for _ in range(times):
        assert requests.get(service.url, timeout=PATIENCE).text == "hola"


def ended(exporter, number):
    labkit.eventually(lambda: sum(vars(exporter.metrics).values()) == number, PATIENCE)


def test_a_service_whose_receiver_is_dead_serves_on(caplog):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with (
        BatchExporter(OtlpHttp(f"http://127.0.0.1:{port}/v1/traces"), batch=4, interval=0.01) as exporter,
        labkit.serve(shop(exporter), name="tienda") as service,
    ):
        ask(service, 20)
        ended(exporter, 20)
        assert exporter.flush(PATIENCE)
        assert exporter.metrics == Metrics(exported=0, failed=20, dropped=0, pending=0)


def test_a_service_whose_receiver_takes_connections_and_never_answers_serves_on():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
        exporter = BatchExporter(OtlpHttp(url, timeout=PATIENCE), capacity=5, batch=2, interval=0.01)
        with labkit.serve(shop(exporter), name="tienda") as service:
            ask(service, 1)
            connection, _ = listener.accept()  # one is under way, and stays so
            ask(service, 29)
            ended(exporter, 30)
        assert exporter.metrics == Metrics(exported=0, failed=0, dropped=24, pending=6)
        connection.close()
        exporter.close(0)


def test_a_receiver_that_is_slow_gets_what_it_can_take(receiver):
    turns = threading.Semaphore(0)

    def send(spans):
        assert turns.acquire(timeout=PATIENCE)
        receiver(spans)

    exporter = BatchExporter(send, capacity=4, batch=2, interval=0.01)
    with labkit.serve(shop(exporter), name="tienda") as service:
        ask(service, 12)
        ended(exporter, 12)
    for _ in range(12):
        turns.release()
    assert exporter.close(PATIENCE)
    metrics = exporter.metrics
    assert metrics.exported + metrics.dropped == 12
    assert 4 <= metrics.exported <= 6


# OTLP/JSON


def proto(line):
    """What opentelemetry-proto makes of our JSON. OTLP deviates in one thing from protobuf: its ids."""
    data = json.loads(line) if isinstance(line, str | bytes) else line

    def to_base64(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("traceId", "spanId", "parentSpanId"):
                    node[key] = base64.b64encode(bytes.fromhex(value)).decode()
                else:
                    to_base64(value)
        elif isinstance(node, list):
            for each in node:
                to_base64(each)

    to_base64(data)
    return json_format.ParseDict(data, ExportTraceServiceRequest())  # raises for a field that there is not


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(each) for each in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def some_spans():
    spans = []
    tracer = Tracer("pagos", spans.append, resource={"service.version": "1.2", "réplica": 3})
    other = Tracer("envíos", spans.append)
    caller = SpanContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 3, "rojo=1")
    link = Link(SpanContext("0" * 31 + "1", "0" * 15 + "2", 1, "a=b"), {"lote": 3})
    with tracer.span("cobrar ñ", kind="server", parent=caller, links=[link]) as span:
        for key, given in ATTRIBUTES.items():
            span.set(key, given)
        span.event("reintento", intento=2)
        with other.span("avisar", kind="producer"):
            pass
        span.fail("saldo")
    return spans


ATTRIBUTES = {
    "texto": "sí",
    "vacío": "",
    "entero": -7,
    "grande": 2**62,
    "demasiado": 2**80,
    "real": 0.5,
    "infinito": math.inf,
    "menos": -math.inf,
    "cierto": True,
    "falso": False,
    "lista": ["a", 1, 2.5, False],
    "nada": None,
    "medio carácter": "\ud800",
}


def test_the_file_is_read_back_by_the_protobuf_package_of_opentelemetry(tmp_path):
    path = tmp_path / "trazas.jsonl"
    spans = some_spans()
    with BatchExporter(OtlpFile(path), batch=2) as exporter:
        for span in spans:
            exporter(span)
    with BatchExporter(OtlpFile(path)) as exporter:
        make(exporter, 1)
    first, second = (proto(line) for line in path.read_text("utf-8").splitlines())
    assert len(second.resource_spans) == 1
    by_service = {attributes(each.resource.attributes)["service.name"]: each for each in first.resource_spans}
    assert set(by_service) == {"pagos", "envíos"}
    assert attributes(by_service["pagos"].resource.attributes) == {
        "service.name": "pagos",
        "service.version": "1.2",
        "réplica": 3,
    }
    [read] = by_service["pagos"].scope_spans[0].spans
    [child] = by_service["envíos"].scope_spans[0].spans
    original = next(span for span in spans if span.service == "pagos")
    assert read.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert read.span_id.hex() == original.context.span_id
    assert read.parent_span_id.hex() == "00f067aa0ba902b7"
    assert (read.trace_state, read.flags, read.name) == ("rojo=1", 3, "cobrar ñ")
    assert (read.kind, child.kind) == (ProtoSpan.SPAN_KIND_SERVER, ProtoSpan.SPAN_KIND_PRODUCER)
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (original.start, original.end_time)
    assert child.parent_span_id == read.span_id
    assert (read.status.code, child.status.code) == (2, 0)
    assert [(event.name, attributes(event.attributes)) for event in read.events] == [
        ("reintento", {"intento": 2})
    ]
    assert read.events[0].time_unix_nano == original.events[0].time
    [link] = read.links
    assert (link.trace_id.hex(), link.span_id.hex()) == ("0" * 31 + "1", "0" * 15 + "2")
    assert (link.trace_state, link.flags, attributes(link.attributes)) == ("a=b", 1, {"lote": 3})
    assert attributes(read.attributes) == {
        **ATTRIBUTES,
        "demasiado": str(2**80),
        "nada": "None",
        "medio carácter": "?",
        "error.type": "saldo",
    }


def test_not_a_number_is_written_as_otlp_wants_it():
    spans = []
    Tracer("a", spans.append).span("x", attributes={"n": math.nan}).end()
    written = to_otlp(spans)
    [pair] = written["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    assert pair["value"] == {"doubleValue": "NaN"}
    assert math.isnan(
        proto(written).resource_spans[0].scope_spans[0].spans[0].attributes[0].value.double_value
    )


def test_a_root_names_no_parent_and_counts_what_it_dropped():
    spans = []
    with Tracer("a", spans.append).span("x") as span:
        for n in range(130):
            span.event("e", n=n)
    written = to_otlp(spans)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert "parentSpanId" not in written
    assert written["droppedEventsCount"] == 2
    assert written["flags"] == 3


def test_a_collector_receives_it_over_http():
    got = []
    app = Flask("colector")

    @app.post("/v1/traces")
    def take():
        got.append((request.content_type, request.headers["X-Clave"], proto(request.get_data())))
        return {}

    app.post("/busy")(lambda: ("", 503))
    app.post("/moved", endpoint="moved")(lambda: ("", 302, {"Location": "/v1/traces"}))
    with labkit.serve(app, name="colector") as collector:
        with BatchExporter(OtlpHttp(f"{collector.url}/v1/traces", headers={"X-Clave": "k"})) as exporter:
            make(exporter, 3)
        with BatchExporter(OtlpHttp(f"{collector.url}/busy")) as refused:
            make(refused, 2)
        with BatchExporter(OtlpHttp(f"{collector.url}/moved")) as moved:  # not followed: it would be a GET
            make(moved, 2)
    [(content_type, key, message)] = got
    assert (content_type, key) == ("application/json", "k")
    assert [span.name for span in message.resource_spans[0].scope_spans[0].spans] == ["s0", "s1", "s2"]
    assert exporter.metrics == Metrics(3, 0, 0, 0)
    assert refused.metrics == moved.metrics == Metrics(0, 2, 0, 0)


REFUSED = {
    "no function": (lambda: BatchExporter("http://x"), "send vale 'http://x'"),
    "no room": (lambda: BatchExporter(print, capacity=0), "capacity vale 0"),
    "a batch of nothing": (lambda: BatchExporter(print, batch=0), "batch vale 0"),
    "a batch that cannot be": (lambda: BatchExporter(print, capacity=5, batch=6), "batch vale 6"),
    "no interval": (lambda: BatchExporter(print, interval=0), "interval vale 0"),
    "no address": (lambda: OtlpHttp("127.0.0.1:4318"), "url vale '127.0.0.1:4318'"),
    "another scheme": (lambda: OtlpHttp("file:///etc/passwd"), "url vale 'file:///etc/passwd'"),
    "no patience": (lambda: OtlpHttp("http://x", timeout=-1), "timeout vale -1"),
}


@pytest.mark.parametrize(("wrong", "sentence"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused_at_once_in_a_sentence(wrong, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        wrong()
    assert str(caught.value).startswith(sentence)
    assert "se acepta" in str(caught.value)
