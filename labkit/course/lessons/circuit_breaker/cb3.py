"""CB-3: how many failures a circuit should bear."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_measured, expect_table, word
from labkit.exercises.wording import kind, many, shown
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.waiting import ManualClock

THRESHOLDS = Exercise("CB-3", writes=("tabla_umbral", "al_subir"), deadline=12)
COUNTS = ("aperturas", "fallos", "rechazos")


@functools.cache
def measure(threshold: int) -> Mapping[str, int]:
    """Return what the notebook's `medir_umbral` gives: the same ten minutes, measured here."""
    chance, clock = random.Random(2), ManualClock()
    fails = [200 <= s < 240 or 400 <= s < 440 or chance.random() < 0.1 for s in range(600)]
    breaker = CircuitBreaker(fail_threshold=threshold, reset_timeout=10, clock=clock)
    for failing in fails:
        with suppress(ConnectionError, CircuitOpenError), breaker:
            if failing:
                raise ConnectionError
        clock.advance(1)
    metrics = breaker.metrics
    return dict(zip(COUNTS, (metrics.opened, metrics.failures, metrics.rejected), strict=True))


@THRESHOLDS.case("con la tabla", raised="¿guardas en la tabla lo que devuelve medir_umbral?")
def is_complete(case: Case, table: Any, conclusion: Any) -> None:
    expect_table(case, "tabla_umbral", table, [1], COUNTS, "medir_umbral")
    for threshold in table:
        case.expect(
            type(threshold) is int and threshold > 0,
            f"una clave de tabla_umbral es {threshold!r}: las claves son umbrales, enteros de 1 en adelante",
        )
    case.expect(len(table) >= 4, f"tabla_umbral tiene {many(len(table), 'umbral', 'umbrales')} y se piden cuatro o más")


@THRESHOLDS.case("al repetir tus medidas")
def was_measured(case: Case, table: Any, conclusion: Any) -> None:
    expect_measured(case, "tabla_umbral", table, measure, COUNTS)
    most = max(table)
    case.expect(
        any(row["aperturas"] == 0 for row in table.values()),
        f"con todos tus umbrales el circuito se abre alguna vez; con el mayor, {most}, "
        f"{many(table[most]['aperturas'], 'vez', 'veces')}: ¿cuántos fallos seguidos trae la caída más larga?",
    )


@THRESHOLDS.case("con tu conclusión", raised="¿qué claves y qué valores lleva al_subir?")
def follows(case: Case, table: Any, conclusion: Any) -> None:
    case.expect(isinstance(conclusion, Mapping), f"al_subir es {kind(conclusion)}: usa un diccionario con las tres medidas")
    least, most = min(table), max(table)
    for name in COUNTS:
        case.expect(name in conclusion, f"en al_subir falta «{name}»")
        said = word(conclusion[name])
        case.expect(said in ("sube", "baja"), f"en al_subir, «{name}» vale {shown(conclusion[name])}: se acepta sube o baja")
        before, after = table[least][name], table[most][name]
        case.expect(
            (said == "sube") == (after > before),
            f"dices que «{name}» {said} al subir el umbral, y en tu tabla pasa de {before} (umbral {least}) "
            f"a {after} (umbral {most})",
        )
