"""A client span for each call of a `requests` session.

session = requests.Session()
for scheme in ("http://", "https://"):
    session.mount(scheme, TracingAdapter(tracer))
"""

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from labkit.patterns.tracing import http_attributes as http
from labkit.patterns.tracing.propagation import inject
from labkit.patterns.tracing.tracer import Tracer


class TracingAdapter(HTTPAdapter):
    """Sends each request in a client span of its own, whose context goes along in the headers.

    An adapter sees every hop: each redirect is a call and has its span, and so has each attempt of a retry
    around the session. (Retries of urllib3, `max_retries`, happen below it and share one.) The span ends with
    the body, or with the head when `stream=True`. `baggage=False` for hosts that are none of ours.
    """

    def __init__(self, tracer: Tracer, *, baggage: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tracer = tracer
        self._baggage = baggage

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """See HTTPAdapter."""
        method, url = request.method or "GET", request.url or ""
        with self._tracer.span(
            http.name_of(method), kind="client", attributes=http.of_call(method, url)
        ) as span:
            inject(request.headers, baggage=self._baggage)
            response = super().send(request, stream, *args, **kwargs)
            http.answered(span, response.status_code)
            if not stream:
                response.content  # noqa: B018  the session would read it, but outside the span
            return response
