"""Recognising what was given to `serve`, and making the application from it."""

from __future__ import annotations

import inspect
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal, get_args

from labkit import capture, messages
from labkit.errors import BadArgument, NotAnApp
from labkit.faults import Faults
from labkit.journal import Journal
from labkit.servers.base import Kind, Program, Server

Isolation = Literal["thread", "process"]


class Recipe:
    """The source of an application: the application itself, a factory, or a coroutine.

    `kind` is known beforehand for applications and coroutines, and after `make` for factories.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self.kind: Kind | None = _kind_of(given)
        self.is_factory = self.kind is None or inspect.iscoroutinefunction(given)
        self.used = False
        if self.kind is None and not _is_factory(given):
            raise NotAnApp(_refusal(given))

    @property
    def can_repeat(self) -> bool:
        """True when a second server can be made: an aiohttp application or a coroutine is used once."""
        if self.is_factory or self.kind == "wsgi":
            return True
        return not self.used and not getattr(self.given, "frozen", False)

    def make(self, name: str, journal: Journal) -> Any:
        """Return a WSGI application, an aiohttp application or an awaitable of one.

        What the factory raises is raised here. Its prints go to the journal: it speaks for the service.
        """
        self.used = True
        if not self.is_factory:
            return self.given
        made = _in_a_thread(lambda: self.given(*_factory_arguments(self.given, name)), journal)
        kind = _kind_of(made)
        if kind is None:
            given = _describe(made)
            raise NotAnApp(messages.NOT_FROM_FACTORY.format(factory=_describe(self.given), given=given))
        self.kind = kind
        return made


class ProcessRecipe(Recipe):
    """The source of an application in another process: there it is made, anew on each start."""

    def __init__(self, program: Program) -> None:
        self.given = program
        self.kind = "process"
        self.is_factory = True
        self.used = False

    def make(self, name: str, journal: Journal) -> Program:
        program: Program = self.given
        return program


def recognise(given: Any, isolation: Isolation = "thread") -> Recipe:
    """Tell what was given to `serve`. Raises NotAnApp, which says what was given and what is accepted.

    A string is `"module:application"` and needs `isolation="process"`, which accepts nothing else: an object
    of this process cannot be served by another one.
    """
    if isolation not in get_args(Isolation):
        raise BadArgument(messages.BAD_ISOLATION.format(isolation=isolation))
    if isinstance(given, Program):
        return ProcessRecipe(given)
    if isolation == "thread":
        if isinstance(given, str):
            raise NotAnApp(messages.STRING_NEEDS_PROCESS.format(given=given))
        return Recipe(given)
    if not isinstance(given, str):
        raise NotAnApp(messages.PROCESS_NEEDS_STRING.format(given=_describe(given)))
    module, _, names = given.partition(":")
    if not all(part.isidentifier() for path in (module, names) for part in path.split(".")):
        raise NotAnApp(messages.BAD_TARGET.format(given=given))
    return ProcessRecipe(Program(target=given))


def make_thread_server(
    kind: Kind, app: Any, listening: socket.socket, name: str, journal: Journal, faults: Faults
) -> Server:
    """Make the server that answers in threads of this process, on a socket that listens. Not started yet.

    Each way of serving is imported when it is needed: who only serves Flask never loads aiohttp.
    """
    if kind == "aiohttp":
        from labkit.servers.aio import AioServer

        return AioServer(listening, name, journal, faults, app)
    from labkit.servers.wsgi import WsgiServer

    return WsgiServer(listening, name, journal, faults, app)


def _kind_of(given: Any) -> Kind | None:
    """Return the kind of an application or coroutine; None for anything else, factories included."""
    web = sys.modules.get("aiohttp.web")  # whoever has an aiohttp application has imported it
    if web is not None and isinstance(given, web.Application):
        return "aiohttp"
    if inspect.iscoroutine(given) or inspect.iscoroutinefunction(given):
        return "aiohttp" if inspect.iscoroutine(given) or _required(given) in (0, 1) else None
    if callable(given) and not inspect.isbuiltin(given) and _required(given) in (2, None):
        return "wsgi"
    return None


def _is_factory(given: Any) -> bool:
    return callable(given) and _required(given) in (0, 1)


def _required(function: Any) -> int | None:
    """Count the positional arguments a call needs; None where it takes any number (`*args` alone).

    `__wrapped__` is not followed: werkzeug's `Request.application` turns a function of one argument
    into a WSGI application and leaves that mark on it.
    """
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return -1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return -1
    if not positional and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.default is p.empty for p in positional)


def _factory_arguments(factory: Any, name: str) -> tuple[str, ...]:
    """Return the instance's name, if the factory takes one argument or names its first one so."""
    if _required(factory) == 1:
        return (name,)
    parameters = list(inspect.signature(factory, follow_wrapped=False).parameters)
    return (name,) if parameters and parameters[0] in ("name", "nombre") else ()


def _in_a_thread(function: Callable[[], Any], journal: Journal) -> Any:
    """Call a factory where no event loop runs.

    In the kernel's own thread one does, and what a factory made there (a ClientSession, say) would
    belong to the kernel's loop and fail on the service's.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def call() -> None:
        capture.current.set(journal)
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    capture.begin()
    try:
        thread = threading.Thread(target=call, name="labkit-factory", daemon=True)
        thread.start()
        while thread.is_alive():  # an interrupt may be lost, on Windows always, without a limit
            thread.join(0.1)
    finally:
        capture.end()
    if failure:
        raise failure[0]
    return outcome[0]


def _describe(given: Any) -> str:
    if isinstance(given, type) or inspect.isroutine(given):
        return f"{getattr(given, '__name__', given)!s}"
    return f"{given!r} ({type(given).__name__})"


def _refusal(given: Any) -> str:
    looks_like_asgi = callable(given) and _required(given) == 3
    text = messages.ASGI_APP if looks_like_asgi else messages.NOT_AN_APP
    return text.format(given=_describe(given))
