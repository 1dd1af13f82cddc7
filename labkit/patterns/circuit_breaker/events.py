"""What a breaker tells of itself: its changes of state, its refusals and its counts. Plain data."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from labkit.patterns.circuit_breaker import messages

State = Literal["closed", "open", "half-open", "forced-open", "disabled"]
STATES: tuple[State, ...] = get_args(State)

# Why a state was entered.
Reason = Literal[
    "created",
    "failures-in-a-row",
    "failure-rate",
    "slow-rate",
    "timeout-over",
    "probe-failed",
    "probe-slow",
    "probes-succeeded",
    "by-hand",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `machine` at `t`, in seconds of the breaker's clock; `state`: the one then.

    It unpacks as (t, machine, state), so that a list of events can be handed to whatever draws states along
    time.
    """

    t: float
    machine: str
    state: State

    def __iter__(self) -> Iterator[float | str]:
        return iter((self.t, self.machine, self.state))


@dataclass(frozen=True, slots=True)
class StateChange(Event):
    """The breaker has entered `state`. `previous` is None for the state in which it began.

    `cause`: the exception that opened it, for listeners; None in what `changes` remembers.
    """

    previous: State | None
    reason: Reason
    cause: BaseException | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        if self.previous is None:
            return messages.CREATED.format(machine=self.machine, state=self.state)
        return messages.CHANGE.format(
            machine=self.machine,
            previous=self.previous,
            state=self.state,
            reason=messages.REASONS[self.reason],
        )


@dataclass(frozen=True, slots=True)
class Rejection(Event):
    """A call was refused. `retry_after`: seconds, as in CircuitOpenError."""

    retry_after: float | None

    def __str__(self) -> str:
        return messages.REJECTION.format(machine=self.machine, state=self.state)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The counts of a breaker at one moment.

    Since it was made, of the calls that have ended: `successes` and `failures` counted (`slow` of these were
    slow), `ignored` had no bearing (ignored exceptions, cancellations) and `discarded` came too late (their
    state, or their permit, was gone). `rejected` calls never began. `opened`: how often it opened by itself;
    `recovered`: permits taken back from hung probes.

    In the closed state now: `failures_in_a_row`, or what the window holds.
    """

    successes: int
    failures: int
    slow: int
    ignored: int
    discarded: int
    rejected: int
    opened: int
    recovered: int
    failures_in_a_row: int
    calls_in_window: int
    failures_in_window: int
    slow_in_window: int

    @property
    def failure_rate(self) -> float | None:
        """Failures of the calls in the window, 0 to 1; None while it is empty."""
        return self.failures_in_window / self.calls_in_window if self.calls_in_window else None

    @property
    def slow_rate(self) -> float | None:
        """Slow calls of the calls in the window, 0 to 1; None while it is empty."""
        return self.slow_in_window / self.calls_in_window if self.calls_in_window else None
