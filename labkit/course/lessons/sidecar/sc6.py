"""SC-6: a log line for each answer: status and time, whatever comes of the request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.stories import Difference
from labkit.exercises.wording import kind
from labkit.waiting import ManualClock

LOGGED = Exercise("SC-6", writes="con_log", call="con_log(pasar, apuntar, reloj)")

Handler = Callable[[Any], Awaitable[Any]]
_SECONDS = {"/libros/42": 0.5, "/nadie": 0.25, "/corta": 2.0, "/se-va": 4.0}


@dataclass(frozen=True)
class Request:
    """What a handler reads of a request."""

    method: str
    path: str
    query_string: str = "clave=secreta"

    @property
    def path_qs(self) -> str:
        return f"{self.path}?{self.query_string}"

    raw_path = path_qs


def model(pasar: Handler, apuntar: Callable[[Any], Any], reloj: Callable[[], float]) -> Handler:
    """The statement: one note for each request, with the status that came of it; errors go on as they are."""

    async def manejar(peticion: Any) -> Any:
        began, status = reloj(), 502
        try:
            answer = await pasar(peticion)
            status = answer.status
            return answer
        except asyncio.CancelledError:
            status = 499
            raise
        finally:
            apuntar({"metodo": peticion.method, "ruta": peticion.path, "estado": status, "segundos": reloj() - began})

    return manejar


def world() -> dict[str, Any]:
    """A service that answers, one that does not, a client that leaves, and a clock that they wind."""
    clock = ManualClock()
    notes: list[Any] = []

    async def pasar(peticion: Request) -> Any:
        await asyncio.sleep(0)
        clock.advance(_SECONDS[peticion.path])
        if peticion.path == "/corta":
            raise ConnectionError("el servicio cortó")
        if peticion.path == "/se-va":
            raise asyncio.CancelledError
        return SimpleNamespace(status=404 if peticion.path == "/nadie" else 200)

    async def ver(answer: Awaitable[Any]) -> tuple[Any, ...]:
        """What came of a request, and everything noted by then."""
        try:
            result: Any = getattr(await answer, "status", None)
        except BaseException as error:
            result = type(error).__name__
        return result, list(notes)

    return {
        "pasar": pasar,
        "apuntar": notes.append,
        "reloj": clock,
        "ver": ver,
        "libro": Request("GET", "/libros/42"),
        "nadie": Request("POST", "/nadie"),
        "corta": Request("GET", "/corta"),
        "se_va": Request("GET", "/se-va"),
    }


@LOGGED.case("al llamarla", raised="¿qué recibe con_log, y qué devuelve?")
def returns_a_function(case: Case, con_log: Callable[..., Any]) -> None:
    names = world()
    made = con_log(names["pasar"], names["apuntar"], names["reloj"])
    case.expect(callable(made), f"con_log devolvió {kind(made)}: se pide una función de corrutina, manejar(peticion)")


def _noted(d: Difference) -> tuple[list[Any], list[Any]]:
    return d.found.value[1], d.wanted.value[1]


def _bad_note(name: str) -> Callable[[Difference], bool]:
    def holds(d: Difference) -> bool:
        found, wanted = _noted(d)
        if len(found) != len(wanted):
            return False
        return bool(found[-1].get(name) != wanted[-1][name])

    return holds


LOGGED.stories(
    model,
    made_with=["pasar, apuntar, reloj"],
    thing="manejar",
    world=world,
    steps=["ver(manejar(libro))", "ver(manejar(nadie))", "ver(manejar(corta))", "ver(manejar(se_va))"],
    length=2,
    hints=[
        (lambda d: d.found.error is not None, "¿Qué recibe manejar, y qué espera?"),
        (lambda d: d.found.value[0] != d.wanted.value[0], "¿Recibe el cliente lo mismo que sin registro?"),
        (lambda d: len(_noted(d)[0]) < len(_noted(d)[1]), "¿Se apunta también lo que acaba mal?"),
        (lambda d: len(_noted(d)[0]) > len(_noted(d)[1]), "¿Cuántas veces se apunta una petición?"),
        (lambda d: not isinstance(_noted(d)[0][-1], dict), "¿Es un diccionario cada apunte?"),
        (_bad_note("ruta"), "¿Qué puede llevar lo que va detrás de «?»?"),
        (_bad_note("segundos"), "¿Cuándo miras el reloj, y cuántas veces?"),
        (_bad_note("estado"), "¿Qué estado corresponde a ese final?"),
    ],
    think="¿Qué lleva cada apunte?",
    situation="al pasar peticiones",
)
