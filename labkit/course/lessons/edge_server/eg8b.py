"""EG-8b: a file that is replaced, and never half written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from labkit.exercises.exercise import Exercise, Scene

OLD = {"/libros": "http://a"}
NEW = {"/libros": "http://b", "/peña": "http://ñ"}


class Shelf(Scene):
    """A folder with a file of routes."""

    def open(self, table: Any = OLD) -> Shelf:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.cleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "rutas.json"
        if table is not None:
            self.file.write_text(json.dumps(table), encoding="utf-8")
        return self

    def read(self, path: Path) -> Any:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return f"algo que no es JSON: {path.read_bytes()[:40]!r}" if path.exists() else "nada: no está"
        return f"un texto, {found!r}" if isinstance(found, str) else found

    def watch(self) -> None:
        """Look at both files whenever one is moved or removed: what anybody who reads would find just then."""
        for name in ("replace", "rename", "unlink", "remove"):
            self.enter(mock.patch.object(os, name, self._watched(getattr(os, name))))

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(source: Any, *target: Any, **options: Any) -> Any:
            old, file = os.path.realpath(self.file), os.path.realpath(source)
            self.expect(file != old, "el archivo antiguo se quitó antes de poner el nuevo: ¿qué encuentra quien lee entonces?")
            if target and os.path.realpath(target[0]) == old:
                where = "el archivo nuevo se escribió en otra carpeta, que puede ser otro disco: ¿se puede cambiar de una vez?"
                self.expect(os.path.dirname(file) == os.path.dirname(old), where)
                self.equal(
                    self.read(Path(file)),
                    NEW,
                    "al ponerlo en su lugar, el archivo nuevo tenía {found}: ¿estaba ya escrito y cerrado?",
                )
            return call(source, *target, **options)

        return watched

    def nothing_left_over(self, names: set[str]) -> None:
        left = {path.name for path in self.folder.iterdir()} - names
        self.expect(not left, f"en la carpeta sobra {', '.join(sorted(left))}.")


SAVED = Exercise("EG-8b", writes="guardar", call="guardar(archivo, tabla)", scene=Shelf)


@SAVED.case("al guardar una tabla", raised="¿qué lanza guardar con una tabla buena?")
def saves(shelf: Shelf) -> None:
    for first in (None, OLD):
        shelf.open(first)
        shelf.answer(shelf.file, NEW)
        shelf.equal(shelf.read(shelf.file), NEW, "en el archivo quedó {found}.")
        shelf.nothing_left_over({"rutas.json"})


@SAVED.case("con quien leía el archivo antiguo", raised="¿qué lanza guardar con una tabla buena?")
def replaces(shelf: Shelf) -> None:
    shelf.open()
    reader = shelf.folder / "lector.json"
    os.link(shelf.file, reader)  # another name of the same file: what is written into it, shows here
    shelf.watch()
    shelf.answer(shelf.file, NEW)
    shelf.equal(shelf.read(shelf.file), NEW, "en el archivo quedó {found}.")
    hint = "se escribió dentro del archivo antiguo, y quien lo estaba leyendo vio cómo cambiaba: ¿es otro archivo?"
    shelf.expect(shelf.read(reader) == OLD, hint)
    shelf.nothing_left_over({"rutas.json", "lector.json"})


@SAVED.case("con una tabla que no se puede escribir como JSON", late="¿qué espera guardar?")
def refuses(shelf: Shelf) -> None:
    shelf.open()
    raised = None
    try:
        shelf.answer(shelf.file, {"/libros": "http://b", "/raro": object()})
    except (TypeError, ValueError) as error:
        raised = error
    shelf.expect(raised is not None, "guardar no lanzó nada: quien llama cree que se guardó.")
    shelf.equal(shelf.read(shelf.file), OLD, "el archivo no quedó como estaba; tiene {found}.")
    shelf.nothing_left_over({"rutas.json"})
