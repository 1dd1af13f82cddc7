"""What the edge refuses, each with the word that its log uses for it."""

from collections.abc import Mapping

from labkit.patterns.edge import messages
from labkit.patterns.proxy import ProxyError


class InvalidToken(Exception):
    """A token that was refused. `flaw` says why, a key of `messages.TOKEN`; nothing here holds the token."""

    def __init__(self, flaw: str) -> None:
        super().__init__(messages.TOKEN[flaw])
        self.flaw = flaw


class Refused(ProxyError):
    """An answer of the edge itself, before any service is asked. `reason`: the log's word for it."""

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
        self.headers = headers or {}
