"""How an open circuit travels over HTTP, so that it is not taken for a failure of the service behind it.

A caller whose circuit is open answers 503 with Retry-After (RFC 9110, sections 15.6.4 and 10.2.3), the header
`X-Circuit-Open` with the circuit's name (percent-encoded), and the same as JSON:

    {"error": "El circuito «pagos»…", "code": "circuit_open", "circuit": "pagos", "retry_after": 7.5}

A service that fails by itself sends no such header.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote, unquote

from labkit.patterns.circuit_breaker.errors import CircuitOpenError

HEADER = "X-Circuit-Open"
CODE = "circuit_open"
STATUS = 503


class Response(Protocol):
    """What requests, Flask's test client and aiohttp's client have in common."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, whatever the case."""


def open_circuit_answer(error: CircuitOpenError) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the JSON body and the headers that tell of `error`; the status is 503.

    Retry-After is in whole seconds, rounded up and at least 1; none when opened by hand.
    """
    body = {"error": str(error), "code": CODE, "circuit": error.name, "retry_after": error.retry_after}
    headers = {HEADER: quote(error.name)}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return body, headers


def open_circuit_of(response: Response) -> str | None:
    """Return the name of the circuit that was open, or None: the answer is the service's own."""
    name = response.headers.get(HEADER)
    return unquote(name) if name is not None and _status(response) == STATUS else None


def service_failed(response: Response) -> bool:
    """Whether the service itself failed: a 5xx that is not its word for a circuit of its own.

    For `failed_result`. A service that answers at once that it cannot reach another is well: opening the
    circuit to it as well would lose whatever it can still do.
    """
    return _status(response) >= 500 and open_circuit_of(response) is None


def _status(response: Any) -> int:
    # `status` is a text such as "503 SERVICE UNAVAILABLE" in Flask, and a number in aiohttp.
    return int(response.status_code if hasattr(response, "status_code") else response.status)
