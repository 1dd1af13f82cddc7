"""EG-9: served, diverted or shed, by priority and by the places that are free."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.races import Overtaking

SLUICE = Exercise(
    "EG-9", writes="Compuerta", call="Compuerta(sitios, reserva)", methods=("entrar(prioridad)", "salir(donde)"), deadline=15
)


class Model:
    """The statement: low priority leaves one main place free; then the reserve; then nothing."""

    def __init__(self, sitios: int, reserva: int) -> None:
        self.free = {"principal": sitios, "reserva": reserva}
        self.inside = {"principal": 0, "reserva": 0}
        self.descartadas = 0

    def entrar(self, prioridad: str) -> str:
        kept = 0 if prioridad == "alta" else 1
        where = "principal" if self.free["principal"] > kept else "reserva"
        if not self.free[where]:
            self.descartadas += 1
            return "descartada"
        self.free[where] -= 1
        self.inside[where] += 1
        return where

    def salir(self, donde: str) -> None:
        self.free[donde] += 1
        self.inside[donde] -= 1


def _possible(model: Model, step: str) -> bool:
    return "salir" not in step or model.inside["principal" if "principal" in step else "reserva"] > 0


SLUICE.stories(
    Model,
    made_with=["2, 1", "1, 1", "3, 0", "1, 2"],
    steps=["entrar('alta')", "entrar('baja')", "salir('principal')", "salir('reserva')"],
    possible=_possible,
    sees=["descartadas"],
    length=5,
    hints=[
        (lambda d: d.attribute, "¿Qué cuenta descartadas, y qué no?"),
        (lambda d: "salir" in " ".join(d.steps), "¿Qué plaza volvió?"),
        (lambda d: "principal" not in (d.wanted.value, d.found.value), "¿Cuántas plazas tiene la reserva, y cuántas ocupadas?"),
        (lambda d: "baja" in d.last, "¿Cuántas plazas principales quedan libres con ella dentro?"),
    ],
    think="¿Dónde queda plaza?",
    situation="al entrar y salir",
)

SLUICE.races(
    Model,
    Overtaking("1, 0", ("entrar('alta')",), ("entrar('alta')",), think="¿Qué pasa entre mirar y ocupar?"),
    Overtaking("2, 0", ("entrar('baja')",), ("entrar('baja')",), think="¿Qué pasa entre mirar y ocupar?"),
    Overtaking(
        "1, 0", ("entrar('alta')",), ("entrar('alta')",), before=("entrar('alta')",), think="¿Y la cuenta de descartadas?"
    ),
    Overtaking(
        "2, 0",
        ("salir('principal')",),
        ("salir('principal')",),
        before=("entrar('alta')", "entrar('alta')"),
        after=("entrar('alta')", "entrar('alta')"),
        think="¿Se pierde una plaza al devolver dos a la vez?",
    ),
    sees=["descartadas"],
)
