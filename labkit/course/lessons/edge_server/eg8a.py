"""EG-8a: routes that are read again when their file changes."""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.exercises.exercise import Exercise

ROUTES = Exercise("EG-8a", writes="Rutas", call="Rutas(archivo)", methods=("destino(camino)",), deadline=15)

_A = {"/libros": "http://a", "/libros/viejos": "http://b"}
_B = {"/libros": "http://c"}
_AS_LONG, _WITHOUT = {"/libros": "http://d"}, {"/otros": "http://e"}
# Milliseconds: several changes fall into one second, each at a moment of its own, which may be an earlier one.
_times, _numbers = itertools.count(10**12, -1), itertools.count()


class Model:
    """The statement: the longest prefix that ends at a slash; the last good table while there is no other."""

    def __init__(self, archivo: Path) -> None:
        self.archivo = Path(archivo)
        self.tabla: dict[str, str] = {}
        self.asked = False

    def destino(self, camino: str) -> str | None:
        self.asked = True
        try:
            read = json.loads(self.archivo.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            read = None
        if isinstance(read, dict):
            self.tabla = read
        fits = [each for each in self.tabla if camino == each or camino.startswith(each + "/")]
        return self.tabla[max(fits, key=len)] if fits else None


@functools.cache
def _folder() -> Path:
    """A folder for as long as this process lives."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _world(first: Mapping[str, str] | None) -> dict[str, Any]:
    path = _folder() / f"rutas-{next(_numbers) % 100}.json"
    path.unlink(missing_ok=True)

    def write(text: str) -> None:
        path.write_text(text, encoding="utf-8")
        moment = next(_times) * 10**6
        os.utime(path, ns=(moment, moment))

    if first is not None:
        write(json.dumps(first))
    return {
        "archivo": path,
        "B": _B,
        "IGUAL_DE_LARGA": _AS_LONG,
        "SIN_LIBROS": _WITHOUT,
        "escribir": lambda table: write(json.dumps(table)),
        "estropear": lambda: write('{"/libros": '),
        "escribir_una_lista": lambda: write('["/libros"]'),
        "borrar": lambda: path.unlink(missing_ok=True),
    }


ROUTES.stories(
    Model,
    made_with=["archivo"],
    world=lambda: _world(_A),
    steps=[
        f"destino({path!r})"
        for path in ("/libros", "/libros/42", "/libros/", "/librosviejos", "/libros/viejos/1", "/otros", "/libro", "/")
    ],
    think="¿Qué prefijos encajan, y cuál es el más largo?",
    situation="con dos prefijos",
)

ROUTES.stories(
    Model,
    made_with=["archivo"],
    world=lambda: _world(_B),
    steps=[
        "destino('/libros/1')",
        "escribir(IGUAL_DE_LARGA)",
        "escribir(SIN_LIBROS)",
        "escribir({})",
        "estropear()",
        "escribir_una_lista()",
        "borrar()",
    ],
    possible=lambda model, step: model.asked or "destino" in step,  # a table may be read when it is made, or not yet
    length=4,
    hints=[
        (lambda d: d.found.error is not None, "¿Qué vale mientras el archivo no vale?"),
        (lambda d: d.wanted.value is None, "¿Qué queda de la tabla anterior? ¿Es `{}` un objeto JSON?"),
        (lambda d: "escribir(IGUAL_DE_LARGA)" in d.steps, "¿Cuándo lees el archivo, y en qué notas que ha cambiado?"),
    ],
    think="¿Qué tabla vale mientras el archivo no vale?",
    situation="con un archivo que cambia",
)

ROUTES.stories(
    Model,
    made_with=["archivo"],
    world=lambda: _world(None),
    steps=["destino('/libros/1')", "escribir(B)", "estropear()"],
    length=3,
    think="¿Qué rutas hay mientras no ha habido ningún archivo bueno?",
    situation="sin archivo todavía",
)
