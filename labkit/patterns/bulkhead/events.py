"""What happens at a bulkhead, as plain data for logs and plots.

events = []
pagos = Bulkhead(3, listener=events.append)
...
labkit.plots.bars(calls(events))
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from labkit.patterns.bulkhead import messages

_log = logging.getLogger(__name__)

Kind = Literal["admitted", "released", "rejected", "abandoned", "limit"]


class Outcome(StrEnum):
    """How a call ended. OK, FAILED and CANCELLED may have run; the other two never did."""

    OK = messages.OK
    FAILED = messages.FAILED
    CANCELLED = messages.CANCELLED
    REJECTED = messages.REJECTED
    GAVE_UP = messages.GAVE_UP


@dataclass(frozen=True, slots=True)
class BulkheadEvent:
    """One thing that happened, and how full the bulkhead was just afterwards.

    `kind`: "admitted" (it begins to run), "released" (its work has ended, by `outcome`), "rejected" (it never
    ran: there was no permit, or none came free in time), "abandoned" (it was cancelled before it began), and
    "limit" (no call: the limit changed).

    All times are seconds of the bulkhead's clock. `arrival`: when the call asked for a permit; `start`: when
    it got one (None: never); `end`: when its work ended or it was refused (None: not yet). `name` numbers the
    calls from 1 in order of arrival; `worker` is the thread or the task that runs it.
    """

    kind: Kind
    t: float
    bulkhead: str
    limit: int
    in_use: int
    waiting: int
    name: str = ""
    arrival: float | None = None
    start: float | None = None
    end: float | None = None
    outcome: Outcome | None = None
    worker: str | None = None
    error: BaseException | None = field(default=None, repr=False, compare=False)


Listener = Callable[[BulkheadEvent], object]


@dataclass(frozen=True, slots=True)
class Metrics:
    """A bulkhead in numbers, all of one moment.

    `accepted`: calls that got a permit (a pool: a place); of them `completed` and `failed` have ended by
    themselves. `rejected`: refused, at once or after waiting; `abandoned`: cancelled before they began.
    `max_in_use`, `max_waiting`: the most there ever were. `busy`: seconds that ended calls have held permits,
    together: divided by the time that passed it is the mean number in use (Little's law).
    """

    limit: int
    in_use: int
    waiting: int
    accepted: int
    rejected: int
    abandoned: int
    completed: int
    failed: int
    max_in_use: int
    max_waiting: int
    busy: float


def calls(events: Iterable[BulkheadEvent]) -> list[BulkheadEvent]:
    """Return the latest event of each call, in order of arrival: a bar each, also of those still running."""
    latest = {event.name: event for event in events if event.kind != "limit"}
    return sorted(latest.values(), key=lambda event: int(event.name))


class Recorder:
    """Hand events to a listener one at a time and in order, while no lock of a bulkhead is held.

    Events are noted under the bulkhead's lock, which gives the order, and handed over after it: a listener
    may be slow, or use the bulkhead itself. Whoever hands over takes along what others noted meanwhile.
    """

    def __init__(self, name: str, listener: Listener | None) -> None:
        self.listening = listener is not None
        self._name = name
        self._listener = listener
        self._noted: deque[BulkheadEvent] = deque()
        self._handing_over = threading.Lock()

    def note(self, event: BulkheadEvent) -> None:
        """Keep an event until `deliver`."""
        self._noted.append(event)

    def deliver(self) -> None:
        """Call the listener with what was noted; its errors are logged and harm no call."""
        # Asked again after the release: an event noted just before it was left to us.
        while self._noted and self._handing_over.acquire(blocking=False):
            try:
                while self._noted:
                    self._tell(self._noted.popleft())
            finally:
                self._handing_over.release()

    def _tell(self, event: BulkheadEvent) -> None:
        assert self._listener is not None
        try:
            self._listener(event)
        except Exception:
            _log.exception(messages.LOG_LISTENER_FAILED, self._name)
