"""What travels between services: W3C Trace Context, `traceparent` and `tracestate`.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
                 version   trace id (32)     the caller's span (16)  flags

Numbers such as §3.2.4 are clauses of the Recommendation (Level 1, 2021-11-23), with L2 before them of the
Level 2 candidate (2024-03-28), which defines one more flag and allows more keys in a `tracestate`. Both write
version 00, and Level 2 reads all that Level 1 writes, so Level 2 is what is done here.
"""

import re
from typing import NamedTuple

SAMPLED = 0x01  # §3.2.2.5.1: the caller may have recorded its part
RANDOM = 0x02  # L2 §3.2.2.5.2: the last seven bytes of the trace id are random
_KNOWN_FLAGS = SAMPLED | RANDOM

MEMBERS = 32  # §3.3.1.1: of a tracestate
# §3.3.1.5 asks for at least 512 characters; aiohttp refuses a header of 8 KiB, so half of that.
TRACESTATE_LIMIT = 4096
_LONG_MEMBER = 128  # §3.3.1.5: the first to go

# The future may append fields after a dash (§3.2.4). Digits are spelled out: `\d` knows more than ASCII.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}")  # L2 §3.3.1.3.1
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")  # §3.3.1.3.2


class SpanContext(NamedTuple):
    """The part of a span that travels: enough for another service to be its child.

    `trace_id`: 32, `span_id`: 16 lower-case hexadecimal digits; `tracestate`: what other tracing systems
    sent along, to be passed on.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    tracestate: str = ""

    @property
    def sampled(self) -> bool:
        """True when the trace is being recorded."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The header's value, in version 00 whatever version came (§3.4: downgrade)."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse_traceparent(value: str) -> SpanContext | None:
    """Return the caller's context; None for what is invalid, after which a new trace begins (§3.2.4)."""
    match = _TRACEPARENT.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return SpanContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS)


def parse_tracestate(value: str) -> dict[str, str]:
    """Return the members in order; none at all when one of them is invalid, or there are too many."""
    members: dict[str, str] = {}
    for member in value.split(","):
        member = member.strip(" \t")
        if not member:  # §3.3.1.1: allowed, for whoever joins several headers
            continue
        key, _, text = member.partition("=")
        if key in members or not is_key(key) or not _VALUE.fullmatch(text):
            return {}
        members[key] = text
    return members if len(members) <= MEMBERS else {}


def format_tracestate(members: dict[str, str]) -> str:
    """Return the header's value, whole members left out where it would be too long (§3.3.1.5)."""
    parts = [f"{key}={text}" for key, text in members.items()][:MEMBERS]
    if sum(map(len, parts)) + len(parts) - 1 > TRACESTATE_LIMIT:
        parts = [part for part in parts if len(part) <= _LONG_MEMBER]
    while parts and sum(map(len, parts)) + len(parts) - 1 > TRACESTATE_LIMIT:
        parts.pop()
    return ",".join(parts)


def with_entry(tracestate: str, key: str, text: str) -> str:
    """Return a tracestate whose first member is `key`, the others after it in their order (§3.5)."""
    members = parse_tracestate(tracestate)
    members.pop(key, None)
    return format_tracestate({key: text, **members})


def is_key(text: str) -> bool:
    """Return True for what may name a member of a tracestate (L2 §3.3.1.3.1)."""
    return _KEY.fullmatch(text) is not None
