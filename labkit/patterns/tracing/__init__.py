"""Distributed tracing: spans that know their trace and their parent, in any thread and across services.

A `Tracer` for each service makes spans; each span that has ended goes to what was given as `export`, a plain
function: `spans.append` in a test, a `BatchExporter` in a service.

    exporter = BatchExporter(OtlpHttp("http://127.0.0.1:4318/v1/traces"))
    tracer = Tracer("pedidos", exporter, sampler=parent_based(ratio(0.1)))
    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer)           # a span for each request that comes
    session.mount("http://", TracingAdapter(tracer))                 # and for each call that goes out
    with tracer.span("cobrar", attributes={"pedido": 7}) as span:    # and for whatever else is of interest
        span.event("reintento", intento=2)

Read in this order: `w3c` (what travels: `traceparent`, `tracestate`), `tracer` (spans, and whose child a new
one is), `carry` (across threads and executors), `sampling`, `wsgi`, `aio` and `requests_side` (the edges of a
service), `export` and `otlp` (to a backend), `view` (the tree, the orphans, who calls whom).

Never in the way of what it observes: nothing here raises in a request for what came from the network or what
an exporter did, no export waits for a receiver, and what did not fit is dropped and counted.

Sources: Sigelman et al., "Dapper, a Large-Scale Distributed Systems Tracing Infrastructure", 2010; W3C Trace
Context (Recommendation, 2021, and the Level 2 candidate of 2024); W3C Baggage; OpenTelemetry's specification
of traces, of OTLP and of HTTP conventions.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from labkit.patterns.tracing.baggage import Entry, get_baggage, set_baggage
from labkit.patterns.tracing.carry import TracingExecutor, carry
from labkit.patterns.tracing.export import BatchExporter, Metrics
from labkit.patterns.tracing.logs import add_trace_ids
from labkit.patterns.tracing.otlp import OtlpFile, OtlpHttp, to_otlp
from labkit.patterns.tracing.propagation import extract, extract_baggage, inject
from labkit.patterns.tracing.sampling import Sampler, always_off, always_on, parent_based, ratio
from labkit.patterns.tracing.tracer import Event, Kind, Link, Span, Tracer, activate, current_span
from labkit.patterns.tracing.view import orphans, self_time, service_map, tree
from labkit.patterns.tracing.w3c import SpanContext

if TYPE_CHECKING:
    from labkit.patterns.tracing.aio import trace_config, tracing_middleware
    from labkit.patterns.tracing.requests_side import TracingAdapter
    from labkit.patterns.tracing.wsgi import TracingMiddleware

__all__ = [
    "BatchExporter",
    "Entry",
    "Event",
    "Kind",
    "Link",
    "Metrics",
    "OtlpFile",
    "OtlpHttp",
    "Sampler",
    "Span",
    "SpanContext",
    "Tracer",
    "TracingAdapter",
    "TracingExecutor",
    "TracingMiddleware",
    "activate",
    "add_trace_ids",
    "always_off",
    "always_on",
    "carry",
    "current_span",
    "extract",
    "extract_baggage",
    "get_baggage",
    "inject",
    "orphans",
    "parent_based",
    "ratio",
    "self_time",
    "service_map",
    "set_baggage",
    "to_otlp",
    "trace_config",
    "tracing_middleware",
    "tree",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


# A Flask service imports nothing of aiohttp, and who makes no calls nothing of requests.
_LATER = {
    "TracingAdapter": "requests_side",
    "TracingMiddleware": "wsgi",
    "trace_config": "aio",
    "tracing_middleware": "aio",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
