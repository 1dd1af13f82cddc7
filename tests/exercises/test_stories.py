"""Stories and races: a model says what is right, and the shortest difference is the hint."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, ClassVar

import pytest

from labkit.exercises.check import judge
from labkit.exercises.exercise import Exercise
from labkit.exercises.races import Overtaking


class Box:
    """A statement: holds `most` things, says whether one fits, gives the last back."""

    def __init__(self, most: int) -> None:
        self.most, self.things = most, list[Any]()

    @property
    def size(self) -> int:
        return len(self.things)

    def put(self, thing: Any) -> bool:
        fits = len(self.things) < self.most
        self.things += [thing] * fits
        return fits

    def take(self) -> Any:
        return self.things.pop()


def box(length: int = 4, **options: Any) -> Exercise:
    exercise = Exercise("ZZ-1", writes="Box", call="Box(most)", methods=("put(thing)", "take()"))
    exercise.stories(
        Box, made_with=["1", "2"], steps=["put('a')", "put('b')", "take()"], length=length, **options
    )
    return exercise


def hint(exercise: Exercise, answer: Any) -> str:
    verdict = judge(exercise, (answer,))
    assert verdict.state == "falla", verdict.text
    return verdict.hint


def test_the_model_itself_passes_and_an_answer_of_another_make() -> None:
    class Linked:
        def __init__(self, most: int) -> None:
            self.most, self.top, self.size = most, None, 0

        def put(self, thing: Any) -> bool:
            if self.size == self.most:
                return False
            self.top, self.size = (thing, self.top), self.size + 1  # type: ignore[assignment]
            return True

        def take(self) -> Any:
            if self.top is None:
                raise LookupError("nothing")
            thing, self.top = self.top
            self.size -= 1
            return thing

    exercise = box(sees=["size"])
    assert judge(exercise, (Box,)).state == "ok"
    assert "se esperaba IndexError" in hint(exercise, Linked)  # LookupError is not what the model raises


def test_the_hint_is_the_shortest_story_that_shows_the_difference() -> None:
    class First(Box):
        def take(self) -> Any:
            return self.things.pop(0)

    assert hint(box(), First) == "Box(2): put('a') → True, put('b') → True, take() → 'a': se esperaba 'b'."


def test_an_error_where_none_is_expected_is_told() -> None:
    class Breaks(Box):
        def put(self, thing: Any) -> bool:
            return super().put({}[thing])

    assert hint(box(), Breaks) == "Box(1): put('a') lanzó KeyError ('a'): se esperaba True."


def test_no_error_where_one_is_expected_is_told() -> None:
    class Silent(Box):
        def take(self) -> Any:
            return self.things.pop() if self.things else None

    assert hint(box(), Silent) == "Box(1): take() no lanzó nada: se esperaba IndexError."


def test_a_missing_return_and_another_type_are_told() -> None:
    class Mute(Box):
        def put(self, thing: Any) -> Any:
            super().put(thing)

    class Counts(Box):
        def put(self, thing: Any) -> Any:
            return int(super().put(thing))

    assert "¿Falta un return?" in hint(box(), Mute)
    assert hint(box(), Counts) == "Box(1): put('a') → 1: se esperaba True. Devolvió un número."


def test_an_error_that_is_returned_is_asked_about() -> None:
    class Returns(Box):
        def take(self) -> Any:
            return self.things.pop() if self.things else IndexError("empty")

    assert "se esperaba IndexError. Devolvió una excepción: ¿se devuelve o se lanza?" in hint(box(), Returns)


def test_a_kind_that_would_do_is_not_named_as_the_fault() -> None:
    exercise = Exercise("ZZ-1", writes="count")
    exercise.stories(lambda: {"a": 1}, steps=["count()"])
    assert "Devolvió" not in hint(exercise, lambda: defaultdict(int, a=2))
    assert hint(exercise, lambda: [1]).endswith("Devolvió una lista.")


def test_an_attribute_is_seen_after_each_step() -> None:
    class Stuck(Box):
        size = 0

    expected = "Box(1): put('a') → True; size vale 0: se esperaba 1."
    assert hint(box(sees=["size"]), Stuck) == expected


def test_what_two_objects_share_is_told() -> None:
    class Shared(Box):
        all: ClassVar[list[Any]] = []

        def __init__(self, most: int) -> None:
            self.most, self.things = most, self.all

    assert "¿qué comparten dos?" in hint(box(), Shared)


def test_steps_that_make_no_sense_now_are_left_out() -> None:
    class Silent(Box):
        def take(self) -> Any:
            return self.things.pop() if self.things else None

    assert judge(box(possible=lambda model, step: step != "take()" or model.things), (Silent,)).state == "ok"


def test_a_question_is_chosen_by_what_differs() -> None:
    class Greedy(Box):
        def put(self, thing: Any) -> bool:
            self.things.append(thing)
            return True

    exercise = box(hints=[(lambda d: d.last.startswith("put"), "¿Cuántas caben?")], think="¿?")
    assert hint(exercise, Greedy).endswith("se esperaba False. ¿Cuántas caben?")


def test_an_answer_that_hangs_is_told_with_its_story() -> None:
    class Waits(Box):
        def take(self) -> Any:
            while not self.things:
                pass
            return super().take()

    exercise = box()
    exercise.deadline = 0.3
    assert hint(exercise, Waits).startswith("Box(1): take(), tu código no terminó en 0.3 s")


def test_a_function_is_held_against_a_function_and_the_world_is_new_each_time() -> None:
    exercise = Exercise("ZZ-2", writes="add", call="add(numbers, number)")
    exercise.stories(
        lambda numbers, number: numbers.append(number) or len(numbers),
        steps=["add(mine, 1)", "add(mine, 2)"],
        world=lambda: {"mine": []},
        length=2,
    )
    assert judge(exercise, (lambda numbers, number: len([*numbers, number]),)).state == "falla"
    assert judge(exercise, (lambda numbers, number: numbers.append(number) or len(numbers),)).state == "ok"


def test_coroutines_of_one_story_run_on_one_loop() -> None:
    import asyncio

    class Model:
        async def wait(self) -> bool:
            return True

    class Answer:
        def __init__(self) -> None:
            self.loop: Any = None

        async def wait(self) -> bool:
            loop, self.loop = self.loop, asyncio.get_running_loop()
            return loop in (None, self.loop)

    exercise = Exercise("ZZ-3", writes="Answer")
    exercise.stories(Model, made_with=[""], steps=["wait()"], length=3)
    assert judge(exercise, (Answer,)).state == "ok"


class Counter:
    def __init__(self) -> None:
        self.value, self.lock = 0, threading.Lock()

    def add(self) -> int:
        with self.lock:
            self.value += 1
            return self.value


def counter(*races: Overtaking) -> Exercise:
    exercise = Exercise("ZZ-4", writes="Counter")
    exercise.races(Counter, *races, sees=["value"])
    return exercise


ADD_AND_ADD = Overtaking("", ("add()",), ("add()",), think="¿Y el candado?")


def test_a_race_with_a_lock_passes() -> None:
    assert judge(counter(ADD_AND_ADD), (Counter,)).state == "ok"


@pytest.mark.parametrize("place", ["attribute", "dict", "closure"])
def test_a_lost_update_is_refused_wherever_it_is_counted(place: str) -> None:
    class Attribute:
        value = 0

        def add(self) -> int:
            self.value += 1
            return self.value

    class Dict:
        def __init__(self) -> None:
            self.counts = {"value": 0}

        @property
        def value(self) -> int:
            return self.counts["value"]

        def add(self) -> int:
            self.counts["value"] += 1
            return self.counts["value"]

    class Closure:
        def __init__(self) -> None:
            count = 0

            def add() -> int:
                nonlocal count
                count += 1
                return count

            self.add, self.look = add, lambda: count

        @property
        def value(self) -> int:
            return self.look()

    answer = {"attribute": Attribute, "dict": Dict, "closure": Closure}[place]
    assert hint(counter(ADD_AND_ADD), answer).endswith("Uno detrás de otro no sale así. ¿Y el candado?")


def test_each_order_of_the_steps_is_allowed() -> None:
    race = Overtaking("", ("add()", "add()"), ("add()",), before=("add()",), after=("add()",))
    assert judge(counter(race), (Counter,)).state == "ok"
