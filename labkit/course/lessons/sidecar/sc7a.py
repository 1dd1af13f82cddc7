"""SC-7a: health checks that tell of changes, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Exercise
from labkit.exercises.stories import Difference

WATCH = Exercise("SC-7a", writes="Vigilante", call="Vigilante(preguntar, avisar, fallos)", methods=("comprobar()",))


class Model:
    """The statement: a notice for each change; down after `fallos` bad answers in a row, up after a good one."""

    def __init__(self, preguntar: Callable[[], bool], avisar: Callable[[str], None], fallos: int) -> None:
        self._ask, self._tell, self._most = preguntar, avisar, fallos
        self._row, self.sano = 0, True

    def comprobar(self) -> None:
        try:
            good = bool(self._ask())
        except Exception:
            good = False
        self._row = 0 if good else self._row + 1
        if good and not self.sano:
            self.sano = True
            self._tell("sano")
        elif self.sano and self._row >= self._most:
            self.sano = False
            self._tell("caído")


class _Service:
    """Answers as it was told, and counts."""

    def __init__(self) -> None:
        self.says: Any = True
        self.asked = 0
        self.told: list[str] = []

    def preguntar(self) -> Any:
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def _world() -> dict[str, Any]:
    service = _Service()

    def ver(thing: Any, says: Any) -> tuple[int, list[str]]:
        """Let the service say this from now on, check once; how often it was asked, and all notices."""
        service.says = says
        thing.comprobar()
        return service.asked, list(service.told)

    return {"preguntar": service.preguntar, "avisar": service.told.append, "ver": ver, "CORTA": ValueError("no es JSON")}


def _told(d: Difference) -> tuple[list[str], list[str]]:
    return d.found.value[1], d.wanted.value[1]


WATCH.stories(
    Model,
    made_with=["preguntar, avisar, 1", "preguntar, avisar, 2", "preguntar, avisar, 3"],
    thing="v",
    world=_world,
    steps=["ver(v, True)", "ver(v, False)", "ver(v, CORTA)", "ver(v, 'sí')"],
    sees=["sano"],
    length=5,
    hints=[
        (lambda d: bool(d.attribute), "¿Cuántos fallos van seguidos?"),
        (lambda d: d.found.error is not None, "¿Qué significa que preguntar lance una excepción?"),
        (lambda d: d.found.value[0] != d.wanted.value[0], "¿Cuántas veces se pregunta en una comprobación?"),
        (
            lambda d: _told(d)[0][:-1] == _told(d)[1] and _told(d)[0][-1] in ("sano", *_told(d)[1][-1:]),
            "Ha avisado: ¿ha cambiado algo desde el último aviso?",
        ),
        (lambda d: _told(d)[1][:-1] == _told(d)[0] and _told(d)[1][-1] == "sano", "Falta el aviso de que ya está sano."),
        (lambda d: len(_told(d)[0]) != len(_told(d)[1]), "¿Cuántos fallos van seguidos?"),
    ],
    situation="al comprobar",
)
