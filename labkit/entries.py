"""Journal entries: requests, and lines that a service printed, logged or raised."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from labkit import messages


@dataclass(slots=True)
class Request:
    """One request to a service. It stands in the journal from its arrival on.

    `status` is None until the response begins, so a client that has its answer finds it here too;
    `started` is seconds since the epoch, `duration` seconds from arrival to the last byte handed over
    (None while it lasts). `faults` names those that were injected into it, in the order in which they
    struck.
    """

    method: str
    path: str
    status: int | None = None
    started: float = field(default_factory=time.time, compare=False)
    duration: float | None = field(default=None, compare=False)
    faults: tuple[str, ...] = ()

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
