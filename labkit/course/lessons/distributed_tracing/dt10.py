"""DT-10: a time limit on every call, and one correlation id for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from flask import Flask, request

from labkit.exercises.exercise import Exercise, Scene, wait_for
from labkit.exercises.expectations import flask_app
from labkit.exercises.wording import shown
from labkit.service import Service

SILENT = "sin respuesta"
LIMIT = 0.4


class Shop(Scene):
    """Services that the learner's application calls, and what they were sent."""

    def service(self, name: str, status: int = 200, delay: float = 0) -> Service:
        """Serve one that answers so, after so many seconds."""
        self.sent: list[tuple[str, str, str | None]] = getattr(self, "sent", [])

        def answer(order: str) -> tuple[str, int]:
            self.sent.append((name, order, request.headers.get("X-Correlation-ID")))
            if delay:
                threading.Event().wait(delay)
            return "", status

        app = Flask(name)
        app.add_url_rule("/<order>", "all", answer)
        app.add_url_rule("/", "none", lambda: answer(""))
        return self.serve(app, name)

    def open(self, limit: float = LIMIT, **services: Service) -> Shop:
        """Make the application over these services, in their order."""
        self.noted: list[dict[str, Any]] = []
        urls = {name: service.url for name, service in services.items()}

        def anotar(**datos: Any) -> None:
            self.noted.append(datos)

        app = flask_app(self, lambda _: self.answer(urls, limit, anotar), "pedidos")
        app.testing = True  # what the route raises is raised here
        self.client = app.test_client()
        return self

    def ask(self, order: int = 7, id: str | None = "abc") -> Mapping[str, Any]:
        """Ask it, and return the JSON of its answer."""
        del self.noted[:]
        headers = {} if id is None else {"X-Correlation-ID": id}
        # In a thread: an answer without a limit could not be stopped at the deadline.
        answer = wait_for(self.start(lambda: self.client.get(f"/{order}", headers=headers)))
        self.equal(answer.status_code, 200, f"GET /{order} contestó {{found}}: se pide 200 pase lo que pase debajo")
        found = answer.get_json(silent=True)
        if not isinstance(found, Mapping):
            self.fail(f"el cuerpo no es un objeto JSON: {shown(found)}")
        return dict(found)


TIME_LIMITS = Exercise("DT-10", writes="crear_pedidos", call="crear_pedidos(urls, limite, anotar)", scene=Shop, deadline=10)


@TIME_LIMITS.case("con todos sanos", raised="¿qué recibe tu función?")
def well(shop: Shop) -> None:
    found = shop.open(uno=shop.service("uno"), dos=shop.service("dos", 404)).ask()
    called = [f"{name} /{order}" for name, order, _ in shop.sent]
    shop.equal(called, ["uno /7", "dos /7"], "con GET /7 se llamó así: {found}")
    shop.equal(found, {"uno": 200, "dos": 404}, "contestó {found}: ¿el estado de cada uno, con su nombre?")
    shop.equal([line.get("destino") for line in shop.noted], ["uno", "dos"], "los destinos anotados son {found}: ¿el nombre?")
    shop.equal([line.get("estado") for line in shop.noted], [200, 404], "los estados anotados son {found}")


@TIME_LIMITS.case("con uno que no escucha", raised="¿qué excepción lanza requests?")
def refused(shop: Shop) -> None:
    dead = shop.service("uno")
    dead.stop(0)
    found = shop.open(uno=dead, dos=shop.service("dos")).ask()
    think = f"¿qué se contesta por él, {SILENT!r}?" if "dos" in found else "¿y los siguientes?"
    shop.equal(found, {"uno": SILENT, "dos": 200}, f"con el primero caído contestó {{found}}: {think}")
    noted = [line.get("estado") for line in shop.noted]
    shop.equal(noted, [SILENT, 200], "con el primero caído, los estados anotados son {found}: ¿falta alguno?")


@TIME_LIMITS.case("con uno colgado", raised="¿qué excepción lanza requests?", late="¿quién pone el límite?")
def hangs(shop: Shop) -> None:
    hung = shop.service("uno")
    hung.faults.hang()
    shop.open(uno=hung, dos=shop.service("dos"))

    def attempt() -> str | None:
        began = time.monotonic()
        found = shop.ask()
        took = time.monotonic() - began
        if found != {"uno": SILENT, "dos": 200}:
            return f"con el primero colgado contestó {found}: ¿y los siguientes?"
        if not 0.7 * LIMIT < took < 2 * LIMIT:
            return f"con limite={LIMIT} y uno colgado, tardó {took:.1f} s: ¿qué límite lleva cada llamada?"
        if (order := [line.get("destino") for line in shop.noted]) != ["uno", "dos"]:
            return f"con el primero colgado se anotó en este orden: {order}. ¿Se llama en el orden de urls?"
        quick: Any = shop.noted[1].get("ms")
        if not _number(quick) or quick >= 700 * LIMIT:
            return f"la segunda llamada no esperó y anotó ms={shown(quick)}: ¿son milisegundos, y desde cuándo los cuentas?"
        return None

    shop.best_of_tries(attempt)
    waited: Any = shop.noted[0].get("ms")
    shop.expect(
        _number(waited) and waited >= 700 * LIMIT,
        f"esperó {LIMIT} s sin respuesta y anotó ms={shown(waited)}: ¿son milisegundos, también cuando falla?",
    )


@TIME_LIMITS.case("con uno lento, dentro del límite", raised="¿qué límite usas?")
def slow(shop: Shop) -> None:
    shop.open(limit=4, uno=shop.service("uno", delay=0.3))
    shop.equal(
        shop.ask(), {"uno": 200}, "con limite=4 y una respuesta que tarda 0.3 s, contestó {found}: ¿qué límite lleva la llamada?"
    )
    took: Any = shop.noted[0].get("ms")
    shop.expect(_number(took) and 290 <= took < 3000, f"la llamada duró 0.3 s y anotó ms={shown(took)}: ¿son milisegundos?")


@TIME_LIMITS.case("con el identificador", raised="¿de dónde sale el identificador?")
def the_same_id(shop: Shop) -> None:
    shop.open(uno=shop.service("uno"), dos=shop.service("dos")).ask(id="p-7")
    shop.equal([id for *_, id in shop.sent], ["p-7", "p-7"], "recibió p-7 y a los de abajo les llegó {found}")
    shop.equal({line.get("id") for line in shop.noted}, {"p-7"}, "recibió p-7 y se anotó {found}")
    fresh = []
    for _ in range(2):
        del shop.sent[:]
        shop.ask(id=None)
        ids = {id for *_, id in shop.sent} | {line.get("id") for line in shop.noted}
        shop.expect(len(ids) == 1, f"una petición sin cabecera usó {len(ids)} identificadores: ¿cuántos hacen falta?")
        fresh.append(ids.pop())
        shop.expect(isinstance(fresh[-1], str) and fresh[-1], f"sin cabecera, el identificador es {shown(fresh[-1])}")
    shop.expect(fresh[0] != fresh[1], "dos peticiones sin cabecera usaron el mismo identificador")


def _number(thing: object) -> bool:
    return isinstance(thing, int | float) and not isinstance(thing, bool)
