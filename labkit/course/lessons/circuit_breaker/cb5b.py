"""CB-5b: the breaker notices that the service has recovered."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from unittest import mock

from labkit.exercises.exercise import Case, Exercise
from labkit.patterns.circuit_breaker import CircuitBreaker
from labkit.waiting import ManualClock

STORY = Exercise("CB-5b", writes="historia", call="historia(fallos)", deadline=6)


def model(fallos: int) -> list[str]:
    """The statement: the states that a circuit goes through, until a call of such a service goes well."""
    clock, left = ManualClock(), fallos
    circuit = CircuitBreaker(fail_threshold=3, reset_timeout=10, clock=clock)
    for _ in range(fallos + 1):
        with suppress(ConnectionError), circuit:
            left -= 1
            if left >= 0:
                raise ConnectionError
        clock.advance(10)
    return [change.state for change in circuit.changes]


def _has(found: Any, state: str) -> bool:
    return isinstance(found, list | tuple) and state in found


STORY.stories(
    model,
    steps=[f"historia({failures})" for failures in (3, 2, 0, 4, 6, 1, 9)],
    hints=[
        (lambda d: isinstance(d.found.error, ConnectionError), "¿Qué haces con lo que lanza una llamada?"),
        (
            lambda d: "NoneType" in str(d.found.error) or "servicio_que_se_recupera" in str(d.found.error),
            "Se usa el servicio de CB-5a: ¿está hecho, y ejecutada su celda?",
        ),
        (
            lambda d: d.found.value == ["closed", "open"],
            "El circuito se quedó abierto: ¿adelantas el reloj después de cada llamada, y sigues llamando?",
        ),
        (
            lambda d: isinstance(d.found.value, list | tuple) and not all(isinstance(each, str | None) for each in d.found.value),
            "Se pide el nombre del estado, no el cambio entero.",
        ),
        (
            lambda d: isinstance(d.found.value, list | tuple) and not _has(d.found.value[:1], "closed"),
            "¿Con qué estado empieza el circuito?",
        ),
        (
            lambda d: _has(d.found.value, "open") and not _has(d.found.value, "half-open"),
            "Semiabierto dura lo que dura la prueba: ¿quién lo recuerda después?",
        ),
    ],
    think="¿Cuántas llamadas fallan ahí, con qué umbral, y qué hace el circuito con cada una?",
    situation="con varios números de fallos",
    late="¿adelantas el reloj después de cada llamada, y es el reloj de tu circuito?",
)


@STORY.case("al mirar las llamadas de tu circuito")
def is_lived_and_not_computed(case: Case, historia: Any) -> None:
    made: list[CircuitBreaker] = []
    begin = CircuitBreaker.__init__

    def remember(self: CircuitBreaker, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        made.append(self)

    case.enter(mock.patch.object(CircuitBreaker, "__init__", remember))
    historia(5)
    case.expect(made, "historia(5) no creó ningún CircuitBreaker: ¿quién cambia de estado ahí?")
    metrics = made[-1].metrics
    case.equal(metrics.failures, 5, "con historia(5), por tu circuito pasaron {found} fallos y se esperaban {wanted}")
    case.expect(
        metrics.rejected == 0,
        f"con historia(5), el circuito rechazó {metrics.rejected}: con 10 segundos de espera y 10 de reloj después de "
        "cada llamada no rechaza ninguna. ¿Cuánto espera, y cuánto adelantas?",
    )
