"""DT-8: retries under one correlation id, each attempt logged."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, request

from labkit.exercises.exercise import Exercise, Scene, wait_for
from labkit.exercises.wording import many, shown

SILENT = "sin respuesta"


class Street(Scene):
    """A service that answers by a script, and what was sent to it and noted."""

    def open(self, *script: int) -> Street:
        """Serve answers with these statuses, the last one for ever."""
        self.sent: list[str | None] = []
        self.noted: list[dict[str, Any]] = []
        self.noted_before: list[int] = []

        def answer() -> tuple[str, int]:
            self.noted_before.append(len(self.noted))
            self.sent.append(request.headers.get("X-Correlation-ID"))
            return "", script[min(len(self.sent), len(script)) - 1]

        app = Flask("pagos")
        app.add_url_rule("/cobrar", "cobrar", answer)
        self.service = self.serve(app, "pagos")
        return self

    def ask(self, attempts: int, id: str = "abc") -> Any:
        """Call the answer."""
        url = f"{self.service.url}/cobrar"

        def anotar(**datos: Any) -> None:
            self.noted.append(datos)

        # In a thread: an answer without a limit could not be stopped at the deadline.
        return wait_for(self.start(self.answer, url, id, attempts, anotar))

    def expect_attempts(self, found: Any, statuses: list[Any], situation: str) -> None:
        """Fail unless the service was asked so often, all was noted, and the last one is what came back."""
        reached = [status for status in statuses if status != SILENT]
        self.equal(len(self.sent), len(reached), f"{situation}, le llegaron {{found}} intentos: se esperaban {len(reached)}")
        noted = [line.get("estado") for line in self.noted]
        self.equal(noted, statuses, f"{situation}, los estados anotados son {{found}}: se esperaban {statuses}")
        numbers = [line.get("intento") for line in self.noted]
        self.equal(numbers, list(range(1, len(statuses) + 1)), "los intentos anotados son {found}: ¿desde 1?")
        self.equal({line.get("id") for line in self.noted}, {"abc"}, "los identificadores anotados son {found}")
        self.equal(set(self.sent) - {"abc"}, set(), "al servicio le llegó X-Correlation-ID: {found}: se esperaba abc")
        self.equal(
            found, statuses[-1], f"{situation}, devolvió {found!r}: ¿es el estado del último intento, un entero o {SILENT!r}?"
        )


RETRIES = Exercise(
    "DT-8", writes="pedir_con_reintentos", call="pedir_con_reintentos(url, id, intentos, anotar)", scene=Street, deadline=10
)


@RETRIES.case("cuando va bien a la primera", raised="¿cómo se llama a anotar?")
def well(street: Street) -> None:
    street.expect_attempts(street.open(200).ask(3), [200], "con un 200")


@RETRIES.case("cuando falla y luego va bien", raised="¿qué haces con un 503?")
def recovers(street: Street) -> None:
    street.expect_attempts(street.open(503, 500, 200).ask(5), [503, 500, 200], "con 503, 500 y 200")
    ahead = street.noted_before
    street.equal(ahead, [0, 1, 2], "al llegar cada intento había {found} líneas: ¿anotas antes del siguiente?")


@RETRIES.case("cuando falla siempre", raised="¿qué devuelves al final?", late="¿cuándo dejas de repetir?")
def in_vain(street: Street) -> None:
    street.expect_attempts(street.open(503).ask(3), [503] * 3, "con 503 siempre y tres intentos")
    street.expect_attempts(street.open(599).ask(1), [599], "con 599 y un intento")


@RETRIES.case("cuando la petición está mal", raised="¿es una excepción un 404?")
def not_again(street: Street) -> None:
    for status in (404, 499, 204):
        street.expect_attempts(street.open(status).ask(3), [status], f"con un {status}")


@RETRIES.case("cuando no escucha nadie", raised="¿qué excepción lanza requests?")
def refused(street: Street) -> None:
    street.open(200).service.stop(0)
    street.expect_attempts(street.ask(2), [SILENT] * 2, "sin nadie que escuche y dos intentos")


@RETRIES.case("cuando el servicio corta", raised="¿qué excepciones de requests atrapas?")
def cut(street: Street) -> None:
    street.open(200).service.faults.drop()
    found = street.ask(2)
    street.expect(found == SILENT, f"el servicio cortó dos veces y devolvió {shown(found)}")
    street.equal(len(street.noted), 2, "el servicio cortó dos veces y se anotaron {found} líneas")


@RETRIES.case("cuando el servicio no contesta", raised="¿qué excepción lanza?", late="¿qué límite lleva cada intento?")
def hangs(street: Street) -> None:
    street.open(200).service.faults.hang()

    def attempt() -> str | None:
        del street.noted[:]
        began = time.monotonic()
        found = street.ask(1)
        took = time.monotonic() - began
        street.equal(found, SILENT, "con un servicio colgado devolvió {found}")
        if not 0.7 < took < 1.4:
            return f"con un servicio colgado, un intento duró {took:.1f} s: se pide 1 s"
        return None if len(street.noted) == 1 else f"un intento anotó {many(len(street.noted), 'línea')}"

    street.best_of_tries(attempt)
