"""The exercise of 00_inicio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from labkit.course.exercise import Case, Exercise
from labkit.course.serving import running

CATALOGO = Exercise("IN-1", writes="catalogo_de")

_NO_APP = "¿qué devuelve tu función? Tiene que ser la aplicación Flask, sin servirla"


@CATALOGO.case("con un libro que está en LIBROS", raised=_NO_APP)
def known_book(case: Case, catalogo_de: Callable[[str], Any]) -> None:
    service = case.enter(running(catalogo_de, "prueba-1"))
    answer = requests.get(f"{service.url}/libros/42", timeout=3)
    case.expect(
        answer.ok,
        f"GET /libros/42 contestó {answer.status_code}: ¿existe la ruta y qué hace con un libro que sí está?",
    )
    data = _json(answer)
    case.expect(isinstance(data, dict), "la respuesta no es un objeto JSON: devuelve un diccionario")
    case.expect("titulo" in data, f"el JSON trae {sorted(data)}: falta titulo")
    case.expect(data["titulo"] == "Rayuela", f"el título del 42 fue {data['titulo']!r}: búscalo en LIBROS")
    case.expect("instancia" in data, f"el JSON trae {sorted(data)}: falta instancia, quién contesta")


@CATALOGO.case("con un libro que no está", raised=_NO_APP)
def unknown_book(case: Case, catalogo_de: Callable[[str], Any]) -> None:
    service = case.enter(running(catalogo_de, "prueba-1"))
    answer = requests.get(f"{service.url}/libros/no-existe", timeout=3)
    case.expect(
        answer.status_code != 500,
        "con un ISBN desconocido contestó 500: tu función lanzó una excepción. ¿Qué pasa si no está en LIBROS?",
    )
    case.expect(
        answer.status_code == 404,
        f"con un ISBN desconocido contestó {answer.status_code}: quien llama mira el código antes que el texto",
    )
    data = _json(answer)
    case.expect(
        isinstance(data, dict) and "error" in data,
        "el 404 llegó sin un JSON con error: ¿quién escribió esa respuesta, tú o Flask?",
    )


@CATALOGO.case("con dos instancias a la vez", raised=_NO_APP)
def two_instances(case: Case, catalogo_de: Callable[[str], Any]) -> None:
    services = [case.enter(running(catalogo_de, name)) for name in ("prueba-1", "prueba-2")]
    names = [requests.get(f"{each.url}/libros/43", timeout=3).json().get("instancia") for each in services]
    case.expect(
        names == ["prueba-1", "prueba-2"],
        f"se llaman prueba-1 y prueba-2, pero dicen {names}: ¿de dónde saca cada una su nombre?",
    )


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.JSONDecodeError:
        return None
