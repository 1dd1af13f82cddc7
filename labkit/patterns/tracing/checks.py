"""What is accepted, refused at the door."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from labkit.patterns.tracing import messages

F = TypeVar("F", bound=Callable[..., Any])


def valid_text(name: str, given: object) -> str:
    """Return a text that is not blank. Raises ValueError."""
    if not isinstance(given, str) or not given.strip():
        raise ValueError(messages.BAD_TEXT.format(name=name, given=given))
    return given


def valid_function(name: str, given: F) -> F:
    """Return what can be called. Raises TypeError."""
    if not callable(given):
        raise TypeError(messages.BAD_FUNCTION.format(name=name, given=given))
    return given


def valid_count(name: str, given: object) -> int:
    """Return a whole number from 1 on. Raises ValueError."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ValueError(messages.BAD_COUNT.format(name=name, given=given))
    return given


def positive_seconds(name: str, given: object) -> float:
    """Return a finite number of seconds above 0. Raises ValueError."""
    if not _is_number(given) or given <= 0:  # type: ignore[operator]
        raise ValueError(messages.BAD_POSITIVE.format(name=name, given=given))
    return float(given)  # type: ignore[arg-type]


def valid_rate(given: object) -> float:
    """Return a number from 0 to 1. Raises ValueError."""
    if not _is_number(given) or not 0 <= given <= 1:  # type: ignore[operator]
        raise ValueError(messages.BAD_FRACTION.format(given=given))
    return float(given)  # type: ignore[arg-type]


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
