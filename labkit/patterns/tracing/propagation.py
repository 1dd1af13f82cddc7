"""From a span into headers and back: HTTP's, or those of a message in a queue."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from labkit.patterns.tracing.baggage import Entry, current_entries, format_baggage, parse_baggage
from labkit.patterns.tracing.tracer import current_span
from labkit.patterns.tracing.w3c import (
    SpanContext,
    format_tracestate,
    parse_traceparent,
    parse_tracestate,
)

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def extract(headers: Headers) -> SpanContext | None:
    """Return the context of who sent these headers; None where there is none that is valid.

    `headers`: a mapping, or pairs, in which a name may come several times, in any case (§3.2.1). Two
    `traceparent` are invalid, several `tracestate` are one (§3.3.1.1). Without a valid `traceparent` the
    `tracestate` is not read; an invalid `tracestate` does no harm to the `traceparent` (§3.3).
    """
    parents = _values(headers, "traceparent")
    context = parse_traceparent(parents[0]) if len(parents) == 1 else None
    if context is None:
        return None
    states = _values(headers, "tracestate")
    if not states:
        return context
    return context._replace(tracestate=format_tracestate(parse_tracestate(",".join(states))))


def extract_baggage(headers: Headers) -> dict[str, Entry]:
    """Return the baggage in these headers, invalid entries left out."""
    return parse_baggage(",".join(_values(headers, "baggage")))


def inject(headers: MutableMapping[str, Any], *, baggage: bool = True) -> None:
    """Write the current span's context into headers, and the baggage. Without a span, only the baggage.

    What was there of an earlier hop is replaced, never added to, whatever its case.
    """
    span = current_span()
    written = {} if span is None else {"traceparent": span.context.traceparent, "tracestate": span.tracestate}
    if baggage:
        written["baggage"] = format_baggage(current_entries())
    replaced = (*written, "baggage")  # also when it must not go on
    for name in [name for name in headers if name.lower() in replaced]:
        headers.pop(name, None)  # a multidict may hold it twice
    headers.update({name: value for name, value in written.items() if value})  # §3.3.1.1: none that is empty


def _values(headers: Headers, wanted: str) -> list[str]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [value for name, value in pairs if len(name) == len(wanted) and name.lower() == wanted]
