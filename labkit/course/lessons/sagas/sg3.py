"""SG-3: a failure undoes what was done, in reverse."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import many, shown
from labkit.patterns.saga import Refused

IN_REVERSE = Exercise("SG-3", writes="ejecutar", call="ejecutar(pasos)")

NAMES = ("inventario", "pagos", "envios")
ERRORS = {"no": Refused, "corte": ConnectionError, "tarde": TimeoutError, "avería": ValueError}
# What a step does when it is asked to; and how often its compensation fails before it goes well.
Way = tuple[str, int]
Execute = Callable[[list[Any]], Any]


class Services:
    """Steps that do what the script says, and note their calls."""

    def __init__(self, ways: tuple[Way, ...]) -> None:
        self.calls: list[str] = []
        self.steps = [
            (name, self._do(name, how), self._undo(name, fails)) for name, (how, fails) in zip(NAMES, ways, strict=False)
        ]

    def _do(self, name: str, how: str) -> Callable[[], str]:
        def do() -> str:
            self.calls.append(f"hacer {name}")
            if how in ERRORS:
                raise ERRORS[how](f"{name}: {how}")
            return "hecho"

        return do

    def _undo(self, name: str, fails: int) -> Callable[[], None]:
        left = [fails]

        def undo() -> None:
            self.calls.append(f"deshacer {name}")
            if left[0]:
                left[0] -= 1
                raise ERRORS["corte" if left[0] == fails - 1 else "no"](f"{name}: no se deshizo")

        return undo


def wanted(ways: tuple[Way, ...]) -> tuple[tuple[str, list[str]], list[str]]:
    """Return the statement: what comes back, and the calls."""
    calls, pending = [], []
    for name, (how, fails) in zip(NAMES, ways, strict=False):
        calls.append(f"hacer {name}")
        if how != "no":
            pending.append((name, fails))
        if how != "bien":
            break
    else:
        return ("hecho", []), calls
    undone = pending[::-1]
    for name, fails in undone:
        calls += [f"deshacer {name}"] * (fails + 1)
    return ("deshecho", [name for name, _ in undone]), calls


def described(name: str, way: Way) -> str:
    how, fails = way
    if fails:
        how += f" (y deshacer falla {many(fails, 'vez', 'veces')}: corte{', no' * (fails - 1)})"
    return f"{name}: {how}"


def follow(case: Case, execute: Execute, scripts: list[tuple[Way, ...]], think: str) -> None:
    """Run each script, the shortest first, and fail at the first that goes another way."""
    for ways in sorted(scripts, key=len):
        services = Services(ways)
        told = ", ".join(described(*each) for each in zip(NAMES, ways, strict=False))
        case.doing = told
        found = execute(services.steps)
        result, calls = wanted(ways)
        case.expect(
            services.calls == calls, f"con {told or 'ningún paso'}, llamó a: {', '.join(services.calls) or 'nadie'}. {think}"
        )
        case.expect(
            isinstance(found, tuple | list) and len(found) == 2 and (found[0], list(found[1] or ())) == result,
            f"con {told or 'ningún paso'}, devolvió {shown(found)}: se esperaba {result}.",
        )


def scripts(*hows: str, fails: tuple[int, ...] = (0,), length: int = 3) -> list[tuple[Way, ...]]:
    """Return every script of up to `length` steps."""
    ways = list(product(hows, fails))
    return [script for count in range(length + 1) for script in product(ways, repeat=count)]


@IN_REVERSE.case("si todo va bien", raised="¿qué devuelve la función cuando no falla nada?")
def all_well(case: Case, execute: Execute) -> None:
    follow(case, execute, scripts("bien"), "¿Se llama a todos, en orden, y a nadie más?")


@IN_REVERSE.case("si un paso dice que no", raised="¿quién captura el «no»?")
def refused(case: Case, execute: Execute) -> None:
    follow(case, execute, scripts("bien", "no"), "¿Qué estaba hecho, y qué se deshace primero?")


@IN_REVERSE.case("si un paso no contesta", raised="¿qué excepciones capturas?")
def unknown(case: Case, execute: Execute) -> None:
    think = "¿Se hizo ese paso, o nadie lo sabe?"
    follow(case, execute, scripts("bien", "no", "corte"), think)
    follow(case, execute, scripts("bien", "tarde", "avería", length=2), think)


@IN_REVERSE.case(
    "si una compensación falla",
    raised="¿qué pasa cuando falla la propia compensación?",
    late="¿cuándo deja de repetirse, y cuánto espera entre intentos?",
)
def failing_compensation(case: Case, execute: Execute) -> None:
    follow(
        case,
        execute,
        scripts("bien", "no", "corte", fails=(0, 1, 2), length=2),
        "¿Hasta cuándo se repite una compensación, y qué pasa mientras con las demás?",
    )


class Interrupted(BaseException):
    """What Ctrl-C does, without stopping the check."""


@IN_REVERSE.case("si alguien interrumpe", late="¿qué capturas de más, y cómo se para entonces tu bucle?")
def interrupted(case: Case, execute: Execute) -> None:
    def stop() -> None:
        raise Interrupted

    def refuse() -> None:
        raise Refused("no")

    for where, steps in (("hacer", [("a", stop, list)]), ("deshacer", [("a", list, stop), ("b", refuse, list)])):
        try:
            found = execute(steps)
        except Interrupted:
            continue
        case.fail(f"una interrupción en un {where} no salió, y devolvió {shown(found)}: ¿qué capturas de más?")
