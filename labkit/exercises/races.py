"""Races told by a model: whatever one thread does in the middle of another, some order of their steps explains.

That is linearizability (Herlihy and Wing, 1990) for two threads: each does a few steps, one of them is stopped
before every instruction in turn while the other goes all its way (`interleaving`), and what both got must be
what the model gives for one of the orders in which their steps can be merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.exercises.interleaving import Race, interleavings
from labkit.exercises.stories import Outcome, Stories, Telling, Told, told
from labkit.exercises.wording import shown

_LOOK = "?"  # before an attribute's name: a look at it, which is a step of its own
Teller = tuple[int, str]  # 0: the thread that is stopped, 1: the one that overtakes it; and a step


@dataclass(frozen=True)
class Overtaking:
    """A race: `slow` is stopped half-way and `quick` overtakes it; `before` and `after` are done by neither.

    `made`: the arguments that the object is made with. `think`: the question at the end of the hint.
    """

    made: str
    slow: tuple[str, ...]
    quick: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    think: str = "¿Qué leyó un hilo que el otro cambió antes de que lo usara?"


def first_failure(stories: Stories, race: Overtaking, answer: object, teller: Told) -> str | None:
    """Return what an answer did that no order of the steps explains; None when there is always one.

    What is seen (`stories.sees`) is looked at by each thread after each of its steps, and at the end.
    """
    slow, quick, after = (_with_looks(stories, each) for each in (race.slow, race.quick, race.after))
    after = after or _looks(stories)
    allowed = [_outcomes(stories, race.made, race.before, order, after) for order in _merges(slow, quick)]
    shape = f"{stories.name}({race.made})"
    teller.doing = f"{shape}: con {_list(race.slow)} a medio camino, otro hilo con {_list(race.quick)}"

    def prepare() -> Race[list[list[Outcome]]]:
        telling = stories.telling(answer, race.made)
        for step in race.before:
            telling.take(step)
        got: list[list[Outcome]] = [[], [], []]

        def run(index: int, steps: tuple[str, ...]) -> None:
            got[index] += [_do(telling, step) for step in steps]

        return Race(lambda: run(0, slow), lambda: run(1, quick), got, lambda: run(2, after))

    for got in interleavings(prepare):
        found = [outcome for outcomes in got for outcome in outcomes]
        if not any(
            all(each.agrees_with(wanted) for each, wanted in zip(found, order, strict=True))
            for order in allowed
        ):
            return _hint(
                race, shape, [text(steps, own) for steps, own in zip((slow, quick, after), got, strict=True)]
            )
    return None


def _looks(stories: Stories) -> tuple[str, ...]:
    return tuple(f"{_LOOK}{attribute}" for attribute in stories.sees)


def _with_looks(stories: Stories, steps: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for step in steps for each in (step, *_looks(stories)))


def _do(telling: Telling, step: str) -> Outcome:
    return telling.see(step.removeprefix(_LOOK)) if step.startswith(_LOOK) else telling.take(step)


def _merges(slow: tuple[str, ...], quick: tuple[str, ...]) -> Iterator[list[Teller]]:
    """Yield every order of both threads' steps that keeps each thread's own."""
    if not slow or not quick:
        yield [(0, step) for step in slow] + [(1, step) for step in quick]
        return
    for rest in _merges(slow[1:], quick):
        yield [(0, slow[0]), *rest]
    for rest in _merges(slow, quick[1:]):
        yield [(1, quick[0]), *rest]


def _outcomes(
    stories: Stories, made: str, before: tuple[str, ...], order: list[Teller], after: tuple[str, ...]
) -> list[Outcome]:
    with stories.telling(stories.model, made) as model:
        for step in before:
            model.take(step)
        got: list[list[Outcome]] = [[], [], []]
        for index, step in [*order, *((2, step) for step in after)]:
            got[index].append(_do(model, step))
    return [outcome for outcomes in got for outcome in outcomes]


def text(steps: tuple[str, ...], outcomes: list[Outcome]) -> str:
    """Return steps and looks with their outcomes: `permitir() → True, estado 'open'`."""
    parts = []
    for step, outcome in zip(steps, outcomes, strict=True):
        if step.startswith(_LOOK):
            name = step.removeprefix(_LOOK)
            parts.append(f"{name} {shown(outcome.value)}" if outcome.error is None else told(name, outcome))
        else:
            parts.append(told(step, outcome))
    return ", ".join(parts)


def _hint(race: Overtaking, shape: str, texts: list[str]) -> str:
    start = f"{shape}{': ' + ', '.join(race.before) if race.before else ''}"
    slow, quick, end = texts
    return (
        f"{start}. Un hilo se paró a medio camino y dio: {slow}; otro lo adelantó y dio: {quick}"
        f"{'; al final, ' + end if end else ''}. Uno detrás de otro no sale así. {race.think}"
    )


def _list(steps: tuple[str, ...]) -> str:
    return ", ".join(steps)
