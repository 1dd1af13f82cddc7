"""What is accepted, refused at the door."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from labkit.patterns.reactive import messages
from labkit.patterns.reactive.errors import InvalidInput


def count(name: str, given: object, *, minimum: int = 1) -> int:
    """Return a whole number from `minimum` on. Raises InvalidInput."""
    if not isinstance(given, int) or isinstance(given, bool) or given < minimum:
        raise InvalidInput(messages.BAD_COUNT.format(name=name, given=given, minimum=minimum))
    return given


def positive_seconds(name: str, given: object) -> float:
    """Return a finite number of seconds above 0. Raises InvalidInput."""
    if not _is_number(given) or given <= 0:  # type: ignore[operator]
        raise InvalidInput(messages.BAD_SECONDS.format(name=name, given=given))
    return float(given)  # type: ignore[arg-type]


def ratio(name: str, given: object) -> float:
    """Return a fraction above 0 and up to 1. Raises InvalidInput."""
    if not _is_number(given) or not 0 < given <= 1:  # type: ignore[operator]
        raise InvalidInput(messages.BAD_RATIO.format(name=name, given=given))
    return float(given)  # type: ignore[arg-type]


def function(name: str, given: Any) -> Callable[..., Any]:
    """Return what can be called. Raises InvalidInput."""
    if not callable(given):
        raise InvalidInput(messages.BAD_FUNCTION.format(name=name, given=given))
    return given  # type: ignore[no-any-return]


def plain_function(name: str, given: Any, message: str) -> Callable[..., Any]:
    """Return a function that gives its result at once. Raises InvalidInput for a coroutine function."""
    function(name, given)
    inner = given
    while isinstance(inner, functools.partial):
        inner = inner.func
    if inspect.iscoroutinefunction(inner):
        raise InvalidInput(message.format(given=getattr(inner, "__name__", inner)))
    return given  # type: ignore[no-any-return]


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
