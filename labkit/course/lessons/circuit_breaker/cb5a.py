"""CB-5a: a service that surely recovers after so many failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.races import Overtaking
from labkit.exercises.wording import kind

RECOVERS = Exercise("CB-5a", writes="servicio_que_se_recupera", call="servicio_que_se_recupera(fallos)", deadline=10)


def model(fallos: int) -> Callable[[], str]:
    """The statement: the first `fallos` calls raise, all others answer."""
    left = [None] * fallos

    def service() -> str:
        if left:
            left.pop()
            raise ConnectionError
        return "cobrado"

    return service


@RECOVERS.case("con tres fallos", raised="¿qué hace tu función con el número que recibe?")
def makes_a_function(case: Case, make: Any) -> None:
    service = make(3)
    case.expect(service is not None, "servicio_que_se_recupera no devolvió nada: ¿falta el return?")
    case.expect(callable(service), f"servicio_que_se_recupera devolvió {kind(service)}: se pide una función sin argumentos")


RECOVERS.stories(
    model,
    made_with=["3", "0", "1", "7"],
    thing="servicio",
    steps=["servicio()"],
    length=10,
    hints=[
        (
            lambda d: isinstance(d.found.error, requests.ConnectionError),
            "Es el error de requests, que es otra clase: se pide el de Python, que no hay que importar.",
        ),
        (lambda d: isinstance(d.found.value, BaseException), ""),  # said already
        (lambda d: d.wanted.error and d.found.error, "¿Qué error se pide?"),
        (lambda d: d.wanted.error is not None, "¿Cuántas tienen que fallar, y desde cuándo cuenta cada servicio?"),
        (lambda d: d.found.error is not None, "¿Cuándo deja de fallar, y vuelve a hacerlo?"),
    ],
    situation="llamada tras llamada",
)

RECOVERS.races(
    model,
    *(
        Overtaking(
            failures,
            ("servicio()",),
            ("servicio()",),
            after=("servicio()",),
            think="¿Qué pasa si dos hilos leen la cuenta antes de que uno la cambie?",
        )
        for failures in ("1", "2")
    ),
    thing="servicio",
)
