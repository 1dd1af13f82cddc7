"""DT-7: a service that fails at random, the same way each time."""

from __future__ import annotations

import random
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import flask_app

FRAGILE = Exercise("DT-7", writes="crear_fragil", call="crear_fragil(nombre, probabilidad, semilla)")
ASKED = 30


def _client(case: Case, make: Any, probability: float, seed: int, name: str = "pagos") -> Any:
    app = flask_app(case, lambda _: make(name, probability, seed), name)
    app.testing = True  # what the route raises is raised here
    return app.test_client()


def _statuses(case: Case, client: Any, asked: int = ASKED) -> list[int]:
    found = [client.get("/").status_code for _ in range(asked)]
    case.expect(404 not in found, "GET / contestó 404: ¿qué ruta tiene tu aplicación?")
    return found


def _wanted(probability: float, seed: int, asked: int = ASKED) -> list[int]:
    dice = random.Random(seed)
    return [503 if dice.random() < probability else 200 for _ in range(asked)]


@FRAGILE.case("sin probabilidad de fallo", raised="¿qué recibe tu función?")
def never(case: Case, make: Any) -> None:
    client = _client(case, make, 0, 7)
    case.equal(set(_statuses(case, client)), {200}, "con probabilidad 0 hubo {found}: se pide siempre 200")
    case.equal(
        client.get("/").get_json(silent=True),
        {"responde": "pagos"},
        "el cuerpo del 200, leído como JSON, es {found}: ¿es {'responde': nombre}?",
    )
    other = _client(case, make, 0, 7, "envios").get("/").get_json(silent=True)
    case.equal(other, {"responde": "envios"}, "creado con el nombre «envios», contestó {found}")


@FRAGILE.case("con fallo seguro")
def always(case: Case, make: Any) -> None:
    case.equal(set(_statuses(case, _client(case, make, 1, 7))), {503}, "con probabilidad 1 hubo {found}: se pide siempre 503")


@FRAGILE.case("con una semilla", raised="¿de dónde sale la tirada?")
def as_the_seed_says(case: Case, make: Any) -> None:
    for probability, seed in ((0.3, 7), (0.5, 7), (0.3, 8)):
        client = _client(case, make, probability, seed)
        found = _statuses(case, client)
        wanted = _wanted(probability, seed)
        if found == wanted:
            continue
        again = _statuses(case, _client(case, make, probability, seed))
        case.expect(found == again, "dos aplicaciones con la misma semilla fallan en peticiones distintas")
        where = next(n for n, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other)
        case.fail(
            f"con probabilidad {probability} y semilla {seed}, la petición {where + 1} dio {found[where]} y la tirada "
            f"dice {wanted[where]}: ¿una tirada por petición, de random.Random(semilla), y «menor que»?"
        )


@FRAGILE.case("con dos aplicaciones por turnos")
def apart(case: Case, make: Any) -> None:
    one, other = (_client(case, make, 0.5, seed) for seed in (1, 2))
    found = [(one.get("/").status_code, other.get("/").status_code) for _ in range(ASKED)]
    wanted = list(zip(_wanted(0.5, 1), _wanted(0.5, 2), strict=True))
    case.expect(found == wanted, "preguntadas por turnos, una cambia lo que le toca a la otra: ¿qué comparten?")


@FRAGILE.case("con el azar de los demás")
def nobody_elses_dice(case: Case, make: Any) -> None:
    before = random.getstate()
    case.cleanup(random.setstate, before)
    client = _client(case, make, 0.5, 7)
    _statuses(case, client)
    case.expect(random.getstate() == before, "cambió el azar común de random: ¿de quién es el generador que usas?")


@FRAGILE.case("al preguntar por su salud", raised="¿está la ruta /salud?")
def health(case: Case, make: Any) -> None:
    client = _client(case, make, 0.5, 7)
    found = []
    for _ in range(ASKED):
        case.equal(client.get("/salud").status_code, 200, "GET /salud contestó {found}: se pide siempre 200")
        found += _statuses(case, client, 1)
    case.expect(found == _wanted(0.5, 7), "con preguntas a /salud en medio, las tiradas cambian: ¿quién las gasta?")
