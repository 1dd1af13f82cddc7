"""What the edge refuses, each with the word that its logs and answers use for it."""

from collections.abc import Mapping
from typing import Literal

from labkit.patterns.proxy import ProxyError

TokenFlaw = Literal[
    "malformed", "unknown-key", "algorithm", "signature", "claims", "expired", "not-yet", "audience", "issuer"
]


class EdgeError(Exception):
    """The base of what this package raises by itself."""


class InvalidInput(EdgeError, ValueError):
    """A configuration or an argument that cannot work, with what is accepted instead."""


class InvalidToken(EdgeError):
    """A token that was refused. `flaw` says why; neither it nor the text holds the token."""

    def __init__(self, flaw: TokenFlaw, text: str) -> None:
        super().__init__(text)
        self.flaw = flaw


class BadPath(EdgeError):
    """A path that two servers could read in two ways."""


class Overloaded(EdgeError):
    """No room for a request of this priority."""


class Refused(ProxyError):
    """An answer of the edge itself, before any service is asked; `reason`: the log's word for it."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        cause = "destination_not_found" if status == 404 else "http_request_denied"  # RFC 9209, section 2.3
        super().__init__(status, cause, detail, retry_after=retry_after)
        self.reason = reason
        self.headers = dict(headers or {})
