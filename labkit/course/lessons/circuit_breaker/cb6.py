"""CB-6: how long an open circuit should wait."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_measured, expect_table, word
from labkit.exercises.wording import kind, quoted, shown
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.waiting import ManualClock

WAITS = Exercise("CB-6", writes=("tabla_espera", "le_da_igual", "mejora"), deadline=20)
BETWEEN = {"alta": 0.5, "baja": 20.0}  # seconds between two buyers
SEEN = ("bien", "le llegaron")
ASKED = (1, 10, 60)


@functools.cache
def measure(wait: float, load: str) -> Mapping[str, float]:
    """Return what the notebook's `medir_espera` gives: the same hour, measured here."""
    chance, clock, ended = random.Random(6), ManualClock(), Counter[str]()
    outages = [(start, start + chance.randint(60, 120)) for start in range(307, 3600, 331)]
    breaker = CircuitBreaker(fail_threshold=3, reset_timeout=wait, clock=clock)
    while clock() < 3600:
        try:
            with breaker:
                if any(start <= clock() < end for start, end in outages):
                    raise ConnectionError
            ended["bien"] += 1
        except ConnectionError:
            ended["le llegaron"] += 1
        except CircuitOpenError:
            ended["rechazos"] += 1
        clock.advance(BETWEEN[load])
    return {"bien": round(100 * ended["bien"] / ended.total(), 1), "le llegaron": ended["le llegaron"]}


@WAITS.case("con la tabla", raised="¿guardas en la tabla lo que devuelve medir_espera?")
def is_complete(case: Case, table: Any, indifferent: Any, better: Any) -> None:
    case.expect(isinstance(table, Mapping), f"tabla_espera es {kind(table)}: usa un diccionario con las dos cargas")
    for load in BETWEEN:
        case.expect(load in table, f"en tabla_espera falta la carga «{load}»")
        expect_table(case, f"tabla_espera[{load!r}]", table[load], ASKED, SEEN, "medir_espera")
        for wait in table[load]:
            case.expect(
                isinstance(wait, int | float) and wait > 0,
                f"con carga {load}, una clave es {wait!r}: las claves son esperas, en segundos",
            )


@WAITS.case("al repetir tus medidas")
def was_measured(case: Case, table: Any, indifferent: Any, better: Any) -> None:
    for load in BETWEEN:
        name = f"tabla_espera[{load!r}]"
        expect_measured(case, name, table[load], lambda wait, load=load: measure(wait, load), SEEN)  # type: ignore[misc]


@WAITS.case("con tus conclusiones")
def follows(case: Case, table: Any, indifferent: Any, better: Any) -> None:
    load = word(indifferent)
    case.expect(load in BETWEEN, f"le_da_igual vale {shown(indifferent)}: se acepta alta o baja")
    short, longer = table[load][1], table[load][10]
    case.expect(
        all(short[name] == longer[name] for name in SEEN),
        f"dices que a la carga {load} le da igual, y en tu tabla pasa de {quoted(short, SEEN)} (1 s) "
        f"a {quoted(longer, SEEN)} (10 s)",
    )
    name = word(better)
    case.expect(name in SEEN, f"mejora vale {shown(better)}: se acepta bien o le llegaron")
    before, after = table["alta"][1][name], table["alta"][60][name]
    case.expect(
        after > before if name == "bien" else after < before,
        f"dices que mejora «{name}», y con carga alta pasa de {before} (1 s) a {after} (60 s): ¿es mejor más, o menos?",
    )
