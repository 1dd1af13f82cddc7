"""Call a function that may never come back.

It runs in a daemon thread. After the deadline the caller goes on, and the thread is stopped as far as CPython
can: an exception is set in it from outside (PyThreadState_SetAsyncExc), which ends Python code that loops. A
thread that waits in C, as in `time.sleep(1000)`, sees it only when the wait is over: there it is withdrawn
and tried again from time to time. Left pending, it would have every thread look for it at every call, and in
CPython 3.11 any thread that is traced (by a debugger, by coverage) would spin until then.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

# Seconds in which a stopped thread may run its `finally` blocks, and in which it must be gone after that.
_POLITE = 0.1
_PRESSING = 1.0
# Seconds between two tries to stop a thread that waits in C: growing, up to the second number.
_RETRY, _SLOWEST_RETRY = 0.2, 2.0


@dataclass
class Outcome:
    """How a call ended: it came back, it raised `error`, or it was `late`."""

    error: BaseException | None = None
    late: bool = False


def call_with_deadline(function: Callable[[], object], seconds: float) -> Outcome:
    """Call `function` in a thread of its own and wait for it, `seconds` at most.

    What the function raises, SystemExit and KeyboardInterrupt included, is in the outcome. An interrupt of
    the caller stops the function and is raised.
    """
    thread = _CallThread(function)
    thread.start()
    end = time.monotonic() + seconds
    try:
        # In slices, because on Windows a wait cannot be interrupted. On the event and not by `join`: until
        # Python 3.12 a join that is interrupted takes its thread for ended.
        while not thread.over.is_set() and (left := end - time.monotonic()) > 0:
            thread.over.wait(min(left, 0.1))
    except KeyboardInterrupt:
        thread.stop()
        raise
    if thread.over.is_set():
        thread.join()
        return Outcome(error=thread.error)
    thread.stop()
    return Outcome(late=True)


class Stop(SystemExit):
    """Ends a thread whose time is over. `threading` prints no traceback for a SystemExit."""


# By item, not by attribute: that makes a function object of our own, whose types nobody else sees.
_set_async_exception = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_set_async_exception.argtypes = [ctypes.c_ulong, ctypes.py_object]
_set_async_exception.restype = None  # so that it can be an `__init__`, which returns None
_clear_async_exception = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_clear_async_exception.argtypes = [ctypes.c_ulong, ctypes.c_void_p]


class _CallThread(threading.Thread):
    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(name="labkit-check", daemon=True)
        self._function = function
        # What is printed finds its cell, or its service's journal, by a context variable.
        self._context = contextvars.copy_context()
        self._heard: list[bool] = []
        self._stopping = False
        self.error: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        disarm = functools.partial(_clear_async_exception, threading.get_ident(), None)
        try:
            try:
                self._context.run(self._function)
            except BaseException as error:
                # At once: until here a stop that comes back is still pending. Only then: even what clears an
                # exception leaves a note that there is one.
                if self._stopping:
                    disarm()
                self.error = error
        finally:
            self.over.set()

    def stop(self) -> None:
        """End the thread if it runs Python code; go on trying in the background if it waits in C."""
        if not self._try_to_stop():
            threading.Thread(target=self._stop_when_it_wakes, name=self.name, daemon=True).start()

    def _try_to_stop(self) -> bool:
        self._stopping = True
        _set_async_exception(self._id, self._polite_stop())
        if self.over.wait(_POLITE):
            self.join()
            _forget_async_exceptions()
        elif self._heard:
            self._press()
        else:
            _clear_async_exception(self._id, None)
            _forget_async_exceptions()
            return bool(self._heard)  # it may have woken just before
        return True

    @property
    def _id(self) -> int:
        assert self.ident is not None  # it was started
        return self.ident

    def _press(self) -> None:
        _set_async_exception(self._id, self._stop_that_comes_back())
        # Python 3.12 takes an exception that is set at a jump back for one of the instruction before the
        # jump's target; in a loop that swallows all, that is the end of the `try`, which catches it again.
        with self._stop_at_every_line() if sys.version_info[:2] == (3, 12) else contextlib.nullcontext():
            if self.over.wait(_PRESSING):
                self.join()
                _forget_async_exceptions()

    @contextlib.contextmanager
    def _stop_at_every_line(self) -> Iterator[None]:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        tool = next((free for free in range(6) if monitoring.get_tool(free) is None), None)
        if tool is None:  # debuggers and profilers have them all
            yield
            return

        def stop(code: CodeType, line: int) -> None:
            if threading.get_ident() == self._id:
                raise Stop

        codes = set()
        frame = sys._current_frames().get(self._id)
        while frame is not None and frame.f_code is not _CallThread.run.__code__:
            codes.add(frame.f_code)
            frame = frame.f_back
        monitoring.use_tool_id(tool, "labkit")
        try:
            monitoring.register_callback(tool, monitoring.events.LINE, stop)
            for code in codes:
                monitoring.set_local_events(tool, code, monitoring.events.LINE)
            yield
        finally:
            for code in codes:
                monitoring.set_local_events(tool, code, 0)
            monitoring.register_callback(tool, monitoring.events.LINE, None)
            monitoring.free_tool_id(tool)

    def _stop_when_it_wakes(self) -> None:
        # A wait in C ended, and the answer went on as if nothing had happened: `except: pass` in a loop.
        wait = _RETRY
        while not self.over.wait(wait):
            if self._try_to_stop():
                return
            wait = min(1.5 * wait, _SLOWEST_RETRY)
        _forget_async_exceptions()  # it ended between two tries, and disarmed itself

    # CPython makes the exception's instance in the thread itself, when the first handler is entered (3.11) or
    # when it is raised (later). The `__init__`s below run then. They are C functions: Python code there would
    # itself be interrupted by the exception that it sets.

    def _polite_stop(self) -> type[Stop]:
        heard = functools.partial(self._heard.append, True)
        return type("Stop", (Stop,), {"__init__": staticmethod(heard)})

    def _stop_that_comes_back(self) -> type[Stop]:
        """Make a stop that sets the next one: `while True: try: … except: pass` swallows a single one.

        The next one is raised as soon as the handler calls something or jumps back: outside the `try` that
        caught this one.
        """
        stop = type("Stop", (Stop,), {})
        again = functools.partial(_set_async_exception, self._id, stop)
        stop.__init__ = staticmethod(again)  # type: ignore[misc]
        return stop


def _forget_async_exceptions() -> None:
    """Take back the interpreter's note that some thread has an exception to raise.

    Clearing the exception does not do that; only a thread that raises one does.
    """

    def raise_one() -> None:
        try:
            _set_async_exception(threading.get_ident(), Stop)
            while True:
                pass
        except Stop:
            pass

    thread = threading.Thread(target=raise_one, name="labkit-check", daemon=True)
    thread.start()
    thread.join(_PRESSING)
