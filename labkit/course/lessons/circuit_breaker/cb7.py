"""CB-7: only the permitted probes pass while a circuit is half-open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_methods
from labkit.exercises.races import Overtaking
from labkit.patterns.circuit_breaker import CircuitOpenError

HALF_OPEN = Exercise(
    "CB-7",
    writes="Semiabierto",
    call="Semiabierto(permisos, exitos)",
    methods=("permitir()", "registrar(resultado)", "llamar(funcion)"),
    deadline=10,
)


class Model:
    """The statement: at most `permisos` probes inside; closed after `exitos` good ones, open after a bad one."""

    def __init__(self, permisos: int, exitos: int) -> None:
        self.permisos, self.exitos, self.estado, self.dentro = permisos, exitos, "half-open", 0

    def permitir(self) -> bool:
        passes = self.estado == "closed" or (self.estado == "half-open" and self.dentro < self.permisos)
        self.dentro += passes
        return passes

    def registrar(self, resultado: str) -> None:
        self.dentro -= 1
        if self.estado == "half-open":
            self.exitos -= resultado == "bien"
            if resultado == "mal" or not self.exitos:
                self.estado = "open" if resultado == "mal" else "closed"

    def llamar(self, funcion: Callable[[], Any]) -> Any:
        if not self.permitir():
            raise CircuitOpenError("pagos", "open", 1)
        try:
            value = funcion()
        except BaseException as error:
            bad = isinstance(error, Exception) and not isinstance(error, ValueError)
            self.registrar("mal" if bad else "nada")
            raise
        self.registrar("bien")
        return value


class _Interrupted(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


def _raises(error: BaseException) -> Callable[[], Any]:
    def function() -> None:
        raise error

    return function


@HALF_OPEN.case("recién creado", raised="¿qué guarda tu clase al crearse?")
def has_its_methods(case: Case, half_open: Any) -> None:
    expect_methods(case, half_open(1, 1))


HALF_OPEN.stories(
    Model,
    made_with=["1, 1", "2, 1", "1, 2", "3, 2"],
    steps=["permitir()", "registrar('bien')", "registrar('mal')", "registrar('nada')"],
    possible=lambda model, step: step == "permitir()" or model.dentro > 0,
    sees=["estado"],
    length=6,
    hints=[
        (lambda d: d.found.value is True and "registrar('nada')" in d.steps, "¿Cuántos permisos devolviste?"),
        (lambda d: d.found.value is False and any("registrar" in step for step in d.steps), "¿Quién devuelve el permiso?"),
        (lambda d: d.attribute and len(d.steps) > 2, "¿Estaba ya decidido, o faltaba alguna prueba?"),
    ],
    situation="al permitir y registrar",
)

HALF_OPEN.stories(
    Model,
    made_with=["1, 1", "1, 2"],
    world=lambda: {
        "cobrar": lambda: "cobrado",
        "no_encontrar": lambda: 0,
        "equivocarse": _raises(ValueError("sin tarjeta")),
        "cortarse": _raises(ConnectionError("pagos no contesta")),
        "interrumpirse": _raises(_Interrupted()),
    },
    steps=[
        "llamar(cobrar)",
        "llamar(no_encontrar)",
        "llamar(equivocarse)",
        "llamar(cortarse)",
        "llamar(interrumpirse)",
        "permitir()",
    ],
    sees=["estado"],
    length=3,
    think="¿Qué se registra ahí, y cuántas veces?",
    situation="al llamar",
)


@HALF_OPEN.case("con una llamada dentro")
def others_are_told_at_once(case: Case, half_open: Any) -> None:
    circuit = half_open(1, 1)
    told = circuit.llamar(lambda: case.eventually(case.start(circuit.permitir).done))
    waits = "con una llamada dentro, permitir() no contesta a otro hilo: ¿qué retiene la llamada mientras se ejecuta la función?"
    case.expect(told, waits)


HALF_OPEN.races(
    Model,
    Overtaking("1, 1", ("permitir()",), ("permitir()",), think="¿Qué pasa entre mirar si hay permiso y ocuparlo?"),
    Overtaking(
        "1, 1",
        ("permitir()",),
        ("registrar('mal')",),
        before=("permitir()",),
        think="¿Qué pasa entre mirar el estado y ocupar el permiso?",
    ),
    Overtaking(
        "1, 1",
        ("registrar('mal')",),
        ("permitir()",),
        before=("permitir()",),
        think="¿Se ve libre el permiso antes de que el circuito esté abierto?",
    ),
    *(
        Overtaking(
            f"2, {successes}",
            (f"registrar({first!r})",),
            (f"registrar({second!r})",),
            before=("permitir()", "permitir()"),
            after=("permitir()", "permitir()", "permitir()"),
            think="¿Qué leyó uno que el otro cambió? ¿Estaba ya decidido?",
        )
        for successes, first, second in ((2, "bien", "bien"), (1, "bien", "mal"), (1, "mal", "bien"), (9, "nada", "nada"))
    ),
    sees=["estado"],
)
