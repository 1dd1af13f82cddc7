"""DT-6: log lines that say what was asked and what state the service is in, and no card's number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.exercises.exercise import Exercise, Scene
from labkit.exercises.expectations import flask_app
from labkit.exercises.wording import shown

CARD = "4000111122224242"


class Till(Scene):
    """The learner's application, asked directly, and the lines that it wrote."""

    def open(self, answer: Callable[..., Any]) -> Till:
        """Make an application whose lines are kept."""
        self.lines: list[dict[str, Any]] = []

        def anotar(**datos: Any) -> None:
            self.lines.append(datos)

        self.app = flask_app(self, lambda _: answer(anotar), "pagos")
        self.app.testing = True  # what the route raises is raised here
        return self

    def charge(self, parameters: Mapping[str, str], *, order: int = 7, id: str | None = "abc") -> tuple[int, Any, list[Any]]:
        """Ask, and return the status, the JSON and the lines written meanwhile."""
        del self.lines[:]
        headers = {} if id is None else {"X-Correlation-ID": id}
        answer = self.app.test_client().get(f"/cobrar/{order}", query_string=parameters, headers=headers)
        self.expect(answer.status_code != 404, "GET /cobrar/7 contestó 404: ¿qué ruta tiene tu aplicación?")
        return answer.status_code, answer.get_json(silent=True), list(self.lines)

    def two_lines(self, lines: list[Any], what: str, amount: str | None) -> None:
        """Fail unless one line says that it came, and one how it ended."""
        found = [line.get("suceso") for line in lines]
        hint = f"con el importe {amount!r} se anotó {{found}}: se esperaba recibido y {what}, en ese orden"
        self.equal(found, ["recibido", what], hint)


RICH_LINES = Exercise("DT-6", writes="crear_pagos", call="crear_pagos(anotar)", scene=Till)


@RICH_LINES.case("al cobrar", raised="¿con qué se llama a anotar, y dónde vive el total?")
def what_came(till: Till) -> None:
    status, body, lines = till.open(till.answer).charge({"importe": "12.5", "tarjeta": CARD})
    till.two_lines(lines, "cobrado", "12.5")
    said = {key: lines[0].get(key) for key in ("id", "pedido", "importe", "tarjeta")}
    wanted = {"id": "abc", "pedido": 7, "importe": "12.5", "tarjeta": "…4242"}
    for key, value in wanted.items():
        till.equal(said[key], value, f"en «recibido», {key} vale {shown(said[key])}: se esperaba {value!r}. ¿Es lo que vino?")
    till.equal(lines[1].get("id"), "abc", "en «cobrado», id vale {found}: ¿es el de la cabecera?")
    till.equal(lines[1].get("total"), 12.5, "tras cobrar 12.5, total vale {found}")
    till.equal((status, body), (200, {"cobrado": 12.5}), "contestó {found}: ¿estado y cuerpo?")


@RICH_LINES.case("con varias tarjetas", raised="¿y si falta, o es muy corta?")
def no_number(till: Till) -> None:
    till.open(till.answer)
    for card, masked in ((None, None), ("4242", "…"), ("", "…"), ("54242", "…4242")):
        parameters = {} if card is None else {"tarjeta": card}
        _, _, lines = till.charge({"importe": "1", **parameters})
        found = lines[0].get("tarjeta") if lines else None
        till.equal(found, masked, f"con la tarjeta {card!r} se anotó {shown(found)}: ¿qué dice el enunciado de ese caso?")
    for amount in ("1", "nada"):
        _, _, lines = till.charge({"importe": amount, "tarjeta": CARD})
        till.expect(CARD not in str(lines), "el número completo de la tarjeta está en una línea: ¿quién lee el log?")


@RICH_LINES.case("con un importe que no vale", raised="¿qué lanza float cuando no puede?")
def refused(till: Till) -> None:
    till.open(till.answer)
    for amount in ("nada", "", "0", "-3", "inf", "nan", None):
        status, _, lines = till.charge({} if amount is None else {"importe": amount})
        till.equal(
            status, 400, f"con el importe {amount!r} contestó {{found}}: se esperaba 400. ¿Es un número finito mayor que cero?"
        )
        till.two_lines(lines, "rechazado", amount)
        till.equal(lines[0].get("importe", "falta"), amount, f"el importe vino como {amount!r} y se anotó {{found}}")
        till.equal(lines[1].get("id"), "abc", "en «rechazado», id vale {found}: ¿es el de la cabecera?")
        why = lines[1].get("motivo")
        till.expect(isinstance(why, str) and why, f"motivo vale {shown(why)}: ¿qué leerá quien busque?")
    _, _, lines = till.charge({"importe": "2"})
    till.equal(lines[-1].get("total"), 2, "tras varios rechazos y un cobro de 2, total vale {found}: ¿qué sumaste?")


@RICH_LINES.case("sin identificador", raised="¿y si no viene la cabecera?")
def new_ids(till: Till) -> None:
    till.open(till.answer)
    ids = []
    for _ in range(2):
        _, _, lines = till.charge({"importe": "1"}, id=None)
        found = {line.get("id") for line in lines}
        till.expect(len(found) == 1, f"las dos líneas de una petición llevan {len(found)} identificadores distintos")
        ids.append(found.pop())
        till.expect(isinstance(ids[-1], str) and ids[-1], f"sin cabecera, id vale {shown(ids[-1])}: ¿uuid4().hex?")
    till.expect(ids[0] != ids[1], "dos peticiones sin cabecera llevan el mismo identificador: ¿cuándo se crea?")


@RICH_LINES.case("con dos aplicaciones", raised="¿dónde guardas el total?")
def a_total_each(till: Till) -> None:
    till.open(till.answer).charge({"importe": "10"})
    _, _, lines = till.open(till.answer).charge({"importe": "1"})
    till.equal(lines[-1].get("total"), 1, "otra aplicación, recién creada, cobra 1 y su total vale {found}")
    _, _, lines = till.charge({"importe": "2.5"}, order=8)
    till.equal(lines[-1].get("total"), 3.5, "tras 1 y 2.5, total vale {found}: ¿suma lo cobrado hasta ahora?")
