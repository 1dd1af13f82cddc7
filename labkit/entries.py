"""Journal entries: requests, and lines that a service printed, logged or raised."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from labkit import messages

# A request as the servers note it: method, path, status, started, duration, faults. A plain list, since a
# journal that keeps thousands of objects costs each request what three lists do (make bench ARGS=throughput);
# a Request is made when somebody looks.
Noted = list[Any]
METHOD, PATH, STATUS, STARTED, DURATION, FAULTS = range(6)


def _field_at(place: int) -> Any:
    """Make the property that shows one place of what was noted."""
    return property(lambda request: request.noted[place])


class Request:
    """One request to a service. It stands in the journal from its arrival on, and is kept up to date.

    `status` is None until the response begins, so a client that has its answer finds it here too;
    `started` is seconds since the epoch, `duration` seconds from arrival to the last byte handed over
    (None while it lasts). `faults` names those that were injected into it, in the order in which they
    struck.
    """

    __slots__ = ("noted",)

    def __init__(self, noted: Noted) -> None:
        self.noted = noted

    method: str = _field_at(METHOD)
    path: str = _field_at(PATH)
    status: int | None = _field_at(STATUS)
    started: float = _field_at(STARTED)
    duration: float | None = _field_at(DURATION)
    faults: tuple[str, ...] = _field_at(FAULTS)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Request):
            return NotImplemented
        mine, theirs = self.noted, other.noted
        return mine[:STARTED] == theirs[:STARTED] and mine[FAULTS] == theirs[FAULTS]

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Request({', '.join(map(repr, self.noted))})"

    def __str__(self) -> str:
        status: int | str = messages.IN_FLIGHT if self.status is None else self.status
        if not self.faults:
            return f"{visible(self.method)} {visible(self.path)} → {status}"
        if self.status is None and self.duration is not None:
            status = messages.NO_ANSWER
        injected = messages.INJECTED.format(faults=", ".join(dict.fromkeys(self.faults)))
        return f"{visible(self.method)} {visible(self.path)} → {status} {injected}"


@dataclass(slots=True)
class Line:
    """Something a service said: a print, a log record, or the traceback of what it raised.

    `text` names code by function and line; `detail` is the whole traceback, paths included.
    """

    kind: Literal["print", "log", "error"]
    text: str
    detail: str = ""
    time: float = field(default_factory=time.time, compare=False)

    def __str__(self) -> str:
        return self.text


def visible(text: str) -> str:
    """Escape what a client sent and a terminal would obey (ESC, OSC) or nobody would see."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
