"""BH-11: three sums with Little's law, in the middle of the lesson."""

from __future__ import annotations

from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind

LITTLE = Exercise("BH-11", writes=("dentro_bien", "dentro_mal", "entran"))
_RIGHT = {
    "dentro_bien": (6, "30 por segundo, y cada una 0.2 s dentro."),
    "dentro_mal": (45, "30 por segundo, y cada una 1.5 s dentro."),
    "entran": (8, "con 12 dentro y 1.5 s cada una, ¿cuántas salen por segundo, y cuántas pueden entrar entonces?"),
}


@LITTLE.case("con tus cuentas")
def sums(case: Case, *things: Any) -> None:
    for (name, (right, think)), found in zip(_RIGHT.items(), things, strict=True):
        number = isinstance(found, int | float) and not isinstance(found, bool)
        case.expect(number, f"{name} es {kind(found)}: escribe un número")
        case.expect(abs(found - right) < 0.05, f"{name} vale {found:g}: {think} ¿Qué dice la ley de Little?")
