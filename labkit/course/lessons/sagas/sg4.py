"""SG-4: under one key the work is done once, undone once, and never after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from labkit.exercises.exercise import Case, Exercise, wait_for
from labkit.exercises.races import Overtaking
from labkit.exercises.stories import Difference
from labkit.patterns.saga import Refused

ONCE = Exercise(
    "SG-4", writes="UnaVez", call="UnaVez()", methods=("hacer(clave, trabajo)", "deshacer(clave, trabajo)"), deadline=10
)


class Model:
    """The statement: a key is new, done or closed."""

    def __init__(self) -> None:
        self.done: dict[str, Any] = {}
        self.closed: dict[str, bool] = {}

    def hacer(self, clave: str, trabajo: Callable[[], Any]) -> Any:
        if clave in self.closed:
            raise Refused(clave)
        if clave not in self.done:
            self.done[clave] = trabajo()
        return self.done[clave]

    def deshacer(self, clave: str, trabajo: Callable[[], Any]) -> bool:
        if clave not in self.closed:
            if clave in self.done:
                trabajo()
            self.closed[clave] = clave in self.done
        return self.closed[clave]


class Till:
    """What the works change; each tells the balance that it leaves, so that one too many is seen."""

    def __init__(self) -> None:
        self.balance = 0

    def add(self, amount: int) -> Callable[[], int]:
        def work() -> int:
            self.balance += amount
            return self.balance

        return work

    def fail(self) -> None:
        raise ConnectionError("pagos no contesta")


def world() -> Mapping[str, Any]:
    till = Till()
    return {
        "cobrar": till.add(30),
        "devolver": till.add(-30),
        "cortarse": till.fail,
        "sin_nada_que_decir": lambda: till.add(1)() and None,
        "saldo": lambda: till.balance,
    }


@ONCE.case("con dos memorias", raised="¿qué guarda cada una?")
def two_services(case: Case, once: Any) -> None:
    first, second = once(), once()
    found = once().hacer("p-1", lambda: "cobrado")
    case.equal(found, "cobrado", "hacer devolvió {found}, y trabajo() devuelve 'cobrado': ¿falta un return?")
    answers = [each.hacer("p-1", lambda each=each: id(each)) for each in (first, second)]
    case.equal(answers, [id(first), id(second)], "la segunda memoria contestó lo que había hecho la primera: ¿qué comparten dos?")


def _broke_off(d: Difference) -> bool:
    return any("cortarse" in step for step in d.steps[:-1])


ONCE.stories(
    Model,
    made_with=[""],
    world=world,
    steps=[
        "hacer('p-1', cobrar)",
        "deshacer('p-1', devolver)",
        "hacer('p-2', cobrar)",
        "saldo()",
        "hacer('p-1', cortarse)",
        "deshacer('p-1', cortarse)",
    ],
    length=4,
    hints=[
        (_broke_off, "¿Qué apuntas si el trabajo no termina bien?"),
        (
            lambda d: d.last.startswith("hacer('p-1'") and any("deshacer" in step for step in d.steps),
            "¿Qué pasa con una petición que llega después de su compensación?",
        ),
        (
            lambda d: d.steps.count("deshacer('p-1', devolver)") + ("deshacer('p-1', cortarse)" in d.steps) > 1,
            "¿Cuántas veces se deshace, y qué se contesta las siguientes?",
        ),
        (lambda d: any("deshacer" in step for step in d.steps), "¿Había algo que deshacer?"),
        (lambda d: "cortarse" in d.last, "¿Qué apuntas si el trabajo no termina bien?"),
        (lambda d: len(d.steps) > 1, "¿Qué contesta la segunda vez, y a quién llama?"),
    ],
    think="¿Cuántas veces se ha trabajado?",
    situation="al hacer y deshacer",
)

ONCE.stories(
    Model,
    made_with=[""],
    world=world,
    steps=["hacer('p-1', sin_nada_que_decir)", "saldo()"],
    length=3,
    think="Un trabajo puede no devolver nada: ¿cómo sabes que ya se hizo?",
    situation="con un trabajo que no devuelve nada",
)


@ONCE.case("si otro hilo llega después de una excepción", late="¿quién suelta el candado cuando algo se lanza?")
def after_an_exception(case: Case, once: Any) -> None:
    memory, calls = once(), []
    for work in (Till().fail, lambda: 30):
        with suppress(ConnectionError):
            memory.hacer("p-1", work)
        calls.append(wait_for(case.start(memory.hacer, "p-1", lambda: 30)))
    memory.deshacer("p-1", Till().add(-30))
    with suppress(Refused):
        memory.hacer("p-1", Till().add(30))
    calls.append(wait_for(case.start(memory.deshacer, "p-1", Till().add(-30))))
    case.equal(calls, [30, 30, True], "otro hilo recibió {found}: se esperaba [30, 30, True]. ¿Qué queda apuntado?")


DO, UNDO = "hacer('p-1', cobrar)", "deshacer('p-1', devolver)"
ONCE.races(
    Model,
    Overtaking("", (DO,), (DO,), after=("saldo()",), think="¿Qué pasa entre mirar si está hecho y hacerlo?"),
    Overtaking("", (UNDO,), (UNDO,), (DO,), ("saldo()",), "¿Qué pasa entre mirar si está deshecho y deshacerlo?"),
    Overtaking("", (DO,), (UNDO,), (), ("saldo()",), "¿Y si la compensación llega mientras se hace?"),
    world=world,
)
