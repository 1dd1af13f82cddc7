"""What happens at a bulkhead, as plain data for logs and plots.

events = []
pagos = Bulkhead(3, listener=events.append)
...
labkit.plots.bars(calls(events))
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from labkit.patterns.bulkhead import messages

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

    `kind`: "admitted" (it has a permit), "released" (its work has ended, by `outcome`), "rejected" (it never
    ran: there was no permit, or none came free in time), "abandoned" (it was cancelled while it waited), and
    "limit" (no call: the limit changed).

    All times are seconds of the bulkhead's clock. `arrival`: when the call asked for a permit; `start`: when
    it got one (None: never); `end`: when its work ended or it was refused (None: not yet). `name` numbers the
    calls from 1 in order of arrival; `worker` is the thread or the task that runs it.
    """

    kind: Kind
    t: float
    bulkhead: str
    limit: int = 0
    in_use: int = 0
    waiting: int = 0
    name: str = ""
    arrival: float | None = None
    start: float | None = None
    end: float | None = None
    outcome: Outcome | None = None
    worker: str | None = None
    error: BaseException | None = field(default=None, repr=False, compare=False)


Listener = Callable[[BulkheadEvent], object]


@dataclass(slots=True)
class Metrics:
    """A bulkhead in numbers, all of one moment.

    `accepted`: calls that got a permit; of them `completed` and `failed` have ended by
    themselves. `rejected`: refused, at once or after waiting; `abandoned`: cancelled while they waited.
    `max_in_use`, `max_waiting`: the most there ever were. `busy`: seconds that ended calls have held permits,
    together: divided by the time that passed it is the mean number in use (Little's law).
    """

    limit: int = 0
    in_use: int = 0
    waiting: int = 0
    accepted: int = 0
    rejected: int = 0
    abandoned: int = 0
    completed: int = 0
    failed: int = 0
    max_in_use: int = 0
    max_waiting: int = 0
    busy: float = 0.0


def calls(events: Iterable[BulkheadEvent]) -> list[BulkheadEvent]:
    """Return the latest event of each call, in order of arrival: a bar each, also of those still running."""
    latest = {event.name: event for event in events if event.kind != "limit"}
    return sorted(latest.values(), key=lambda event: int(event.name))
