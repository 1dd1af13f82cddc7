"""One thread stops half-way and another overtakes it: at every step in turn, whatever the scheduler does.

Threads that are slowed down alike go in step, and miss what goes wrong when one runs past another. Here
nothing is left to luck:

    def race() -> Race[Counter]:
        counter = Counter()
        return Race(counter.add, counter.add, counter)

    for counter in overtakings(race):
        case.expect(counter.value == 2, "…")
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Code that is nobody's answer, and in which no thread is stopped.
_NOT_ANSWERS = (
    str(Path(__file__).parents[1]),
    str(Path(os.__file__).parent),
    str(Path(os.__file__).parent.resolve()),
    "<frozen",
)

# A thread that has not ended after so many looks waits for the one that stands still. Looks and not seconds:
# what holds back the one that runs also holds back the one that looks.
_LOOKS, _LOOK = 12, 0.001
# Where a lock is let go is seen a few steps late when the machine is busy.
_BACK = 4


def before_each_opcode(function: Callable[[], T], act: Callable[[], object]) -> Callable[[], T]:
    """Return the function made to call `act` before each instruction of the answer's code that it runs."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename.startswith(_NOT_ANSWERS):
            return None
        frame.f_trace = look  # Python 3.13 traces opcodes only where this was set before
        frame.f_trace_opcodes = True
        return look

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            act()
        return look

    def traced() -> T:
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = (
            True  # Python 3.12 traces them only if some frame wanted them before
        )
        sys.settrace(trace)
        try:
            return function()
        finally:
            sys.settrace(before)

    return traced


@dataclass(frozen=True)
class Race(Generic[T]):
    """The one that is stopped, the one that overtakes it, what they do it to, and what is done in the end."""

    slow: Callable[[], object]
    quick: Callable[[], object]
    thing: T
    afterwards: Callable[[], object] = lambda: None


def overtakings(race: Callable[[], Race[T]], seconds: float = 1.5) -> Iterator[T]:
    """Stop `slow` before each instruction of the answer's code in turn, every time in a new race.

    `quick` runs meanwhile, to its end or until it has to wait for a lock that `slow` holds. Yields the thing
    of each race when both have ended; raises what either raised. After so many seconds it begins no more: a
    long answer is not a late one.
    """
    end = time.monotonic() + seconds
    step = 1
    while time.monotonic() < end:
        this = race()
        slow = _Stepping(this.slow, step)
        _overtake(slow, _Thread(this.quick))
        this.afterwards()
        yield this.thing
        if slow.count < step:
            return
        # Until there `quick` waited, and would again: go on where it went on, and just before.
        step = max(step + 1, slow.stepped_to - _BACK)


def _overtake(slow: _Stepping, quick: _Thread) -> None:
    try:
        slow.start()
        slow.wait_for_stop()
        quick.start()
        if not quick.ends_soon():
            # It waits. It is to go on as soon as it can, and `slow` to wait again there.
            where = quick.position()
            while slow.steps_on() and quick.position() == where:
                pass
            quick.ends_soon()
    finally:
        slow.go_on()
    for thread in (slow, quick):
        while thread.is_alive():  # in slices: a wait without end could not be stopped at the deadline
            thread.join(0.1)
    for thread in (slow, quick):
        if thread.raised is not None:
            raise thread.raised


class _Thread(threading.Thread):
    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(name="labkit-case", daemon=True)
        self._function = function
        self.raised: BaseException | None = None

    def run(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self.raised = error

    def ends_soon(self) -> bool:
        for _ in range(_LOOKS):
            if not self.is_alive():
                return True
            time.sleep(_LOOK)
        return False

    def position(self) -> tuple[int, int] | None:
        """The instruction where it is; None when it has ended."""
        frame = sys._current_frames().get(self.ident or 0)
        return None if frame is None or not self.is_alive() else (id(frame.f_code), frame.f_lasti)


class _Stepping(_Thread):
    """A thread that stops before an instruction of the answer's code, and then goes on by single ones."""

    def __init__(self, function: Callable[[], object], step: int) -> None:
        super().__init__(before_each_opcode(function, self._before_opcode))
        self._step = step
        self._free = False
        self._stands, self._goes_on = threading.Semaphore(0), threading.Semaphore(0)
        self.count = 0  # instructions that it came to, until it was let go
        self.stepped_to = 0

    def _before_opcode(self) -> None:
        if self._free:
            return
        self.count += 1
        if self.count >= self._step:
            self._stands.release()
            self._goes_on.acquire()

    def wait_for_stop(self) -> bool:
        """Wait until it stands still; False when it has ended."""
        while not self._stands.acquire(timeout=0.01):
            if not self.is_alive():
                return False
        return True

    def steps_on(self) -> bool:
        """Let it do one instruction; False when it had no more, or waits itself."""
        self._goes_on.release()
        for _ in range(_LOOKS):
            if self._stands.acquire(timeout=_LOOK):
                self.stepped_to = self.count
                time.sleep(_LOOK)  # for who waited for this
                return True
            if not self.is_alive():
                break
        return False

    def go_on(self) -> None:
        """Let it run to its end."""
        self._free = True
        self._goes_on.release()
