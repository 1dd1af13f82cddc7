"""Stories: every short sequence of steps, told by a model and by the answer, the shortest first.

An exercise that is a set of rules has a model, a small class that says what the statement says. What differs
first is the hint, and no other sequence of steps that shows it is shorter: small-scope model checking, without
any luck (Jackson, Software Abstractions, 2006: most flaws have small counterexamples).

An answer cannot be copied, so each story is told from its beginning, with a new object in a new world. A step
that returns an awaitable is awaited, all of a story's on one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import CodeType
from typing import Any, Protocol

from labkit.exercises.deadline import Stop
from labkit.exercises.wording import described, kind, shown

_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Outcome:
    """How a step ended: with a value, or with an error."""

    value: Any = None
    error: BaseException | None = None

    def agrees_with(self, wanted: Outcome) -> bool:
        """Return True when the model's outcome allows this one: an equal value, or an error of the same kind."""
        if wanted.error is not None or self.error is not None:
            return wanted.error is not None and isinstance(self.error, type(wanted.error))
        return same(self.value, wanted.value)


@dataclass(frozen=True)
class Difference:
    """The first place where an answer and the model differ.

    `made`: how the object was made ("" for a function). `steps`: the story, whose last step differs.
    `before`: the outcomes until then. `wanted`, `found`: the model's outcome and the answer's. `attribute`:
    the name of what is seen to differ after the last step, "" when its outcome does. `again`: the same steps
    had agreed in an earlier story.
    """

    made: str
    steps: tuple[str, ...]
    before: tuple[Outcome, ...]
    wanted: Outcome
    found: Outcome
    attribute: str = ""
    again: bool = False

    @property
    def last(self) -> str:
        """The step that differs."""
        return self.steps[-1]

    def __str__(self) -> str:
        before = [told(step, outcome) for step, outcome in zip(self.steps, self.before, strict=False)]
        if self.attribute:
            seen = _raised(self.found) if self.found.error else f"vale {shown(self.found.value)}"
            what = f"{self.attribute} {seen}"
            parts = [*before[:-1], f"{before[-1]}; {what}"] if before else [what]
        else:
            parts = [*before, told(self.last, self.found, self.wanted)]
        start = f"{self.made}: " if self.made and self.steps else self.made
        text = f"{start}{', '.join(parts)}: {self._expected()}"
        if self.again:
            return f"{text} La misma historia había ido bien con otro objeto: ¿qué comparten dos?"
        return text

    def _expected(self) -> str:
        wanted, found = self.wanted, self.found
        if wanted.error is not None:
            returned = isinstance(found.value, BaseException)
            ask = " Devolvió una excepción: ¿se devuelve o se lanza?" if returned else ""
            return f"se esperaba {type(wanted.error).__name__}.{ask}"
        if found.error is None and found.value is None and wanted.value is not None:
            return f"se esperaba {shown(wanted.value)}. ¿Falta un return?"
        other = not _alike(found.value, wanted.value) and found.error is None
        note = f" Devolvió {kind(found.value)}." if other and not self.attribute else ""
        return f"se esperaba {shown(wanted.value)}.{note}"


class Told(Protocol):
    """What stories tell how far they are, for the hint of one that does not end."""

    doing: str


@dataclass(frozen=True)
class Stories:
    """All stories of an exercise; the fields are those of `Exercise.stories`."""

    name: str
    model: Callable[..., Any]
    steps: tuple[str, ...]
    length: int
    made_with: tuple[str, ...]
    world: Callable[[], Mapping[str, Any]]
    possible: Callable[[Any, str], object] | None
    sees: tuple[str, ...]
    thing: str = "_thing"

    def first_difference(self, answer: Any, teller: Told) -> Difference | None:
        """Return where the answer first differs from the model, in the shortest story; None where nowhere."""
        frontier: list[tuple[str | None, tuple[str, ...]]] = [
            (made, ()) for made in self.made_with or (None,)
        ]
        for made, story in frontier:
            if difference := self._compare(answer, made, story, teller):
                return difference
        for length in range(1, self.length + 1):
            longer = []
            for made, before in frontier:
                for step in self.steps:
                    story = (*before, step)
                    if not self._is_possible(made, story):
                        continue
                    longer.append((made, story))
                    if difference := self._compare(answer, made, story, teller):
                        return difference
                    # What went well once and not again has something that two objects share.
                    if length == 1 and (difference := self._compare(answer, made, story, teller)):
                        return replace(difference, again=True)
            frontier = longer
        return None

    def _is_possible(self, made: str | None, story: tuple[str, ...]) -> bool:
        if self.possible is None:
            return True
        with self.telling(self.model, made) as model:
            for step in story[:-1]:
                model.take(step)
            return bool(self.possible(model.thing, story[-1]))

    def _compare(
        self, answer: Any, made: str | None, story: tuple[str, ...], teller: Told
    ) -> Difference | None:
        shape = "" if made is None else f"{self.name}({made})"
        teller.doing = f"{shape}: {', '.join(story)}" if shape else ", ".join(story)
        with self.telling(self.model, made) as model, self.telling(answer, made) as own:
            outcomes: list[Outcome] = []
            for number in range(len(story) + 1):
                if number:
                    wanted, found = model.take(story[number - 1]), own.take(story[number - 1])
                    if not found.agrees_with(wanted):
                        again = number < len(story)
                        return Difference(shape, story[:number], tuple(outcomes), wanted, found, again=again)
                    outcomes.append(found)
                for attribute in self.sees:
                    wanted, found = model.see(attribute), own.see(attribute)
                    if not found.agrees_with(wanted):
                        again = number < len(story)
                        return Difference(
                            shape, story[:number], tuple(outcomes), wanted, found, attribute, again
                        )
        return None

    def telling(self, teller: Callable[..., Any] | Any, made: str | None) -> Telling:
        """Begin a story: a new object, made by the model or the answer, in a new world."""
        return Telling(self, teller, made)

    def expression(self, step: str, direct: set[str]) -> str:
        """Return what a step is in the world: itself, or a method of the object."""
        if step not in self._expressions:
            match = _NAME.match(step)
            itself = match is not None and match[0] in direct
            self._expressions[step] = step if itself else f"{self.thing}.{step}"
        return self._expressions[step]

    @cached_property
    def _expressions(self) -> dict[str, str]:
        return {}

    @cached_property
    def _code(self) -> dict[str, CodeType]:
        return {}

    def compiled(self, expression: str) -> CodeType:
        """Return an expression's code, compiled once."""
        if expression not in self._code:
            self._code[expression] = compile(expression, "<paso>", "eval")
        return self._code[expression]


class Telling:
    """One story told by one teller: its object, its world and, where a step is awaited, its loop."""

    def __init__(self, stories: Stories, teller: Callable[..., Any], made: str | None) -> None:
        self._stories, self._stack = stories, contextlib.ExitStack()
        self._runner: asyncio.Runner | None = None
        self._names: dict[str, Any] = {**stories.world(), stories.name: teller}
        self._direct = set(self._names)
        self.thing: Any = teller
        if made is not None:
            self._direct.add(stories.thing)
            self.thing = self._names[stories.thing] = self._evaluate(f"{stories.name}({made})")

    def take(self, step: str) -> Outcome:
        """Do a step: a method of the object, or an expression that begins with a name of the world."""
        try:
            return Outcome(self._evaluate(self._stories.expression(step, self._direct)))
        except Stop:
            raise
        except BaseException as error:
            return Outcome(error=error)

    def see(self, attribute: str) -> Outcome:
        """Read an attribute of the object."""
        try:
            return Outcome(getattr(self.thing, attribute))
        except Exception as error:
            return Outcome(error=error)

    def _evaluate(self, expression: str) -> Any:
        value = eval(self._stories.compiled(expression), self._names)
        if not inspect.isawaitable(value):
            return value
        if self._runner is None:
            self._runner = self._stack.enter_context(asyncio.Runner())

        async def result() -> Any:
            return await value

        return self._runner.run(result())

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()


def _alike(found: Any, wanted: Any) -> bool:
    """Return True when the kind of a value cannot be what is wrong with it: `same` compares both generously."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return type(found) is type(wanted)
    kinds = (Mapping, (list, tuple), (int, float))
    return type(found) is type(wanted) or any(isinstance(found, k) and isinstance(wanted, k) for k in kinds)


def same(found: Any, wanted: Any) -> bool:
    """Return True when a value is what the model's is, whatever sequence, mapping or number type it is made of.

    A bool is no number here: `1` is not what `True` says.
    """
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted or (not isinstance(wanted, bool | int | float) and wanted == found)
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return bool(wanted == found)


def told(step: str, outcome: Outcome, wanted: Outcome | None = None) -> str:
    """Return a step and how it ended: `permitir() → True`, `llamar(f) lanzó KeyError (1)`."""
    if outcome.error is not None:
        return f"{step} {_raised(outcome)}"
    if outcome.value is None and (wanted is None or wanted.value is None):
        return step if wanted is None or wanted.error is None else f"{step} no lanzó nada"
    return f"{step} → {shown(outcome.value)}"


def _raised(outcome: Outcome) -> str:
    assert outcome.error is not None
    return f"lanzó {described(outcome.error)}"
