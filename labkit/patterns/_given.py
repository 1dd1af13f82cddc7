"""What a pattern is given, accepted or refused at the door, in the same words for every pattern."""

import functools
import inspect
from collections.abc import Callable
from types import BuiltinFunctionType, CoroutineType, FunctionType, MethodType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

LONGEST = 1e9  # seconds; more than thirty years are a mistake, and too many nanoseconds for a float

BAD_COUNT = "{name} vale {given!r}: se acepta un entero de {minimum} en adelante."
BAD_SECONDS = "{name} vale {given!r}: se acepta un número de segundos {above}."
BAD_FRACTION = "{name} vale {given!r}: se acepta una fracción {low} y {high} (la mitad es 0.5)."
BAD_TEXT = "{name} vale {given!r}: se acepta un texto que no esté vacío."
BAD_FUNCTION = "{name} vale {given!r}: se acepta una función."
NOT_CALLABLE = "{given!r} no se puede llamar: se acepta una función y, aparte, sus argumentos."

_LATER = (
    inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
)


class InvalidInput(ValueError):
    """What was given is not acceptable. Nothing was changed."""


def valid_count(name: str, given: object, *, minimum: int = 1) -> int:
    """Return a whole number from `minimum` on. Raises InvalidInput."""
    if not isinstance(given, int) or isinstance(given, bool) or given < minimum:
        raise InvalidInput(BAD_COUNT.format(name=name, given=given, minimum=minimum))
    return given


def valid_seconds(name: str, given: object, *, zero: bool = False) -> float:
    """Return a finite number of seconds above 0 (`zero`: or 0 itself). Raises InvalidInput."""
    if not _is_number(given) or not 0 <= given <= LONGEST or (given == 0 and not zero):  # type: ignore[operator]
        above = "de 0 en adelante" if zero else "mayor que 0"
        raise InvalidInput(BAD_SECONDS.format(name=name, given=given, above=above))
    return float(given)  # type: ignore[arg-type]


def valid_fraction(name: str, given: object, *, zero: bool = False, one: bool = True) -> float:
    """Return a number between 0 and 1; `zero`, `one`: whether either of them will do. Raises InvalidInput."""
    if not _is_number(given) or not 0 <= given <= 1 or (given == 0 and not zero) or (given == 1 and not one):  # type: ignore[operator]
        low, high = "de 0" if zero else "mayor que 0", "hasta 1" if one else "menor que 1"
        raise InvalidInput(BAD_FRACTION.format(name=name, given=given, low=low, high=high))
    return float(given)  # type: ignore[arg-type]


def valid_text(name: str, given: object) -> str:
    """Return a text that is not blank. Raises InvalidInput."""
    if not isinstance(given, str) or not given.strip():
        raise InvalidInput(BAD_TEXT.format(name=name, given=given))
    return given


def valid_function(name: str, given: F) -> F:
    """Return what can be called. Raises TypeError."""
    if not callable(given):
        raise TypeError(BAD_FUNCTION.format(name=name, given=given))
    return given


def refuse_unfinished(func: object, coroutine: str, generator: str) -> None:
    """Raise TypeError unless calling `func` does its work; coroutines and generators return before it.

    `coroutine`, `generator`: what to say then, where {given} stands for the function's name.
    """
    # Every call passes here, and inspect takes longer than all the rest of it.
    plain = func.__func__ if type(func) is MethodType else func
    if type(plain) is FunctionType and not plain.__code__.co_flags & _LATER:
        return
    if type(func) is BuiltinFunctionType:
        return
    if not callable(func):
        raise TypeError(NOT_CALLABLE.format(given=func))
    if is_coroutine_function(func):
        raise TypeError(coroutine.format(given=name_of(func)))
    if any(inspect.isgeneratorfunction(face) or inspect.isasyncgenfunction(face) for face in _faces(func)):
        raise TypeError(generator.format(given=name_of(func)))


def refuse_coroutine(func: object, result: object, message: str) -> None:
    """Raise TypeError when a plain function (`lambda: fetch()`) has returned a coroutine, which is closed.

    `message`: what to say then, where {given} stands for the function's name.
    """
    if type(result) is CoroutineType:
        result.close()  # else Python warns that it was never awaited, far from here
        raise TypeError(message.format(given=name_of(func)))


def guarded(func: F, call: Callable[..., Any], acall: Callable[..., Any]) -> F:
    """Return `func`, called through `call`; or a coroutine function, which stays one, through `acall`."""
    if is_coroutine_function(func):

        @functools.wraps(func)
        async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await acall(func, *args, **kwargs)

        return cast(F, guarded_coroutine)

    @functools.wraps(func)
    def guarded_function(*args: Any, **kwargs: Any) -> Any:
        return call(func, *args, **kwargs)

    return cast(F, guarded_function)


def is_coroutine_function(func: object) -> bool:
    """Also behind functools.partial, as a method, and as an object with an asynchronous `__call__`."""
    return any(map(inspect.iscoroutinefunction, _faces(func)))


def name_of(func: object) -> str:
    """Return a function's name in the code, for a message."""
    func = _faces(func)[0]
    return str(getattr(func, "__qualname__", None) or type(func).__qualname__).replace("<locals>.", "")


def _faces(func: object) -> tuple[object, object]:
    while isinstance(func, functools.partial):
        func = func.func
    # A class's __call__ is that of its instances, and calling the class makes one; any attribute of a Mock is
    # a Mock, so that it is its type that is asked.
    plain = inspect.isroutine(func) or isinstance(func, type)
    return func, None if plain else getattr(type(func), "__call__", None)  # noqa: B004


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)
