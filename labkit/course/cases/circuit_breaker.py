"""The exercises of 02_circuit_breaker."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any
from unittest import mock

import requests

from labkit.course.cases.asking import described, expect_call, expect_class, expect_methods, kind
from labkit.course.exercise import Case, Exercise
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.waiting import ManualClock

# Those that only a reader can judge.
QUESTIONS = ("CB-1", "CB-2")

_PREPARE = "ejecuta otra vez la celda que la define"

# CB-3 · how many failures

THRESHOLDS = Exercise("CB-3", given=("medir_umbral",), writes=("tabla_umbral", "al_subir"), deadline=12)
_COUNTS = ("aperturas", "fallos", "rechazos")


@THRESHOLDS.case("con la tabla", raised="¿guardas en la tabla lo que devuelve medir_umbral?")
def thresholds_are_measured(case: Case, medir_umbral: Any, tabla_umbral: Any, al_subir: Any) -> None:
    case.expect(callable(medir_umbral), f"medir_umbral es {kind(medir_umbral)}: {_PREPARE}")
    case.expect(
        isinstance(tabla_umbral, Mapping),
        f"tabla_umbral es {kind(tabla_umbral)}: usa un diccionario que dé, para cada umbral, su medida",
    )
    for threshold, row in tabla_umbral.items():
        case.expect(
            type(threshold) is int and threshold > 0,
            f"una clave de tabla_umbral es {threshold!r}: las claves son umbrales, enteros de 1 en adelante",
        )
        _expect_row(case, f"la fila del umbral {threshold}", row, _COUNTS, "medir_umbral")
    case.expect(1 in tabla_umbral, "en tabla_umbral falta el umbral 1")
    case.expect(
        len(tabla_umbral) >= 4, f"tabla_umbral tiene {len(tabla_umbral)} umbrales y se piden cuatro o más"
    )


@THRESHOLDS.case("al repetir tus medidas", raised=f"¿cambiaste medir_umbral? Si hace falta, {_PREPARE}")
def thresholds_are_true(case: Case, medir_umbral: Any, tabla_umbral: Any, al_subir: Any) -> None:
    for threshold, row in tabla_umbral.items():
        measured = medir_umbral(threshold)
        case.expect(
            all(row[name] == measured[name] for name in _COUNTS),
            f"para el umbral {threshold} escribiste {_quoted(row, _COUNTS)} "
            f"y al medirlo otra vez sale {_quoted(measured, _COUNTS)}: ¿qué umbral mediste en esa fila?",
        )
    most = max(tabla_umbral)
    case.expect(
        any(row["aperturas"] == 0 for row in tabla_umbral.values()),
        f"con todos tus umbrales el circuito se abre alguna vez; con el mayor, {most}, "
        f"{_times(tabla_umbral[most]['aperturas'])}: ¿cuántos fallos seguidos trae la caída más larga?",
    )


@THRESHOLDS.case("con tu conclusión", raised="¿qué claves y qué valores lleva al_subir?")
def thresholds_conclusion(case: Case, medir_umbral: Any, tabla_umbral: Any, al_subir: Any) -> None:
    case.expect(
        isinstance(al_subir, Mapping), f"al_subir es {kind(al_subir)}: usa un diccionario con las tres medidas"
    )
    least, most = min(tabla_umbral), max(tabla_umbral)
    for name in _COUNTS:
        case.expect(name in al_subir, f"en al_subir falta «{name}»")
        said = _word(al_subir[name])
        case.expect(
            said in ("sube", "baja"), f"en al_subir, «{name}» vale {al_subir[name]!r}: se acepta sube o baja"
        )
        before, after = tabla_umbral[least][name], tabla_umbral[most][name]
        case.expect(
            (said == "sube") == (after > before),
            f"dices que «{name}» {said} al subir el umbral, y en tu tabla pasa de {before} (umbral {least}) "
            f"a {after} (umbral {most})",
        )


def _expect_row(case: Case, where: str, row: Any, names: Iterable[str], helper: str) -> None:
    """Fail unless `row` is what the notebook's helper returns: numbers by these names."""
    case.expect(not callable(row), f"{where} es una función: guarda lo que devuelve al llamarla")
    case.expect(
        isinstance(row, Mapping) and all(_is_number(row.get(name)) for name in names),
        f"{where} no es lo que devuelve {helper}: guarda su resultado entero",
    )


def _is_number(thing: object) -> bool:
    return isinstance(thing, int | float) and not isinstance(thing, bool)


def _quoted(row: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names)


def _times(count: int) -> str:
    return "una vez" if count == 1 else f"{count} veces"


def _word(thing: object) -> str:
    """What a learner wrote as a word, without regard to capitals and spaces around it."""
    return thing.strip().lower() if isinstance(thing, str) else ""


# CB-6 · how long to wait

WAITS = Exercise(
    "CB-6", given=("medir_espera",), writes=("tabla_espera", "le_da_igual", "mejora"), deadline=20
)
_LOADS = ("alta", "baja")
_SEEN = ("bien", "le llegaron")
_WAITS = (1, 10, 60)


@WAITS.case("con la tabla", raised="¿guardas en la tabla lo que devuelve medir_espera?")
def waits_are_measured(
    case: Case, medir_espera: Any, tabla_espera: Any, le_da_igual: Any, mejora: Any
) -> None:
    case.expect(callable(medir_espera), f"medir_espera es {kind(medir_espera)}: {_PREPARE}")
    case.expect(
        isinstance(tabla_espera, Mapping),
        f"tabla_espera es {kind(tabla_espera)}: usa un diccionario con las dos cargas",
    )
    for load in _LOADS:
        case.expect(load in tabla_espera, f"en tabla_espera falta la carga «{load}»")
        rows = tabla_espera[load]
        case.expect(
            isinstance(rows, Mapping),
            f"tabla_espera de «{load}» es {kind(rows)}: usa un diccionario que dé, para cada espera, su medida",
        )
        missing = [str(wait) for wait in _WAITS if wait not in rows]
        case.expect(not missing, f"con carga {load} falta la espera de {', '.join(missing)} segundos")
        for wait, row in rows.items():
            case.expect(
                _is_number(wait) and wait > 0,
                f"con carga {load}, una clave es {wait!r}: las claves son esperas, en segundos",
            )
            _expect_row(case, f"con carga {load}, la espera de {wait} s", row, _SEEN, "medir_espera")


@WAITS.case("al repetir tus medidas", raised=f"¿cambiaste medir_espera? Si hace falta, {_PREPARE}")
def waits_are_true(case: Case, medir_espera: Any, tabla_espera: Any, le_da_igual: Any, mejora: Any) -> None:
    for load in _LOADS:
        for wait, row in tabla_espera[load].items():
            measured = medir_espera(wait, load)
            case.expect(
                all(row[name] == measured[name] for name in _SEEN),
                f"con carga {load} y {wait} s escribiste {_quoted(row, _SEEN)} "
                f"y al medirlo otra vez sale {_quoted(measured, _SEEN)}: ¿qué carga y qué espera mediste ahí?",
            )


@WAITS.case("con tus conclusiones")
def waits_conclusion(case: Case, medir_espera: Any, tabla_espera: Any, le_da_igual: Any, mejora: Any) -> None:
    load = _word(le_da_igual)
    case.expect(load in _LOADS, f"le_da_igual vale {le_da_igual!r}: se acepta alta o baja")
    short, longer = tabla_espera[load][1], tabla_espera[load][10]
    case.expect(
        all(short[name] == longer[name] for name in _SEEN),
        f"dices que a la carga {load} le da igual, y en tu tabla pasa de {_quoted(short, _SEEN)} (1 s) "
        f"a {_quoted(longer, _SEEN)} (10 s)",
    )
    better = _word(mejora)
    case.expect(better in _SEEN, f"mejora vale {mejora!r}: se acepta bien o le llegaron")
    before, after = tabla_espera["alta"][1][better], tabla_espera["alta"][60][better]
    case.expect(
        after > before if better == "bien" else after < before,
        f"dices que mejora «{better}», y con carga alta pasa de {before} (1 s) a {after} (60 s): "
        "¿es mejor más, o menos?",
    )
