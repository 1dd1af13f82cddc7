"""What the checks of this lesson share: a virtual clock, and what an answer may leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from labkit.exercises.exercise import Case
from labkit.patterns.reactive import Deadlock, run_virtually

T = TypeVar("T")


def virtually(case: Case, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of the check on a virtual clock; the case fails when everybody waits for ever."""
    try:
        return run_virtually(main)
    except Deadlock:
        case.fail("tu corrutina se quedó esperando algo que ya no puede llegar: ¿qué espera, y quién lo da?")


def now() -> float:
    """Return the seconds that the loop's clock shows."""
    return asyncio.get_running_loop().time()


def expect_nothing_left(case: Case, when: str, think: str) -> None:
    """Fail when a task besides the check's own goes on."""
    left = len(asyncio.all_tasks()) - 1
    case.expect(not left, f"{when}, de las tareas que empezaste siguen en marcha {left}: {think}")


def holds(error: BaseException, wanted: BaseException) -> bool:
    """True for the error itself, and for a group in which it is."""
    if isinstance(error, BaseExceptionGroup):
        return any(holds(each, wanted) for each in error.exceptions)
    return error is wanted


async def outcome(coroutine: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Await a coroutine and return what it raised, cancellation apart."""
    try:
        await coroutine
    except Exception as error:
        return error
    return None


async def cancelled_after(case: Case, seconds: float, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Cancel an answer after some seconds, and fail when the cancellation does not come out of it at once."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(seconds)
    case.expect(not task.done(), f"acabó antes de {seconds:g} s, con trabajo por hacer: ¿qué dejaste de esperar?")
    task.cancel()
    await asyncio.wait([task], timeout=100)
    case.expect(task.done(), "la cancelaron y siguió trabajando: ¿quién se quedó con CancelledError?")
    case.expect(task.cancelled(), "la cancelaron y la cancelación no salió de ella: ¿qué hace tu código con CancelledError?")
