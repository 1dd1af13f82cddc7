"""EG-7: an access log, one JSON object a line."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import requests
from flask import Flask

from labkit.exercises.exercise import Exercise, Scene

KEYS = ("cuando", "quien", "metodo", "ruta", "estado", "ms")


class Desk(Scene):
    """A Flask application with the learner's log, running, and the lines that it wrote."""

    def open(self, already: str = "") -> Desk:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.cleanup(folder.cleanup)
        self.file = Path(folder.name) / "acceso.jsonl"
        if already:
            self.file.write_text(already, encoding="utf-8")
        made = self.answer(_shop(), self.file)
        self.expect(made is not None, "con_diario no devolvió la aplicación: ¿falta un return?")
        self.service = self.serve(made)
        return self

    def ask(self, path: str, method: str = "GET") -> int:
        url = self.service.url + path
        return requests.request(method, url, timeout=self.pace.patience).status_code

    def lines(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many lines and return what they say."""

        def text() -> str:
            return self.file.read_text(encoding="utf-8") if self.file.exists() else ""

        self.eventually(lambda: text().count("\n") >= count)
        self.never(lambda: text().count("\n") > count)
        found = text().splitlines()
        self.equal(len(found), count, f"tras {count} peticiones hay {{found}} líneas en el archivo.")
        self.expect(text().endswith("\n"), "la última línea no termina con un salto de línea.")
        return [self.parsed(line) for line in found]

    def parsed(self, line: str) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        self.expect(isinstance(entry, dict), f"esta línea no es un objeto JSON: {line[:80]}")
        assert isinstance(entry, dict)
        missing = [key for key in KEYS if key not in entry]
        self.expect(not missing, f"a una línea le falta {', '.join(missing)}.")
        return entry


def _shop() -> Flask:
    app = Flask("tienda")

    @app.get("/")
    @app.get("/libros/<path:name>")
    def books(name: str = "") -> str:
        return name

    @app.get("/lento")
    def slow() -> str:
        time.sleep(0.05)
        return "ya"

    @app.get("/roto")
    def broken() -> str:
        raise RuntimeError("a propósito")

    return app


RECORD = Exercise("EG-7", writes="con_diario", call="con_diario(app, archivo)", scene=Desk, deadline=10)


@RECORD.case("con una petición", raised="¿qué lanza tu diario?")
def one_request(desk: Desk) -> None:
    before = datetime.now(UTC)
    status = desk.open().ask("/libros/42?clave=secreta")
    desk.equal(status, 200, "quien llamó recibió {found} y no 200: el diario no cambia la respuesta.")
    (entry,) = desk.lines(1)
    desk.expect("secreta" not in f"{entry}", f"se anotó lo que va detrás de «?»: {entry['ruta']}")
    for key, wanted in (("quien", "127.0.0.1"), ("metodo", "GET"), ("ruta", "/libros/42"), ("estado", 200)):
        desk.expect(entry[key] == wanted and type(entry[key]) is type(wanted), f"«{key}» vale {entry[key]!r} y no {wanted!r}.")
    try:
        when = datetime.fromisoformat(entry["cuando"])
    except (ValueError, TypeError):
        desk.fail(f"«cuando» vale {entry['cuando']!r}: no es una hora ISO 8601.")
    desk.expect(when.utcoffset() == timedelta(0), "«cuando» no dice que sea hora UTC (+00:00).")
    desk.expect(abs(when - before) < timedelta(seconds=30), "«cuando» no es la hora de la petición.")


@RECORD.case("con peticiones que no van bien", raised="¿qué hace tu diario con un fallo?")
def those_that_fail(desk: Desk) -> None:
    desk.open()
    heard = [desk.ask(path, method) for path, method in (("/nada", "GET"), ("/roto", "GET"), ("/lento", "POST"))]
    desk.equal(heard, [404, 500, 405], "quien llamó recibió {found}: el diario no cambia la respuesta.")
    found = [(entry["metodo"], entry["ruta"], entry["estado"]) for entry in desk.lines(3)]
    wanted = [("GET", "/nada", 404), ("GET", "/roto", 500), ("POST", "/lento", 405)]
    desk.equal(found, wanted, "se anotó {found}.")


@RECORD.case("con una petición que tarda 50 ms")
def how_long(desk: Desk) -> None:
    desk.open().ask("/lento")
    (entry,) = desk.lines(1)
    number = isinstance(entry["ms"], int | float) and not isinstance(entry["ms"], bool)
    desk.expect(number, f"«ms» vale {entry['ms']!r} y no un número.")
    desk.expect(49 <= entry["ms"] < 5000, f"tardó 50 ms y se anotó {entry['ms']:g}: ¿en qué unidad mides?")


@RECORD.case("con un camino que trae un salto de línea")
def a_line_stays_a_line(desk: Desk) -> None:
    desk.open().ask('/libros/a%0A%7B"estado":200%7D')
    desk.lines(1)


@RECORD.case("con un archivo que ya tenía líneas")
def keeps_what_was_there(desk: Desk) -> None:
    old = json.dumps(dict.fromkeys(KEYS, "antes"), ensure_ascii=False)
    desk.open(old + "\n").ask("/")
    entries = desk.lines(2)
    desk.equal(entries[0]["ruta"], "antes", "lo que había en el archivo ya no está.")


@RECORD.case("con veinte peticiones a la vez")
def many_at_once(desk: Desk) -> None:
    desk.open()
    desk.at_once([partial(desk.ask, f"/libros/{number}") for number in range(20)])
    found = sorted(entry["ruta"] for entry in desk.lines(20))
    desk.equal(found, sorted(f"/libros/{number}" for number in range(20)), "se anotó {found}.")
