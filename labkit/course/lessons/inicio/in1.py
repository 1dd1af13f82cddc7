"""IN-1: a first service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import flask_app, get, json_object
from labkit.exercises.wording import shown

CATALOGO = Exercise("IN-1", writes="catalogo_de", call="catalogo_de(name)", deadline=10)

_LATE = "¿sirves la aplicación dentro de tu función? Basta con crearla y devolverla"


@CATALOGO.case("con un libro que está en LIBROS", raised="¿qué usa tu función antes de devolver?", late=_LATE)
def known_book(case: Case, catalogo_de: Callable[[str], Any]) -> None:
    service = case.serve(flask_app(case, catalogo_de, "prueba-1"))
    asks = ("¿existe la ruta, y qué tipo tiene el isbn que recibe?", "el 42 sí lo encontraste. ¿Los miras todos?")
    for (isbn, title), ask in zip((("42", "Rayuela"), ("43", "Pedro Páramo")), asks, strict=True):
        answer = get(case, service, f"/libros/{isbn}")
        case.expect(
            answer.ok,
            f"GET /libros/{isbn} contestó {answer.status_code}, y ese libro está en LIBROS: {ask}",
        )
        data = json_object(answer)
        if data is None:
            case.fail(f"GET /libros/{isbn} no contestó un objeto JSON: ¿qué devuelve tu ruta?")
        for key in ("titulo", "instancia"):
            case.expect(key in data, f"el JSON trae {sorted(data)}: falta {key}")
        case.expect(data["titulo"] == title, f"el título del {isbn} fue {data['titulo']!r}: ¿lo buscas en LIBROS?")


@CATALOGO.case("con un libro que no está", raised="¿se puede llamar a tu función más de una vez?", late=_LATE)
def unknown_book(case: Case, catalogo_de: Callable[[str], Any]) -> None:
    service = case.serve(flask_app(case, catalogo_de, "prueba-1"))
    answer = get(case, service, "/libros/no-existe")
    case.expect(
        answer.status_code == 404,
        f"GET /libros/no-existe, un ISBN desconocido, contestó {answer.status_code}: "
        "quien llama mira el código antes que el texto",
    )
    data = json_object(answer)
    if data is None or "error" not in data:
        case.fail(
            "GET /libros/no-existe contestó 404 sin un objeto JSON que tenga «error»: ¿quién escribió esa respuesta, tú o Flask?"
        )
    said = data["error"]
    case.expect(isinstance(said, str) and said.strip(), f"en «error» pusiste {shown(said)}: se pide un texto que lo explique")


@CATALOGO.case("con dos instancias a la vez", raised="¿comparten algo las dos aplicaciones?", late=_LATE)
def two_instances(case: Case, catalogo_de: Callable[[str], Any]) -> None:
    names = ["prueba-1", "prueba-2"]
    services = [case.serve(flask_app(case, catalogo_de, name)) for name in names]
    said = [(json_object(get(case, each, "/libros/43")) or {}).get("instancia") for each in services]
    case.expect(said == names, f"se llaman {names} y dicen ser {said}: ¿de dónde saca cada una su nombre?")
