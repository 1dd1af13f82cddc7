"""ES-3: append with an expected version; of two writers, one wins."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_methods
from labkit.exercises.races import Overtaking
from labkit.patterns.event_sourcing import VersionConflict

STORE = Exercise(
    "ES-3", writes="Almacen", call="Almacen()", methods=("leer(flujo)", "anexar(flujo, nuevos, version)"), deadline=8
)


class Model:
    """The statement: a list for each stream, and an append only at the version that it has."""

    def __init__(self) -> None:
        self.flujos: dict[str, list[Any]] = defaultdict(list)

    def leer(self, flujo: str) -> list[Any]:
        return list(self.flujos[flujo])

    def anexar(self, flujo: str, nuevos: list[Any], version: int) -> int:
        actual = len(self.flujos[flujo])
        if version != actual:
            raise VersionConflict(flujo, version, actual)
        self.flujos[flujo] += nuevos
        return actual + len(nuevos)


@STORE.case("recién creado", raised="¿qué guarda tu clase al crearse?")
def has_its_methods(case: Case, store: Any) -> None:
    expect_methods(case, store())


STORE.stories(
    Model,
    made_with=[""],
    steps=[
        "anexar('a', ['uno'], 0)",
        "anexar('a', ['dos', 'tres'], 1)",
        "anexar('a', ['cuatro'], 3)",
        "anexar('b', ['uno'], 0)",
        "leer('a')",
        "leer('b')",
        "anexar('a', ['no'], -1)",
        "anexar('a', [], 1)",
    ],
    length=4,
    hints=[
        (lambda d: any(outcome.error for outcome in d.before), "Antes se rechazó un anexo: ¿qué guardó?"),
        (lambda d: d.wanted.error and d.found.error, "¿Qué excepción se pide, y con qué tres datos se crea?"),
        (lambda d: d.wanted.error is not None, "¿Con qué compara tu almacén la versión que recibe?"),
        (lambda d: d.found.error and d.last.startswith("leer"), "¿Qué se lee de un flujo desconocido?"),
        (lambda d: d.found.error is not None, "¿Cuántos hechos tiene ese flujo, y no otro, en ese momento?"),
        (lambda d: d.last.startswith("leer"), "¿Qué hechos son de ese flujo, y en qué orden?"),
    ],
    think="¿Qué devuelve anexar?",
    situation="al anexar y leer",
    late="¿quién tiene el candado, y quién lo espera?",
)

# Lists that are shared: with who reads, and with who appends.
STORE.stories(
    Model,
    made_with=[""],
    world=lambda: {"nuevos": ["uno"]},
    steps=["anexar('a', nuevos, 0)", "nuevos.append('otro')", "leer('a')", "leer('a').append('falso')"],
    length=4,
    think="¿De quién es la lista que guarda o que devuelve tu almacén?",
    situation="si quien lee o anexa cambia después su lista",
)


@STORE.case("con un conflicto", raised="¿qué tres cosas dice el conflicto?")
def the_conflict_tells(case: Case, store: Any) -> None:
    made = store()
    made.anexar("libro-7", ["uno", "dos"], 0)
    try:
        made.anexar("libro-7", ["tres"], 1)
    except VersionConflict as conflict:
        told = (conflict.stream, conflict.expected, conflict.actual)
        case.equal(
            told,
            ("libro-7", 1, 2),
            f"el flujo iba por la 2, se esperaba la 1, y tu VersionConflict dice {told}: ¿en qué orden van?",
        )
    else:
        case.fail("anexar con una versión vieja no lanzó nada")


@STORE.case("con muchos hilos", raised="¿qué pasa si varios anexan a la vez?")
def one_wins(case: Case, store: Any) -> None:
    made, ready, won = store(), threading.Barrier(8), []

    def append(number: int) -> None:
        ready.wait()
        try:
            won.append(made.anexar("a", [number], 0))
        except VersionConflict:
            pass

    case.at_once([lambda number=number: append(number) for number in range(8)])  # type: ignore[misc]
    case.equal(len(won), 1, "ocho hilos anexaron con la versión 0 y a {found} les fue bien: ¿quién gana?")


_TWO_AT_ONCE = "¿Qué pasa entre comprobar la versión y añadir los hechos?"
STORE.races(
    Model,
    Overtaking("", ("anexar('a', ['uno'], 0)",), ("anexar('a', ['dos'], 0)",), after=("leer('a')",), think=_TWO_AT_ONCE),
    Overtaking(
        "", ("anexar('a', ['uno', 'dos'], 0)",), ("leer('a')",), after=("leer('a')",), think="¿Puede alguien leer medio anexo?"
    ),
    Overtaking(
        "",
        ("anexar('a', ['uno'], 0)",),
        ("anexar('a', ['dos'], 1)",),
        after=("leer('a')",),
        think="La versión que se devuelve, ¿es la de tu anexo o también la de otro?",
    ),
    Overtaking("", ("anexar('a', ['uno'], 0)",), ("anexar('b', ['dos'], 0)",), after=("leer('a')", "leer('b')")),
)
