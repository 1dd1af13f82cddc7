"""Trying again: with full jitter, within a deadline, under a budget, and only what may be repeated.

Callers that fail together and wait equally long come back together. Full jitter draws each pause from the
whole of [0, base · 2ⁿ], so they come back spread over it (Brooker, 2015). The budget keeps the retries of all
calls a small part of the calls, however many fail (the Google SRE book, ch. 21).
"""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from labkit.patterns._given import InvalidInput, valid_count, valid_fraction, valid_function, valid_seconds
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.deadline import deadline, remaining

T = TypeVar("T")

_THOUSAND = 1000  # tokens are counted in thousandths: ten times 0.1 is one, and not a little less


class RetryBudget:
    """Allow so many retries for all calls together: `reserve` at once, and `ratio` for each call made.

    At no time are there more than reserve + ratio · calls retries. Usable from any thread.
    """

    def __init__(self, ratio: float = 0.1, reserve: int = 10) -> None:
        self.ratio = valid_fraction("ratio", ratio)
        self.reserve = valid_count("reserve", reserve)
        self._tokens = self.reserve * _THOUSAND
        self._lock = threading.Lock()

    def deposit(self) -> None:
        """Count a call."""
        with self._lock:
            self._tokens = min(self._tokens + round(self.ratio * _THOUSAND), self.reserve * _THOUSAND)

    def withdraw(self) -> bool:
        """Take a retry out; False when there is none."""
        with self._lock:
            if self._tokens < _THOUSAND:
                return False
            self._tokens -= _THOUSAND
            return True


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Say when and how often to try again.

    `attempts`: calls in all, the first included. `base`, `cap`: seconds; the pause after the n-th failure is
    drawn evenly from 0 to base · 2ⁿ⁻¹, at most `cap`. A failure with a `retry_after` (seconds) waits at least
    so long. `deadline`: seconds for the whole; no pause is begun that would outlast it, or the one around it.
    `budget`: shared by the calls to one dependency. `retry_on`: exceptions worth another attempt.
    `rng`: where chance comes from. Raises InvalidInput for bad arguments.
    """

    attempts: int = 4
    base: float = 0.1
    cap: float = 10.0
    deadline: float | None = None
    budget: RetryBudget | None = None
    retry_on: tuple[type[Exception], ...] = (OSError,)  # with ConnectionError and TimeoutError
    rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        valid_count("attempts", self.attempts)
        valid_seconds("base", self.base)
        valid_seconds("cap", self.cap)
        if self.cap < self.base:
            raise InvalidInput(messages.BAD_CAP.format(cap=self.cap, base=self.base))
        if self.deadline is not None:
            valid_seconds("deadline", self.deadline)
        if not isinstance(self.budget, RetryBudget | None):
            raise InvalidInput(messages.BAD_BUDGET.format(given=self.budget))
        kinds = self.retry_on
        if not isinstance(kinds, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds
        ):
            raise InvalidInput(messages.BAD_EXCEPTIONS.format(given=kinds))
        uniform: Any = getattr(self.rng, "uniform", None)
        valid_function("rng.uniform", uniform)

    async def call(
        self, func: Callable[..., Awaitable[T]], /, *args: Any, idempotent: bool, **kwargs: Any
    ) -> T:
        """Return `await func(*args, **kwargs)`, repeated after failures if it is `idempotent`.

        Once the attempts, the budget or the time are used up, the last failure is raised. An attempt that
        is under way when the deadline comes is cancelled: DeadlineExceeded.
        """
        self.begin()
        failures = 0
        async with nullcontext() if self.deadline is None else deadline(self.deadline):
            while True:
                try:
                    return await func(*args, **kwargs)
                except self.retry_on as error:
                    failures += 1
                    pause = self.pause(failures, error) if idempotent else None
                    if pause is None:
                        raise
                await asyncio.sleep(pause)

    def begin(self) -> None:
        """Count a call towards the budget."""
        if self.budget is not None:
            self.budget.deposit()

    def pause(self, failures: int, error: Exception) -> float | None:
        """Return the seconds to wait after so many failures in a row; None to give up."""
        if failures >= self.attempts:
            return None
        longest = min(self.cap, self.base * 2 ** min(failures - 1, 60))
        pause = max(self.rng.uniform(0, longest), _retry_after(error))
        if pause >= remaining() or (self.budget is not None and not self.budget.withdraw()):
            return None
        return pause


def _retry_after(error: Exception) -> float:
    asked = getattr(error, "retry_after", None)
    return float(asked) if isinstance(asked, int | float) and asked > 0 else 0.0
