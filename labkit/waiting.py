"""Waiting for what is about to happen, and a clock that makes waiting unnecessary.

A lesson that sleeps "long enough" is slow on a fast machine and wrong on a slow one. `eventually` waits
exactly as long as it takes. Where a pattern waits by itself (a lease of thirty seconds, a breaker that
stays open for ten), it takes its clock as a parameter, and a `ManualClock` stands in for the real one.
"""

from __future__ import annotations

import ast
import asyncio
import heapq
import inspect
import math
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from labkit import messages

T = TypeVar("T")

LONGEST = 1e12  # seconds
_LONGEST_SOURCE = 60  # of a lambda, in the text of a TimeoutError


def eventually(condition: Callable[[], T], timeout: float = 5.0, *, every: float = 0.02) -> T:
    """Call `condition` until it returns something true, and return that.

    `timeout`: seconds after which TimeoutError is raised, which says what was waited for; `every`: seconds
    between two calls. The condition is called at least once, and once more when the time is over.

    An OSError that it raises (a refused connection; those of `requests` are OSErrors too) means "not yet":
    the last one is the TimeoutError's cause. Any other exception is a mistake and is raised at once.
    Raises TypeError for what cannot be called and for a coroutine function (see `aeventually`).
    """
    waited = _Wait(condition, timeout, every)
    while True:
        try:
            value = condition()
        except OSError as error:
            waited.error = error
        else:
            if inspect.isawaitable(value):
                _forget(value)
                raise TypeError(messages.EVENTUALLY_NEEDS_AWAIT)
            if value:
                return value
        time.sleep(waited.pause())


async def aeventually(
    condition: Callable[[], T | Awaitable[T]], timeout: float = 5.0, *, every: float = 0.02
) -> T:
    """Wait as `eventually` does, in coroutines: `await labkit.aeventually(…)` lets the loop go on.

    The condition may be a coroutine function. One that hangs is cancelled when the time is over.
    """
    waited = _Wait(condition, timeout, every)
    while True:
        try:
            # Its own TimeoutError is an OSError as well, and says "not yet" until the time is over.
            async with asyncio.timeout(max(waited.left(), every)):
                value = condition()
                value = await value if inspect.isawaitable(value) else value
        except OSError as error:
            waited.error = error
        else:
            if value:
                return value
        await asyncio.sleep(waited.pause())


class _Wait:
    """The common part of both: arguments checked, the deadline, and the words at the end."""

    def __init__(self, condition: Callable[[], Any], timeout: float, every: float) -> None:
        if not callable(condition):
            raise TypeError(messages.EVENTUALLY_NEEDS_FUNCTION.format(given=repr(condition)))
        self.timeout, self.every = seconds("timeout", timeout), seconds("every", every, positive=True)
        self.condition = condition
        self.deadline = time.monotonic() + timeout
        self.last_call = False
        self.error: OSError | None = None

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def pause(self) -> float:
        """Return the seconds until the next call. Raises TimeoutError where there is none."""
        if self.last_call:
            text = messages.NOT_IN_TIME.format(timeout=self.timeout, condition=in_words(self.condition))
            raise TimeoutError(text) from self.error
        left = self.left()
        self.last_call = left <= self.every
        return max(0.0, min(left, self.every))


def in_words(function: Callable[..., Any]) -> str:
    """Name a condition: a lambda by its source, anything else by its name."""
    if isinstance(function, partial):
        return in_words(function.func)
    name = getattr(function, "__name__", type(function).__name__)
    if name != "<lambda>":
        return f"{name}()"
    return _source_of_lambda(function) or messages.THE_CONDITION


def _source_of_lambda(function: Any) -> str | None:
    """Return the text after the colon; None where it is ambiguous (the second lambda of a line)."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        # A lambda in the middle of an expression over several lines comes without its beginning.
        tree = ast.parse(source.strip())
    except (OSError, TypeError, SyntaxError):
        return None
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    if len(lambdas) != 1:
        return None
    text = " ".join((ast.get_source_segment(source.strip(), lambdas[0].body) or "").split())
    return text if len(text) <= _LONGEST_SOURCE else text[: _LONGEST_SOURCE - 1] + "…"


def _forget(value: Any) -> None:
    if inspect.iscoroutine(value):
        value.close()  # or Python warns that it was never awaited


def seconds(name: str, value: float, *, positive: bool = False) -> float:
    """Return a valid number of seconds. Raises ValueError, naming the argument, for anything else."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 <= value <= LONGEST or (positive and value == 0):
        text = messages.BAD_POSITIVE_SECONDS if positive else messages.BAD_SECONDS
        raise ValueError(text.format(name=name, value=value))
    return float(value)


# Nanoseconds in whole numbers: ten times 0.1 s is one second, and not a little less.
_NANO = 1_000_000_000
_RESUME = 2.0  # seconds for a sleeper to notice that it was woken: only a stopped process takes so long
_SETTLE = 0.1  # seconds for a woken sleeper to sleep again or to end


class ManualClock:
    """A clock that stands still until it is wound: `clock()` in place of `time.monotonic()`.

    >>> reloj = ManualClock()
    >>> reloj.advance(30)
    >>> reloj()
    30.0

    `sleep` and `asleep` stand in for `time.sleep` and `asyncio.sleep`: they return when the clock has been
    wound far enough. Any thread may read, sleep and wind. A clock never runs backwards.
    """

    def __init__(self, start: float = 0.0) -> None:
        """`start`: seconds, 0 or more."""
        self._now = round(seconds("start", start) * _NANO)
        self._changed = threading.Condition()  # its lock guards everything here
        self._winding = threading.RLock()  # one `advance` after another
        self._sleepers: list[_Sleeper] = []  # a heap: by deadline, then in the order in which they came
        self._arrivals = 0

    def __call__(self) -> float:
        """Return the time that it shows, in seconds."""
        return self._now / _NANO

    def advance(self, seconds_: float, /) -> float:
        """Wind the clock so many seconds on, and return the time that it then shows.

        Who sleeps is woken in the order of the deadlines (equal ones: first come, first woken), each at
        its own time: a loop that sleeps one second is woken three times by `advance(3)`. After each the
        clock waits until the woken one sleeps again or ends, but no longer than a tenth of a second (real
        time), and not for tasks of the event loop that calls `advance`. Raises ValueError for a negative
        number.
        """
        step = round(seconds("advance", seconds_) * _NANO)
        with self._winding:
            end = self._now + step
            while (sleeper := self._next_until(end)) is not None:
                self._settle(sleeper)
            with self._changed:
                self._now = end
        return self()

    def sleep(self, seconds_: float, /) -> None:
        """Block this thread until the clock has been wound so many seconds on."""
        sleeper = self._lie_down(seconds_, threading.current_thread())
        woken = threading.Event()
        try:
            if self._enter(sleeper, woken.set):
                while not woken.wait(0.1):  # an interrupt may be lost, on Windows always, without a limit
                    pass
        finally:
            self._leave(sleeper)

    async def asleep(self, seconds_: float, /) -> None:
        """Suspend this task until the clock has been wound so many seconds on."""
        task = asyncio.current_task()
        assert task is not None
        sleeper = self._lie_down(seconds_, task)
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def end() -> None:
            if not woken.done():  # the task was cancelled meanwhile
                woken.set_result(None)

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(end)
            except RuntimeError:  # the loop was closed under its sleeping task
                sleeper.resumed.set()

        try:
            if self._enter(sleeper, wake):
                await woken
        finally:
            self._leave(sleeper)

    @property
    def sleeping(self) -> int:
        """The number of sleepers on this clock."""
        with self._changed:
            return len(self._sleepers)

    def __repr__(self) -> str:
        return messages.MANUAL_CLOCK.format(now=self(), sleeping=self.sleeping)

    # The life of a sleeper

    def _lie_down(self, duration: float, who: threading.Thread | asyncio.Task[Any]) -> _Sleeper:
        return _Sleeper(round(seconds("sleep", duration) * _NANO), who)

    def _enter(self, sleeper: _Sleeper, wake: Callable[[], None]) -> bool:
        """Register a sleeper; False where there is nothing to wait for."""
        if sleeper.duration == 0:
            return False
        with self._changed:
            self._arrivals += 1
            sleeper.order = (self._now + sleeper.duration, self._arrivals)
            sleeper.wake = wake
            heapq.heappush(self._sleepers, sleeper)
            self._changed.notify_all()
        return True

    def _leave(self, sleeper: _Sleeper) -> None:
        """Remove a sleeper that is awake, by the clock or by an exception."""
        with self._changed:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
        sleeper.resumed.set()

    def _next_until(self, end: int) -> _Sleeper | None:
        """Wake the next sleeper whose deadline comes by `end`, at its own time."""
        with self._changed:
            if not self._sleepers or self._sleepers[0].order[0] > end:
                return None
            sleeper = heapq.heappop(self._sleepers)
            self._now = max(self._now, sleeper.order[0])
        sleeper.wake()
        return sleeper

    def _settle(self, sleeper: _Sleeper) -> None:
        """Wait until the woken one rests, so that the next to be woken finds what it did."""
        if sleeper.runs_here():
            return
        sleeper.resumed.wait(_RESUME)
        deadline = time.monotonic() + _SETTLE
        with self._changed:
            while not sleeper.ended() and all(other.who is not sleeper.who for other in self._sleepers):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(left, 0.001))  # nobody says that a thread has ended


class _Sleeper:
    """One sleep of a thread or a task."""

    def __init__(self, duration: int, who: threading.Thread | asyncio.Task[Any]) -> None:
        self.duration = duration
        self.who = who
        self.order = (0, 0)  # deadline, arrival
        self.wake: Callable[[], None] = lambda: None
        self.resumed = threading.Event()

    def __lt__(self, other: _Sleeper) -> bool:
        return self.order < other.order

    def runs_here(self) -> bool:
        """Return True where waiting for it in this thread would keep it from running."""
        if isinstance(self.who, asyncio.Task):
            return asyncio._get_running_loop() is self.who.get_loop()
        return self.who is threading.current_thread()

    def ended(self) -> bool:
        return self.who.done() if isinstance(self.who, asyncio.Task) else not self.who.is_alive()
