"""Is there an answer yet? A stub is told by what it compiles to, so comments and docstrings do not matter."""

from __future__ import annotations

import dis
import functools
import inspect
from types import CodeType, FunctionType


def unfinished(thing: object, name: str) -> str | None:
    """Return the name of what is still to be written, or None when nothing is.

    Still to be written: None, `...` (also inside a list, a tuple or a dict), a function whose body is `...`
    or `pass`, a class with such a public method, and an object of a class like that written in the notebook.
    """
    if thing is None or _holds_ellipsis(thing):
        return name
    function = _function(thing)
    if function is not None:
        return name if _is_stub(function.__code__) else None
    if isinstance(thing, type):
        return _unfinished_method(thing)
    if type(thing).__module__ == "__main__":
        return _unfinished_method(type(thing))
    return None


def _holds_ellipsis(thing: object, depth: int = 3) -> bool:
    if thing is ...:
        return True
    if depth == 0:
        return False
    if type(thing) in (list, tuple):
        return any(_holds_ellipsis(item, depth - 1) for item in thing)  # type: ignore[attr-defined]
    if type(thing) is dict:
        return any(_holds_ellipsis(item, depth - 1) for item in thing.values())
    return False


def _unfinished_method(cls: type) -> str | None:
    for name, member in vars(cls).items():
        function = None if name.startswith("_") else _function(member)
        if function is not None and _is_stub(function.__code__):
            return f"{cls.__name__}.{name}"
    return None


def _function(thing: object) -> FunctionType | None:
    """Return the plain function behind decorators, methods, properties and partials, if there is one."""
    if isinstance(thing, functools.partial):
        thing = thing.func
    if isinstance(thing, property):
        thing = thing.fget
    if isinstance(thing, staticmethod | classmethod) or inspect.ismethod(thing):
        thing = thing.__func__
    if callable(thing) and not isinstance(thing, type):
        thing = inspect.unwrap(thing)
    return thing if inspect.isfunction(thing) else None


def _instructions(code: CodeType) -> list[tuple[str, object]]:
    # By value and not by index: with a docstring the constants shift, and `return 5` would pass for a stub.
    return [(step.opname, repr(step.argval)) for step in dis.get_instructions(code)]


def _stub() -> None: ...


async def _async_stub() -> None: ...


_STUBS = (_instructions(_stub.__code__), _instructions(_async_stub.__code__))


def _is_stub(code: CodeType) -> bool:
    return _instructions(code) in _STUBS
