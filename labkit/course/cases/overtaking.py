"""One thread stops half-way and another overtakes it: at every step in turn, whatever the scheduler does.

Threads that are slowed down alike go in step, and miss what goes wrong when one runs past another. Here nothing
is left to luck:

    for step in steps():
        counter = Counter()
        reached = overtaken(counter.add, counter.add, step)
        case.expect(counter.value == 2, "…")
        if not reached:
            break
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

# Code that is nobody's answer, and in which no thread is stopped.
_NOT_ANSWERS = (
    str(Path(__file__).parents[2]),
    str(Path(os.__file__).parent),
    str(Path(os.__file__).parent.resolve()),
    "<frozen",
)

# A thread that has not ended after so many looks waits for the one that stands still. Looks and not seconds:
# what holds back the one that runs also holds back the one that looks.
_LOOKS, _LOOK = 15, 0.001


def is_answers(frame: FrameType) -> bool:
    """Whether the frame runs what a learner wrote."""
    return not frame.f_code.co_filename.startswith(_NOT_ANSWERS)


def steps(seconds: float = 3.0) -> Iterator[int]:
    """Yield 1, 2, 3 and so on; after so many seconds no more, so that a long answer is not a late one."""
    end = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(1))


def overtaken(slow: Callable[[], object], quick: Callable[[], object], step: int) -> bool:
    """Run `slow` up to that instruction of the answer's code, then `quick`, then the rest of `slow`.

    Where `quick` has to wait for `slow`, for a lock that it holds, both go on. Returns whether `slow` has
    so many instructions; if not, `quick` ran after it. Raises what either raised.
    """
    stopped, go_on = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def stop() -> None:
        stopped.set()
        go_on.wait()

    first, second = _thread(_stopping_at(step, slow, stop), raised), _thread(quick, raised)
    try:
        first.start()
        while first.is_alive() and not stopped.wait(0.01):
            pass
        second.start()
        for _ in range(_LOOKS):
            if not second.is_alive():
                break
            time.sleep(_LOOK)
    finally:
        go_on.set()
    for thread in (first, second):
        while thread.is_alive():  # in slices: a wait without end could not be stopped at the deadline
            thread.join(0.1)
    if raised:
        raise raised[0]
    return stopped.is_set()


def _thread(function: Callable[[], object], raised: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    return threading.Thread(target=run, name="labkit-case", daemon=True)


def _stopping_at(step: int, function: Callable[[], object], stop: Callable[[], object]) -> Callable[[], None]:
    """Return the function made to call `stop` once: before that instruction of the answer's code."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if count >= step or not is_answers(frame):
            return None
        frame.f_trace_opcodes = True
        return look

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "opcode":
            count += 1
            if count == step:
                stop()
        return look

    def run() -> None:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before)

    return run
