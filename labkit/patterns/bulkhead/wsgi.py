"""A bulkhead around a WSGI application: Flask and any other.

    app.wsgi_app = BulkheadMiddleware(app.wsgi_app, Bulkhead(10))
    app.wsgi_app = BulkheadMiddleware(app.wsgi_app, {"/pagos": Bulkhead(3), "/catalogo": Bulkhead(10)})

A threaded server has begun a thread for a request before this can refuse it: what is bounded is the work
behind, and a refusal costs its thread a moment only. The server says that it has sent everything just after a
client may have read it: who asks again that very moment may still find the permit in use (`max_wait` bridges
it).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from labkit.patterns.bulkhead.bulkhead import Permit
from labkit.patterns.bulkhead.compartments import Compartments, Router, full_response
from labkit.patterns.bulkhead.errors import BulkheadFullError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class BulkheadMiddleware:
    """Answer 503 with Retry-After where there is no permit, and hold it until the whole body is sent.

    `compartments`: a Bulkhead for all requests, or a mapping of path prefixes to them (see `Router`).
    """

    def __init__(self, app: "WSGIApplication", compartments: Compartments) -> None:
        self.app = app
        self._router = Router(compartments)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        bulkhead = self._router.find(environ.get("PATH_INFO") or "/")
        if bulkhead is None:
            return self.app(environ, start_response)
        try:
            permit = bulkhead.acquire()
        except BulkheadFullError as error:
            return _refuse(error, start_response)
        try:
            return _Body(self.app(environ, start_response), permit)
        except BaseException as error:
            permit.release(error)
            raise


class _Body:
    """The application's answer; a streamed one is still at work until the server closes it (PEP 3333)."""

    def __init__(self, parts: Iterable[bytes], permit: Permit) -> None:
        self._parts = parts
        self._permit = permit

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except Exception as error:
            self._permit.release(error)
            raise

    def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._parts, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._permit.release()


def _refuse(error: BulkheadFullError, start_response: "StartResponse") -> list[bytes]:
    content, _, headers = full_response(error)
    body = json.dumps(content, ensure_ascii=False).encode()
    start_response(
        "503 Service Unavailable",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers.items()],
    )
    return [body]
