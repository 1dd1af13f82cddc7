"""EG-7: an access log, one JSON object a line."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import requests
from flask import Flask, request

from labkit.exercises.exercise import Exercise, Scene, wait_for
from labkit.exercises.expectations import raised_in
from labkit.exercises.wording import listed, many

KEYS = ("cuando", "quien", "metodo", "ruta", "estado", "ms")


class Desk(Scene):
    """A Flask application with the learner's log, running, and the lines that it wrote."""

    def open(self, already: str = "") -> Desk:
        self.file = Path(self.enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))) / "acceso.jsonl"
        if already:
            self.file.write_text(already, encoding="utf-8")
        self.inside, self.leave = threading.Event(), threading.Event()
        app = Flask("tienda")
        app.add_url_rule("/libros/<path:name>", "libro", lambda name: name)
        app.add_url_rule("/roto", "roto", lambda: f"{1 // 0}")
        app.add_url_rule("/lento", "lento", self.slow)
        made = self.answer(app, self.file)
        self.expect(made is not None, "con_diario no devolvió la aplicación: ¿falta un return?")
        self.service = self.serve(made)
        return self

    def slow(self) -> str:
        if not request.args:  # the one within it does not wait
            self.inside.set()
            time.sleep(0.05)
            self.alone = not self.leave.wait(self.pace.patience)
        return "ya"

    def ask(self, path: str, method: str = "GET") -> int:
        said, timeout = {"X-Forwarded-For": "6.6.6.6"}, 2 * self.pace.patience
        return requests.request(method, self.service.url + path, headers=said, timeout=timeout).status_code

    def lines(self, *asked: str) -> list[dict[str, Any]]:
        """Wait for a line for each path that was asked, and return what they say."""

        def text() -> str:
            return self.file.read_text(encoding="utf-8") if self.file.exists() else ""

        self.eventually(lambda: text().count("\n") >= len(asked))
        self.never(lambda: text().count("\n") > len(asked))
        found = text().splitlines()
        hint = f"el archivo tiene {len(found)} líneas y debía tener {len(asked)}: ¿cuántas deja cada petición?"
        self.expect(len(found) <= len(asked), hint)
        entries = [self.parsed(line) for line in found]
        lost = [path for path in asked if path not in [entry["ruta"] for entry in entries]] or asked
        hint = f"en el archivo hay {many(len(found), 'línea')}. ¿Dónde está la de {listed([*dict.fromkeys(lost)][:3])}?"
        self.expect(len(found) == len(asked), hint)
        self.expect(text().endswith("\n"), "la última línea no termina con un salto de línea.")
        return entries

    def parsed(self, line: str) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self.fail(f"esta línea no es un objeto JSON: {line[:80]}")
        missing = [key for key in KEYS if key not in entry]
        self.expect(not missing, f"a una línea le falta {', '.join(missing)}.")
        return entry


RECORD = Exercise("EG-7", writes="con_diario", call="con_diario(app, archivo)", scene=Desk, deadline=10)


@RECORD.case("con una petición", raised="¿qué lanza tu diario?")
def one_request(desk: Desk) -> None:
    status = desk.open().ask("/libros/42?clave=secreta")
    desk.expect(status == 200, f"quien llamó recibió {status}: el diario no cambia la respuesta. {raised_in(desk.service)}")
    (entry,) = desk.lines("/libros/42")
    desk.expect("secreta" not in f"{entry}", f"se anotó lo que va detrás de «?»: {entry['ruta']}")
    for key, wanted in (("quien", "127.0.0.1"), ("metodo", "GET"), ("ruta", "/libros/42"), ("estado", 200)):
        desk.expect(entry[key] == wanted and type(entry[key]) is type(wanted), f"«{key}» vale {entry[key]!r} y no {wanted!r}.")
    try:
        when = datetime.fromisoformat(entry["cuando"])
    except (ValueError, TypeError):
        desk.fail(f"«cuando» vale {entry['cuando']!r}: no es una hora ISO 8601.")
    desk.expect(when.utcoffset() == timedelta(0), "«cuando» no dice que sea hora UTC (+00:00).")
    desk.expect(abs(when - datetime.now(UTC)) < timedelta(seconds=30), "«cuando» no es la hora de la petición.")


@RECORD.case("con peticiones que no van bien", raised="¿qué hace tu diario con un fallo?")
def those_that_fail(desk: Desk) -> None:
    desk.open().leave.set()
    wanted = [("GET", "/nada", 404), ("GET", "/roto", 500), ("POST", "/lento", 405)]
    heard = [desk.ask(path, method) for method, path, _ in wanted]
    desk.equal(heard, [404, 500, 405], "quien llamó recibió {found}: el diario no cambia la respuesta.")
    found = [(each["metodo"], each["ruta"], each["estado"]) for each in desk.lines("/nada", "/roto", "/lento")]
    desk.equal(found, wanted, "se anotó {found}.")


@RECORD.case("con una petición que tarda 50 ms")
def how_long(desk: Desk) -> None:
    desk.open().leave.set()
    desk.ask("/lento")
    (entry,) = desk.lines("/lento")
    desk.expect(type(entry["ms"]) in (int, float), f"«ms» vale {entry['ms']!r} y no un número.")
    desk.expect(49 <= entry["ms"] < 5000, f"tardó 50 ms y se anotó {entry['ms']:g}: ¿en qué unidad mides, y desde cuándo?")


@RECORD.case("con una petición rápida dentro de una lenta")
def one_within_another(desk: Desk) -> None:
    while True:
        slow = desk.open().start(desk.ask, "/lento")
        desk.eventually(desk.inside.is_set)
        inside = time.monotonic()
        time.sleep(0.1)
        asked = time.monotonic()
        desk.ask("/lento?ya")
        least = time.monotonic() - inside
        desk.leave.set()
        wait_for(slow)
        desk.expect(not desk.alone, "la rápida esperó a que acabara la lenta: ¿qué guarda tu candado?")
        if time.monotonic() - asked < least:
            break  # else the machine was so slow that a wrong time would look right
    noted = max(entry["ms"] for entry in desk.lines("/lento", "/lento"))
    hint = f"con otra en medio, de una que tardó {1000 * least:.0f} ms se anotó {noted:.0f}: ¿de qué petición es el comienzo?"
    desk.expect(noted >= 1000 * least - 1, hint)


@RECORD.case("con un archivo que ya tenía líneas, y un camino que trae un salto de línea")
def keeps_what_was_there(desk: Desk) -> None:
    desk.open(json.dumps(dict.fromkeys(KEYS, "antes")) + "\n").ask('/libros/a%0A%7B"estado":200%7D')
    desk.equal(desk.lines("antes", '/libros/a\n{"estado":200}')[0]["ruta"], "antes", "lo que había en el archivo ya no está.")


@RECORD.case("con veinte peticiones a la vez")
def many_at_once(desk: Desk) -> None:
    paths = [f"/libros/{number}" for number in range(20)]
    desk.open().at_once([partial(desk.ask, path) for path in paths])
    desk.equal(sorted(entry["ruta"] for entry in desk.lines(*paths)), sorted(paths), "se anotó {found}.")
