"""SD-4a: an instance that tells how it is."""

from __future__ import annotations

from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import flask_app, get, json_object

HEALTH_APP = Exercise("SD-4a", writes="envios_con_salud", call="envios_con_salud(name)", deadline=12)
_MAKES = "¿qué hace tu función cada vez que la llaman?"
_LATE = "¿sirves la aplicación dentro de tu función? Basta con crearla y devolverla"


@HEALTH_APP.case("con una instancia en buen estado", raised=_MAKES, late=_LATE)
def well(case: Case, make: Any) -> None:
    service = case.serve(flask_app(case, make, "envios-prueba"))
    health = get(case, service, "/health").status_code
    ask = "¿existe la ruta?" if health == 404 else "nadie la ha averiado; ¿qué contestas entonces?"
    case.equal(health, 200, "GET /health contestó {found} con la instancia bien: " + ask)
    stock = get(case, service, "/stock/42")
    case.equal(stock.status_code, 200, "GET /stock/42 contestó {found}: la salud se añade, lo demás sigue igual")
    name = (json_object(stock) or {}).get("instancia")
    case.expect(
        name == "envios-prueba",
        f"/stock/42 dijo instancia={name!r} y se llama envios-prueba: ¿con qué nombre creas la aplicación?",
    )


@HEALTH_APP.case("con una instancia averiada", raised=_MAKES, late=_LATE)
def broken(case: Case, make: Any) -> None:
    app, other = (flask_app(case, make, name) for name in ("envios-prueba", "envios-otra"))
    service, neighbour = case.serve(app), case.serve(other)
    for broken in (True, "sí"):
        app.config["AVERIADA"] = broken
        health = get(case, service, "/health")
        case.expect(
            health.status_code != 200 or "503" not in health.text,
            "con AVERIADA activada, /health dice 503 en su texto y contesta 200: ¿dónde va el código de una respuesta?",
        )
        case.expect(
            health.status_code != 200,
            f"con AVERIADA={broken!r}, /health sigue contestando 200: ¿cuándo miras app.config, y qué valores son verdaderos?",
        )
        case.equal(health.status_code, 503, "con AVERIADA activada, /health contestó {found}: se pide 503, «ahora no puedo»")
    stock = get(case, service, "/stock/42").status_code
    case.equal(
        stock, 200, "con AVERIADA activada, GET /stock/42 contestó {found}: contesta como antes. ¿A qué rutas afecta tu código?"
    )
    status = get(case, neighbour, "/health").status_code
    case.equal(status, 200, "una instancia está averiada y /health de otra contestó {found}: ¿qué comparten?")
    for repaired in (False, 0):
        app.config["AVERIADA"] = repaired
        status = get(case, service, "/health").status_code
        case.equal(status, 200, "reparada, /health contestó {found}: ¿puede volver a estar bien?")
