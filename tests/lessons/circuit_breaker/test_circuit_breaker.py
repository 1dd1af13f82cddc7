"""The exercises of 02_circuit_breaker, held against what learners write wrong and what they write right.

The functions at the top are those that the notebook gives the learner.
"""

from __future__ import annotations

import asyncio
import csv
import functools
import io
import itertools
import json
import logging
import os
import random
import threading
import time
from collections import Counter, OrderedDict, deque
from contextlib import nullcontext, suppress
from types import MappingProxyType

import pytest
import requests
from answers import assert_pending, assert_right, assert_wrong

import labkit
from labkit.course.lessons.circuit_breaker import old as circuit_breaker
from labkit.exercises.check import NotChecked, check
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError, Rejection, StateChange


def bien():
    return "cobrado"


def mal():
    raise requests.ReadTimeout("pagos tarda demasiado")


def intentar(funcion, *args):
    try:
        return funcion(*args)
    except Exception as error:
        return type(error).__name__


_azar = random.Random(2)
falla_en = [200 <= s < 240 or 400 <= s < 440 or _azar.random() < 0.1 for s in range(600)]


def temporada(n):
    reloj = labkit.ManualClock()
    breaker = CircuitBreaker(f"umbral {n}", fail_threshold=n, reset_timeout=10, clock=reloj)
    for falla in falla_en:
        intentar(breaker.call, mal if falla else bien)
        reloj.advance(1)
    return breaker


def medir_umbral(n):
    m = temporada(n).metrics
    return {"aperturas": m.opened, "fallos": m.failures, "rechazos": m.rejected}


_azar = random.Random(6)
caidas = [(inicio, inicio + _azar.randint(60, 120)) for inicio in range(307, 3600, 331)]
entre_llamadas = {"alta": 0.5, "baja": 20}


@functools.cache
def medir_espera(espera, carga):
    reloj, cuenta = labkit.ManualClock(), Counter()
    breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=espera, clock=reloj)
    while reloj() < 3600:
        caido = any(inicio <= reloj() < fin for inicio, fin in caidas)
        cuenta[intentar(breaker.call, mal if caido else bien)] += 1
        reloj.advance(entre_llamadas[carga])
    cobrados = round(100 * cuenta["cobrado"] / cuenta.total(), 1)
    return {"bien": cobrados, "le llegaron": cuenta["ReadTimeout"]}


EXERCISES = (
    circuit_breaker.THRESHOLDS,
    circuit_breaker.RECORD,
    circuit_breaker.RECOVERS,
    circuit_breaker.STORY,
    circuit_breaker.WAITS,
    circuit_breaker.HALF_OPEN,
    circuit_breaker.AUDIT,
)


@pytest.fixture
def quick(monkeypatch):
    """Less waiting for answers that are told wrong anyway: right ones get the real times."""
    for exercise in EXERCISES:
        monkeypatch.setattr(exercise, "deadline", 1.5)
    patient = circuit_breaker.eventually
    monkeypatch.setattr(
        circuit_breaker, "eventually", lambda condition, timeout: patient(condition, min(timeout, 0.5))
    )


def table(cases):
    return pytest.mark.parametrize(("answer", "hint"), cases.values(), ids=cases)


def each(cases):
    return pytest.mark.parametrize("answer", cases.values(), ids=cases)


@pytest.mark.parametrize("exercise_id", ["CB-1", "CB-2"])
def test_questions_are_not_checked(exercise_id):
    with pytest.raises(NotChecked):
        check(exercise_id, "abierto")


# CB-3

DOWN_UP_DOWN = {"aperturas": "baja", "fallos": "sube", "rechazos": "baja"}


def thresholds(*which):
    return {n: medir_umbral(n) for n in which or (1, 3, 10, 60)}


def changed(table_, key, **values):
    table_[key] = {**table_[key], **values}
    return table_


CB_3_RIGHT = {
    "four": lambda: (thresholds(), DOWN_UP_DOWN),
    "many, in any order": lambda: (thresholds(200, 50, 7, 1, 2, 3), DOWN_UP_DOWN),
    "capitals": lambda: (
        OrderedDict(thresholds()),
        {"rechazos": "Baja", "fallos": " SUBE ", "aperturas": "baja"},
    ),
    "with more of its own": lambda: (changed(thresholds(), 3, nota="bien"), {**DOWN_UP_DOWN, "nota": "?"}),
    "a read-only view": lambda: (MappingProxyType(thresholds()), MappingProxyType(DOWN_UP_DOWN)),
}


@each(CB_3_RIGHT)
def test_cb_3_right(answer):
    assert_right("CB-3", medir_umbral, *answer())


def test_cb_3_accepts_what_the_learner_measured_with_another_season(monkeypatch):
    monkeypatch.setitem(globals(), "falla_en", [s % 7 == 0 or 100 < s < 130 for s in range(400)])
    assert_right("CB-3", medir_umbral, thresholds(1, 2, 8, 90), DOWN_UP_DOWN)


CB_3_WRONG = {
    "a list": (lambda: ([medir_umbral(1)], DOWN_UP_DOWN), "tabla_umbral es una lista"),
    "a text": (lambda: ("nada", DOWN_UP_DOWN), "tabla_umbral es un texto"),
    "without 1": (lambda: (thresholds(2, 3, 4, 60), DOWN_UP_DOWN), "falta el umbral 1"),
    "three": (lambda: (thresholds(1, 3, 60), DOWN_UP_DOWN), "tiene 3 umbrales"),
    "one": (lambda: (thresholds(1), DOWN_UP_DOWN), "tiene 1 umbral y se piden"),
    "always opens": (
        lambda: (thresholds(1, 2, 3, 5), DOWN_UP_DOWN),
        "con todos tus umbrales el circuito se abre alguna vez; con el mayor, 5, 9 veces",
    ),
    "uncalled": (lambda: (dict.fromkeys((1, 2, 3, 60), medir_umbral), DOWN_UP_DOWN), "es una función"),
    "numbers alone": (lambda: ({n: n for n in (1, 2, 3, 60)}, DOWN_UP_DOWN), "no es lo que devuelve"),
    "as text": (
        lambda: ({str(n): row for n, row in thresholds().items()}, DOWN_UP_DOWN),
        "una clave de tabla_umbral es '1'",
    ),
    "breakers": (lambda: ({n: temporada(n) for n in (1, 2, 3, 60)}, DOWN_UP_DOWN), "no es lo que devuelve"),
    "invented": (
        lambda: (changed(thresholds(), 3, aperturas=2), DOWN_UP_DOWN),
        "para el umbral 3 escribiste aperturas 2",
    ),
    "rows swapped": (
        lambda: ({1: medir_umbral(3), 3: medir_umbral(1), 10: medir_umbral(10), 60: medir_umbral(60)}, {}),
        "¿qué umbral mediste en esa fila?",
    ),
    "the other way round": (
        lambda: (thresholds(), dict(zip(DOWN_UP_DOWN, ("sube", "baja", "sube"), strict=True))),
        "dices que «aperturas» sube al subir el umbral, y en tu tabla pasa de 33 (umbral 1) a 0",
    ),
    "failures go down": (lambda: (thresholds(), {**DOWN_UP_DOWN, "fallos": "baja"}), "«fallos» baja"),
    "a word of its own": (lambda: (thresholds(), {**DOWN_UP_DOWN, "fallos": "mucho"}), "vale 'mucho'"),
    "one forgotten": (lambda: (thresholds(), {"aperturas": "baja"}), "en al_subir falta «fallos»"),
    "a text as conclusion": (lambda: (thresholds(), "baja"), "al_subir es un texto"),
}


@table(CB_3_WRONG)
def test_cb_3_wrong(answer, hint):
    assert_wrong("CB-3", medir_umbral, *answer(), hint_contains=hint)


def test_cb_3_without_its_helper():
    assert_wrong("CB-3", 3, thresholds(), DOWN_UP_DOWN, hint_contains="medir_umbral es un número: ejecuta")
    assert_wrong("CB-3", lambda n: {}, thresholds(), DOWN_UP_DOWN, hint_contains="¿cambiaste medir_umbral?")


def test_cb_3_pending():
    assert_pending("CB-3", medir_umbral, ..., ...)
    assert_pending(
        "CB-3", medir_umbral, thresholds(), {"aperturas": ..., "fallos": "sube", "rechazos": "baja"}
    )


# CB-6


def waits(*which):
    which = which or (1, 10, 60)
    return {carga: {s: dict(medir_espera(s, carga)) for s in which} for carga in ("alta", "baja")}


def test_the_usual_table_of_cb_6_says_what_the_lesson_says():
    tabla = waits(1, 10, 20, 60)
    assert tabla["baja"][1] == tabla["baja"][20] != tabla["baja"][60]
    assert tabla["alta"][1]["bien"] > tabla["alta"][10]["bien"] > tabla["alta"][60]["bien"]


def loads_exchanged():
    tabla = waits()
    return {"alta": tabla["baja"], "baja": tabla["alta"]}, "alta", "le llegaron"


def one_number_invented():
    tabla = waits()
    tabla["alta"][10]["bien"] = 99.9
    return tabla, "baja", "le llegaron"


def by_wait_first():
    tabla = {s: {carga: medir_espera(s, carga) for carga in ("alta", "baja")} for s in (1, 10, 60)}
    return tabla, "baja", "le llegaron"


CB_6_RIGHT = {
    "three": lambda: (waits(), "baja", "le llegaron"),
    "more, and broken seconds": lambda: (waits(60, 30, 10, 5, 1, 0.5), "Baja", "Le llegaron"),
    "other waits for each load": lambda: (
        {**waits(1, 10, 60, 120), "baja": waits(1, 10, 19, 60)["baja"]},
        "baja",
        "le llegaron",
    ),
    "keys as decimals": lambda: (waits(1.0, 10.0, 60.0), "baja", "le llegaron"),
}


@each(CB_6_RIGHT)
def test_cb_6_right(answer):
    assert_right("CB-6", medir_espera, *answer())


CB_6_WRONG = {
    "a list": (lambda: ([], "baja", "le llegaron"), "tabla_espera es una lista"),
    "by wait": (by_wait_first, "falta la carga «alta»"),
    "two waits": (lambda: (waits(1, 10), "baja", "le llegaron"), "falta la espera de 60 segundos"),
    "numbers alone": (
        lambda: ({carga: {1: 76.4, 10: 75.3, 60: 68.1} for carga in ("alta", "baja")}, "baja", "le llegaron"),
        "con carga alta, la espera de 1 s no es lo que devuelve",
    ),
    "a list for a load": (
        lambda: ({"alta": [1, 2, 3], "baja": {}}, "baja", "le llegaron"),
        "tabla_espera de «alta» es una lista",
    ),
    "loads exchanged": (loads_exchanged, "¿qué carga y qué espera mediste ahí?"),
    "invented": (one_number_invented, "con carga alta y 10 s escribiste bien 99.9"),
    "the other load": (
        lambda: (waits(), "alta", "le llegaron"),
        "dices que a la carga alta le da igual, y en tu tabla pasa de bien 76.4",
    ),
    "availability": (lambda: (waits(), "baja", "bien"), "con carga alta pasa de 76.4 (1 s) a 68.1 (60 s)"),
    "no load": (lambda: (waits(), "ninguna", "bien"), "le_da_igual vale 'ninguna'"),
    "a truth": (lambda: (waits(), True, "bien"), "le_da_igual vale True"),
    "no measure": (lambda: (waits(), "baja", "todo"), "mejora vale 'todo'"),
}


@table(CB_6_WRONG)
def test_cb_6_wrong(answer, hint):
    assert_wrong("CB-6", medir_espera, *answer(), hint_contains=hint)


def test_cb_6_pending_and_without_its_helper():
    assert_pending("CB-6", medir_espera, ..., ..., ...)
    assert_pending("CB-6", medir_espera, waits(), "baja", ...)
    assert_wrong("CB-6", None, waits(), "baja", "le llegaron", hint_contains="medir_espera es None")


# CB-8


def audited(**changes):
    """The table that the check itself measures, with some cells changed: `reloj="pybreaker"`."""
    measured = circuit_breaker.audit()
    tabla = {
        name: {library: measured[library][name] for library in ("pybreaker", "circuitbreaker")}
        for name in measured["labkit"]
    }
    for name, library in changes.items():
        key = name.replace("_", " ")
        tabla[key][library] = not tabla[key][library]
    return tabla


def none_of(tabla):
    return [name for name, row in tabla.items() if not any(row.values())]


def test_what_the_lesson_says_of_the_libraries_is_what_they_do():
    assert all(circuit_breaker.audit()["labkit"].values())
    tabla = audited()
    assert [name for name, row in tabla.items() if row["pybreaker"]] == ["una prueba", "tardío"]
    assert [name for name, row in tabla.items() if row["circuitbreaker"]] == ["en paralelo", "reloj"]
    assert none_of(tabla) == ["ignorada", "entrada"]


def with_labkit():
    tabla = audited()
    for row in tabla.values():
        row["labkit"] = True
    return tabla, ["entrada", "ignorada"]


CB_8_RIGHT = {
    "a list": lambda: (audited(), none_of(audited())),
    "a set": lambda: (audited(), set(none_of(audited()))),
    "without accents": lambda: (
        {name.replace("í", "i").replace(" ", "_"): row for name, row in audited().items()},
        ("Entrada", "IGNORADA"),
    ),
    "with labkit": with_labkit,
}


@each(CB_8_RIGHT)
def test_cb_8_right(answer):
    assert_right("CB-8", *answer())


def by_library():
    tabla = audited()
    return {lib: {name: tabla[name][lib] for name in tabla} for lib in ("pybreaker", "circuitbreaker")}, []


def one_row_less():
    tabla = audited()
    del tabla["tardío"]
    return tabla, none_of(tabla)


def uncalled_experiments():
    tabla = audited()
    tabla["reloj"] = {"pybreaker": len, "circuitbreaker": None}
    return tabla, none_of(tabla)


def written_as_words():
    return {name: dict.fromkeys(row, "sí") for name, row in audited().items()}, []


CB_8_WRONG = {
    "a list": (lambda: ([], []), "tabla_auditoria es una lista"),
    "by library": (by_library, "en tabla_auditoria falta: en paralelo, una prueba"),
    "a row less": (one_row_less, "en tabla_auditoria falta: tardío"),
    "words": (written_as_words, "«en paralelo», pybreaker: hay un texto"),
    "one library": (
        lambda: ({name: {"pybreaker": row["pybreaker"]} for name, row in audited().items()}, []),
        "la fila «en paralelo» no es un diccionario con pybreaker y circuitbreaker",
    ),
    "all well": (
        lambda: ({name: dict.fromkeys(row, True) for name, row in audited().items()}, []),
        "«en paralelo», pybreaker: escribiste True y al probarlo aquí con una llamada dentro del servicio, "
        "otra se quedó esperando",
    ),
    "believes the probe": (lambda: (audited(una_prueba="circuitbreaker"), []), "entró otra llamada"),
    "blames the probe": (lambda: (audited(una_prueba="pybreaker"), []), "no entró otra llamada"),
    "the clock": (lambda: (audited(reloj="pybreaker"), []), "al acabar la espera la llamada se rechazó"),
    "late": (lambda: (audited(tardío="circuitbreaker"), []), "empezó antes de abrirse cerró el circuito"),
    "ignored": (lambda: (audited(ignorada="pybreaker"), []), "el circuito siguió cerrado"),
    "input": (lambda: (audited(entrada="circuitbreaker"), []), "un umbral de -3 se aceptó"),
    "nothing concluded": (lambda: (audited(), []), "según tu tabla, «ignorada» no lo cumple ninguna"),
    "too much concluded": (
        lambda: (audited(), ["ignorada", "entrada", "reloj"]),
        "«reloj» está en ninguna_cumple, y en tu tabla alguna lo cumple",
    ),
    "libraries concluded": (lambda: (audited(), ["pybreaker"]), "'pybreaker' no es uno de los seis"),
    "a text concluded": (lambda: (audited(), "entrada"), "ninguna_cumple es un texto"),
    "a number concluded": (lambda: (audited(), 2), "ninguna_cumple es un número"),
}


@table(CB_8_WRONG)
def test_cb_8_wrong(answer, hint):
    assert_wrong("CB-8", *answer(), hint_contains=hint)


def test_cb_8_pending():
    assert_pending("CB-8", ..., ...)
    assert_pending("CB-8", audited(), ...)
    assert_pending("CB-8", uncalled_experiments()[0] | {"reloj": {"pybreaker": ...}}, [])


# CB-4


def appends_its_text(breaker, ruta):
    def anotar(evento):
        if isinstance(evento, StateChange):
            with open(ruta, "a", encoding="utf-8") as archivo:
                archivo.write(f"{evento}\n")

    breaker.add_listener(anotar)


def json_lines(breaker, ruta):
    def anotar(evento):
        if type(evento).__name__ == "StateChange":
            linea = {"a": evento.state, "de": evento.previous, "circuito": evento.machine, "t": time.time()}
            with ruta.open("a") as archivo:
                json.dump(linea, archivo)  # «envíos» is written with an escape
                archivo.write("\n")

    breaker.add_listener(anotar)


def a_logger_for_each_file(breaker, ruta):
    logger = logging.getLogger(f"cambios.{id(breaker)}.{ruta}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    asa = logging.FileHandler(ruta, encoding="utf-8")
    asa.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(asa)

    def anotar(evento):
        if isinstance(evento, Rejection):
            return
        logger.info("%s: de %s a %s", evento.machine, evento.previous, evento.state)

    breaker.add_listener(anotar)


def an_open_file_that_is_flushed(breaker, ruta):
    archivo = open(ruta, "a", encoding="utf-8")  # noqa: SIM115

    def anotar(evento):
        if getattr(evento, "previous", None):
            print(evento.machine, evento.previous, evento.state, file=archivo, flush=True)

    breaker.add_listener(anotar)


def a_line_buffer(breaker, ruta):
    archivo = open(ruta, "a", buffering=1, encoding="utf-8")  # noqa: SIM115
    breaker.add_listener(
        lambda evento: isinstance(evento, StateChange) and archivo.write(f"{evento.reason}: {evento!s}\n")
    )


class _Registrador:
    candado = threading.Lock()

    def __init__(self, ruta):
        self.ruta = ruta

    def __call__(self, evento):
        if not isinstance(evento, StateChange):
            return
        salida = io.StringIO()
        csv.writer(salida, lineterminator="\n").writerow([evento.machine, evento.previous, evento.state])
        with self.candado:
            descriptor = os.open(self.ruta, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, salida.getvalue().encode())
            os.close(descriptor)


def an_object_that_listens(breaker, ruta):
    breaker.add_listener(_Registrador(ruta))


def remembers_the_state_before(breaker, ruta):
    antes = breaker.state

    def anotar(evento):
        nonlocal antes
        if evento.state != antes:
            with open(ruta, "a", encoding="utf-8") as archivo:
                archivo.write(f"{evento.machine} | {antes} | {evento.state}\n")
            antes = evento.state

    breaker.add_listener(anotar)
    return antes


def reads_the_changes(breaker, ruta):
    vistos = len(breaker.changes)

    def anotar(_):
        nonlocal vistos
        nuevos = breaker.changes[vistos:]
        vistos += len(nuevos)
        with open(ruta, "a", encoding="utf-8") as archivo:
            archivo.writelines(f"{cambio}\n" for cambio in nuevos)

    breaker.add_listener(anotar)


CB_4_RIGHT = {
    function.__name__: function
    for function in (
        appends_its_text,
        json_lines,
        a_logger_for_each_file,
        an_open_file_that_is_flushed,
        a_line_buffer,
        an_object_that_listens,
        remembers_the_state_before,
        reads_the_changes,
    )
}


@each(CB_4_RIGHT)
def test_cb_4_right(answer):
    for _ in range(2):
        assert_right("CB-4", answer)


def listener(write):
    """An answer whose listener is `write(event, path)`."""

    def registrar_cambios(breaker, ruta):
        breaker.add_listener(lambda evento: write(evento, ruta))

    return registrar_cambios


def append(ruta, text):
    with open(ruta, "a", encoding="utf-8") as archivo:
        archivo.write(text)


def quietly_append(ruta, text):
    with suppress(OSError):
        append(ruta, text)


def only_changes(text):
    return listener(lambda evento, ruta: isinstance(evento, StateChange) and append(ruta, text(evento)))


def no_flush(breaker, ruta):
    archivo = open(ruta, "a", encoding="utf-8")  # noqa: SIM115
    no_flush.kept = archivo
    breaker.add_listener(lambda evento: archivo.write(f"{evento}\n"))


def opened_for_writing(breaker, ruta):
    def anotar(evento):
        if isinstance(evento, StateChange):
            ruta.write_text(f"{evento}\n", encoding="utf-8")

    breaker.add_listener(anotar)


def emptied_at_first(breaker, ruta):
    ruta.write_text("")
    appends_its_text(breaker, ruta)


def writes_what_it_finds(breaker, ruta):
    ruta.write_text("\n".join(map(str, breaker.changes)), encoding="utf-8")


def no_level(breaker, ruta):
    logger = logging.getLogger(f"sin nivel {ruta}")
    logger.propagate = False
    logger.addHandler(logging.FileHandler(ruta))
    breaker.add_listener(lambda evento: logger.info(str(evento)))


def one_logger_for_all(breaker, ruta):
    logger = logging.getLogger(f"cambios de {threading.get_ident()}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.FileHandler(ruta, encoding="utf-8"))
    breaker.add_listener(lambda evento: isinstance(evento, StateChange) and logger.info(str(evento)))


def asks_from_a_thread(breaker, ruta):
    def mirar():
        antes = breaker.state
        for _ in range(20):
            time.sleep(0.2)
            if breaker.state != antes:
                with suppress(OSError):
                    append(ruta, f"{breaker.name}: {antes} → {breaker.state}\n")
                antes = breaker.state

    threading.Thread(target=mirar, daemon=True).start()


def writes_from_a_thread_later(breaker, ruta):
    def anotar(evento):
        if isinstance(evento, StateChange):
            threading.Timer(0.3, quietly_append, (ruta, f"{evento}\n")).start()

    breaker.add_listener(anotar)


def two_listeners(breaker, ruta):
    appends_its_text(breaker, ruta)
    appends_its_text(breaker, ruta)


def read_and_write_back(breaker, ruta):
    def anotar(evento):
        if isinstance(evento, StateChange):
            antes = ruta.read_text(encoding="utf-8") if ruta.exists() else ""
            time.sleep(0.002)
            ruta.write_text(f"{antes}{evento}\n", encoding="utf-8")

    breaker.add_listener(anotar)


async def a_coroutine(breaker, ruta):
    appends_its_text(breaker, ruta)


def only_the_usual_states(breaker, ruta):
    def anotar(evento):
        if isinstance(evento, StateChange) and evento.state in ("closed", "open", "half-open"):
            append(ruta, f"{evento}\n")

    breaker.add_listener(anotar)


def only_the_first_of_eight(breaker, ruta):
    if not breaker.name.startswith("circuito-"):
        return appends_its_text(breaker, ruta)
    return listener(lambda evento, ruta: ruta.write_text(f"{evento}\n", encoding="utf-8"))(breaker, ruta)


def always_pagos(evento):
    return f"pagos: {evento.previous} → {evento.state}\n"


CB_4_WRONG = {
    "nothing": (lambda breaker, ruta: 0, "el archivo no existe: ¿quién avisa a tu función?"),
    "no flush": (no_flush, "el archivo está vacío: ¿cuándo llega al disco"),
    "no level": (no_level, "¿qué nivel deja pasar?"),
    "what it finds": (writes_what_it_finds, "antes de que cambiara ningún estado, el archivo ya decía"),
    "refusals too": (
        listener(lambda evento, ruta: append(ruta, f"{evento}\n")),
        "rechazó tres llamadas, y el archivo tiene 4 líneas",
    ),
    "fails on refusals": (
        listener(lambda evento, ruta: append(ruta, f"{evento.machine} {evento.previous} {evento.state}\n")),
        "tu oyente lanzó AttributeError",
    ),
    "fails on everything": (listener(lambda evento, ruta: ruta + 1), "tu oyente lanzó TypeError"),
    "for writing": (
        opened_for_writing,
        "se perdió la línea «pagos: closed → open (fallos seguidos)»: ¿cómo abres el archivo?",
    ),
    "emptied": (emptied_at_first, "tenía una línea de ayer y ya no está"),
    "only the new state": (
        only_changes(lambda evento: f"{evento.machine} {evento.state}\n"),
        "«pagos» pasó de closed a open y la línea dice «pagos open»",
    ),
    "no name": (only_changes(lambda evento: f"{evento.previous} {evento.state}\n"), "se piden el nombre"),
    "another name": (only_changes(always_pagos), "«envíos» pasó de closed a open y la línea dice «pagos"),
    "no line ends": (
        only_changes(str),
        "el archivo tiene 1 línea de 3: ¿termina cada línea en un salto de línea?",
    ),
    "JSON without line ends": (
        only_changes(lambda evento: json.dumps([evento.machine, evento.previous, evento.state])),
        "¿termina cada línea en un salto de línea?",
    ),
    "capitals": (
        only_changes(lambda evento: f"{evento.machine} {evento.previous.upper()} {evento.state.upper()}\n"),
        "la línea dice «pagos CLOSED OPEN»: los estados se piden escritos como los escribe el circuito",
    ),
    "underscores": (
        only_changes(lambda evento: f"{evento}\n".replace("-", "_")),
        "los estados se piden escritos como los escribe el circuito",
    ),
    "one in capitals": (
        only_changes(lambda evento: f"{evento.machine} {evento.previous} {evento.state.title()}\n"),
        "la línea dice «pagos closed Open»: los estados se piden escritos como",
    ),
    "one line when many write": (only_the_first_of_eight, "y el archivo tiene 1 línea: ¿se pisan"),
    "another path": (
        listener(lambda evento, ruta: append(ruta.with_name("otro.log"), f"{evento}\n")),
        "el archivo no existe: ¿quién avisa a tu función? ¿Y dónde escribe, y cuándo?",
    ),
    "two lines": (
        only_changes(lambda evento: f"{evento}\n{evento.reason}\n"),
        "hubo un cambio y el archivo tiene 2 líneas",
    ),
    "twice": (two_listeners, "¿se anota algo dos veces?"),
    "only the opening": (
        listener(
            lambda evento, ruta: (
                isinstance(evento, StateChange) and evento.state == "open" and append(ruta, f"{evento}\n")
            )
        ),
        "los cambios fueron closed → open, open → half-open, half-open → open; la última llamada",
    ),
    "not by hand": (
        only_the_usual_states,
        "forced-open → closed; la última llamada ya volvió y el archivo tiene 6 líneas de 7",
    ),
    "one logger": (one_logger_for_all, "de otro circuito, que escribe en otro archivo"),
    "asks": (asks_from_a_thread, "¿Y dónde escribe, y cuándo?"),
    "later": (writes_from_a_thread_later, "¿Y dónde escribe, y cuándo?"),
    # which line is lost is luck; that some are, is not
    "read and written back": (read_and_write_back, "ocho circuitos"),
    "a coroutine": (a_coroutine, "registrar_cambios es una corrutina"),
    "raises": (lambda breaker, ruta: ruta.no_existe, "AttributeError"),
    "a text": ("cambios.log", "registrar_cambios es un texto"),
    "the path alone": (lambda ruta: 0, "¿Qué parámetros tiene su firma?"),
}


@table(CB_4_WRONG)
def test_cb_4_wrong(quick, answer, hint):
    assert_wrong("CB-4", answer, hint_contains=hint)


def test_cb_4_that_never_comes_back(quick):
    def registrar_cambios(breaker, ruta):
        while True:
            time.sleep(0.01)

    assert_wrong("CB-4", registrar_cambios, hint_contains="1.5")


def test_cb_4_pending():
    def registrar_cambios(breaker, ruta): ...

    assert_pending("CB-4", registrar_cambios)
    assert_pending("CB-4", None)


# CB-5a


def with_a_lock(fallos):
    candado, quedan = threading.Lock(), fallos

    def servicio():
        nonlocal quedan
        with candado:
            falla = quedan > 0
            quedan -= falla
        if falla:
            raise ConnectionError("todavía no")
        return "cobrado"

    return servicio


class AClass:
    def __init__(self, fallos):
        self.fallos, self.llamadas, self.candado = fallos, 0, threading.RLock()

    def __call__(self):
        with self.candado:
            self.llamadas += 1
            numero = self.llamadas
        if numero <= self.fallos:
            raise ConnectionRefusedError
        return "cobrado"


def a_method(fallos):
    return AClass(fallos).__call__


def with_count(fallos):
    numero = itertools.count()  # its next() is one step for every thread

    def servicio():
        if next(numero) < fallos:
            raise ConnectionResetError("caído")
        return "cobrado"

    return servicio


def with_a_deque(fallos):
    avisos = deque(range(fallos))

    def servicio():
        try:
            avisos.pop()
        except IndexError:
            return "cobrado"
        raise ConnectionError

    return servicio


def with_a_semaphore(fallos):
    quedan = threading.Semaphore(fallos)

    def servicio():
        if quedan.acquire(blocking=False):
            raise ConnectionError
        return "cobrado"

    return servicio


def with_an_iterator_under_a_lock(fallos):
    def vida():
        yield from itertools.repeat(ConnectionError("no"), fallos)
        yield from itertools.repeat("cobrado")

    pasos, candado = vida(), threading.Lock()

    def servicio():
        with candado:
            paso = next(pasos)
        if isinstance(paso, Exception):
            raise paso
        return paso

    return functools.partial(servicio)


CB_5A_RIGHT = {
    make.__name__: make
    for make in (
        with_a_lock,
        AClass,
        a_method,
        with_count,
        with_a_deque,
        with_a_semaphore,
        with_an_iterator_under_a_lock,
    )
}


@each(CB_5A_RIGHT)
def test_cb_5a_right(answer):
    for _ in range(3):
        assert_right("CB-5a", answer)


def counting(decide):
    """An answer that counts its calls; `decide(number, failures)` says whether this one fails."""

    def make(fallos):
        numero = itertools.count(1)

        def servicio():
            if decide(next(numero), fallos):
                raise ConnectionError
            return "cobrado"

        return servicio

    return make


def no_lock(fallos):
    llamadas = 0

    def servicio():
        nonlocal llamadas
        if llamadas < fallos:
            llamadas += 1
            raise ConnectionError
        return "cobrado"

    return servicio


def no_lock_in_one_line(fallos):
    estado = {"llamadas": 0}

    def servicio():
        estado["llamadas"] += 1
        if estado["llamadas"] <= fallos:
            raise ConnectionError
        return "cobrado"

    return servicio


def looks_outside_the_lock(fallos):
    llamadas, candado = 0, threading.Lock()

    def servicio():
        nonlocal llamadas
        if llamadas < fallos:
            with candado:
                llamadas += 1
            raise ConnectionError
        return "cobrado"

    return servicio


def compares_after_the_lock(fallos):
    llamadas, candado = 0, threading.Lock()

    def servicio():
        nonlocal llamadas
        with candado:
            llamadas += 1
        if llamadas <= fallos:
            raise ConnectionError
        return "cobrado"

    return servicio


class DecidesInAnAttribute(AClass):
    """What each call decides is left where the next one writes too."""

    def __call__(self):
        with self.candado:
            self.llamadas += 1
            self.falla = self.llamadas <= self.fallos
        if self.falla:
            raise ConnectionError
        return "cobrado"


def two_locks_for_one_step(fallos):
    quedan, candado = fallos, threading.Lock()

    def mirar():
        with candado:
            return quedan

    def gastar():
        nonlocal quedan
        with candado:
            quedan -= 1

    def servicio():
        if mirar() > 0:
            gastar()
            raise ConnectionError
        return "cobrado"

    return servicio


def one_count_for_all():
    llamadas = itertools.count()

    def make(fallos):
        def servicio():
            if next(llamadas) < fallos:
                raise ConnectionError
            return "cobrado"

        return servicio

    return make


def by_chance(fallos):
    def servicio():
        if random.random() < 0.5:
            raise ConnectionError
        return "cobrado"

    return servicio


def never_lets_go(fallos):
    servicio_bueno, candado = with_a_lock(fallos), threading.Lock()

    def servicio():
        if not candado.acquire(timeout=4):  # for ever, so to say: no thread is to be left
            raise TimeoutError
        resultado = servicio_bueno()
        candado.release()
        return resultado

    return servicio


def a_coroutine_service(fallos):
    async def servicio():
        return "cobrado"

    return servicio


def fails_with(error):
    def make(fallos):
        numero = itertools.count()

        def servicio():
            if next(numero) < fallos:
                raise error
            return "cobrado"

        return servicio

    return make


def says(word):
    return lambda fallos: lambda: word


OVERTAKEN = (
    "con fallos=1, un hilo se paró a medio camino, otro llamó entretanto, y de tres llamadas fallaron {}"
)
CB_5A_WRONG = {
    "no lock": (no_lock, OVERTAKEN.format(2)),
    "no lock, one line": (no_lock_in_one_line, OVERTAKEN.format(2)),
    "looks outside": (looks_outside_the_lock, OVERTAKEN.format(2)),
    "compares after the lock": (compares_after_the_lock, OVERTAKEN.format(0)),
    "decides in an attribute": (DecidesInAnAttribute, OVERTAKEN.format(0)),
    "two locks for one step": (two_locks_for_one_step, OVERTAKEN.format(2)),
    "no lock for many": (
        lambda fallos: (with_a_lock if fallos < 5 else no_lock)(fallos),
        "con fallos=7 y veinte hilos a la vez fallaron",
    ),
    "never lets go": (never_lets_go, "Si usas un candado, ¿se suelta siempre?"),
    "one too many": (counting(lambda n, fallos: n <= fallos + 1), "fallo, fallo, fallo, fallo, cobrado"),
    "one too few": (counting(lambda n, fallos: n < fallos), "dieron fallo, fallo, cobrado"),
    "fails again": (
        counting(lambda n, fallos: n % (fallos + 1)),
        "¿cuándo deja de fallar, y vuelve a hacerlo?",
    ),
    "always three": (counting(lambda n, fallos: n <= 3), "con fallos=0, de nueve llamadas fallaron 3"),
    "at least one": (
        counting(lambda n, fallos: n <= max(1, fallos)),
        "con fallos=0, de nueve llamadas fallaron 1",
    ),
    "shared": (
        one_count_for_all(),
        "con fallos=1, de nueve llamadas fallaron 0, y un servicio con fallos=3 ya no falla como el primero: "
        "¿lleva cada servicio su propia cuenta?",
    ),
    "three at most": (
        counting(lambda n, fallos: n <= min(3, fallos)),
        "con fallos=7, de nueve llamadas fallaron 3: ¿usas el número que te dieron?",
    ),
    "good first": (counting(lambda n, fallos: n > fallos), "dieron cobrado, cobrado, cobrado, fallo"),
    "by chance": (by_chance, ""),
    "never fails": (says("cobrado"), "¿cuáles tienen que fallar"),
    "says fallo": (says("fallo"), "el servicio devolvió 'fallo'"),
    "says nothing": (says(None), "el servicio devolvió None"),
    "another error": (
        fails_with(RuntimeError("no")),
        "el servicio lanzó RuntimeError (no): se pide ConnectionError",
    ),
    "the error of requests": (
        fails_with(requests.ConnectionError("caído")),
        "el servicio lanzó el ConnectionError de requests, que es otra clase",
    ),
    "a timeout": (fails_with(TimeoutError()), "el servicio lanzó TimeoutError"),
    "with an argument": (lambda fallos: lambda pedido: "cobrado", "llamado sin argumentos, lanzó TypeError"),
    "a coroutine": (a_coroutine_service, "el servicio es una corrutina"),
    "called": (lambda fallos: "cobrado", "devolvió un texto: se pide una función"),
    "no return": (lambda fallos: print(end=""), "¿falta el return?"),
    "a service": (with_a_lock(3), "no se puede llamar así: servicio_que_se_recupera(fallos)"),
    "a text": ("tres", "servicio_que_se_recupera es un texto"),
    "raises": (lambda fallos: 1 / 0, "ZeroDivisionError"),
}


@table(CB_5A_WRONG)
def test_cb_5a_wrong(quick, answer, hint):
    assert_wrong("CB-5a", answer, hint_contains=hint)


def test_cb_5a_a_count_for_all_is_told_also_when_it_was_checked_before():
    compartida = one_count_for_all()
    check("CB-5a", compartida)
    assert_wrong("CB-5a", compartida, hint_contains="¿cuáles tienen que fallar, y empieza cada servicio")


def test_cb_5a_shared_count_is_told_by_its_own_hint():
    cuentas = {}

    def compartida(fallos):  # one count for each number of failures
        cuentas.setdefault(fallos, AClass(fallos))
        return cuentas[fallos]

    assert_wrong("CB-5a", compartida, hint_contains="¿quién lleva la cuenta?")


def test_cb_5a_pending():
    def servicio_que_se_recupera(fallos): ...

    assert_pending("CB-5a", servicio_que_se_recupera)


# CB-5b


def through_changes(fallos):
    reloj, servicio = labkit.ManualClock(), with_a_lock(fallos)
    breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10, clock=reloj)
    while intentar(breaker.call, servicio) != "cobrado":
        reloj.advance(10)
    return [cambio.state for cambio in breaker.changes]


def through_a_listener(fallos):
    estados, reloj = [], labkit.ManualClock()
    circuito = CircuitBreaker(
        fail_threshold=3, clock=reloj, listeners=[lambda e: estados.append(e.state)], ignore=KeyError
    )
    protegido = circuito(AClass(fallos))
    while True:
        try:
            protegido()
            return tuple(dict(enumerate(estados)).values())
        except (ConnectionError, CircuitOpenError):
            pass
        finally:
            reloj.advance(10)


def asynchronously(fallos):
    async def contar():
        reloj, servicio = labkit.ManualClock(), with_count(fallos)
        breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10, clock=reloj)

        async def llamada():
            return servicio()

        for _ in range(100):
            try:
                await breaker.acall(llamada)
                break
            except Exception:
                reloj.advance(10)
        return [c.state for c in breaker.changes]

    return asyncio.run(contar())


def looked_at_inside_and_outside(fallos):
    reloj, servicio = labkit.ManualClock(), with_a_lock(fallos)
    breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10, clock=reloj)
    vistos = [breaker.state]

    def mirar():
        if breaker.state != vistos[-1]:
            vistos.append(breaker.state)

    def llamada():
        mirar()
        return servicio()

    resultado = ""
    while resultado != "cobrado":
        resultado = intentar(breaker.call, llamada)
        mirar()
        reloj.advance(10)
    return vistos


CB_5B_RIGHT = {
    make.__name__: make
    for make in (through_changes, through_a_listener, asynchronously, looked_at_inside_and_outside)
}


@each(CB_5B_RIGHT)
def test_cb_5b_right(answer):
    assert_right("CB-5b", answer)


def story(*, threshold=3, step=10, make=with_a_lock, tell=lambda breaker: [c.state for c in breaker.changes]):
    def historia(fallos):
        reloj, servicio = labkit.ManualClock(), make(fallos)
        breaker = CircuitBreaker("pagos", fail_threshold=threshold, reset_timeout=10, clock=reloj)
        while intentar(breaker.call, servicio) != "cobrado":
            reloj.advance(step)
            time.sleep(0)
        return tell(breaker)

    return historia


def looked_at_outside(fallos):
    reloj, servicio = labkit.ManualClock(), with_a_lock(fallos)
    breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10, clock=reloj)
    vistos = [breaker.state]
    while intentar(breaker.call, servicio) != "cobrado":
        vistos.append(breaker.state)
        reloj.advance(10)
    return [*vistos, breaker.state]


def without_advancing(fallos):
    reloj, servicio = labkit.ManualClock(), with_a_lock(fallos)
    breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10, clock=reloj)
    for _ in range(fallos + 1):
        intentar(breaker.call, servicio)
    return [c.state for c in breaker.changes]


def waits_for_real(fallos):
    breaker, servicio = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10), with_a_lock(fallos)
    while intentar(breaker.call, servicio) != "cobrado":
        time.sleep(0.01)
    return [c.state for c in breaker.changes]


def lets_it_through(fallos):
    breaker, servicio = CircuitBreaker("pagos"), with_a_lock(fallos)
    while True:
        breaker.call(servicio)


CB_5B_WRONG = {
    "no step": (story(step=0), "¿adelantas el reloj después de cada llamada"),
    "waits": (waits_for_real, "No hace falta esperar de verdad"),
    "no step in a for": (
        without_advancing,
        "historia(3) devolvió ['closed', 'open']: el circuito se quedó abierto. ¿Adelantas el reloj "
        "después de cada llamada, y sigues llamando?",
    ),
    "looked at outside": (looked_at_outside, "¿quién lo recuerda después?"),
    "threshold 2": (story(threshold=2), "historia(3) devolvió ['closed', 'open', 'half-open', 'open'"),
    "threshold 5": (story(threshold=5), "historia(3) devolvió ['closed']"),
    "without the first": (
        story(tell=lambda breaker: [c.state for c in breaker.changes][1:]),
        "falta el estado con el que empieza",
    ),
    "changes": (
        story(tell=lambda breaker: list(breaker.changes)),
        "hay un StateChange: se piden los estados",
    ),
    "texts of changes": (
        story(tell=lambda breaker: [str(c) for c in breaker.changes]),
        "se piden los nombres de los estados",
    ),
    "the last": (story(tell=lambda breaker: breaker.state), "historia(3) devolvió un texto"),
    "nothing": (story(tell=lambda breaker: None), "¿falta el return?"),
    "set": (story(tell=lambda breaker: {c.state for c in breaker.changes}), "devolvió un conjunto"),
    "always the same": (lambda fallos: ["closed", "open", "half-open", "closed"], "historia(2) devolvió"),
    "a failure too many": (story(make=lambda fallos: with_a_lock(fallos + 1)), "historia(3) devolvió"),
    "lets it through": (lets_it_through, "¿qué haces con lo que lanza la llamada?"),
    "a text": ("historia", "historia es un texto"),
    "no parameter": (lambda: [0], "no se puede llamar así: historia(fallos)"),
}


@table(CB_5B_WRONG)
def test_cb_5b_wrong(quick, answer, hint):
    assert_wrong("CB-5b", answer, hint_contains=hint)


def test_cb_5b_pending():
    def historia(fallos): ...

    assert_pending("CB-5b", historia)


# CB-7


class WithALock:
    def __init__(self, permisos, exitos):
        self.permisos, self.exitos = permisos, exitos
        self.candado = threading.Lock()
        self.estado = "half-open"

    def permitir(self):
        with self.candado:
            if self.estado == "half-open" and self.permisos > 0:
                self.permisos -= 1
                return True
            return self.estado == "closed"

    def registrar(self, resultado):
        with self.candado:
            if self.estado != "half-open":
                return
            self.permisos += 1
            self.exitos -= resultado == "bien"
            if resultado == "mal":
                self.estado = "open"
            elif self.exitos == 0:
                self.estado = "closed"

    def llamar(self, funcion):
        if not self.permitir():
            raise CircuitOpenError("pagos", self.estado, 1)
        resultado = "nada"
        try:
            valor = funcion()
            resultado = "bien"
            return valor
        except ValueError:
            raise
        except Exception:
            resultado = "mal"
            raise
        finally:
            self.registrar(resultado)


class WithASemaphore:
    def __init__(self, permisos, exitos):
        self._permisos = threading.BoundedSemaphore(permisos)
        self._faltan = exitos
        self._candado = threading.RLock()
        self.estado = "half-open"

    def permitir(self):
        with self._candado:
            if self.estado != "half-open":
                return self.estado == "closed"
            return self._permisos.acquire(blocking=False)

    def registrar(self, resultado):
        with self._candado:
            if self.estado != "half-open":
                return
            self._permisos.release()
            if resultado == "bien":
                self._faltan -= 1
                if not self._faltan:
                    self.estado = "closed"
            if resultado == "mal":
                self.estado = "open"

    def llamar(self, funcion):
        if not self.permitir():
            raise CircuitOpenError("pagos", "half-open", 1.0)
        try:
            valor = funcion()
        except BaseException as error:
            cuenta = isinstance(error, Exception) and not isinstance(error, ValueError)
            self.registrar("mal" if cuenta else "nada")
            raise
        self.registrar("bien")
        return valor


class LooksAgain(WithASemaphore):
    """No lock to get in: the permit first, then the state, which changes before any permit comes back."""

    def permitir(self):
        if not self._permisos.acquire(blocking=False):
            return self.estado == "closed"
        if self.estado == "half-open":
            return True
        self._permisos.release()
        return self.estado == "closed"

    def registrar(self, resultado):
        with self._candado:
            if self.estado != "half-open":
                return
            if resultado == "bien":
                self._faltan -= 1
                if not self._faltan:
                    self.estado = "closed"
            if resultado == "mal":
                self.estado = "open"
            self._permisos.release()


class WithAProperty:
    """It remembers what was decided and who is inside, and says its state when asked."""

    def __init__(self, permisos, exitos):
        self.limite, self.pedidos = permisos, exitos
        self.dentro, self.buenas, self.rota = 0, 0, False
        self.condicion = threading.Condition()

    @property
    def estado(self):
        if self.rota:
            return "open"
        return "closed" if self.buenas >= self.pedidos else "half-open"

    def permitir(self):
        self.condicion.acquire()
        try:
            puede = self.estado == "closed" or (self.estado == "half-open" and self.dentro < self.limite)
            self.dentro += puede
            return puede
        finally:
            self.condicion.release()

    def registrar(self, resultado):
        with self.condicion:
            self.dentro -= 1
            if self.estado == "half-open":
                self.rota = resultado == "mal"
                self.buenas += resultado == "bien"

    def llamar(self, funcion):
        class NoPasa(CircuitOpenError):
            pass

        if not self.permitir():
            raise NoPasa("pagos", self.estado, None)
        try:
            valor = funcion()
        except (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit):
            self.registrar("nada")
            raise
        except Exception:
            self.registrar("mal")
            raise
        else:
            self.registrar("bien")
            return valor


class Inherits(WithALock):
    """The breaker's way out in a context manager, the rest inherited."""

    def __enter__(self):
        if not self.permitir():
            raise CircuitOpenError("pagos", self.estado, 1)

    def __exit__(self, tipo, error, traza):
        if tipo is None:
            self.registrar("bien")
        elif issubclass(tipo, ValueError) or not issubclass(tipo, Exception):
            self.registrar("nada")
        else:
            self.registrar("mal")

    def llamar(self, funcion):
        with self:
            return funcion()


CB_7_RIGHT = {cls.__name__: cls for cls in (WithALock, WithASemaphore, LooksAgain, WithAProperty, Inherits)}


@each(CB_7_RIGHT)
def test_cb_7_right(answer):
    for _ in range(3):
        assert_right("CB-7", answer)


def but(**methods):
    """The right answer with other methods."""
    return type("Semiabierto", (WithALock,), methods)


def permits_without_a_lock(self):
    if self.estado == "half-open" and self.permisos > 0:
        self.permisos -= 1
        return True
    return self.estado == "closed"


def permits_everyone(self):
    return self.estado != "open"


def permits_nobody(self):
    return self.estado == "closed"


def permits_one_more(self):
    with self.candado:
        if self.estado == "half-open" and self.permisos >= 0:
            self.permisos -= 1
            return True
        return self.estado == "closed"


def permits_also_open(self):
    with self.candado:
        if self.permisos > 0:
            self.permisos -= 1
            return True
        return self.estado == "closed"


def permits_waiting(self):
    while True:
        with self.candado:
            if self.estado != "half-open":
                return self.estado == "closed"
            if self.permisos > 0:
                self.permisos -= 1
                return True
        time.sleep(0.01)


def permits_forgetting_a_return(self):
    with self.candado:
        if self.estado == "half-open" and self.permisos > 0:
            self.permisos -= 1
            return True
        if self.estado == "open":
            return False
    return None


def permits_in_closed_as_in_half_open(self):
    with self.candado:
        if self.permisos > 0 and self.estado != "open":
            self.permisos -= 1
            return True
        return False


def permits_and_keeps_the_lock(self):
    self.candado.acquire(timeout=4)
    if self.estado == "half-open" and self.permisos > 0:
        self.permisos -= 1
        return True
    self.candado.release()
    return self.estado == "closed"


def registers(
    *, only=("bien", "mal", "nada"), late=False, gives_back=("bien", "mal", "nada"), lock=True, all_=True
):
    def registrar(self, resultado):
        with self.candado if lock else nullcontext():
            if self.estado != "half-open" and not late:
                return
            if resultado in gives_back:
                self.permisos += 1
            if resultado == "bien" and resultado in only:
                self.exitos -= 1
                if self.exitos <= 0 or not all_:
                    self.estado = "closed"
            elif resultado == "mal" and resultado in only:
                self.estado = "open"

    return registrar


def registers_nothing_as_good(self, resultado):
    WithALock.registrar(self, "bien" if resultado == "nada" else resultado)


def registers_nothing_as_bad(self, resultado):
    WithALock.registrar(self, "mal" if resultado == "nada" else resultado)


def registers_and_gives_all_back(self, resultado):
    WithALock.registrar(self, resultado)
    self.permisos += 1


def calls(
    on_value_error="nada", on_interrupt="nada", on_error="mal", on_good="bien", swallow=False, hold=False
):
    def llamar(self, funcion):
        if not self.permitir():
            raise CircuitOpenError("pagos", self.estado, 1)

        def registrar(resultado):
            if resultado:
                self.registrar(resultado)

        try:
            valor = funcion()
        except ValueError:
            registrar(on_value_error)
            raise
        except Exception:
            registrar(on_error)
            if swallow:
                return None
            raise
        except BaseException:
            registrar(on_interrupt)
            raise
        registrar(on_good)
        return valor

    return llamar


def calls_holding_a_lock(self, funcion):
    if not hasattr(self, "otro"):
        self.__dict__.setdefault("otro", threading.Lock())
    with self.otro:
        return WithALock.llamar(self, funcion)


def calls_without_asking(self, funcion):
    return funcion()


def calls_and_refuses_with_another_error(self, funcion):
    try:
        return WithALock.llamar(self, funcion)
    except CircuitOpenError:
        raise RuntimeError("abierto") from None


def calls_and_returns_none_when_refused(self, funcion):
    if self.permitir():
        self.registrar("nada")
        return WithALock.llamar(self, funcion)
    return None


def calls_and_returns_nothing(self, funcion):
    WithALock.llamar(self, funcion)


def calls_and_raises_another(self, funcion):
    try:
        return WithALock.llamar(self, funcion)
    except ConnectionError as error:
        raise RuntimeError("falló") from error


def calls_and_gives_back_twice(self, funcion):
    if not self.permitir():
        raise CircuitOpenError("pagos", self.estado, 1)
    try:
        valor = funcion()
    except ValueError:
        self.registrar("nada")
        raise
    except Exception:
        self.registrar("mal")
        raise
    else:
        self.registrar("bien")
        return valor
    finally:
        self.permisos += 1


def calls_and_gives_back_twice_what_does_not_count(self, funcion):
    try:
        return WithALock.llamar(self, funcion)
    except ValueError:
        self.permisos += 1
        raise


def calls_and_gives_back_twice_when_good(self, funcion):
    valor = WithALock.llamar(self, funcion)
    self.permisos += 1
    return valor


class LooksWithoutALock(WithASemaphore):
    def permitir(self):
        if self.estado != "half-open":
            return self.estado == "closed"
        return self._permisos.acquire(blocking=False)


class LooksUnderALockOfItsOwn(WithASemaphore):
    def permitir(self):
        with self._candado:
            if self.estado != "half-open":
                return self.estado == "closed"
        return self._permisos.acquire(blocking=False)


class LooksAgainTooEarly(LooksAgain):
    """It looks again, but here a permit comes back before the state changes."""

    registrar = WithASemaphore.registrar


def registers_deciding_outside_the_lock(self, resultado):
    if self.estado != "half-open":
        return
    with self.candado:
        self.permisos += 1
        self.exitos -= resultado == "bien"
        if resultado == "mal":
            self.estado = "open"
        elif self.exitos == 0:
            self.estado = "closed"


def registers_nothing_without_a_lock(self, resultado):
    if resultado == "nada" and self.estado == "half-open":
        self.permisos += 1
    else:
        WithALock.registrar(self, resultado)


class Shared:
    candado = threading.Lock()
    ocupados = 0

    def __init__(self, permisos, exitos):
        self.permisos, self.estado = permisos, "half-open"

    def permitir(self):
        if Shared.ocupados < self.permisos:
            Shared.ocupados += 1
            return True
        return False

    def registrar(self, resultado):
        Shared.ocupados -= 1

    def llamar(self, funcion):
        return funcion()


class NoState(WithALock):
    def __init__(self, permisos, exitos):
        super().__init__(permisos, exitos)
        self.estado = "closed"


class OneParameter(WithALock):
    def __init__(self, permisos):
        super().__init__(permisos, 1)


class OneMethodLess:
    def __init__(self, permisos, exitos):
        self.estado = "half-open"

    def permitir(self):
        return True


CB_7_WRONG = {
    "everyone": (
        but(permitir=permits_everyone),
        "cuatro llamadas a permitir() dieron [True, True, True, True]",
    ),
    "nobody": (but(permitir=permits_nobody), "dieron [False, False, False, False]"),
    "one more": (but(permitir=permits_one_more), "dieron [True, True, True, False]"),
    "also open": (but(permitir=permits_also_open), "con el circuito abierto, permitir() dejó pasar"),
    "waiting": (but(permitir=permits_waiting), "¿qué candado retienes mientras se espera algo"),
    "a return less": (but(permitir=permits_forgetting_a_return), "¿falta un return en algún camino?"),
    "closed": (
        but(permitir=permits_in_closed_as_in_half_open),
        "con el circuito cerrado, permitir() dijo que no",
    ),
    "keeps the lock": (but(permitir=permits_and_keeps_the_lock), "o sin soltarlo?"),
    # which of the two tells it is luck
    "no lock": (but(permitir=permits_without_a_lock), "¿qué pasa entre mirar si hay permiso y ocuparlo?"),
    "no lock at the end": (
        but(registrar=registers(lock=False)),
        "¿qué pasa entre mirar el estado y ocupar el permiso?",
    ),
    "no lock for nothing": (
        but(registrar=registers_nothing_without_a_lock),
        "con permisos=4 y doce hilos a la vez",
    ),
    "looks without a lock": (LooksWithoutALock, "dijo que sí con el circuito ya abierto"),
    "takes after the lock": (LooksUnderALockOfItsOwn, "¿qué pasa entre mirar el estado y ocupar el permiso?"),
    "looks again too early": (LooksAgainTooEarly, "su registrar('mal') se paró a medio camino"),
    "decides twice": (
        but(registrar=registers_deciding_outside_the_lock),
        "con exitos=1, un registrar('bien') se paró a medio camino, un registrar('mal') lo adelantó",
    ),
    "two given back by llamar": (
        but(llamar=calls_and_gives_back_twice),
        "con permisos=1 y exitos=2, tras una llamada que fue bien, pasan dos",
    ),
    "two given back after ValueError": (
        but(llamar=calls_and_gives_back_twice_what_does_not_count),
        "con permisos=1, tras una llamada que lanzó ValueError, pasan dos: ¿cuántas veces se devuelve",
    ),
    "two given back when good": (
        but(llamar=calls_and_gives_back_twice_when_good),
        "¿cuántas veces se devuelve su permiso?",
    ),
    "not given back": (but(registrar=registers(gives_back=())), "¿quién devuelve el permiso?"),
    "not given back when good": (
        but(registrar=registers(gives_back=("mal", "nada"))),
        "una prueba acabó bien, faltaba otra, y permitir() dijo que no",
    ),
    "two given back": (but(registrar=registers_and_gives_all_back), "¿cuántos devolviste?"),
    "bad does nothing": (
        but(registrar=registers(only=("bien",))),
        "tras registrar «mal», estado es 'half-open'",
    ),
    "good does nothing": (
        but(registrar=registers(only=("mal",))),
        "tras el segundo «bien», estado es 'half-open'",
    ),
    "the first closes": (
        but(registrar=registers(all_=False)),
        "con exitos=2, tras el primer «bien», estado es 'closed'",
    ),
    "late ones decide": (but(registrar=registers(late=True)), "ya abierto, el «bien» de otra prueba"),
    "nothing is good": (
        but(registrar=registers_nothing_as_good),
        "tras registrar «nada», estado es 'closed'",
    ),
    "nothing is bad": (but(registrar=registers_nothing_as_bad), "tras registrar «nada», estado es 'open'"),
    "forgets ValueError": (
        but(llamar=calls(on_value_error=None)),
        "una llamada lanzó ValueError y la siguiente ya no pudo pasar",
    ),
    "ValueError is bad": (
        but(llamar=calls(on_value_error="mal")),
        "tras una llamada que lanzó ValueError, estado es 'open'",
    ),
    "ValueError is good": (
        but(llamar=calls(on_value_error="bien")),
        "tras una llamada que lanzó ValueError, estado es 'closed'",
    ),
    "forgets an interrupt": (
        but(llamar=calls(on_interrupt=None)),
        "una llamada lanzó KeyboardInterrupt y la siguiente ya no pudo pasar",
    ),
    "an interrupt is bad": (
        but(llamar=calls(on_interrupt="mal")),
        "que lanzó KeyboardInterrupt, estado es 'open'",
    ),
    "forgets errors": (but(llamar=calls(on_error=None)), "que lanzó ConnectionError, estado es 'half-open'"),
    "forgets the good": (but(llamar=calls(on_good=None)), "tras una llamada que fue bien"),
    "swallows": (but(llamar=calls(swallow=True)), "quien llama tiene que enterarse"),
    "holds a lock": (but(llamar=calls_holding_a_lock), "¿qué candado retienes mientras trabaja funcion?"),
    "without asking": (
        but(llamar=calls_without_asking),
        "tras una llamada que fue bien, con exitos=1, estado es",
    ),
    "another error": (but(llamar=calls_and_refuses_with_another_error), "RuntimeError (abierto)"),
    "None when refused": (but(llamar=calls_and_returns_none_when_refused), "no lanzó CircuitOpenError"),
    "returns nothing": (but(llamar=calls_and_returns_nothing), "llamar devolvió None"),
    "raises another": (
        but(llamar=calls_and_raises_another),
        "llamar lanzó RuntimeError (falló): se pide lo mismo",
    ),
    "shared": (Shared, "¿qué comparten?"),
    "begins closed": (NoState, "recién creado, estado es 'closed' y se pide 'half-open'"),
    "one parameter": (OneParameter, "no se puede llamar así: Semiabierto(permisos, exitos)"),
    "a method less": (OneMethodLess, "a tu clase le falta: registrar, llamar"),
    "an object": (WithALock(1, 1), "pasa la clase, sin crearla"),
    "a text": ("Semiabierto", "Semiabierto es un texto"),
    "a function": (lambda permisos, exitos: 0, "a tu clase le falta: permitir, registrar, llamar"),
    "raises": (but(permitir=lambda self: self.nada), "AttributeError"),
    "numbers": (but(permitir=lambda self: 1), "permitir() devolvió un número"),
}


@table(CB_7_WRONG)
def test_cb_7_wrong(quick, answer, hint):
    assert_wrong("CB-7", answer, hint_contains=hint)


def test_cb_7_pending():
    class Semiabierto:
        def __init__(self, permisos, exitos):
            self.estado = "half-open"

        def permitir(self): ...

        def registrar(self, resultado): ...

        def llamar(self, funcion):
            if not self.permitir():
                raise CircuitOpenError("pagos", self.estado, 1)

    assert_pending("CB-7", Semiabierto)
