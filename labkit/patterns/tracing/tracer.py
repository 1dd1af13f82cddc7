"""Spans, and whose child a new one is.

The span in which code runs is kept in a context variable: each thread and each task has its own, and a task
begins with that of who created it. A thread begins without one (see `carry`).

A span's times come from a clock that never runs backwards. The wall clock is read once where a trace enters
the process; children reckon from there. So no span lasts less than nothing, and none begins before its
parent, whoever sets the clock meanwhile.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, get_args

from labkit.patterns._given import valid_function, valid_text
from labkit.patterns.tracing import messages
from labkit.patterns.tracing.sampling import Sampler, parent_based
from labkit.patterns.tracing.w3c import RANDOM, SAMPLED, SpanContext, is_key, with_entry

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Status = Literal["unset", "ok", "error"]
KINDS: tuple[str, ...] = get_args(Kind)

LIMIT = 128  # attributes, events and links that a span keeps of each; what comes after is counted

_NANO = 1e9
_log = logging.getLogger(__name__)
_ending = threading.Lock()


class Event(NamedTuple):
    """Something that happened at one moment of a span. `time`: nanoseconds since the epoch."""

    time: int
    name: str
    attributes: dict[str, Any]


class Link(NamedTuple):
    """Another span that this one has to do with and is no child of: the sender of a message."""

    context: SpanContext
    attributes: Mapping[str, Any] = {}


class Span:
    """A piece of work with a beginning and an end. Made by `Tracer.span`; as a `with` block it is current.

    `parent_id`: the parent's span id, None at the trace's root; `start` and `end_time`: nanoseconds since
    the epoch, `end_time` None while it runs; `recording`: False for a span of a trace that is not sampled,
    whose context travels and which keeps nothing; `dropped`: how many of each did not fit.
    """

    __slots__ = (
        "_offset", "_token", "_tracer", "attributes", "context", "dropped", "end_time", "events", "kind",
        "links", "message", "name", "parent_id", "recording", "start", "status",
    )  # fmt: skip

    def __init__(
        self,
        tracer: "Tracer",
        name: str,
        kind: Kind,
        context: SpanContext,
        parent_id: str | None,
        offset: int,
        start: int,
        links: tuple[Link, ...],
    ) -> None:
        self._tracer, self.name, self.kind, self.context, self.parent_id = (
            tracer,
            name,
            kind,
            context,
            parent_id,
        )
        self._offset, self.start = offset, start
        self._token: Token[Span | None] | None = None
        self.recording = context.sampled
        self.end_time: int | None = None
        self.attributes: dict[str, Any] = {}
        self.events: list[Event] = []
        self.links = links[:LIMIT]
        self.dropped = {"attributes": 0, "events": 0, "links": max(0, len(links) - LIMIT)}
        self.status: Status = "unset"
        self.message = ""

    @property
    def service(self) -> str:
        """The name of the service whose work it is."""
        return self._tracer.service

    @property
    def resource(self) -> Mapping[str, Any]:
        """What is true of all spans of its tracer."""
        return self._tracer.resource

    @property
    def duration(self) -> float | None:
        """Seconds from beginning to end; None while it runs."""
        return None if self.end_time is None else (self.end_time - self.start) / _NANO

    @property
    def tracestate(self) -> str:
        """What goes out: what came in, and in front of it the entry of the tracer's vendor."""
        vendor = self._tracer.vendor
        if vendor is None:
            return self.context.tracestate
        return with_entry(self.context.tracestate, vendor, self.context.span_id)

    def set(self, key: str, value: Any) -> None:
        """Say something of the whole span: a text, a number, a truth, or a list of these; else its `str`."""
        if not self.recording:
            return
        if key in self.attributes or len(self.attributes) < LIMIT:
            self.attributes[key] = _plain(value)
        else:
            self.dropped["attributes"] += 1

    def event(self, name: str, /, **attributes: Any) -> None:
        """Say that something happened now."""
        if not self.recording:
            return
        if len(self.events) < LIMIT:
            plain = {key: _plain(value) for key, value in attributes.items()}
            self.events.append(Event(self._tracer.now(self._offset), name, plain))
        else:
            self.dropped["events"] += 1

    def fail(self, reason: BaseException | str) -> None:
        """Say that the work failed, and by what."""
        if not self.recording:
            return
        self.status = "error"
        if isinstance(reason, BaseException):
            kind = type(reason).__qualname__
            self.set("error.type", kind)
            self.message = str(reason)
            self.event("exception", **{"exception.type": kind, "exception.message": self.message})
        else:
            self.set("error.type", reason)

    def end(self) -> None:
        """End it, and hand it to the exporter. It ends once, from whatever thread; later calls do nothing."""
        now = self._tracer.now(self._offset)
        with _ending:
            if self.end_time is not None:
                return
            self.end_time = now
        if self.recording:
            self.recording = False  # what is said of it from now on would be lost
            self._tracer.export(self)

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _leave(self._token)
        self._token = None
        if error is not None and self.status == "unset":
            self.fail(error)
        self.end()

    def __repr__(self) -> str:
        return f"<Span {self.service} {self.kind} {self.name!r} {self.context.traceparent}>"


_current: ContextVar[Span | None] = ContextVar("labkit_span", default=None)


def current_span() -> Span | None:
    """Return the span in which this code runs, if there is one."""
    return _current.get()


@contextmanager
def activate(span: Span | None) -> Iterator[None]:
    """Let `span` be the current one inside the block. It does not end there; None: no span is current."""
    token = _current.set(span)
    try:
        yield
    finally:
        _leave(token)


def _leave(token: "Token[Span | None] | None") -> None:
    try:
        if token is not None:
            _current.reset(token)
    except ValueError:
        # An asynchronous generator that was closed by another task: that task's current span is its own.
        pass


class _Unset:
    def __repr__(self) -> str:
        return "the current span"


CURRENT = _Unset()


class Tracer:
    """Makes the spans of one service.

    `service`: its name; `export`: a function that is given each recorded span when it has ended, and must
    not wait; what it raises is logged. `sampler`: see `sampling`. `vendor`: the key of an entry of our own
    at the front of each outgoing `tracestate`. `resource`: attributes of the service (version, instance).
    `clock`: seconds that never run backwards; `wall`: seconds since the epoch; `randbytes`: random bytes for
    ids, by default the system's, which a seeded notebook does not disturb and a fork does not repeat.

    Raises ValueError and TypeError for bad input, at once.
    """

    def __init__(
        self,
        service: str,
        export: Callable[[Span], object],
        *,
        sampler: Sampler | None = None,
        vendor: str | None = None,
        resource: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], float] = time.time,
        randbytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.service = valid_text("service", service)
        self._export = valid_function("export", export)
        self.sampler = parent_based() if sampler is None else valid_function("sampler", sampler)
        if vendor is not None and (not isinstance(vendor, str) or not is_key(vendor)):
            raise ValueError(messages.BAD_VENDOR.format(given=vendor))
        self.vendor = vendor
        self.resource: Mapping[str, Any] = {"service.name": service, **(resource or {})}
        self._clock = valid_function("clock", clock)
        self._wall = valid_function("wall", wall)
        self._randbytes = valid_function("randbytes", randbytes)

    def span(
        self,
        name: str,
        *,
        kind: Kind = "internal",
        parent: Span | SpanContext | _Unset | None = CURRENT,
        links: Iterable[Link | SpanContext | Span] = (),
        attributes: Mapping[str, Any] | None = None,
    ) -> Span:
        """Return a span that begins now. `with tracer.span("cobrar") as span:` ends it; or call its `end`.

        `parent`: by default the current span; a context that came from elsewhere; None begins a trace.
        `links`: other spans that it has to do with. Raises ValueError and TypeError for bad input.
        """
        if kind not in KINDS:
            raise ValueError(messages.BAD_KIND.format(given=kind, kinds=", ".join(KINDS)))
        if parent is CURRENT:
            parent = _current.get()
        offset = None
        if isinstance(parent, Span):
            if parent._tracer._clock is self._clock:
                offset = parent._offset
            parent = parent.context
        elif parent is not None and not isinstance(parent, SpanContext):
            raise TypeError(messages.BAD_PARENT.format(given=parent))
        if offset is None:
            offset = round(self._wall() * _NANO) - round(self._clock() * _NANO)
        span = Span(
            self,
            valid_text("name", name),
            kind,
            self._context_below(parent),
            None if parent is None else parent.span_id,
            offset,
            self.now(offset),
            tuple(map(_link, links)),
        )
        for key, value in (attributes or {}).items():
            span.set(key, value)
        return span

    def _context_below(self, parent: SpanContext | None) -> SpanContext:
        """Begin a trace, or go on with the parent's: the span's id is new in either case (§3.4)."""
        if parent is None:
            trace_id, flags, tracestate = self._new_id(16), RANDOM, ""
        else:
            # L2 §3.2.2.5.2: the random flag goes on as it came, it speaks of the trace id.
            trace_id, flags, tracestate = parent.trace_id, parent.flags & RANDOM, parent.tracestate
        if self.sampler(trace_id, parent):
            flags |= SAMPLED
        return SpanContext(trace_id, self._new_id(8), flags, tracestate)

    def _new_id(self, size: int) -> str:
        while not any(new := self._randbytes(size)):  # all zeroes are forbidden (§3.2.2.3, §3.2.2.4)
            pass
        return new.hex()

    def now(self, offset: int) -> int:
        """Return nanoseconds since the epoch, of a span whose wall clock was read `offset` from the clock."""
        return offset + round(self._clock() * _NANO)

    def export(self, span: Span) -> None:
        """Hand over a span that has ended. What the exporter raises is no concern of the request."""
        try:
            self._export(span)
        except Exception:
            _log.exception(messages.NOT_EXPORTED)


def _link(given: object) -> Link:
    if isinstance(given, Link):
        return given
    if isinstance(given, SpanContext):
        return Link(given)
    if isinstance(given, Span):
        return Link(given.context)
    raise TypeError(messages.BAD_LINK.format(given=given))


def _plain(value: Any) -> Any:
    """Return what can be exported later as it is now: mutable things are copied, unknown ones written out."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return tuple(_plain(each) for each in value)
    return str(value)
