"""EG-10a: a limit that holds in every window of time, for each client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Exercise
from labkit.exercises.races import Overtaking
from labkit.exercises.stories import Difference
from labkit.waiting import ManualClock

LIMIT = Exercise("EG-10a", writes="Limite", call="Limite(maximo, segundos, reloj)", methods=("permitir(cliente)",), deadline=15)


class Model:
    """The statement: so many in any window; else the seconds until the oldest of them no longer counts."""

    def __init__(self, maximo: int, segundos: float, reloj: Any) -> None:
        self.maximo, self.segundos, self.reloj = maximo, segundos, reloj
        self.passed: dict[str, deque[float]] = {}

    def permitir(self, cliente: str) -> float:
        now, passed = self.reloj(), self.passed.setdefault(cliente, deque())
        while passed and now - passed[0] >= self.segundos:
            passed.popleft()
        if len(passed) >= self.maximo:
            return float(passed[0] + self.segundos - now)
        passed.append(now)
        return 0


_HINTS: list[tuple[Callable[[Difference], object], str]] = [
    (lambda d: d.found.value is True or d.found.value is False, "Se pide cuántos segundos faltan."),
    (lambda d: d.wanted.value == 0 and "luis" in d.last and "ana" in " ".join(d.steps), "¿Tiene cada cliente su cuenta?"),
    (lambda d: d.found.value == 0, "¿Cuántas pasaron en la última ventana?"),
    (lambda d: d.wanted.value == 0, "¿Cuándo deja de contar la más antigua? ¿Cuenta lo rechazado?"),
]

for _steps, _length in (
    (["permitir('ana')", "permitir('luis')", "reloj.advance(4.5)"], 4),
    (["permitir('ana')", "reloj.advance(4.5)", "reloj.advance(5.5)"], 6),  # a window that begins anew is seen in six steps
):
    LIMIT.stories(
        Model,
        made_with=["2, 10, reloj", "1, 10, reloj", "3, 4.5, reloj"],
        world=lambda: {"reloj": ManualClock()},
        steps=_steps,
        length=_length,
        hints=_HINTS,
        think="¿Cuánto falta para que la más antigua deje de contar?",
        situation="con un reloj que se adelanta",
    )

LIMIT.races(
    Model,
    Overtaking(
        "1, 10, reloj",
        ("permitir('ana')",),
        ("permitir('ana')",),
        after=("permitir('ana')",),
        think="¿Qué pasa entre contar y anotar?",
    ),
    Overtaking(
        "2, 10, reloj",
        ("permitir('ana')",),
        ("permitir('ana')",),
        after=("permitir('ana')",),
        think="¿Se pierde alguna anotación?",
    ),
    world=lambda: {"reloj": ManualClock()},
)
