"""What tracing costs a request, against OpenTelemetry's SDK doing the same, and against no tracing.

One request is a server span around a WSGI application that makes one call: a client span inside it whose
context is written into headers. The application answers at once and the headers go nowhere, so what is told
is the tracing alone. Both export by a batch exporter of the same size, whose receiver takes everything.
OpenTelemetry's middleware is its own for WSGI (`opentelemetry-instrumentation-wsgi`); its client span is made
as its instrumentation of requests makes it, from the SDK and the global propagator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from labkit.patterns.tracing import (
    BatchExporter,
    Tracer,
    TracingMiddleware,
    always_off,
    always_on,
    inject,
    parent_based,
)

OURS, THEIRS, BARE = "labkit", "OpenTelemetry SDK", "no tracing"
OURS_OFF, THEIRS_OFF = "labkit, not sampled", "OpenTelemetry SDK, not sampled"

_CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
Measures = dict[str, Callable[[], float]]


class _Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _environ(sampled: bool) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/pedidos/7",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:5000",
        "HTTP_USER_AGENT": "bench",
        "HTTP_TRACEPARENT": _CALLER + ("01" if sampled else "00"),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
    }


def _application(call: Callable[[], object]) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        call()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    return app


@contextmanager
def _ours(sampled: bool) -> Iterator[Any]:
    with BatchExporter(lambda spans: None, capacity=2048, batch=512) as exporter:
        tracer = Tracer("pedidos", exporter, sampler=parent_based(always_on if sampled else always_off))

        def call() -> None:
            with tracer.span("GET", kind="client", attributes={"http.request.method": "GET"}):
                inject({})

        yield TracingMiddleware(_application(call), tracer)


@contextmanager
def _theirs(sampled: bool) -> Iterator[Any]:
    root = sampling.ALWAYS_ON if sampled else sampling.ALWAYS_OFF
    provider = TracerProvider(sampler=sampling.ParentBased(root), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(_Nowhere(), max_queue_size=2048, max_export_batch_size=512)
    )
    tracer = provider.get_tracer("bench")

    def call() -> None:
        attributes = {"http.request.method": "GET"}
        with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT, attributes=attributes):
            propagate.inject({})

    yield OpenTelemetryMiddleware(_application(call), tracer_provider=provider)
    provider.shutdown()


def _microseconds(app: Any, environ: dict[str, Any], requests: int) -> float:
    """Time of one request, its body read and closed as a server does."""
    begun = time.perf_counter()
    for _ in range(requests):
        parts = app(dict(environ), lambda *_: None)
        for _part in parts:
            pass
        if hasattr(parts, "close"):
            parts.close()
    return 1e6 * (time.perf_counter() - begun) / requests


def measures(requests: int) -> Measures:
    """By name, what measures the microseconds of a request."""

    def of(make: Callable[[bool], Any], sampled: bool) -> Callable[[], float]:
        def measure() -> float:
            with make(sampled) as app:
                _microseconds(app, _environ(sampled), requests // 10)
                return _microseconds(app, _environ(sampled), requests)

        return measure

    def bare() -> float:
        return _microseconds(_application(lambda: None), _environ(True), requests)

    return {
        OURS: of(_ours, True),
        THEIRS: of(_theirs, True),
        OURS_OFF: of(_ours, False),
        THEIRS_OFF: of(_theirs, False),
        BARE: bare,
    }
