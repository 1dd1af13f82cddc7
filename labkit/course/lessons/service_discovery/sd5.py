"""SD-5: leases that expire unless they are renewed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_methods
from labkit.exercises.stories import Difference
from labkit.waiting import ManualClock

LEASES = Exercise("SD-5", writes="Arriendos", call="Arriendos(ttl, reloj)", methods=("registrar(url)", "renovar(url)", "vivas()"))


class Model:
    """The statement: a lease lasts `ttl` seconds from its last registration or renewal, its end left out."""

    def __init__(self, ttl: float, reloj: Callable[[], float]) -> None:
        self.ttl, self.reloj, self.ends = ttl, reloj, dict[str, float]()

    def registrar(self, url: str) -> None:
        self.ends[url] = self.reloj() + self.ttl

    def renovar(self, url: str) -> bool:
        if url not in self.vivas():
            return False
        self.ends[url] = self.reloj() + self.ttl
        return True

    def vivas(self) -> list[str]:
        return [url for url, end in self.ends.items() if self.reloj() < end]


def _world() -> dict[str, Any]:
    clock = ManualClock(100)

    def pasan(seconds: float) -> None:
        clock.advance(seconds)

    return {"reloj": clock, "pasan": pasan}


def _after(word: str) -> Callable[[Difference], bool]:
    """Make a predicate: `vivas()` differs, and the last step but the clock and it began with that word."""

    def holds(difference: Difference) -> bool:
        acts = [step for step in difference.steps if not step.startswith(("pasan", "vivas"))]
        return difference.last == "vivas()" and bool(acts) and acts[-1].startswith(word)

    return holds


def _has_its_place(model: Model, step: str) -> bool:
    """Leave out a second registration beside another's: who comes first then, the statement does not say."""
    return not step.startswith("registrar") or step[11] not in model.ends or len(model.ends) == 1


@LEASES.case("recién creado", raised="¿qué guarda tu clase al crearse?")
def has_its_methods(case: Case, leases: Any) -> None:
    expect_methods(case, leases(30, ManualClock()))


LEASES.stories(
    Model,
    made_with=["30, reloj"],
    world=_world,
    steps=["registrar('a')", "registrar('b')", "renovar('a')", "vivas()", "pasan(10)", "pasan(20)"],
    possible=_has_its_place,
    length=5,
    hints=[
        (
            lambda d: d.last.startswith("renovar") and d.found.value is True,
            "¿Estaba, y su arriendo seguía en vigor? En el segundo exacto en que caduca, ya no.",
        ),
        (
            lambda d: d.last.startswith("renovar") and d.found.value is False,
            "Su arriendo seguía en vigor: ¿desde cuándo lo cuentas, y cuánto dura?",
        ),
        (lambda d: d.last.startswith("renovar"), "¿Qué devuelve renovar, y cuándo?"),
        (_after("registrar"), "¿Desde cuándo cuenta el arriendo, cuánto dura, y sigue el orden de registro?"),
        (_after("renovar"), "¿Desde cuándo cuenta el arriendo renovado, y qué no cambia si no se pudo renovar?"),
    ],
    think="¿Qué es reloj, y qué devuelve cada método?",
    situation="con un reloj que avanza",
)

LEASES.stories(
    Model,
    made_with=["30, reloj"],
    world=_world,
    steps=["registrar('b')", "registrar('a')", "renovar('a')", "vivas()", "pasan(20)"],
    possible=_has_its_place,
    length=4,
    think="¿Sigue el orden de registro, y de quién es cada arriendo?",
    situation="con dos direcciones",
)

LEASES.stories(
    Model,
    made_with=["5, reloj", "0.5, reloj"],
    world=_world,
    steps=["registrar('a')", "renovar('a')", "vivas()", "pasan(4)", "pasan(0.25)"],
    length=4,
    think="¿Usas el ttl que te dieron?",
    situation="con otro ttl",
)
