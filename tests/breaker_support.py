"""What the tests of labkit.patterns.circuit_breaker share: a clock wound by hand and calls in every shape."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest

from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.waiting import ManualClock as ManualClock

PATIENCE = 20.0  # seconds after which something is held to hang


class Broken(Exception):
    """The dependency fails."""


class Refused(Exception):
    """The dependency works and says no."""


def work() -> str:
    return "done"


def fail() -> None:
    raise Broken


def refuse() -> None:
    raise Refused


def outcome(call: Callable[[], Any]) -> str:
    """What became of a call: "done" (or what it returned), "broken", "refused" or "rejected"."""
    try:
        return str(call())
    except (Broken, Refused) as error:
        return type(error).__name__.lower()
    except CircuitOpenError:
        return "rejected"


def run(breaker: CircuitBreaker, *functions: Callable[[], Any]) -> list[str]:
    return [outcome(partial(breaker.call, each)) for each in functions]


def trip(breaker: CircuitBreaker) -> None:
    """Fail until it is open."""
    for _ in range(100):
        if breaker.state == "open":
            return
        run(breaker, fail)
    raise AssertionError("100 failures did not open it")


class Pending:
    """A call that has begun and ends when it is told to, without thread or loop: a coroutine driven by hand.

    Keep it: a coroutine that is thrown away ends.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        """Raises CircuitOpenError when it is not let in."""
        self._coroutine = breaker.acall(_Awaitable)
        copy_context().run(self._coroutine.send, None)  # as a task of its own would

    def succeed(self, result: Any = "done") -> None:
        with pytest.raises(StopIteration) as stop:
            self._coroutine.send(result)
        assert stop.value.value is result

    def end_with(self, error: BaseException) -> None:
        with pytest.raises(type(error)) as raised:
            self._coroutine.throw(error)
        assert raised.value is error

    def fail(self) -> None:
        self.end_with(Broken())

    def throw_away(self) -> None:
        self._coroutine.close()


class _Awaitable:
    def __await__(self) -> Iterator[Any]:
        return (yield)


@contextmanager
def threads(number: int, target: Callable[[int], None]) -> Iterator[None]:
    """Run `target(0)` … `target(number - 1)` in threads beside the block; all must end after it."""
    running = [threading.Thread(target=target, args=(index,), daemon=True) for index in range(number)]
    for thread in running:
        thread.start()
    yield
    for thread in running:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in running), "threads hang"


def reasons(breaker: CircuitBreaker) -> list[str]:
    """Why it entered each of its states."""
    return [change.reason for change in breaker.changes]


def states(breaker: CircuitBreaker) -> list[str]:
    """Return the states in which it has been."""
    return [change.state for change in breaker.changes]


def slow(clock: ManualClock, seconds: float, then: Callable[[], Any] = work) -> Callable[[], Any]:
    """Return a call that takes so long and ends as `then` does."""

    def call() -> Any:
        clock.advance(seconds)
        return then()

    return call
