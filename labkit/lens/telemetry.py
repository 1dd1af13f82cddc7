"""Spans for every call that is made inside an observed block, in threads and in loops, and their headers.

OpenTelemetry's SDK makes the spans, its W3C propagator the `traceparent`, and the attributes are those of
its HTTP conventions: what the tracing lesson explains. Its ready-made instrumentations are not used here,
for four reasons found in their source (0.66): each is a singleton, so that a learner's own `instrument()`
would be refused; they reach only applications and ClientSessions made afterwards, and here the services run
already; they share the "current span" with the learner's code, whose spans would become children of ours,
and of kind INTERNAL instead of SERVER; and they send the learner's baggage. Here is a provider of our own, a
context variable of our own, and hooks as far inside as there are: what the learner traces is the same with
and without us.

A call belongs to the block whose context it comes from. Contexts travel by themselves with tasks and
`asyncio.to_thread`; here also with `Thread.start`, `ThreadPoolExecutor.submit` and
`loop.call_soon_threadsafe`; and from service to service by headers only, as between processes:
`traceparent`, and in `tracestate` an entry of our own, which says where a call comes from even if the
request carries a `traceparent` of the learner's, which is left as it is.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, cast
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider, sampling
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from labkit import client_hooks, service
from labkit.client_hooks import _here
from labkit.entries import Request
from labkit.lens import messages
from labkit.messages import CUT
from labkit.roster import ROSTER
from labkit.servers import base

LIMIT = 10_000  # ends of calls that one block remembers
_SETTLING = 0.1  # seconds

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_W3C = TraceContextTextMapPropagator()


class _Ids(IdGenerator):
    """Random, but not from `random` itself: a seeded notebook draws the same numbers, observed or not."""

    def __init__(self) -> None:
        self._random = random.Random()

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


_tracer = TracerProvider(
    sampler=sampling.ALWAYS_ON,
    resource=Resource({"service.name": "labkit"}),
    shutdown_on_exit=False,
    id_generator=_Ids(),
).get_tracer("labkit")


Kind = Literal["block", "client", "server"]
_SPAN_KINDS = {"client": trace.SpanKind.CLIENT, "server": trace.SpanKind.SERVER}


@dataclass(eq=False, slots=True)
class CallSpan:
    """One end of a call, and its span: as its caller sees it, or as the service that answers it.

    Blocks are calls too, of which the calls made in them are children. `order` is the place among the
    children of `parent`. Times are of `time.perf_counter`.
    """

    kind: Kind
    span: trace.Span
    parent: CallSpan | None
    order: tuple[int, ...]
    caller: str
    callee: str
    method: str
    path: str
    started: float
    ended: float | None = None
    status: int | None = None
    error: str | None = None
    request: Request | None = None  # of a service: its journal's entry, which knows status and duration

    def result(self) -> tuple[int | None, str | None, float | None]:
        """Return status, error, and when it ended; the last is None while it runs."""
        request = self.request
        if request is None:
            return self.status, self.error, self.ended
        if request.duration is None:
            return request.status, None, None
        error = CUT if request.status is None else None
        return request.status, error, self.started + request.duration

    def write_headers(self, headers: MutableMapping[str, str]) -> Callable[[], None]:
        """Inject the trace context into the headers; returns what puts them back as they were."""
        return _write_headers(self, headers)

    def end(self) -> None:
        """End the call: the answer is there. A call that has ended stays as it is."""
        if self.ended is None:
            self.ended = time.perf_counter()

    def go_on(self) -> None:
        """Reopen the call: there is a body to read."""
        self.ended = None

    def fail(self, error: BaseException) -> None:
        """End the call with the exception that its caller got."""
        if self.ended is None:
            self.error = client_hooks.failure_of(error, self.status)
            if self.error is not None:
                self.span.record_exception(error)
            self.end()


@dataclass(eq=False)
class Trace:
    """All that one outermost block sees, the blocks inside it included."""

    trace_id: int
    clock: tuple[int, float]  # one moment, as nanoseconds since the epoch and as seconds of perf_counter
    open: bool = True
    dropped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: dict[int, CallSpan] = field(default_factory=dict)  # by span id

    def wall(self, moment: float) -> int:
        """Return a moment of perf_counter as nanoseconds since the epoch, by one clock for all spans."""
        return self.clock[0] + int((moment - self.clock[1]) * 1e9)

    def add(
        self,
        kind: Kind,
        parent: CallSpan,
        order: tuple[int, ...],
        caller: str,
        callee: str,
        method: str,
        path: str,
        request: Request | None = None,
    ) -> CallSpan | None:
        """Add a call; None when there are too many, which are only counted."""
        if len(self.calls) >= LIMIT:
            with self.lock:
                self.dropped += 1
            return None
        started = time.perf_counter()
        route, _, query = path.partition("?")
        attributes = {"http.request.method": method, "url.path": route, "peer.service": callee}
        if query:
            attributes["url.query"] = query
        span = _tracer.start_span(
            method,
            _below(parent.span),
            _SPAN_KINDS[kind],
            attributes=attributes,
            start_time=self.wall(started),
        )
        call = CallSpan(kind, span, parent, order, caller, callee, method, path, started, request=request)
        self.calls[span.get_span_context().span_id] = call
        return call


class Position:
    """The trace context of the running code: its trace, the call above it, the caller's name.

    Calls are ordered as the code asks for them. Each thread, task or pool's job that is begun here takes
    a number like a call does, and numbers its own calls below it: (3,) comes before (4, 0) and (4, 1), which
    come before (5,), whichever of them is quicker.
    """

    __slots__ = ("_next", "call", "caller", "prefix", "trace")

    def __init__(self, trace: Trace, call: CallSpan, caller: str, prefix: tuple[int, ...] = ()) -> None:
        self.trace, self.call, self.caller, self.prefix = trace, call, caller, prefix
        self._next = count()

    def next(self) -> tuple[int, ...]:
        """Return the order of what begins now."""
        return (*self.prefix, next(self._next))

    @property
    def observed(self) -> bool:
        """True while the block lasts."""
        return self.trace.open

    def fork(self) -> Position:
        """Return the position of a thread, task or job that begins now."""
        return Position(self.trace, self.call, self.caller, self.next())

    def begin(self, method: str, url: str, path: str) -> CallSpan | None:
        """Begin a call of the code that stands here."""
        return _begin(self, method, url, path)


def here() -> Position | None:
    """Return the trace context of the running code; None where nobody observes it."""
    return cast("Position | None", client_hooks.here())


# Blocks

_lock = threading.Lock()
_open: dict[int, Trace] = {}


@contextmanager
def block() -> Iterator[tuple[Trace, CallSpan, str]]:
    """Observe the context inside: the trace, the block's span in it, and the caller's name."""
    outer = here()
    caller = messages.CLIENT if outer is None else outer.caller
    started, now = time.perf_counter(), time.time_ns()
    # Not the time that the SDK would take: the wall clock may have been set since the outer block began.
    begun = now if outer is None else outer.trace.wall(started)
    context = Context() if outer is None else _below(outer.call.span)
    span = _tracer.start_span("labkit.observe", context, start_time=begun)
    identity = span.get_span_context()
    trace_ = Trace(identity.trace_id, (now, started)) if outer is None else outer.trace
    parent, order = (None, ()) if outer is None else (outer.call, outer.next())
    call = CallSpan("block", span, parent, order, caller, caller, "", "", started)
    trace_.calls[identity.span_id] = call
    if outer is None:
        with _lock:
            _open[trace_.trace_id] = trace_
            if len(_open) == 1:
                _install()
    before = _here.get()
    _here.set(Position(trace_, call, caller))
    try:
        yield trace_, call, caller
    finally:
        call.end()
        _here.set(before)
        if outer is None:
            _hear_processes()
            trace_.open = False
            with _lock:
                del _open[trace_.trace_id]
                if not _open:
                    _remove()


def _hear_processes() -> None:
    """Let in what services in processes of their own have done and not yet told."""
    for each in ROSTER.services():
        each.journal.settle()


def settle(calls: Iterable[CallSpan]) -> None:
    """Let services note the end of what their callers have received.

    A caller has the last byte a moment before the service has noted that it sent it. One that took only the
    beginning of an answer may leave the service at it for long, so the wait is bounded.
    """
    deadline = time.perf_counter() + _SETTLING
    for call in calls:
        request, sender = call.request, call.parent
        if request is None or sender is None or sender.ended is None:
            continue
        while request.status is not None and request.duration is None and time.perf_counter() < deadline:
            time.sleep(0.0002)


def ended_spans(trace_: Trace, calls: Iterable[CallSpan]) -> list[ReadableSpan]:
    """Return the spans of calls, ended. Those that still run end here, and say so."""
    spans: list[ReadableSpan] = []
    for call in calls:
        span = call.span
        if span.is_recording():
            status, error, ended = call.result()
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if error is not None:
                span.set_attribute("error.type", error)
            if error is not None or (status is not None and status >= 500):
                span.set_status(trace.StatusCode.ERROR)
            if ended is None:
                span.set_attribute("labkit.running", True)
            span.end(trace_.wall(time.perf_counter() if ended is None else ended))
        if isinstance(span, ReadableSpan):
            spans.append(span)
    return spans


def _below(span: trace.Span) -> Context:
    return trace.set_span_in_context(span, Context())  # not the learner's context: see the module's docstring


# Headers


def _write_headers(call: CallSpan, headers: MutableMapping[str, str]) -> Callable[[], None]:
    """Inject the trace context into the headers; returns what puts them back as they were."""
    ours: dict[str, str] = {}
    _W3C.inject(ours, _below(call.span))
    identity = call.span.get_span_context()
    ours[TRACESTATE] = f"{client_hooks.ENTRY}{identity.trace_id:032x}-{identity.span_id:016x}"
    return client_hooks.inject(ours, headers)


def _origin(traceparent: str | None, tracestate: str | None) -> tuple[Trace, CallSpan] | None:
    """Extract trace and call from a request's headers, where they name an observed one."""
    for part in _members(tracestate):
        if part.startswith(client_hooks.ENTRY):
            trace_id, _, span_id = part.removeprefix(client_hooks.ENTRY).partition("-")
            try:
                return _find(int(trace_id, 16), int(span_id, 16))
            except ValueError:  # not written by us
                break
    if traceparent is None:
        return None
    identity = _identity(traceparent)
    return _find(identity.trace_id, identity.span_id)


def _find(trace_id: int, span_id: int) -> tuple[Trace, CallSpan] | None:
    trace_ = _open.get(trace_id)
    call = trace_.calls.get(span_id) if trace_ is not None else None
    return (trace_, call) if trace_ is not None and call is not None else None


def _identity(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_W3C.extract({TRACEPARENT: traceparent}, Context())).get_span_context()


def _members(tracestate: str | None) -> list[str]:
    return [part.strip() for part in tracestate.split(",")] if tracestate else []


# Services


def _arrive(name: str, request: Request, traceparent: str | None, tracestate: str | None) -> None:
    """Begin the server's span of a request, below which its handler acts. See servers.base.watcher."""
    origin = _origin(traceparent, tracestate)
    position = None
    if origin is not None:
        trace_, sender = origin
        call = trace_.add("server", sender, (), sender.callee, name, request.method, request.path, request)
        if call is not None:
            position = Position(trace_, call, name)
    _here.set(position)


def _call(method: str, url: str, path: str, order: tuple[int, ...]) -> CallSpan | None:
    """Begin a call of a service in its own process, while it answers one. See servers.base.caller."""
    position = here()
    return None if position is None else _begin(position, method, url, path, order)


def name_of(host: str, port: int) -> str:
    """Return the service that listens there, or did; else the address."""
    candidates = [*ROSTER.services(), *list(service._started)]
    same = [each for each in candidates if each.port == port and _reaches(host, each.host)]
    for each in sorted(same, key=lambda each: not each.running):
        return each.name
    return host if port in (80, 443) else f"{host}:{port}"


def _reaches(host: str, listening: str) -> bool:
    return host in ("127.0.0.1", "localhost", "::1", listening)


# Clients


def _begin(
    position: Position, method: str, url: str, path: str, order: tuple[int, ...] | None = None
) -> CallSpan | None:
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    callee = name_of(address.hostname or "", port)
    caller, order = position.caller, position.next() if order is None else order
    return position.trace.add("client", position.call, order, caller, callee, method, path)


# What is in place while anybody observes, and only then


def _install() -> None:
    client_hooks.install()
    base.observe(_arrive, _call)


def _remove() -> None:
    base.observe(None, None)
    client_hooks.remove()
