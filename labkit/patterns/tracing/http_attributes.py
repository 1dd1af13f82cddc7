"""What is the same for every server and client of HTTP: how a span begins, and what it says.

Attributes have the names of OpenTelemetry's HTTP conventions.

Neither the query nor user and password of an address are written down: they hold secrets too often.
"""

from typing import Any
from urllib.parse import urlsplit

from labkit.patterns.tracing.baggage import Entry
from labkit.patterns.tracing.propagation import Headers, extract, extract_baggage
from labkit.patterns.tracing.tracer import Span, Tracer

# Names of spans are few: whatever a client sends as a method must not become one.
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")
)


def name_of(method: str, route: str | None = None) -> str:
    """Return the name of a span: the method, and where it is known the route with its parameters unfilled."""
    known = method if method in _METHODS else "HTTP"
    return f"{known} {route}" if route else known


def begin(
    tracer: Tracer, headers: Headers, method: str, path: str, trusted: bool
) -> tuple[Span, dict[str, Entry]]:
    """Return the server span of a request that has come, and its baggage.

    Not `trusted`: the span begins a new trace with a link to the stranger's, and there is no baggage (§3.4).
    """
    caller = extract(headers)
    span = tracer.span(
        name_of(method),
        kind="server",
        parent=caller if trusted else None,
        links=() if trusted or caller is None else (caller,),
        attributes={"http.request.method": method if method in _METHODS else "_OTHER", "url.path": path},
    )
    return span, extract_baggage(headers) if trusted else {}


def of_call(method: str, url: str) -> dict[str, Any]:
    """Return what is known of a call when it goes out."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    netloc = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        netloc += f":{parts.port}"
    return {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "server.address": host,
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "url.full": f"{parts.scheme}://{netloc}{parts.path}",
    }


def answered(span: Span, status: int) -> None:
    """Note the status. For a client from 400 on it is a failure; for the server a 4xx is the client's."""
    span.set("http.response.status_code", status)
    if status >= 500 or (status >= 400 and span.kind == "client"):
        span.fail(str(status))


def knew_route(span: Span, method: str, route: str) -> None:
    """Name a span by the route that the application found for it."""
    span.name = name_of(method, route)
    span.set("http.route", route)
