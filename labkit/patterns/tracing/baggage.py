"""W3C Baggage: a few values of the application's own that travel with a request to every service below.

    with set_baggage(cliente="oro"):
        session.get(url)        # baggage: cliente=oro

They go where the request goes, in clear text, to whatever host is called: no secrets, and nothing at all to
strangers (`TracingAdapter(tracer, baggage=False)`). They are no attributes: a service that wants one in its
span writes it there.

Source: W3C Baggage (Candidate Recommendation, 2024).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, unquote

from labkit.patterns.tracing import messages

# §3.3.2: at least 64 members and 8192 bytes must be passed on.
MEMBERS = 180
LIMIT = 8192
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 7230 §3.2.6
_OCTETS = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"  # what an octet may be as it is


class Entry(NamedTuple):
    """A value, and its properties as they came (`;ttl=30`), which mean nothing to this package."""

    value: str
    properties: str = ""


_baggage: ContextVar[Mapping[str, Entry]] = ContextVar("labkit_baggage", default=MappingProxyType({}))


def get_baggage() -> dict[str, str]:
    """Return the values that travel with what this code does."""
    return {key: entry.value for key, entry in _baggage.get().items()}


@contextmanager
def set_baggage(**values: str) -> Iterator[None]:
    """Add values, or replace them, for what is done inside the block. Raises ValueError for a bad key."""
    for key in values:
        if not _TOKEN.fullmatch(key):
            raise ValueError(messages.BAD_KEY.format(given=key))
    entries = {key: Entry(str(value)) for key, value in values.items()}
    with carried({**_baggage.get(), **entries}):
        yield


@contextmanager
def carried(entries: Mapping[str, Entry]) -> Iterator[None]:
    """Let these entries, and no others, be the baggage of what is done inside the block."""
    token = _baggage.set(entries)
    try:
        yield
    finally:
        _baggage.reset(token)


def current_entries() -> Mapping[str, Entry]:
    """Return the entries that travel, properties included."""
    return _baggage.get()


def parse_baggage(value: str) -> dict[str, Entry]:
    """Return the entries of a header: no invalid ones, and of a key that comes twice the last."""
    entries: dict[str, Entry] = {}
    for member in value.split(",") if value else ():
        pair, *properties = (part.strip(" \t") for part in member.split(";"))
        key, equals, text = pair.partition("=")
        key, text = key.rstrip(" \t"), text.lstrip(" \t")
        if equals and _TOKEN.fullmatch(key) and _OCTETS.fullmatch(text) and len(entries) < MEMBERS:
            kept = "".join(
                f";{each}" for each in properties if each and each.isascii() and each.isprintable()
            )
            entries[key] = Entry(unquote(text), kept)
    return entries


def format_baggage(entries: Mapping[str, Entry]) -> str:
    """Return the header's value; whole entries that no longer fit into the limit are left out."""
    parts: list[str] = []
    length = -1
    for key, entry in entries.items():
        part = f"{key}={quote(entry.value, safe=_SAFE, errors='replace')}{entry.properties}"
        if len(parts) < MEMBERS and length + 1 + len(part) <= LIMIT:
            parts.append(part)
            length += 1 + len(part)
    return ",".join(parts)
