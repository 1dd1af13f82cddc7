"""EG-10b: a flood against this machine, bounded, and what came back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask

from labkit.exercises.exercise import Exercise, Scene
from labkit.exercises.wording import shown
from labkit.service import Service


class Target(Scene):
    """A service that counts its requests, and holds them until so many are inside, and no one more comes."""

    def open(self, together: int = 1, statuses: Iterator[int] | None = None) -> Service:
        self.asked, self.most, self.inside = 0, 0, 0
        lock, all_in, one_more = threading.Lock(), threading.Event(), threading.Event()
        app = Flask("diana")

        @app.get("/x")
        def answer() -> tuple[str, int]:
            with lock:
                self.asked += 1
                self.inside += 1
                self.most = max(self.most, self.inside)
                status = next(statuses) if statuses is not None else 200
                if self.inside >= together:
                    all_in.set()
                if self.inside > together:
                    one_more.set()
            if not all_in.wait(self.pace.patience / 4):
                all_in.set()  # one has waited for the rest: they will not come
            one_more.wait(self.pace.grace if together > 1 else 0)
            one_more.set()
            with lock:
                self.inside -= 1
            return "", status

        return self.serve(app, "diana")


FLOOD = Exercise("EG-10b", writes="inundar", call="inundar(url, total, hilos)", scene=Target, deadline=15)


@FLOOD.case("con treinta peticiones", raised="¿qué haces con una respuesta que no es 200?")
def counts_what_came_back(target: Target) -> None:
    service = target.open(statuses=iter([200] * 20 + [429] * 10))
    found: Any = target.answer(f"{service.url}/x", 30, 3)
    others = {request.method for request in service.journal.requests} - {"GET"}
    target.expect(not others, f"llegaron peticiones {', '.join(sorted(others))}: se piden GET.")
    target.equal(
        target.asked, 30, "con total=30 e hilos=3 llegaron {found} peticiones: ¿cuántas envía cada hilo, y quién las espera?"
    )
    target.expect(isinstance(found, dict), f"devolvió {shown(found)} y no un diccionario.")
    target.equal(dict(found), {200: 20, 429: 10}, f"devolvió {shown(found)}: ¿qué se cuenta?")


@FLOOD.case("con tres hilos")
def from_so_many_threads(target: Target) -> None:
    service = target.open(together=3)
    target.answer(f"{service.url}/x", 20, 3)
    target.equal(target.most, 3, "con hilos=3 hubo, como mucho, {found} a la vez: ¿cuántos hilos piden?")
    target.equal(target.asked, 20, "con total=20 e hilos=3 llegaron {found} peticiones: ¿qué pasa si el reparto no es exacto?")


@FLOOD.case("con un destino que no se admite", raised="¿se debía enviar algo?", late="¿se envió algo?")
def only_this_machine(target: Target) -> None:
    service = target.open()
    port = service.url.rpartition(":")[2]
    for url in (f"http://localhost:{port}/x", f"https://127.0.0.1:{port}/x", "http://127.0.0.1.example:1/x", "x"):
        target.doing = f"con el destino {url.replace(port, '…')}"
        _refused(target, target.doing, url, 3, 1)


@FLOOD.case("con total=201", raised="¿qué excepción se pide?")
def not_too_many(target: Target) -> None:
    service = target.open()
    _refused(target, "con total=201", f"{service.url}/x", 201, 10)


@FLOOD.case("con total=200, que se admite", raised="¿desde qué número son demasiadas?")
def as_many_as_allowed(target: Target) -> None:
    service = target.open()
    target.answer(f"{service.url}/x", 200, 20)
    target.equal(target.asked, 200, "con total=200 llegaron {found} peticiones.")


def _refused(target: Target, situation: str, *arguments: Any) -> None:
    try:
        found = target.answer(*arguments)
    except ValueError as error:
        target.expect(type(error) is ValueError, f"{situation} lanzó {type(error).__name__} y no ValueError.")
    else:
        target.fail(f"{situation} devolvió {found!r}: se pide ValueError.")
    target.equal(target.asked, 0, f"{situation} se enviaron {{found}} peticiones: se pide ninguna.")
