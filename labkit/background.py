"""`run`: a coroutine to its end, from ordinary code, in a kernel or outside one.

There is one background loop for all calls, so that what a coroutine made (a ClientSession, say) can be
used by the next: aiohttp objects belong to the loop that they were made on.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar, cast

from labkit import messages
from labkit.errors import WrongType
from labkit.waiting import seconds

T = TypeVar("T")

_loop: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


def run(coroutine: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
    """Run a coroutine to its end and return its result, or raise what it raises.

    It runs on labkit's own loop, in a thread of its own: it may be called from a cell, a script, a Flask
    handler, or inside an event loop's thread (which waits). `timeout`: seconds until it is cancelled and
    TimeoutError raised; an interrupt of the cell cancels it too. Raises TypeError for what is no
    coroutine, and RuntimeError from within a coroutine that `run` runs (it would wait for itself).
    """
    if not inspect.iscoroutine(coroutine):
        raise WrongType(messages.RUN_NEEDS_COROUTINE.format(given=repr(coroutine)))
    if timeout is not None:
        try:
            timeout = min(seconds("timeout", timeout), threading.TIMEOUT_MAX)
        except ValueError:
            coroutine.close()
            raise
    loop = _background_loop()
    if asyncio._get_running_loop() is loop:
        coroutine.close()
        raise RuntimeError(messages.RUN_INSIDE_RUN)
    future = asyncio.run_coroutine_threadsafe(_contained(coroutine), loop)
    try:
        result, leaving = future.result(timeout)
    except BaseException:
        future.cancel()
        raise
    if leaving is not None:
        raise leaving
    return cast(T, result)


async def _contained(coroutine: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    """Return a SystemExit or KeyboardInterrupt that would end the loop everybody's calls run on."""
    try:
        return await coroutine, None
    except (SystemExit, KeyboardInterrupt) as error:
        return None, error


def _forked() -> None:
    """Forget the loop, in a copy of the process made by `fork`: its thread does not exist there."""
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="labkit-run", daemon=True)
            # In an empty context: if a service makes the first call, the loop is not that service's.
            try:
                Context().run(thread.start)
            except RuntimeError:  # no thread to be had now
                loop.close()
                raise
            _loop = loop
        return _loop
