"""What goes wrong on either side, each with its status and its name in RFC 9209 (Proxy-Status)."""


class ProxyError(Exception):
    """An answer that the proxy gives itself: a status, a cause that machines read, a sentence.

    `retry_after`: seconds after which asking again may help. `close`: the connection cannot be used further.
    """

    def __init__(
        self,
        status: int,
        cause: str,
        detail: str,
        *,
        retry_after: float | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.cause = cause
        self.detail = detail
        self.retry_after = retry_after
        self.close = close


class ClientFault(ProxyError):
    """The request cannot be served as it was sent (4xx). The connection closes: its rest is not read."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, "http_request_error", detail, close=True)


class UpstreamFault(ProxyError):
    """The service did not answer as it should. `sent`: it may have seen the request.

    502: it refuses connections, breaks off, or does not speak HTTP. 503: there is none to ask. 504: too late.
    """

    def __init__(
        self, status: int, cause: str, detail: str, *, sent: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(status, cause, detail, retry_after=retry_after)
        self.sent = sent
