"""A saga's definition: its steps, what undoes each, and how often a call is tried.

Three kinds of step, in this order (Richardson, "Microservices Patterns", ch. 4):

- compensable: `compensation` undoes it, as long as the saga may still turn back;
- pivot, at most one: once it is done there is no way back;
- retriable: behind the pivot; it cannot fail for good, so it is retried until it is done.
"""

import inspect
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from labkit.patterns._given import InvalidInput, valid_count, valid_seconds, valid_text
from labkit.patterns.saga import messages

Kind = Literal["compensable", "pivot", "retriable"]

_ORDER: tuple[Kind, ...] = ("compensable", "pivot", "retriable")


@dataclass(frozen=True)
class Call:
    """One call of an action or of a compensation, as its function receives it.

    `key`: the idempotency key, the same in every attempt and in the compensation, another for each step of
    each saga; hand it to the participant. `attempt`: from 1. `data`: what the saga was started with.
    `results`: what the steps before returned. `result`: for a compensation, what its own step returned, or
    None where nobody knows (it timed out).
    """

    saga: str
    step: str
    attempt: int
    data: Any
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the idempotency key: the saga's id and the step's name."""
        return f"{self.saga}/{self.step}"

    @property
    def result(self) -> Any:
        """Return what this step's action returned, or None."""
        return self.results.get(self.step)


Action = Callable[[Call], Any]


def nothing_to_undo(call: Call) -> None:
    """Compensate a step that leaves nothing behind, such as a check."""


@dataclass(frozen=True)
class Step:
    """Name a local transaction of one participant, and what undoes it.

    `action` returns what later steps need (JSON), raises Refused for a definite no, and anything else where
    the outcome is unknown; it must have a timeout of its own. `compensation` has to be right for a step that
    was done, was not done, or is still under way: see `Inbox.undo`. Raises InvalidInput.
    """

    name: str
    action: Action
    compensation: Action | None = None
    pivot: bool = False
    retriable: bool = False

    def __post_init__(self) -> None:
        valid_text("name", self.name)
        for what, given in (("action", self.action), ("compensation", self.compensation)):
            if given is None and what == "compensation":
                continue
            if not callable(given):
                raise InvalidInput(messages.BAD_FUNCTION.format(what=what, step=self.name, given=given))
            if inspect.iscoroutinefunction(given):
                raise InvalidInput(messages.COROUTINE.format(what=what, step=self.name))
        kinds = (self.compensation is not None) + self.pivot + self.retriable
        if kinds != 1:
            message = messages.TWO_KINDS if kinds else messages.NO_COMPENSATION
            raise InvalidInput(message.format(step=self.name))

    @property
    def kind(self) -> Kind:
        """Return "compensable", "pivot" or "retriable"."""
        return "pivot" if self.pivot else "retriable" if self.retriable else "compensable"


class Saga:
    """Define a saga: its name, and its steps in the order in which they are done. Raises InvalidInput.

    Without a pivot the last compensable step takes its part: once that one is done, the saga only goes on.
    """

    def __init__(self, name: str, steps: Collection[Step]) -> None:
        self.name = valid_text("name", name)
        self.steps = tuple(steps)
        if not self.steps:
            raise InvalidInput(messages.NO_STEPS.format(saga=name))
        before: Kind = "compensable"
        for position, step in enumerate(self.steps):
            if not isinstance(step, Step):
                raise InvalidInput(messages.NOT_A_STEP.format(saga=name, given=step))
            if any(step.name == earlier.name for earlier in self.steps[:position]):
                raise InvalidInput(messages.SAME_STEP.format(saga=name, step=step.name))
            if _ORDER.index(step.kind) < _ORDER.index(before) or step.kind == before == "pivot":
                raise InvalidInput(
                    messages.BAD_ORDER.format(saga=name, step=step.name, kind=step.kind, before=before)
                )
            before = step.kind

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    @property
    def shape(self) -> list[list[str]]:
        """Return the steps' names and kinds, as the log keeps them to notice a changed definition."""
        return [[step.name, step.kind] for step in self.steps]


@dataclass(frozen=True)
class Retry:
    """Limit the attempts of a call and space them, with growing, fully jittered delays.

    `attempts`: calls in all. `first`, `longest`: seconds; the delay before attempt n + 1 is drawn between 0
    and min(longest, first · factor^(n-1)). Raises InvalidInput.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    attempts: int = 3
    first: float = 0.1
    factor: float = 2.0
    longest: float = 30.0

    def __post_init__(self) -> None:
        valid_count("attempts", self.attempts)
        for name in ("first", "longest"):
            valid_seconds(name, getattr(self, name), zero=True)
        factor = self.factor
        if not isinstance(factor, int | float) or not 1 <= factor < math.inf:
            raise InvalidInput(messages.BAD_FACTOR.format(given=self.factor))

    def delay(self, attempt: int, jitter: float) -> float:
        """Return the seconds to wait after that attempt; `jitter`: a random number from 0 to 1."""
        # The power is bounded: 2.0 ** 1100 is an OverflowError.
        return jitter * min(self.longest, self.first * self.factor ** min(attempt - 1, 60))


def to_json(what: str, given: object) -> str:
    """Return strict JSON, with sorted keys, so that equal data are equal texts. Raises InvalidInput."""
    try:
        return json.dumps(given, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(messages.NOT_JSON.format(what=what, error=error)) from error


RETRY = Retry()
INSIST = Retry(attempts=10)
