"""SC-8b: the recovery: another attempt, where it helps and does no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Exercise
from labkit.exercises.stories import Difference

RECOVER = Exercise("SC-8b", writes="recuperar", call="recuperar(pedir, metodo, intentos)")
_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


def recover(pedir: Callable[[], int], metodo: str, intentos: int) -> int:
    """The statement: what is idempotent is tried again after 502, 503, 504 or no answer; the last one counts."""
    for left in reversed(range(intentos if metodo in _IDEMPOTENT else 1)):
        try:
            status = pedir()
        except ConnectionError:
            if not left:
                raise
            continue
        if status not in (502, 503, 504) or not left:
            return status
    raise AssertionError


def _world() -> dict[str, Any]:
    def guion(recuperar: Callable[..., Any], metodo: str, intentos: int, *answers: Any) -> dict[str, Any]:
        """Let the service answer so, one after the other; what came of it, and how often it was asked."""
        asked = 0

        def pedir() -> Any:
            nonlocal asked
            asked += 1
            answer = answers[min(asked, len(answers)) - 1]
            if isinstance(answer, type):
                raise answer("el servicio no contesta")
            return answer

        try:
            result: Any = recuperar(pedir, metodo, intentos)
        except Exception as error:
            result = type(error).__name__
        return {"resultado": result, "peticiones": asked}

    return {"guion": guion, "CORTE": ConnectionError, "ERROR": ValueError}


def _asked(d: Difference) -> tuple[int, int]:
    return d.found.value["peticiones"], d.wanted.value["peticiones"]


RECOVER.stories(
    recover,
    world=_world,
    steps=[
        f"guion(recuperar, {method!r}, {attempts}, {answers})"
        for method, attempts, answers in (
            ("GET", 3, "200"),
            ("GET", 3, "503, 200"),
            ("GET", 3, "502, 504, 200"),
            ("GET", 3, "503, 502, 504, 200"),
            ("GET", 1, "503, 200"),
            ("GET", 3, "404, 200"),
            ("GET", 3, "500, 200"),
            ("GET", 3, "CORTE, 200"),
            ("GET", 2, "CORTE, CORTE, 200"),
            ("GET", 3, "503, CORTE, 503, 200"),
            ("GET", 3, "CORTE, 503, CORTE, 200"),
            ("GET", 3, "ERROR, 200"),
            ("PUT", 3, "503, 200"),
            ("DELETE", 3, "CORTE, 204"),
            ("HEAD", 2, "504, 200"),
            ("OPTIONS", 2, "504, 200"),
            ("POST", 3, "503, 200"),
            ("POST", 3, "CORTE, 200"),
            ("PATCH", 3, "503, 200"),
            ("POST", 1, "201"),
        )
    ],
    hints=[
        (lambda d: "POST" in d.last or "PATCH" in d.last, "¿Qué pasa si la primera sí llegó, y era un cobro?"),
        (lambda d: "ERROR" in d.last, "¿Arregla otro intento un error que no es de conexión?"),
        (lambda d: _asked(d)[0] > _asked(d)[1], "Ha preguntado de más: ¿cuándo sirve repetir?"),
        (lambda d: _asked(d)[0] < _asked(d)[1], "Ha preguntado de menos: ¿cuántos intentos quedaban?"),
        (lambda d: d.found.error is not None, "¿Con qué se queda quien llamó?"),
    ],
    think="¿Qué recibe quien llamó cuando se acaban los intentos?",
    situation="con un servicio que contesta lo que dice el guion",
)
