"""SC-8a: a fault every tenth request."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.races import Overtaking

FAULT = Exercise("SC-8a", writes="Averia", call="Averia(cada)", methods=("toca()",))


class Model:
    """The statement: True for each so-many-th request."""

    def __init__(self, cada: int) -> None:
        self._every, self.peticiones = cada, 0

    def toca(self) -> bool:
        self.peticiones += 1
        return self.peticiones % self._every == 0


FAULT.stories(
    Model,
    made_with=["1", "2", "3", "10"],
    steps=["toca()"],
    sees=["peticiones"],
    length=21,
    hints=[(lambda d: bool(d.attribute), "¿Cuenta todas, también la que falla?")],
    think="¿Cuál es la primera que falla, y cuál la siguiente?",
    situation="al contar peticiones",
)

FAULT.races(
    Model,
    Overtaking("2", ("toca()",), ("toca()",), after=("toca()",), think="¿Qué leyó un hilo que el otro cambió después?"),
    sees=["peticiones"],
)
