"""SG-7: an outbox: no message lost, none sent for what was rolled back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Exercise, Scene


class Died(BaseException):
    """The process is gone."""


class Desk(Scene):
    """A database with both tables, and what was sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.base = self.new_base()
        self.sent: list[str] = []

    def new_base(self, kind: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
        base = sqlite3.connect(":memory:", isolation_level=None, factory=kind, check_same_thread=False)
        self.cleanup(base.close)
        base.execute("CREATE TABLE pedidos (numero TEXT PRIMARY KEY)")
        base.execute("CREATE TABLE salida (orden INTEGER PRIMARY KEY AUTOINCREMENT, mensaje TEXT NOT NULL)")
        return base

    def accept(self, number: str, message: Any) -> None:
        self.doing = f"aceptar_pedido(base, {number!r}, {message!r})"
        self.things[0](self.base, number, message)

    def deliver(self, send: Callable[[str], object] | None = None) -> Any:
        self.doing = "repartir(base, enviar)"
        return self.things[1](self.base, send or self.sent.append)

    def rows(self) -> tuple[list[str], list[str]]:
        orders = [number for (number,) in self.base.execute("SELECT numero FROM pedidos ORDER BY rowid")]
        return orders, [text for (text,) in self.base.execute("SELECT mensaje FROM salida ORDER BY orden")]

    def expect_rows(self, orders: list[str], messages: list[str], where: str, think: str) -> None:
        self.expect(not self.base.in_transaction, f"{where} quedó una transacción abierta: ¿quién la cierra en todos los casos?")
        found = self.rows()
        self.expect(found == (orders, messages), f"{where} hay pedidos {found[0]} y mensajes {found[1]}. {think}")

    def expect_raised(self, error: type[BaseException], function: Callable[[], object], where: str) -> None:
        try:
            function()
        except error:
            return
        self.fail(f"{where} no salió ninguna {error.__name__}: ¿quién se entera de que no se hizo?")


OUTBOX = Exercise(
    "SG-7",
    writes=("aceptar_pedido", "repartir"),
    call=("aceptar_pedido(base, numero, mensaje)", "repartir(base, enviar)"),
    scene=Desk,
)
THREE = ("uno", "dos", "tres")  # not in the order of the alphabet
SENT = "¿Cuándo se sabe que un mensaje se ha enviado?"
TOGETHER = "¿Se escriben los dos en una transacción?"


@OUTBOX.case("con un pedido", raised="¿qué tablas y columnas hay?")
def one_order(desk: Desk) -> None:
    desk.accept("p-1", "aceptado p-1")
    desk.expect_rows(["p-1"], ["aceptado p-1"], "tras aceptar uno,", TOGETHER)
    desk.accept("p-2", "aceptado p-2")
    desk.expect_rows(["p-1", "p-2"], ["aceptado p-1", "aceptado p-2"], "tras aceptar otro,", TOGETHER)


@OUTBOX.case("con un pedido que falla a medias")
def half_an_order(desk: Desk) -> None:
    desk.accept("p-1", "uno")
    where = "al repetir p-1,"
    desk.expect_raised(sqlite3.IntegrityError, lambda: desk.accept("p-1", "otra vez"), where)
    desk.expect_rows(["p-1"], ["uno"], where, TOGETHER)
    where = "con un mensaje None,"
    desk.expect_raised(sqlite3.IntegrityError, lambda: desk.accept("p-2", None), where)
    desk.expect_rows(["p-1"], ["uno"], where, TOGETHER)
    desk.accept("p-2", "dos")
    desk.expect_rows(["p-1", "p-2"], ["uno", "dos"], "al aceptarlo después,", TOGETHER)


@OUTBOX.case("si el proceso muere entre las dos escrituras")
def dies_between(desk: Desk) -> None:
    class Dying(sqlite3.Connection):
        written = 0

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.lstrip().upper().startswith("INSERT"):
                self.written += 1
                if self.written == 2:
                    raise Died
            return super().execute(sql, *parameters)

    desk.base = desk.new_base(Dying)
    where = "si muere entre las dos escrituras,"
    desk.expect_raised(Died, lambda: desk.accept("p-1", "uno"), where)
    desk.expect_rows([], [], where, f"{TOGETHER} ¿Y qué excepciones capturas?")


@OUTBOX.case("al repartir", raised="¿qué filas lees y cuáles borras?")
def delivers(desk: Desk) -> None:
    desk.equal(desk.deliver(), 0, "sin nada pendiente, repartir devolvió {found}: ¿cuántos envió?")
    for number, message in enumerate(THREE, 1):
        desk.accept(f"p-{number}", message)
    desk.equal(desk.deliver(), 3, "con tres pendientes, repartir devolvió {found}: ¿cuántos envió?")
    desk.equal(desk.sent, list(THREE), "se envió {found}: ¿en qué orden, y qué recibe enviar?")
    desk.expect_rows(["p-1", "p-2", "p-3"], [], "tras repartir,", "¿Qué se borra, y de qué tabla?")
    desk.equal(desk.deliver(), 0, "repartir otra vez devolvió {found}: ¿quedaba algo?")


def stops_at(desk: Desk, error: BaseException, where: str, messages: tuple[str, ...] = THREE, think: str = SENT) -> None:
    numbers, left = ["p-1", "p-2", "p-3"], list(messages[1:])
    for number, message in zip(numbers, messages, strict=True):
        desk.accept(number, message)

    def send(message: str) -> None:
        desk.sent.append(message)
        if len(desk.sent) == 2:
            raise error

    desk.expect_raised(type(error), lambda: desk.deliver(send), where)
    desk.equal(desk.sent, list(messages[:2]), f"{where} se envió {{found}}: ¿y el orden?")
    desk.expect_rows(numbers, left, where, think)
    desk.sent.clear()
    desk.equal(desk.deliver(), 2, f"{where} y después todo va bien: repartir devolvió {{found}}")
    desk.equal(desk.sent, left, f"{where} y después se envió {{found}}")


@OUTBOX.case("si enviar falla")
def sending_fails(desk: Desk) -> None:
    stops_at(desk, ConnectionError("nadie escucha"), "si falla el segundo envío,")


@OUTBOX.case("con dos mensajes iguales")
def two_alike(desk: Desk) -> None:
    where = "con dos mensajes iguales, si falla el segundo envío,"
    stops_at(desk, ConnectionError("nadie escucha"), where, ("igual", "igual", "otro"), "¿Qué los distingue?")


@OUTBOX.case("si el proceso muere al enviar")
def dies_sending(desk: Desk) -> None:
    stops_at(desk, Died(), "si muere en el segundo envío,")
