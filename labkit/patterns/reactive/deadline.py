"""A deadline that every call below can see, and that is handed on from service to service.

What travels is the time left, not a time of day: clocks of two machines differ (gRPC does the same).
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from labkit.patterns._given import valid_seconds
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.errors import DeadlineExceeded

DEADLINE_HEADER = "X-Timeout-Ms"

_end: ContextVar[float] = ContextVar("_end", default=math.inf)  # of the loop's clock


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Cancel the block's work after `seconds`, or at the deadline around it if that is earlier.

    Tasks that the block starts see the deadline by `remaining`; to be cancelled with it, they must be awaited
    inside. Raises DeadlineExceeded.
    """
    valid_seconds("seconds", seconds)
    end = min(asyncio.get_running_loop().time() + seconds, _end.get())
    token = _end.set(end)
    try:
        async with asyncio.timeout_at(end) as limit:
            yield
    except TimeoutError as error:
        if limit.expired() and not isinstance(error, DeadlineExceeded):
            raise DeadlineExceeded(messages.DEADLINE.format(seconds=seconds)) from error
        raise
    finally:
        _end.reset(token)


def remaining() -> float:
    """Return the seconds left, 0 when none are, infinity where there is no deadline."""
    end = _end.get()
    return math.inf if end == math.inf else max(0.0, end - asyncio.get_running_loop().time())


def headers_with_deadline() -> dict[str, str]:
    """Return the header that hands the time left on to the next service; none without a deadline."""
    left = remaining()
    return {} if left == math.inf else {DEADLINE_HEADER: str(max(1, math.floor(left * 1000)))}


def seconds_from(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the caller allows; None where it says nothing that can be read."""
    text = headers.get(DEADLINE_HEADER, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 8):  # up to a day; anything else is ignored
        return None
    return int(text) / 1000 or None
