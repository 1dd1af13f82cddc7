"""How long, how much and how often: the numbers of a proxy, refused at once when they make no sense."""

from dataclasses import dataclass, fields

from labkit.patterns._given import valid_count, valid_fraction, valid_seconds
from labkit.patterns.proxy import messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds of patience with either side; None waits for ever. Raises ValueError for nonsense.

    - `head`: for a client to send its request's head, then 408
    - `body`: for a client's body, on top of what `Limits.min_rate` allows, then 408
    - `connect`: for a service to accept a connection, then 504
    - `answer`: for a service to begin its answer once it has the request, then 504
    - `idle`: for a service that falls silent in the middle of an answer
    - `keep`: for a client's connection that is not used
    """

    head: float = 10.0
    body: float = 10.0
    connect: float = 2.0
    answer: float | None = 30.0
    idle: float | None = 300.0
    keep: float = 75.0

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            if given is not None or field.name not in ("answer", "idle"):
                valid_seconds(field.name, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes that a request may have, in bytes. Raises ValueError for nonsense.

    - `line`: the request line, then 414; `field`: one header line, `fields`: how many, then 431
    - `body`: the body, then 413; None for any
    - `replay`: what is kept of a body so that it can be sent again
    - `min_rate`: bytes a second that a client's body must keep up with; 0: only its silences count
    - `connections`: to the services, at the most; 0 for any number
    """

    line: int = 8190
    field: int = 8190
    fields: int = 100
    body: int | None = None
    replay: int = 65_536
    min_rate: int = 500
    connections: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            if given is not None or field.name != "body":
                valid_count(field.name, given, minimum=0 if field.name in _MAY_BE_ZERO else 1)


_MAY_BE_ZERO = ("body", "replay", "min_rate", "connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When a request is sent again: only if nothing was sent, or if the method is idempotent.

    - `attempts`: at the most, the first included; `statuses`: answers that are tried again
    - `ratio`, `reserve`: the budget, see `RetryBudget`
    - `backoff`: seconds before the first retry at the most, doubled each time up to `max_backoff`; the wait
      is drawn between 0 and that (full jitter)

    Raises ValueError for nonsense.
    """

    attempts: int = 3
    statuses: frozenset[int] = frozenset({502, 503, 504})
    ratio: float = 0.2
    reserve: int = 10
    backoff: float = 0.025
    max_backoff: float = 0.25

    def __post_init__(self) -> None:
        valid_count("attempts", self.attempts)
        valid_count("reserve", self.reserve, minimum=0)
        valid_fraction("ratio", self.ratio, zero=True)
        valid_seconds("backoff", self.backoff)
        valid_seconds("max_backoff", self.max_backoff)
        try:
            object.__setattr__(self, "statuses", frozenset(self.statuses))
        except TypeError:
            raise ValueError(messages.BAD_STATUSES.format(given=self.statuses)) from None
        if not all(isinstance(status, int) and 500 <= status <= 599 for status in self.statuses):
            raise ValueError(messages.BAD_STATUSES.format(given=set(self.statuses)))
