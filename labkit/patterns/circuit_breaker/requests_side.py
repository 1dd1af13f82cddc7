"""A breaker around every request of a `requests` session to one address."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from labkit.patterns.circuit_breaker.breaker import CircuitBreaker


class BreakerAdapter(HTTPAdapter):
    """Sends through `breaker`: `session.mount("http://127.0.0.1:5001", BreakerAdapter(breaker))`.

    Give the breaker `failed_result=service_failed`, or only failed connections count. The body belongs to the
    call unless `stream=True`. requests has no time limit of its own: pass `timeout=` with every request.
    """

    def __init__(self, breaker: CircuitBreaker, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.breaker = breaker

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """See HTTPAdapter. Raises CircuitOpenError too."""
        return self.breaker.call(self._send, request, stream, *args, **kwargs)

    def _send(
        self, request: requests.PreparedRequest, stream: bool, *args: Any, **kwargs: Any
    ) -> requests.Response:
        response = super().send(request, stream, *args, **kwargs)
        if not stream:
            response.content  # noqa: B018  the session would read it, but outside the call
        return response
