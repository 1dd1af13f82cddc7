"""The door: what is given to a breaker is accepted here, or refused with a ValueError or TypeError."""

import functools
import inspect
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from labkit.patterns.circuit_breaker import messages
from labkit.patterns.circuit_breaker.events import STATES, State

LONGEST = 1e9  # seconds; more than thirty years are a mistake, and too many nanoseconds for a float

_LATER = (
    inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
)


def valid_count(name: str, given: object) -> int:
    """Return a whole number of at least 1."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ValueError(messages.BAD_COUNT.format(name=name, given=given))
    return given


def valid_seconds(name: str, given: object) -> float:
    """Return a finite number of seconds above 0."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given <= LONGEST:
        raise ValueError(messages.BAD_SECONDS.format(name=name, given=given))
    return float(given)


def valid_fraction(name: str, given: object) -> float:
    """Return a number above 0 and up to 1."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given <= 1:
        raise ValueError(messages.BAD_FRACTION.format(name=name, given=given))
    return float(given)


def valid_state(given: object) -> State:
    """Return the name of a state."""
    for state in STATES:
        if given == state:
            return state
    accepted = ", ".join(f"«{state}»" for state in STATES)
    raise ValueError(messages.BAD_STATE.format(given=given, accepted=accepted))


def valid_function(given: object, message: str, **words: object) -> Any:
    """Return what can be called and answers at once. Raises TypeError with that message."""
    if not callable(given) or is_coroutine_function(given):
        raise TypeError(message.format(given=given, **words))
    return given


class ExceptionFilter(NamedTuple):
    """Exceptions by class and by predicate."""

    classes: tuple[type[BaseException], ...]
    predicates: tuple[Callable[[Exception], bool], ...]

    def matches(self, error: Exception) -> bool:
        """Whether any of them fits."""
        return isinstance(error, self.classes) or any(predicate(error) for predicate in self.predicates)


def valid_filter(name: str, given: object, root: type[BaseException]) -> ExceptionFilter:
    """Return the filter made of a class, a predicate, or several of them; classes must derive from `root`."""
    classes: list[type[BaseException]] = []
    predicates: list[Callable[[Exception], bool]] = []
    for each in given if isinstance(given, list | tuple | set | frozenset) else (given,):
        if not isinstance(each, type):
            predicates.append(valid_function(each, messages.BAD_FILTER, name=name))
        elif not issubclass(each, BaseException):
            raise TypeError(messages.BAD_FILTER.format(name=name, given=each))
        elif not issubclass(each, root):
            raise TypeError(messages.NEVER_COUNTED.format(name=name, given=each))
        else:
            classes.append(each)
    return ExceptionFilter(tuple(classes), tuple(predicates))


def refuse_unfinished(func: object) -> None:
    """Raise TypeError unless calling `func` does its work: coroutines and generators return before it."""
    # Every call passes here, and inspect takes longer than all the rest of it.
    if type(func) is FunctionType and not func.__code__.co_flags & _LATER:
        return
    if type(func) is BuiltinFunctionType:
        return
    if not callable(func):
        raise TypeError(messages.NOT_CALLABLE.format(given=func))
    if is_coroutine_function(func):
        raise TypeError(messages.COROUTINE_TO_CALL.format(given=name_of(func)))
    if is_generator_function(func):
        raise TypeError(messages.GENERATOR.format(given=name_of(func)))


def is_coroutine_function(func: object) -> bool:
    """Also behind functools.partial, as a method, and as an object with an asynchronous `__call__`."""
    return any(map(inspect.iscoroutinefunction, _faces(func)))


def is_generator_function(func: object) -> bool:
    """Likewise, for generators of both kinds."""
    return any(inspect.isgeneratorfunction(face) or inspect.isasyncgenfunction(face) for face in _faces(func))


def _faces(func: object) -> tuple[object, object]:
    while isinstance(func, functools.partial):
        func = func.func
    # A class's __call__ is that of its instances; calling the class makes one.
    return func, None if isinstance(func, type) else getattr(func, "__call__", None)  # noqa: B004


def name_of(func: object) -> str:
    """How a function is called in a message."""
    while isinstance(func, functools.partial):
        func = func.func
    return f"«{getattr(func, '__name__', type(func).__name__)}»"
