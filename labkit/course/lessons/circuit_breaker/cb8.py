"""CB-8: the audit of two published libraries, by experiments of the learner's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from labkit.course.lessons.circuit_breaker import bench
from labkit.course.lessons.circuit_breaker.bench import Make
from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind, shown

LIBRARIES = ("pybreaker", "circuitbreaker")
WRITTEN = {
    "tardio": "¿cuándo se abre tu circuito, y cómo acaba la llamada que empezó antes?",
    "ignorada": "¿cuántos fallos hay, dónde va el ValueError y qué dice si se abrió?",
    "entrada": "¿qué umbral le das, y qué contestas si lo acepta?",
}
AUDIT = Exercise(
    "CB-8",
    writes=(*WRITTEN, "tabla_auditoria", "ninguna_cumple"),
    call=tuple(f"{name}(nuevo)" for name in WRITTEN),
    deadline=20,
)
INVARIANTS = (*bench.GIVEN, "tardío", "ignorada", "entrada")


class Naive:
    """A circuit with what a test gives it of the three flaws that the learner's experiments look for."""

    def __init__(self, flaw: str, threshold: int = 3) -> None:
        if flaw != "entrada" and threshold < 1:
            raise ValueError("umbral")
        self.flaw, self.threshold, self.failures = flaw, threshold, 0
        self.open: bool = False

    def __call__(self, function: Callable[[], Any]) -> Callable[[], Any]:
        def guarded() -> Any:
            if self.open:
                raise RuntimeError("abierto")
            try:
                value = function()
            except ValueError:
                if self.flaw == "ignorada":
                    self.failures = 0
                raise
            except Exception:
                self.failures += 1
                self.open = self.failures >= self.threshold
                raise
            self.failures = 0
            if self.flaw == "tardio":
                self.open = False
            return value

        return guarded


def _circuits() -> dict[str, Make]:
    """Return factories of circuits that hold all three invariants, and one for each flaw."""

    def naive(flaw: str) -> Make:
        return lambda umbral=3, espera=60: Naive(flaw, umbral)

    return {"el de labkit": bench.CIRCUITS["labkit"], "uno bueno": naive(""), **{flaw: naive(flaw) for flaw in WRITTEN}}


@AUDIT.case("con tus experimentos", raised="¿qué recibe un experimento, y qué devuelve pase lo que pase?")
def experiments_tell_good_from_bad(case: Case, *things: Any) -> None:
    for (name, think), experiment in zip(WRITTEN.items(), things, strict=False):
        for circuit, make in _circuits().items():
            found, right = experiment(make), circuit != name
            case.expect(isinstance(found, bool), f"{name}(nuevo) devolvió {kind(found)}: se pide True o False")
            what = "que no lo cumple" if circuit == name else "que cumple los seis"
            case.expect(found is right, f"{name}, con un circuito {what}, devolvió {found}: {think}")


def _plain(name: object) -> str:
    return str(name).strip().lower().replace("_", " ").replace("í", "i")


@AUDIT.case("con la tabla")
def table_is_complete(case: Case, *things: Any) -> None:
    table = things[-2]
    case.expect(
        isinstance(table, Mapping), f"tabla_auditoria es {kind(table)}: usa un diccionario que dé, para cada invariante, su fila"
    )
    rows = {_plain(name): row for name, row in table.items()}
    missing = [name for name in INVARIANTS if _plain(name) not in rows]
    case.expect(not missing, f"en tabla_auditoria falta: {', '.join(missing)}")
    for name in INVARIANTS:
        row = rows[_plain(name)]
        case.expect(
            isinstance(row, Mapping) and all(each in row for each in LIBRARIES),
            f"la fila «{name}» no es un diccionario con pybreaker y circuitbreaker",
        )
        for library in LIBRARIES:
            case.expect(
                isinstance(row[library], bool),
                f"«{name}», {library}: hay {kind(row[library])} y se pide True o False. ¿Ejecutaste el experimento?",
            )


@AUDIT.case("con tu conclusión")
def conclusion_follows(case: Case, *things: Any) -> None:
    *_, table, none = things
    case.expect(
        isinstance(none, list | tuple | set | frozenset) and all(isinstance(each, str) for each in none),
        f"ninguna_cumple es {kind(none)}: usa una lista con nombres de invariantes",
    )
    wanted = {_plain(name) for name, row in table.items() if not any(row[library] for library in LIBRARIES)}
    said = {_plain(each) for each in none}
    odd = [each for each in none if _plain(each) not in map(_plain, INVARIANTS)]
    case.expect(not odd, f"en ninguna_cumple, {shown(odd[:1])} no es uno de los seis")
    case.expect(said <= wanted, "en ninguna_cumple hay un invariante que, según tu tabla, alguna cumple")
    case.expect(wanted <= said, "según tu tabla, falta en ninguna_cumple un invariante que no cumple ninguna")


@AUDIT.case("al repetir tus experimentos")
def table_was_measured(case: Case, *things: Any) -> None:
    rows = {_plain(name): row for name, row in things[-2].items()}
    for name, experiment in zip(INVARIANTS, (*bench.GIVEN.values(), *things), strict=False):
        found = case.at_once([partial(experiment, bench.CIRCUITS[library]) for library in LIBRARIES])
        for library, holds in zip(LIBRARIES, found, strict=True):
            what = f"«{name}», {library}: al repetirlo no sale lo que dice tu tabla. ¿Con qué fábrica lo ejecutaste?"
            case.expect(holds == rows[_plain(name)][library], what)
