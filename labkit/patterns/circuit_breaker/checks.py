"""The door: what is given to a breaker is accepted here, or refused with a ValueError or TypeError."""

from collections.abc import Callable
from typing import Any, NamedTuple

from labkit.patterns._given import is_coroutine_function
from labkit.patterns.circuit_breaker import messages
from labkit.patterns.circuit_breaker.events import STATES, State


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
