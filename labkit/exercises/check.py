"""`check("SD-4b", sanas)`: is the answer right, and if not, which misconception does it show?

It never raises for what an answer does and never hangs: a notebook that is run from top to bottom goes on,
and an exercise that is not done yet is `pendiente`. With LABKIT_STRICT=1 in the environment anything but
`ok` raises: that is how the masters are tested. So it does where nbgrader runs the notebook. That takes an
exception for no points, anything on stderr too, and the value of a cell for a number of points, which a cell
cannot know (nbgrader.utils.determine_grade): there a verdict is printed, and all is printed to stdout.
"""

from __future__ import annotations

import contextlib
import difflib
import html
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from labkit.errors import LabkitError
from labkit.exercises import messages
from labkit.exercises.deadline import call_with_deadline
from labkit.exercises.exercise import (
    Case,
    CaseSpec,
    Exercise,
    Misconception,
    Scene,
    find_exercise,
    is_question,
    known_ids,
)
from labkit.exercises.expectations import form_problem
from labkit.exercises.interleaving import is_answers
from labkit.exercises.pace import FULL, Pace
from labkit.exercises.stub import unfinished
from labkit.exercises.wording import described, listed

State = Literal["ok", "falla", "pendiente"]

# Blue, vermilion (Okabe and Ito's, which colour-blind readers tell apart) and grey; the word says it too.
_COLOURS: dict[State, str] = {"ok": "#0072B2", "falla": "#D55E00", "pendiente": "#767676"}

# Seconds that a case may take to give back what it took.
_CLEANUP = 5.0


class UnknownExercise(LabkitError, LookupError):
    """There is no exercise of that id."""


class NotChecked(UnknownExercise):
    """It is a question: nobody but a reader can say whether the answer is right."""


class CheckFailed(LabkitError, AssertionError):
    """A check was not `ok`, and LABKIT_STRICT=1 asks for an exception."""


@dataclass(frozen=True)
class Verdict:
    """What a check says. `hint` is there for `falla`, `cases` (how many passed) for `ok`."""

    exercise_id: str
    state: State
    text: str
    hint: str = ""
    cases: int = 0

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = _COLOURS[self.state]
        style = f"border-left: 4px solid {colour}; padding: 0.2em 0.7em"
        return f'<div style="{style}">{html.escape(self.text)}</div>'


def check(exercise_id: str, *things: object) -> Verdict | None:
    """Try what the learner wrote for that exercise on its cases; the first that fails gives the hint.

    Raises UnknownExercise at once when there is no such exercise (NotChecked for a question), and with
    LABKIT_STRICT=1, or in nbgrader's hands, CheckFailed for anything but `ok`.
    """
    exercise = find_exercise(exercise_id) if isinstance(exercise_id, str) else None
    if exercise is None:
        if isinstance(exercise_id, str) and is_question(exercise_id):
            raise NotChecked(messages.QUESTION.format(id=exercise_id))
        raise UnknownExercise(_unknown(exercise_id))
    graded = "NBGRADER_EXECUTION" in os.environ
    with _nothing_on_stderr() if graded else contextlib.nullcontext():
        verdict = judge(exercise, things)
    if verdict.state != "ok" and (graded or os.environ.get("LABKIT_STRICT") == "1"):
        raise CheckFailed(verdict.text)
    if graded:
        print(verdict)
        return None
    return verdict


@contextlib.contextmanager
def _nothing_on_stderr() -> Iterator[None]:
    """Send to stdout what is written to the kernel's stderr.

    By the name under which ipykernel sends it, since a handler of `logging` holds the stream itself.
    """
    stream: Any = sys.stderr
    if not hasattr(stream, "pub_thread"):  # no kernel's
        yield
        return
    stream.flush()
    name, stream.name = stream.name, "stdout"
    try:
        yield
    finally:
        stream.flush()
        stream.name = name


def judge(exercise: Exercise, things: tuple[object, ...], pace: Pace = FULL) -> Verdict:
    """Try what was written on the exercise's cases, at a pace, and say what it is."""
    names = exercise.arguments
    if len(things) != len(names):
        form = messages.TOO_FEW if len(things) < len(names) else messages.TOO_MANY
        return _fails(exercise, form.format(id=exercise.id, names=", ".join(names)))
    written = list(zip(names, things, strict=True))[len(exercise.given) :]
    if missing := [left for name, thing in written if (left := unfinished(thing, name))]:
        text = messages.PENDING.format(id=exercise.id, names=listed(missing))
        return Verdict(exercise.id, "pendiente", text)
    if problem := form_problem(exercise, things):
        return _fails(exercise, problem)
    for spec in exercise.cases:
        if hint := _hint(exercise, spec, things, pace):
            return _fails(exercise, hint)
    count = len(exercise.cases)
    cases = messages.ONE_CASE if count == 1 else messages.MANY_CASES.format(count=count)
    return Verdict(exercise.id, "ok", messages.OK.format(id=exercise.id, cases=cases), cases=count)


def _fails(exercise: Exercise, hint: str) -> Verdict:
    return Verdict(exercise.id, "falla", messages.FAILS.format(id=exercise.id, hint=hint), hint=hint)


def _hint(exercise: Exercise, spec: CaseSpec, things: tuple[object, ...], pace: Pace) -> str | None:
    """Run one case; None when it passes."""
    case = exercise.scene(exercise, things, pace)
    deadline = exercise.deadline * pace.deadlines
    attempt = _Attempt(case, spec)
    try:
        outcome = call_with_deadline(attempt, deadline)
        hint = case.hint  # not what a late answer meets when all it waits for is given back
    finally:
        cleaned = call_with_deadline(case.close, _CLEANUP)

    if hint is not None:
        return hint
    if outcome.late:
        text = messages.LATE.format(situation=case.doing or spec.situation, seconds=f"{exercise.deadline:g}")
        return f"{text}: {spec.late or messages.LATE_DEFAULT}"
    error = outcome.error
    if isinstance(error, Misconception):
        return str(error)
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return messages.EXITED.format(situation=spec.situation, error=type(error).__name__)
    if error is not None:
        form = messages.RAISED if _raised_by_answer(error.__traceback__) else messages.RAISED_BY_USE
        text = form.format(situation=case.doing or spec.situation, error=attempt.raised)
        return f"{text}: {spec.raised}" if spec.raised else text
    if cleaned.error is not None:
        return messages.CLEANUP_FAILED.format(situation=spec.situation, error=described(cleaned.error))
    return None


class _Attempt:
    """One call of a case. What it raises is put into words here, within the deadline: `__str__` may hang."""

    def __init__(self, case: Case, spec: CaseSpec) -> None:
        self._case, self._spec = case, spec
        self.raised = ""

    def __call__(self) -> None:
        case = self._case
        arguments = (case,) if isinstance(case, Scene) else (case, *case.things)
        try:
            self._spec.function(*arguments)
        except Misconception:
            raise
        except Exception as error:
            self.raised = described(error)
            raise


def _raised_by_answer(traceback: TracebackType | None) -> bool:
    """Return True when the error passed through the answer's code; if not, the case met it using what it was given."""
    while traceback is not None:
        if is_answers(traceback.tb_frame.f_code):
            return True
        traceback = traceback.tb_next
    return False


def _unknown(given: object) -> str:
    ids = known_ids()
    if not ids:
        known = messages.NO_EXERCISES
    elif not isinstance(given, str):
        return messages.NOT_AN_ID.format(given=repr(given), example=ids[0])
    elif near := difflib.get_close_matches(given.upper(), [each.upper() for each in ids], n=3, cutoff=0.5):
        known = messages.NEAREST.format(ids=", ".join(each for each in ids if each.upper() in near))
    else:
        known = messages.ALL_KNOWN.format(ids=", ".join(ids))
    return messages.UNKNOWN_EXERCISE.format(given=repr(given), known=known)
