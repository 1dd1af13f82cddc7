"""What an exercise is: an id, what the learner writes, and the cases that watch it behave.

An exercise is a file, and an exercise of several pieces several exercises, SD-4a and SD-4b, so that each piece
is checked when it is written:

    SANAS = Exercise("SD-4b", writes="sanas", call="sanas(urls)")

    @SANAS.case("con una instancia muerta en la lista", raised="¿qué debe pasar con las demás?")
    def dead_instance(case: Case, sanas: Callable[[list[str]], list[str]]) -> None:
        alive = case.serve(some_app)
        found = sanas([alive.url, "http://127.0.0.1:9"])
        case.expect(found == [alive.url], f"devolvió {found}: ¿se perdió la que sí contesta?")

A case looks at behaviour only: who was called, how often, in which order, with which outcome. The first case
that fails gives the hint, so the cases stand in the order in which a learner should meet the problems. What is
a set of rules is not written as cases but as a model (`Exercise.stories`); what several cases set up alike is a
`Scene`; what the form of an answer must be is declared (`call`, `methods`, `coroutine`) and looked at first.

A course, or a teacher's package, names by an entry point of the group `labkit.exercises` the module in which a
lesson's EXERCISES stand, in the order in which a learner meets them, and the ids of its QUESTIONS, which nobody
but a reader can judge.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn, TypeVar

from labkit.exercises.pace import FULL, Pace
from labkit.exercises.races import Overtaking, first_failure
from labkit.exercises.stories import Difference, Stories
from labkit.servers import recognise
from labkit.service import Service

T = TypeVar("T")
CaseFunction = TypeVar("CaseFunction", bound=Callable[..., object])

GROUP = "labkit.exercises"
_ID = re.compile(r"[A-Z]{2}-[1-9][0-9]*[a-z]?")


class Misconception(Exception):
    """A case saw something wrong; its text is the hint that the learner reads."""


class CaseClosed(Exception):
    """The case's time is over: it may not take hold of anything more."""


class Case:
    """One run of a case: how it fails, and what is to be given back afterwards."""

    def __init__(self, exercise: Exercise, things: tuple[Any, ...], pace: Pace = FULL) -> None:
        self.exercise, self.things, self.pace = exercise, things, pace
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._closed = False
        self.hint: str | None = None
        self.doing = ""  # what is being tried; a hint about a deadline quotes it

    @property
    def answer(self) -> Any:
        """What the learner wrote; the last piece where there are several."""
        return self.things[-1]

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

    def equal(self, found: object, wanted: object, hint: str) -> None:
        """Fail unless both are equal; {found} and {wanted} in the hint are replaced."""
        if found != wanted:
            self.fail(hint.replace("{found}", f"{found}").replace("{wanted}", f"{wanted}"))

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

    def serve(self, app: Any, name: str = "instancia") -> Service:
        """Serve an application until the case is over, out of the learner's own list of services."""
        service = Service(recognise(app), name).start()
        self.cleanup(service.stop, 0)
        return service

    def eventually(self, condition: Callable[[], T]) -> T | bool:
        """Return the condition's first true value; False when `pace.patience` passes without one."""
        return _poll(condition, self.pace.patience)

    def never(self, condition: Callable[[], object]) -> bool:
        """Return True when the condition does not hold at any time within `pace.grace`."""
        return not _poll(condition, self.pace.grace)

    def start(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call the function in a thread; what it returns or raises is in the future."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="labkit-case", daemon=True).start()
        return future

    def at_once(self, functions: Iterable[Callable[[], T]]) -> list[T]:
        """Call them all at the same moment, each in a thread; return what they return, raise what one raised."""
        functions = list(functions)
        ready = threading.Barrier(len(functions))

        def run(function: Callable[[], T]) -> T:
            ready.wait()
            return function()

        return [wait_for(each) for each in [self.start(run, function) for function in functions]]

    def best_of_tries(self, attempt: Callable[[], str | None]) -> None:
        """Fail with what the last attempt returned, unless one of `pace.tries` returns None.

        For limits of time: a busy machine may spoil a right answer's attempt, and no luck saves a wrong one's.
        """
        for left in reversed(range(self.pace.tries)):
            hint = attempt()
            if hint is None:
                return
            if not left:
                self.fail(hint)

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


class Scene(Case):
    """The actors that an exercise's cases share; a subclass says who they are and what they saw.

    An exercise declared with `scene=Street` has cases of the form `def registry_dies(street): …`, and each run
    of a case gets a new Street. The learner's own thing is its `answer`.
    """


def wait_for(future: Future[T]) -> T:
    """Return a future's result, in slices: a wait without end could not be stopped at the deadline."""
    while not future.done():
        with contextlib.suppress(TimeoutError):
            return future.result(0.1)
    return future.result()


def _poll(condition: Callable[[], T], seconds: float) -> T | bool:
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return value


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
    and the check needs too; they come first in the call. `call`: how what is written is called, e.g.
    `sanas(urls)`, one for each name or one alone. `methods`: how the methods of the learner's class are called.
    `coroutine`: the function is an `async def`. `scene`: what the cases share. `deadline`: seconds that each
    case may take.
    """

    id: str
    writes: str | tuple[str, ...]
    given: tuple[str, ...] = ()
    call: str | tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    coroutine: bool = False
    scene: type[Case] = Case
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
    def written(self) -> tuple[str, ...]:
        """The names that the learner defines."""
        return (self.writes,) if isinstance(self.writes, str) else self.writes

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of all that `check` is called with after the id, in their order."""
        return (*self.given, *self.written)

    @property
    def calls(self) -> tuple[str, ...]:
        """How each thing that can be called is called."""
        return (self.call,) if isinstance(self.call, str) else self.call

    def case(
        self, situation: str, *, raised: str | None = None, late: str | None = None
    ) -> Callable[[CaseFunction], CaseFunction]:
        """Add the decorated function as a case: `(scene)` where the exercise has one, else `(case, *things)`.

        `situation`: what the case sets up, in Spanish, that opens a sentence ("con una instancia muerta").
        `raised`: what to think about when the answer raises. `late`: the same when it does not come back.
        """

        def add(function: CaseFunction) -> CaseFunction:
            self.cases.append(CaseSpec(function, situation, raised, late))
            return function

        return add

    def stories(
        self,
        model: Callable[..., Any],
        *,
        steps: Sequence[str],
        length: int = 1,
        made_with: Sequence[str] = (),
        thing: str = "_thing",
        world: Callable[[], Mapping[str, Any]] = dict,
        possible: Callable[[Any, str], object] | None = None,
        sees: Sequence[str] = (),
        think: str = "",
        hints: Sequence[tuple[Callable[[Difference], object], str]] = (),
        situation: str = "en una historia de pocos pasos",
        late: str | None = None,
    ) -> None:
        """Add a case that runs every sequence of `steps` up to `length` on the model and on the answer.

        The shortest one that they tell differently is the hint. `model`: the statement as a small class, or as
        a function when `made_with` is empty. `made_with`: the arguments they are made with, e.g. `"2, 1"`; with
        each of them, all stories are told. `steps`: expressions, e.g. `"permitir()"` (a method of the object),
        `"reloj.advance(5)"` (something of the world), `"repartir(3)"` (the function itself) or `"servicio()"`
        (the object, where `thing` gives it that name). `world`: makes the names that steps may use, anew for
        each story. `possible(model, step)`: whether the step makes sense
        now. `sees`: attributes compared after each step. `think`: the question at the end of the hint, unless
        one of `hints`, a predicate over the Difference and a question, says more. `late`: what to think about
        when a story does not end.
        """
        stories = Stories(
            self.written[-1],
            model,
            tuple(steps),
            length,
            tuple(made_with),
            world,
            possible,
            tuple(sees),
            thing,
        )

        def tell(case: Case, *_: Any) -> None:
            difference = stories.first_difference(case.answer, case)
            if difference is not None:
                question = next((text for holds, text in hints if holds(difference)), think)
                case.fail(f"{difference}{' ' + question if question else ''}")

        self.cases.append(CaseSpec(tell, situation, None, late))

    def races(
        self,
        model: Callable[..., Any],
        *races: Overtaking,
        thing: str = "_thing",
        world: Callable[[], Mapping[str, Any]] = dict,
        sees: Sequence[str] = (),
        situation: str = "si un hilo adelanta a otro",
        late: str = "¿qué candado se retiene mientras se espera algo, o sin soltarlo?",
    ) -> None:
        """Add a case that runs each race, stopping `slow` before every instruction of the answer in turn.

        What both threads get must be what the model gives for some order of their steps.
        """
        stories = Stories(self.written[-1], model, (), 0, (), world, None, tuple(sees), thing)

        def run(case: Case, *_: Any) -> None:
            for race in races:
                if hint := first_failure(stories, race, case.answer, case):
                    case.fail(hint)

        self.cases.append(CaseSpec(run, situation, None, late))


def find_exercise(exercise_id: str) -> Exercise | None:
    """Return the exercise of that id; only its own lesson is imported."""
    lesson = _lesson_of(exercise_id)
    if lesson is None:
        return None
    return next((each for each in _exercises_of(lesson) if each.id == exercise_id), None)


def is_question(exercise_id: str) -> bool:
    """Return True for an id that the course asks and nothing checks: the learner answers it in words."""
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
