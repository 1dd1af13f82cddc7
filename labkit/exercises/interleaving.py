"""Interleavings of two threads: one stops half-way and the other overtakes it, at every step in turn.

Threads that are slowed down alike go in step, and miss what goes wrong when one runs past another. Here nothing
is left to luck, nor to the scheduler:

    def race() -> Race[Counter]:
        counter = Counter()
        return Race(counter.add, counter.add, counter)

    for counter in interleavings(race):
        case.expect(counter.value == 2, "…")

A step is an instruction of the answer's own code. Python 3.11 tells of each by `sys.settrace`, in one thread at a
time. From 3.12 on it is `sys.monitoring`: there, many threads that trace opcodes crash the interpreter (3.12.1).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Act = Callable[[], object]

# Code that is nobody's answer, and in which no thread is stopped.
_NOT_ANSWERS = (
    str(Path(__file__).parents[1]),
    str(Path(os.__file__).parent),
    str(Path(os.__file__).parent.resolve()),
    "<frozen",
    "<paso>",
)

# A thread that has not ended after so many looks waits for the one that stands still. Looks and not seconds:
# what holds back the one that runs also holds back the one that looks.
_LOOKS, _LOOK = 12, 0.001
# Where a lock is let go is seen a few steps late when the machine is busy.
_BACK = 4


def is_answers(code: CodeType) -> bool:
    """Return True for code that a learner wrote: not labkit's, the standard library's or an installed package's."""
    return not code.co_filename.startswith(_NOT_ANSWERS) and "site-packages" not in code.co_filename


class _Tracing:
    """Acts before each instruction of the answer's code that a thread runs, by `sys.settrace`."""

    def call(self, function: Callable[[], object], act: Act) -> object:
        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if not is_answers(frame.f_code):
                return None
            frame.f_trace = look
            frame.f_trace_opcodes = True
            return look

        def look(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "opcode":
                act()
            return look

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            return function()
        finally:
            sys.settrace(before)

    def close(self) -> None:
        """Trace nothing more; each call has undone its own."""


class _Monitoring:
    """Acts before each instruction of the answer's code that a thread runs, by `sys.monitoring`."""

    def __init__(self, tool: int) -> None:
        self._tool, self._acts, self._codes = tool, dict[int, Act](), set[CodeType]()
        self._monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        self._events = self._monitoring.events
        self._monitoring.use_tool_id(tool, "labkit")
        self._monitoring.register_callback(tool, self._events.PY_START, self._on_start)
        self._monitoring.register_callback(tool, self._events.INSTRUCTION, self._on_instruction)
        self._monitoring.set_events(tool, self._events.PY_START)

    def _on_start(self, code: CodeType, offset: int) -> Any:
        if not is_answers(code):
            return self._monitoring.DISABLE
        if code not in self._codes:
            self._codes.add(code)
            self._monitoring.set_local_events(self._tool, code, self._events.INSTRUCTION)
        return None

    def _on_instruction(self, code: CodeType, offset: int) -> None:
        act = self._acts.get(threading.get_ident())
        if act is not None:
            act()

    def call(self, function: Callable[[], object], act: Act) -> object:
        self._acts[threading.get_ident()] = act
        try:
            return function()
        finally:
            del self._acts[threading.get_ident()]

    def close(self) -> None:
        """Monitor nothing more."""
        self._monitoring.set_events(self._tool, 0)
        for code in self._codes:
            self._monitoring.set_local_events(self._tool, code, 0)
        for event in (self._events.PY_START, self._events.INSTRUCTION):
            self._monitoring.register_callback(self._tool, event, None)
        self._monitoring.free_tool_id(self._tool)
        self._monitoring.restart_events()


@contextlib.contextmanager
def _steps() -> Iterator[_Tracing | _Monitoring]:
    monitoring: Any = getattr(sys, "monitoring", None)
    tools = range(6) if monitoring is not None else ()
    free = next((tool for tool in tools if monitoring.get_tool(tool) is None), None)
    # Where debuggers and profilers have taken all six tools there is still one thread's trace.
    steps = _Tracing() if free is None else _Monitoring(free)
    try:
        yield steps
    finally:
        steps.close()


@dataclass(frozen=True)
class Race(Generic[T]):
    """The one that is stopped, the one that overtakes it, what they do it to, and what is done in the end."""

    slow: Callable[[], object]
    quick: Callable[[], object]
    thing: T
    afterwards: Callable[[], object] = lambda: None


def interleavings(race: Callable[[], Race[T]], seconds: float = 1.5) -> Iterator[T]:
    """Stop `slow` before each instruction of the answer's code in turn, every time in a new race.

    `quick` runs meanwhile, to its end or until it has to wait for a lock that `slow` holds. Yields the thing
    of each race when both have ended; raises what either raised. After so many seconds it begins no more: a
    long answer is not a late one.
    """
    end = time.monotonic() + seconds
    step = 1
    with _steps() as steps:
        while time.monotonic() < end:
            this = race()
            slow = _Stepping(this.slow, step, steps)
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
        """Return the instruction where it is; None when it has ended."""
        frame = sys._current_frames().get(self.ident or 0)
        return None if frame is None or not self.is_alive() else (id(frame.f_code), frame.f_lasti)


class _Stepping(_Thread):
    """A thread that stops before an instruction of the answer's code, and then goes on by single ones."""

    def __init__(self, function: Callable[[], object], step: int, steps: _Tracing | _Monitoring) -> None:
        super().__init__(lambda: steps.call(function, self._before_opcode))
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
                time.sleep(_LOOK)  # for a thread that waited for this
                return True
            if not self.is_alive():
                break
        return False

    def go_on(self) -> None:
        """Let it run to its end."""
        self._free = True
        self._goes_on.release()
