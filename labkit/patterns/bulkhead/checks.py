"""What is accepted, refused at the door: counts, seconds, and functions that can be called as asked."""

import functools
import inspect
import math
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.errors import InvalidInput, WrongFunction

_NOT_PLAIN = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def valid_count(name: str, given: object, *, minimum: int = 1) -> int:
    """Return a whole number from `minimum` on. Raises InvalidInput."""
    if not isinstance(given, int) or isinstance(given, bool) or given < minimum:
        raise InvalidInput(messages.BAD_COUNT.format(name=name, given=given, minimum=minimum))
    return given


def valid_seconds(name: str, given: object) -> float:
    """Return a finite number of seconds, 0 or more. Raises InvalidInput."""
    if not _is_number(given) or given < 0:  # type: ignore[operator]
        raise InvalidInput(messages.BAD_SECONDS.format(name=name, given=given))
    return float(given)  # type: ignore[arg-type]


def positive_seconds(name: str, given: object) -> float:
    """Return a finite number of seconds above 0. Raises InvalidInput."""
    if not _is_number(given) or given <= 0:  # type: ignore[operator]
        raise InvalidInput(messages.BAD_POSITIVE.format(name=name, given=given))
    return float(given)  # type: ignore[arg-type]


def valid_fraction(name: str, given: object) -> float:
    """Return a number between 0 and 1, neither of them. Raises InvalidInput."""
    if not _is_number(given) or not 0 < given < 1:  # type: ignore[operator]
        raise InvalidInput(messages.BAD_FRACTION.format(name=name, given=given))
    return float(given)  # type: ignore[arg-type]


def valid_name(given: object, default: str) -> str:
    """Return the name, or `default` for None. Raises InvalidInput."""
    if given is None:
        return default
    if not isinstance(given, str) or not given:
        raise InvalidInput(messages.BAD_NAME.format(given=given))
    return given


def refuse_unless_plain(func: Callable[..., Any], coroutine_message: str) -> None:
    """Raise WrongFunction for what would return before its work has begun, or cannot be called at all."""
    code = getattr(func, "__code__", None)
    if code is not None and not code.co_flags & _NOT_PLAIN:
        return  # nearly every call: this must cost little
    if not callable(func):
        raise WrongFunction(messages.NOT_CALLABLE.format(given=func))
    if is_coroutine_function(func):
        raise WrongFunction(coroutine_message.format(given=name_of(func)))
    called = _called(func)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise WrongFunction(messages.GENERATOR_FUNCTION.format(given=name_of(func)))


def is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an `async def`, a partial of one, an object that is called so."""
    return inspect.iscoroutinefunction(_called(func))


def refuse_coroutine(func: Callable[..., Any], result: object) -> None:
    """Raise WrongFunction when a plain function (`lambda: fetch()`) has returned a coroutine."""
    if isinstance(result, CoroutineType):
        result.close()  # else Python warns that it was never awaited, far from here
        raise WrongFunction(messages.RETURNED_COROUTINE.format(given=name_of(func)))


def call_plainly(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return `func(*args, **kwargs)`, to be carried to another thread or task by a Future."""
    try:
        result = func(*args, **kwargs)
    except StopIteration as error:
        # No Future of asyncio can carry it (PEP 479): whoever awaits would wait for ever.
        raise RuntimeError(messages.RAISED_STOP_ITERATION.format(given=name_of(func))) from error
    refuse_coroutine(func, result)
    return result


def name_of(func: Callable[..., Any]) -> str:
    """Return the name of the function in the code."""
    while isinstance(func, functools.partial):
        func = func.func
    return str(getattr(func, "__qualname__", None) or type(func).__qualname__).replace("<locals>.", "")


def _called(func: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(func, functools.partial):
        func = func.func
    plain = inspect.isroutine(func) or inspect.isclass(func)
    return func if plain else getattr(type(func), "__call__", func)  # noqa: B004


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
