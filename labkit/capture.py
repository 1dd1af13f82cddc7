"""Output routing: a service's prints and log records go to its journal, not to the cell that runs.

ipykernel sends the output of any thread to the cell that runs now. Here a context variable says which
service the running code belongs to. While services run, these consult it:

- `sys.stdout` and `sys.stderr`, wrapped by a stream that passes on what belongs to nobody. A cell may
  swap them at any time (`%%capture`, `redirect_stdout`), so the wrapping is renewed with each request;
- `logging.Logger.callHandlers`, because a handler made earlier holds the unwrapped stream: inside a
  service, handlers that write to the screen are passed over, those with a file of their own are not;
- `threading.Thread.start`, because a new thread begins with an empty context;
- `ThreadPoolExecutor.submit`, because the threads of a pool may serve several services, and cells too;
- nothing else: tasks, `asyncio.to_thread` and callbacks carry their context by themselves.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from labkit.journal import Journal

current: ContextVar[Journal | None] = ContextVar("labkit_journal", default=None)

_lock = threading.Lock()
_users = 0
_call_handlers = logging.Logger.callHandlers
_start_thread = threading.Thread.start
_submit = ThreadPoolExecutor.submit


class ServiceStream:
    """A text stream that hands each write to the journal of the service it comes from, or passes it on.

    IPython puts a `write` of its own on sys.stdout for the length of each cell, around the one it finds
    there, to remember what the cell shows. It gets its place below the routing: it hears no service.
    """

    def __init__(self, beneath: Any) -> None:
        object.__setattr__(self, "beneath", beneath)
        object.__setattr__(self, "_passes_on_to", None)

    @property
    def write(self) -> Any:
        return _Write(self, self._passes_on_to)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        journal = current.get()
        if journal is None:
            self.beneath.flush()
        else:
            journal.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "write":
            # One of our own, given back at the end of a cell: what it passed on to, not one more layer.
            passes_on_to = value.passes_on_to if type(value) is _Write else value
            object.__setattr__(self, "_passes_on_to", passes_on_to)
        elif hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            setattr(self.beneath, name, value)


class _Write:
    """The `write` of a ServiceStream at one moment: a function for whoever keeps it."""

    def __init__(self, stream: ServiceStream, passes_on_to: Any) -> None:
        self._stream = stream
        self.passes_on_to = passes_on_to

    def __call__(self, text: str) -> int:
        journal = current.get()
        if journal is None:
            write = self.passes_on_to or self._stream.beneath.write
            return int(write(text) or 0)
        journal.write(text)
        return len(text)


def begin() -> None:
    """Route the words of a service, or of a thread of one, from now on. To be paired with `end`."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _remember_originals()
            logging.Logger.callHandlers = _route_record  # type: ignore[method-assign]
            threading.Thread.start = _start_inside  # type: ignore[method-assign]
            ThreadPoolExecutor.submit = _submit_inside  # type: ignore[method-assign,assignment]
    wrap_streams()


def end() -> None:
    """End one `begin`; with the last one everything is as it was."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign]
            threading.Thread.start = _start_thread  # type: ignore[method-assign]
            ThreadPoolExecutor.submit = _submit  # type: ignore[method-assign]
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if type(stream) is ServiceStream:
                    setattr(sys, name, stream.beneath)


def _forked() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that does not exist in the copy may hold the other one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def wrap_streams() -> None:
    """Wrap whatever `sys.stdout` and `sys.stderr` are now. Cheap where they are wrapped already."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is not ServiceStream and stream is not None:
            with _lock:
                if _users and getattr(sys, name) is stream:
                    setattr(sys, name, ServiceStream(stream))


def _remember_originals() -> None:
    # Another library may have put its own in place since import.
    global _call_handlers, _start_thread, _submit
    _call_handlers = logging.Logger.callHandlers
    _start_thread = threading.Thread.start
    _submit = ThreadPoolExecutor.submit


def _route_record(self: logging.Logger, record: logging.LogRecord) -> None:
    journal = current.get()
    if journal is None:
        _call_handlers(self, record)
        return
    journal.log(record)
    logger: logging.Logger | None = self
    while logger is not None:
        for handler in logger.handlers:
            if record.levelno >= handler.level and not _writes_to_screen(handler):
                handler.handle(record)
        logger = logger.parent if logger.propagate else None


def _writes_to_screen(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        return False
    stream = handler.stream
    flask_logging = sys.modules.get("flask.logging")
    if flask_logging is not None and stream is flask_logging.wsgi_errors_stream:
        return True
    screens = [sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
    screens += [screen.beneath for screen in screens if type(screen) is ServiceStream]
    # A kernel's own stream outlives %%capture and redirect_stdout, which put others in its place.
    return any(stream is screen for screen in screens) or type(stream).__name__ in (
        "OutStream",
        "ServiceStream",
    )


def _start_inside(self: threading.Thread) -> None:
    journal = current.get()
    if journal is None:
        _start_thread(self)
        return
    run = self.run

    def run_inside() -> None:
        del self.run  # the instance's own: it and its thread would hold each other
        current.set(journal)
        try:
            run()
        except (
            Exception
        ) as error:  # threading's own hook would print paths, and perhaps after the last service
            journal.error(error)
        finally:
            journal.flush()
            end()

    self.run = run_inside  # type: ignore[method-assign]
    begin()  # a thread may outlive its service, and its words still belong to it
    try:
        _start_thread(self)
    except BaseException:
        end()
        raise


def _submit_inside(
    self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Future[Any]:
    # Also for who belongs to no service: the pool's threads may have been started by one.
    return _submit(self, _call_for, current.get(), function, *args, **kwargs)


def _call_for(journal: Journal | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = current.set(journal)
    try:
        return function(*args, **kwargs)
    finally:
        current.reset(token)
