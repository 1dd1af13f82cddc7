"""BH-9: a bulkhead and a circuit breaker for each name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from labkit.exercises.exercise import Case, Exercise, wait_for
from labkit.exercises.races import Overtaking
from labkit.exercises.wording import kind
from labkit.patterns.bulkhead import Bulkhead, BulkheadFullError
from labkit.patterns.circuit_breaker import CircuitBreaker
from labkit.waiting import ManualClock

Work = Callable[[], Any]
PROTECTED = Exercise("BH-9", writes="crear_proteccion", call="crear_proteccion(permisos, fallos, espera, reloj)", deadline=10)


def model(permisos: int, fallos: int, espera: float, reloj: Callable[[], float]) -> Callable[[str, Work], Any]:
    """The statement: the breaker outside, and a full bulkhead is no failure."""
    made: dict[str, tuple[CircuitBreaker, Bulkhead]] = {}

    def call(name: str, work: Work) -> Any:
        if name not in made:
            breaker = CircuitBreaker(name, fail_threshold=fallos, reset_timeout=espera, ignore=BulkheadFullError, clock=reloj)
            made[name] = breaker, Bulkhead(permisos, name=name)
        return made[name][0].call(made[name][1].call, work)

    return call


def _world() -> dict[str, Any]:
    clock = ManualClock(100)

    def pasan(seconds: float) -> None:
        clock.advance(seconds)

    def bien() -> str:
        return "cobrado"

    def mal() -> None:
        raise ConnectionError("pagos ha cortado")

    def vacio() -> None:
        raise LookupError("no queda papel")

    def con_otra(call: Any, times: int = 1, end: Work = lambda: None) -> Work:
        """Make work that another client calls beside, in a context of its own (else it is a part of the probe)."""

        def work() -> Any:
            try:
                found = Context().run(call, "pagos", con_otra(call, times - 1) if times > 1 else bien)
            except Exception as error:
                found = type(error).__name__
            end()
            return "dentro", found

        return work

    def con_envios(call: Any) -> Work:
        return lambda: ("dentro", call("envios", bien))

    def con_otra_y_mal(call: Any) -> Work:
        return con_otra(call, end=mal)

    acts = pasan, bien, mal, vacio, con_otra, con_envios, con_otra_y_mal
    return {"reloj": clock} | {each.__name__: each for each in acts}


@PROTECTED.case("recién creada", raised="¿qué devuelve crear_proteccion?")
def makes_a_function(case: Case, make: Any) -> None:
    call = make(1, 1, 25, ManualClock())
    case.expect(
        callable(call), f"crear_proteccion devolvió {kind(call)}: se pide una función llamar(nombre, funcion). ¿Falta el return?"
    )


_HINTS = [
    (
        lambda d: "con_otra" in d.last and "Full" in str(d.found.value) and "Open" in str(d.wanted.value),
        "La prueba ocupa el único permiso: ¿cuál de los dos va por fuera?",
    ),
    (lambda d: "envios" in d.last, "Lo que le pasa a un nombre no afecta a los demás: ¿qué comparten?"),
    (lambda d: "con_otra" in d.last, "¿Es el mismo compartimento en cada llamada, y con cuántos permisos?"),
    (lambda d: "con_otra" in str(d.steps), "¿Qué cuenta como fallo, y qué como acierto, si el compartimento está lleno?"),
    (lambda d: type(d.found.error).__name__ == "BulkheadFullError", "El compartimento está vacío: ¿quién devuelve el permiso?"),
    (lambda d: "pasan" in str(d.steps), "¿Cuánto dura la espera, y qué reloj la mide?"),
    (
        lambda d: type(d.wanted.error).__name__ == "CircuitOpenError",
        "¿Es el mismo cortacircuitos en cada llamada, con cuántos fallos se abre, y qué excepciones cuentan?",
    ),
]

PROTECTED.stories(
    model,
    made_with=["1, 2, 25, reloj", "1, 1, 7, reloj"],
    thing="llamar",
    world=_world,
    steps=[
        "llamar('pagos', bien)",
        "llamar('pagos', mal)",
        "llamar('pagos', vacio)",
        "llamar('envios', bien)",
        "llamar('pagos', con_envios(llamar))",
        "llamar('pagos', con_otra(llamar))",
        "llamar('pagos', con_otra_y_mal(llamar))",
        "pasan(7)",
    ],
    length=3,
    hints=_HINTS,
    situation="llamada tras llamada",
)

PROTECTED.stories(
    model,
    made_with=["2, 2, 25, reloj"],
    thing="llamar",
    world=_world,
    steps=["llamar('pagos', mal)", "llamar('pagos', con_otra(llamar, 2))", "pasan(25)"],
    length=5,
    hints=_HINTS,
    situation="con el paso del tiempo",
)

_RACE = Overtaking(
    "5, 2, 25, reloj",
    ("llamar('pagos', mal)",),
    ("llamar('pagos', mal)",),
    after=("llamar('pagos', bien)",),
    think="¿Cuántos cortacircuitos se crean para un nombre que dos hilos estrenan a la vez?",
)
PROTECTED.races(model, _RACE, thing="llamar", world=_world, situation="cuando dos hilos estrenan un nombre a la vez")


@PROTECTED.case("con dos llamadas dentro a la vez", late="¿qué candado retienes mientras la función trabaja?")
def calls_run_at_once(case: Case, make: Any) -> None:
    call, gate, inside = make(2, 3, 25, ManualClock()), threading.Event(), list[str]()
    case.cleanup(gate.set)

    def stay() -> None:
        inside.append("dentro")
        gate.wait()

    futures = [case.start(call, "pagos", stay) for _ in range(2)]
    both = case.eventually(lambda: len(inside) == 2)
    case.expect(both, "con dos permisos, la segunda llamada no entró hasta que salió la primera: ¿qué candado la detiene?")
    gate.set()
    list(map(wait_for, futures))
