"""A server span around a WSGI application: Flask and any other.

app.wsgi_app = TracingMiddleware(app.wsgi_app, Tracer("pedidos", exporter))
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from labkit.patterns.tracing import http_attributes as http
from labkit.patterns.tracing.baggage import Entry, carried
from labkit.patterns.tracing.tracer import Span, Tracer, activate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class TracingMiddleware:
    """Begin a server span for each request, child of the caller's, and end it when the whole body is sent.

    `trusted=False`, for the edge of the system: what came in begins no span of ours. A new trace begins, with
    a link to the stranger's, and its baggage is left at the door (§3.4, restart).
    """

    def __init__(self, app: "WSGIApplication", tracer: Tracer, *, trusted: bool = True) -> None:
        self.app = app
        self._tracer = tracer
        self._trusted = trusted

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        wanted = {name: f"HTTP_{name.upper()}" for name in ("traceparent", "tracestate", "baggage")}
        headers = {name: environ[key] for name, key in wanted.items() if key in environ}
        method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO") or "/"
        span, entries = http.begin(self._tracer, headers, method, path, self._trusted)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            _name_by_route(span, method, environ)
            http.answered(span, int(status[:3]))
            return start_response(status, headers, *exc_info)

        try:
            with activate(span), carried(entries):
                parts = self.app(environ, start)
        except BaseException as error:
            span.fail(error)
            span.end()
            raise
        return _Body(parts, span, entries)


class _Body:
    """The application's answer: a streamed one is still made while it is sent, until `close` (PEP 3333)."""

    def __init__(self, parts: Iterable[bytes], span: Span, entries: dict[str, Entry]) -> None:
        self._parts, self._span, self._entries = parts, span, entries
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # In the span for each piece, not across pieces: between them the thread is the server's.
        with activate(self._span), carried(self._entries):
            try:
                if self._iterator is None:
                    self._iterator = iter(self._parts)
                piece = next(self._iterator, None)
            except BaseException as error:
                self._span.fail(error)
                raise
        if piece is None:
            self._span.end()
            raise StopIteration
        return piece

    def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._parts, "close", None)
        try:
            if close is not None:
                with activate(self._span), carried(self._entries):
                    close()
        finally:
            self._span.end()

    def __del__(self) -> None:
        # Werkzeug 3.1 forgets to close when the client has gone: no span may get lost by that.
        self._span.end()


def _name_by_route(span: Span, method: str, environ: "WSGIEnvironment") -> None:
    # Werkzeug leaves its request there until the answer begins, and Flask in it the rule: "/stock/<isbn>".
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    if rule is not None:
        http.knew_route(span, method, str(rule))
