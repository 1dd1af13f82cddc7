"""OTLP/JSON, which collectors and backends take: one object for a request, or for a line of a file.

By the OpenTelemetry protocol's mapping: ids are hexadecimal (and not base64, as protobuf's own JSON would
have it), 64-bit numbers are texts, enumerations are numbers.
"""

import json
import math
import threading
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPSConnection
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labkit.patterns._given import valid_seconds
from labkit.patterns.tracing import messages
from labkit.patterns.tracing.tracer import Event, Link, Span

_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES = {"unset": 0, "ok": 1, "error": 2}
_SCOPE = {"name": "labkit.tracing"}
_INT64 = 2**63


def to_otlp(spans: Sequence[Span]) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest as JSON-like data, the spans grouped by service."""
    groups: dict[int, tuple[Mapping[str, Any], list[Any]]] = {}
    for span in spans:
        groups.setdefault(id(span.resource), (span.resource, []))[1].append(_span(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": _SCOPE, "spans": group}],
            }
            for resource, group in groups.values()
        ]
    }


class OtlpFile:
    """Appends each batch to a file as a line of OTLP/JSON. `BatchExporter(OtlpFile("trazas.jsonl"))`."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()

    def __call__(self, spans: Sequence[Span]) -> None:
        """Append the spans. Raises OSError."""
        line = json.dumps(to_otlp(spans), ensure_ascii=False) + "\n"
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)


class OtlpHttp:
    """Posts each batch to a collector: `BatchExporter(OtlpHttp("http://127.0.0.1:4318/v1/traces"))`.

    `timeout`: seconds for each step of a request; `headers`: what the backend asks for, such as a key, which
    belongs in the environment and not in code. A batch is sent once: what fails is counted as failed.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, headers: Mapping[str, str] | None = None) -> None:
        if (
            not isinstance(url, str)
            or not url.startswith(("http://", "https://"))
            or not urlsplit(url).hostname
        ):
            raise ValueError(messages.BAD_URL.format(given=url))
        parts = urlsplit(url)
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path or "/"
        self._timeout = valid_seconds("timeout", timeout)
        self._headers = {**(headers or {}), "Content-Type": "application/json"}

    def __call__(self, spans: Sequence[Span]) -> None:
        """Post the spans. Raises OSError or HTTPException for no answer, and for one that is none of 2xx."""
        body = json.dumps(to_otlp(spans)).encode()
        connection = self._connect(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise OSError(messages.REFUSED.format(status=answer.status))


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    written = {
        "traceId": context.trace_id,
        "spanId": context.span_id,
        "traceState": context.tracestate,
        "flags": context.flags,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.end_time or span.start),
        "attributes": _attributes(span.attributes),
        "droppedAttributesCount": span.dropped["attributes"],
        "events": [_event(event) for event in span.events],
        "droppedEventsCount": span.dropped["events"],
        "links": [_link(link) for link in span.links],
        "droppedLinksCount": span.dropped["links"],
        "status": {"code": _STATUSES[span.status], "message": span.message},
    }
    if span.parent_id is not None:
        written["parentSpanId"] = span.parent_id
    return written


def _event(event: Event) -> dict[str, Any]:
    return {"timeUnixNano": str(event.time), "name": event.name, "attributes": _attributes(event.attributes)}


def _link(link: Link) -> dict[str, Any]:
    return {
        "traceId": link.context.trace_id,
        "spanId": link.context.span_id,
        "traceState": link.context.tracestate,
        "flags": link.context.flags,
        "attributes": _attributes(link.attributes),
    }


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": str(key), "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int() if -_INT64 <= value < _INT64:
            return {"intValue": str(value)}
        case float() if math.isfinite(value):
            return {"doubleValue": value}
        case float():  # JSON has no number for these
            return {"doubleValue": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
        case tuple() | list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case _:
            # A text may hold half a surrogate pair (what Python reads from a broken file name): no UTF-8.
            return {"stringValue": str(value).encode("utf-8", "replace").decode()}
