"""Which headers travel on, and which belong to one hop (RFC 9110, 7.6.1)."""

from collections.abc import Iterable

from multidict import CIMultiDict, MultiMapping

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# A client that names these in Connection would have them taken out of its own request.
_NEVER_OF_THE_HOP = frozenset({"host", "content-length"})


def tokens(values: Iterable[str]) -> set[str]:
    """Return the members of comma-separated header values, in lower case."""
    return {token for value in values for part in value.split(",") if (token := part.strip().lower())}


def end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Return a copy without the hop-by-hop headers and those that Connection names; repeats are kept."""
    dropped: set[str] | frozenset[str] = HOP_BY_HOP
    if "Connection" in headers:
        dropped = HOP_BY_HOP | tokens(headers.getall("Connection")) - _NEVER_OF_THE_HOP
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def asks_for_websocket(headers: MultiMapping[str]) -> bool:
    """Tell whether this is the head of a WebSocket handshake (RFC 6455, 4.1)."""
    return headers.get("Upgrade", "").lower() == "websocket" and "upgrade" in tokens(
        headers.getall("Connection", [])
    )
