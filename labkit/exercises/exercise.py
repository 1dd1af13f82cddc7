"""What an exercise is: an id, what the learner writes, and the cases that watch it behave.

A lesson's exercises stand in one module of `labkit.course.lessons`, as module-level variables:

    SANAS = Exercise("SD-4b", writes="sanas")

    @SANAS.case("con una instancia muerta en la lista", raised="¿qué debe pasar con las demás?")
    def dead_instance(case: Case, sanas: Callable[[list[str]], list[str]]) -> None:
        alive = case.enter(some_service())
        found = sanas([alive.url, "http://127.0.0.1:9"])
        case.expect(found == [alive.url], f"devolvió {found}: ¿se perdió la que sí contesta?")

A case looks at behaviour only: who was called, how often, in which order, with which outcome. The first case
that fails gives the hint, so the cases stand in the order in which a learner should meet the problems.

An exercise of several pieces is several exercises, SD-4a and SD-4b, so that each piece is checked when it is
written. The questions that nothing checks stand in the module's `QUESTIONS`, a tuple of their ids.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
CaseFunction = TypeVar("CaseFunction", bound=Callable[..., object])

# A course or a teacher's package says by an entry point where its exercises are, a module with EXERCISES and
# QUESTIONS: `BH = "labkit.course.lessons.bulkhead"`.
GROUP = "labkit.exercises"

_ID = re.compile(r"[A-Z]{2}-[1-9][0-9]*[a-z]?")


class Misconception(Exception):
    """A case saw something wrong; its text is the hint that the learner reads."""


class CaseClosed(Exception):
    """The case's time is over: it may not take hold of anything more."""


class Case:
    """One run of a case: how it fails, and what is to be given back afterwards."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._closed = False
        self.hint: str | None = None

    def fail(self, hint: str) -> NoReturn:
        """End the case: what was observed and what to think about, never the answer.

        It counts also where the exception gets lost: in a handler, in a thread, in the answer's own `except`.
        """
        if self.hint is None:
            self.hint = hint
        raise Misconception(hint)

    def expect(self, condition: object, hint: str) -> None:
        """Fail with `hint` unless the condition holds."""
        if not condition:
            self.fail(hint)

    def enter(self, manager: contextlib.AbstractContextManager[T]) -> T:
        """Enter a context manager that is left when the case is over, also when its deadline has passed.

        A plain `with` inside a case is left only if the answer comes back; this one is left in any case, from
        another thread if need be.
        """
        value = manager.__enter__()
        self._keep(manager.__exit__, None, None, None)
        return value

    def cleanup(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function when the case is over, also when its deadline has passed."""
        self._keep(function, *arguments)

    def _keep(self, function: Callable[..., object], *arguments: Any) -> None:
        with self._lock:
            if not self._closed:
                self._stack.callback(function, *arguments)
                return
        # The case outlived its deadline: give back at once what nobody would give back later.
        function(*arguments)
        raise CaseClosed

    def close(self) -> None:
        """Give everything back, last taken first; the checker calls it once, from any thread."""
        with self._lock:
            self._closed = True
            stack = self._stack.pop_all()
        stack.close()


@dataclass(frozen=True)
class CaseSpec:
    """A case as its author declared it; `raised` and `late` are the hints for an error and for a hang."""

    function: Callable[..., object]
    situation: str
    raised: str | None
    late: str | None


@dataclass
class Exercise:
    """An exercise and its cases.

    `writes`: the name, or the names, that the learner defines. `given`: the names of what the notebook gives
    and the check needs too; they come first in the call. `deadline`: seconds that each case may take.
    """

    id: str
    writes: str | tuple[str, ...]
    given: tuple[str, ...] = ()
    deadline: float = 5.0
    cases: list[CaseSpec] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(
                "an exercise's id is two capitals, a dash, a number and perhaps a lower-case letter, "
                f"not {self.id!r}"
            )
        if not self.deadline > 0:
            raise ValueError(f"deadline: a number of seconds above 0, not {self.deadline!r}")

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of all that `check` is called with after the id, in their order."""
        return (*self.given, *((self.writes,) if isinstance(self.writes, str) else self.writes))

    def case(
        self, situation: str, *, raised: str | None = None, late: str | None = None
    ) -> Callable[[CaseFunction], CaseFunction]:
        """Add the decorated function `(case, *things)` as a case.

        `situation`: what the case sets up, in Spanish, that opens a sentence ("con una instancia muerta").
        `raised`: what to think about when the answer raises. `late`: the same when it does not come back.
        """

        def add(function: CaseFunction) -> CaseFunction:
            self.cases.append(CaseSpec(function, situation, raised, late))
            return function

        return add


def find_exercise(exercise_id: str) -> Exercise | None:
    """Return the exercise of that id; only its own lesson is imported."""
    lesson = _lesson_of(exercise_id)
    if lesson is None:
        return None
    return next((each for each in _exercises_of(lesson) if each.id == exercise_id), None)


def is_question(exercise_id: str) -> bool:
    """True for an id that the course asks and nothing checks: the learner answers it in words."""
    lesson = _lesson_of(exercise_id)
    return lesson is not None and exercise_id in getattr(lesson.load(), "QUESTIONS", ())


def known_ids() -> list[str]:
    """Return the ids of all exercises, a lesson after the other."""
    return [each.id for lesson in entry_points(group=GROUP) for each in _exercises_of(lesson)]


def _lesson_of(exercise_id: str) -> EntryPoint | None:
    return next(iter(entry_points(group=GROUP, name=exercise_id.partition("-")[0])), None)


def _exercises_of(lesson: EntryPoint) -> tuple[Exercise, ...]:
    exercises: tuple[Exercise, ...] = tuple(lesson.load().EXERCISES)
    ids = [each.id for each in exercises]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{lesson.value} has two exercises of one id: {', '.join(ids)}")
    return exercises
