"""What is accepted, refused at the door: counts, seconds, and functions that can be called as asked."""

from collections.abc import Callable
from types import CoroutineType
from typing import Any

from labkit.patterns._given import name_of
from labkit.patterns.bulkhead import messages


def refuse_coroutine(func: Callable[..., Any], result: object) -> None:
    """Raise TypeError when a plain function (`lambda: fetch()`) has returned a coroutine."""
    if isinstance(result, CoroutineType):
        result.close()  # else Python warns that it was never awaited, far from here
        raise TypeError(messages.RETURNED_COROUTINE.format(given=name_of(func)))


def call_plainly(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return `func(*args, **kwargs)`, to be carried to another thread or task by a Future."""
    try:
        result = func(*args, **kwargs)
    except StopIteration as error:
        # No Future of asyncio can carry it (PEP 479): whoever awaits would wait for ever.
        raise RuntimeError(messages.RAISED_STOP_ITERATION.format(given=name_of(func))) from error
    refuse_coroutine(func, result)
    return result
