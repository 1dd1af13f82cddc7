"""A second request when the first takes longer than nearly all do (Dean and Barroso, "The Tail at Scale").

Sent at the 95th percentile it costs at most one request in twenty more, and the slowest answers come as late
as the percentile plus an ordinary answer.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from labkit.patterns._given import InvalidInput, valid_count, valid_fraction
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.background import stop
from labkit.patterns.reactive.retry import RetryBudget

T = TypeVar("T")


class Hedge:
    """Send a second, equal request after the `percentile` of the last `window` latencies.

    Until `minimum` calls have ended well there is no second request, nor when the `budget` (shared with
    retries) is used up. A call counts with what its caller waited; that leaves the percentile where it is,
    since only calls above it are hedged. `sent` and `won` count second requests.
    """

    def __init__(
        self,
        *,
        percentile: float = 0.95,
        window: int = 200,
        minimum: int = 20,
        budget: RetryBudget | None = None,
    ) -> None:
        self.percentile = valid_fraction("percentile", percentile)
        self._latencies: deque[float] = deque(maxlen=valid_count("window", window))
        self.minimum = valid_count("minimum", minimum)
        if self.minimum > window:
            raise InvalidInput(messages.BAD_MINIMUM.format(minimum=minimum, window=window))
        if not isinstance(budget, RetryBudget | None):
            raise InvalidInput(messages.BAD_BUDGET.format(given=budget))
        self.budget = budget
        self.sent = self.won = 0

    @property
    def after(self) -> float | None:
        """Seconds after which a second request is sent; None while too little is known."""
        if len(self._latencies) < self.minimum:
            return None
        rank = math.ceil(self.percentile * len(self._latencies))
        return sorted(self._latencies)[rank - 1]

    async def call(
        self, func: Callable[..., Awaitable[T]], /, *args: Any, idempotent: bool, **kwargs: Any
    ) -> T:
        """Return the first good answer of `func(*args, **kwargs)`; the other request is cancelled.

        What is not `idempotent` is sent once. If all requests fail, the first one's error is raised; one that
        fails before the second is sent is raised at once: trying again is for Retry.
        """
        if self.budget is not None:
            self.budget.deposit()
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def request() -> T:
            return await func(*args, **kwargs)

        requests = [asyncio.create_task(request())]
        try:
            if idempotent and (after := self.after) is not None:
                await asyncio.wait(requests, timeout=after)
                if not requests[0].done() and (self.budget is None or self.budget.withdraw()):
                    self.sent += 1
                    requests.append(asyncio.create_task(request()))
            winner = await _first_good(requests)
            self._latencies.append(loop.time() - began)
            self.won += winner is not requests[0]
            return winner.result()
        finally:
            await stop(requests)


async def _first_good(requests: "list[asyncio.Task[T]]") -> "asyncio.Task[T]":
    """Return the request that ends well first. Raises the first request's error when none does."""
    pending = set(requests)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in requests:
            if task.done() and not task.cancelled() and task.exception() is None:
                return task
    requests[0].result()
    raise AssertionError("unreachable: it failed")
