"""BH-7b: the flood itself, and counts that add up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind, shown

FLOOD = Exercise("BH-7b", writes="inundar", call="inundar(grupo)", deadline=8)
COUNTS = ("aceptadas", "rechazadas", "terminadas")


class Grupo:
    """A bounded group of the check's own that accepts every `among`-th task, loses one, and runs the others when closed."""

    def __init__(self, among: int) -> None:
        self.aceptadas = self.rechazadas = self.ended = 0
        self.closed, self._among, self._tasks = 0, among, deque[Callable[[], object]]()

    def entregar(self, funcion: Callable[[], object]) -> bool:
        fits = (self.aceptadas + self.rechazadas) % self._among == 0
        self.aceptadas += fits
        self.rechazadas += not fits
        if fits:
            self._tasks.append(funcion)
        return fits

    def cerrar(self) -> None:
        self.closed += 1
        if self._tasks:
            self._tasks.pop()  # what ended is less than what was accepted: it can only be known by counting

        def work() -> None:
            while self._tasks:
                self._tasks.popleft()()
                self.ended += 1

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.1)


@FLOOD.case("con un grupo que acepta pocas", raised="¿qué usas de grupo: entregar, cerrar, aceptadas y rechazadas?")
def counts_add_up(case: Case, flood: Any) -> None:
    for among in (25, 40):
        group = Grupo(among)
        found = flood(group)
        case.expect(found is not None, "inundar no devolvió nada: ¿falta el return?")
        case.expect(isinstance(found, Mapping), f"inundar devolvió {kind(found)}: se pide un diccionario con las tres cuentas")
        missing = [name for name in COUNTS if name not in found]
        case.expect(not missing, f"en lo que devolvió inundar falta: {', '.join(missing)}")
        delivered = group.aceptadas + group.rechazadas
        case.equal(delivered, 1000, "inundar entregó {found} tareas y se piden {wanted}: ¿cuántas veces llamas a entregar?")
        case.expect(
            group.closed, "inundar devolvió las cuentas sin cerrar el grupo: ¿cómo sabes que las aceptadas han terminado?"
        )
        wanted = {"aceptadas": group.aceptadas, "rechazadas": group.rechazadas, "terminadas": group.ended}
        for name in COUNTS:
            case.expect(
                found[name] == wanted[name] and type(found[name]) is int,
                f"el grupo aceptó {group.aceptadas}, rechazó {group.rechazadas}, terminaron {group.ended}, e "
                f"inundar dice {name}: {shown(found[name])}. ¿Qué cuentas, y cuándo?",
            )
