"""Where a request may go: the little that the core asks of a balancer."""

import itertools
from collections.abc import Collection
from typing import Protocol
from urllib.parse import urlsplit

from labkit.patterns.proxy import messages


class Upstreams(Protocol):
    """Choose an instance for each attempt, and hear what became of it."""

    def pick(self, tried: Collection[str]) -> str | None:
        """Return an instance's URL, better one not in `tried`; None when there is none to ask."""

    def report(self, url: str, status: int | None, seconds: float) -> None:
        """Hear, once for each pick, the status (502, 504: the proxy's own) and the time to the answer's head.

        None: nothing is known, the client left first.
        """


class OneOf:
    """Take turns among fixed URLs; one already tried only when all have been."""

    def __init__(self, *urls: str) -> None:
        """Take their URLs. Raises ValueError for none, or for one that is no service's."""
        if not urls:
            raise ValueError(messages.NO_URLS)
        self.urls = tuple(service_url(url) for url in urls)
        self._turns = itertools.cycle(self.urls)

    def pick(self, tried: Collection[str]) -> str | None:
        """See Upstreams."""
        for _ in self.urls:
            url = next(self._turns)
            if url not in tried:
                return url
        return next(self._turns)

    def report(self, url: str, status: int | None, seconds: float) -> None:
        """See Upstreams: fixed turns learn nothing."""


def service_url(given: object) -> str:
    """Return the URL without a last slash: http(s), a host, no query. Raises ValueError."""
    refused = ValueError(messages.BAD_URL.format(given=given))
    if not isinstance(given, str) or not given.isascii() or not given.isprintable() or " " in given:
        raise refused
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise refused from None
    if not good or "@" in parts.netloc or "?" in given or "#" in given:
        raise refused
    return given.rstrip("/")
