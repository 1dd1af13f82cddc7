"""RX-7b: Server-Sent Events by hand, with readers that come back, read nothing or leave."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from labkit.course.lessons.reactive.reader import Reader
from labkit.course.lessons.reactive.rx7a import Model
from labkit.exercises.exercise import Exercise, Scene
from labkit.exercises.wording import kind


class Live(Scene):
    """The learner's application, served, with a sender of the check's own that counts who looks at it."""

    def open(self, limit: int = 100) -> None:
        self.sender, self.looks, self.looked = Model(limit), 0, 0.0
        look = self.sender.desde

        def counted(number: int) -> list[tuple[int, Any]]:
            self.looks += 1
            found = look(number)
            self.looked = time.monotonic()
            return found

        self.sender.desde = counted  # type: ignore[assignment, method-assign]
        app = self.answer(self.sender)
        self.expect(isinstance(app, web.Application), f"tu función devolvió {kind(app)}: se pide la aplicación de aiohttp entera")
        self.service = self.serve(app)

    def listen(self, after: str | None = None, *, slow: bool = False) -> Reader:
        return Reader(self, self.service, after, slow)

    def publish(self, *items: str) -> None:
        for item in items:
            self.sender.publicar(item)

    def read(self, reader: Reader, *wanted: tuple[int, str], who: str = "", think: str = "¿Qué espera tu ruta?") -> None:
        found = [(event.id, event.data) for event in reader.read(len(wanted), who, think)]
        hint = f"{who}llegaron los sucesos (id, data) {found}: se esperaba {{wanted}}. {think if who else ''}"
        self.equal(found, [(str(number), data) for number, data in wanted], hint.strip())

    def between_looks(self) -> bool:
        """Return True soon after a look, and not amid several."""
        return 0.002 < time.monotonic() - self.looked < 0.1


LIVE = Exercise("RX-7b", writes="crear_en_vivo", call="crear_en_vivo(emisora)", scene=Live, deadline=20)


@LIVE.case("con tres publicaciones guardadas")
def what_is_held(live: Live) -> None:
    live.open()
    live.publish("12 €", "11 €", "13 €")
    reader = live.listen()
    made = reader.response.getheader("Content-Type", "")
    live.expect(made.startswith("text/event-stream"), f"el tipo es {made}, no es text/event-stream")
    live.read(reader, (1, "12 €"), (2, "11 €"), (3, "13 €"))


@LIVE.case("cuando se publica algo nuevo")
def what_is_new(live: Live) -> None:
    live.open()
    live.publish("8 €")
    reader = live.listen()
    reader.read(1)
    before = live.looks
    time.sleep(0.2)
    looks = live.looks - before
    live.expect(looks < 60, f"en 0.2 s miró la emisora {looks} veces: ¿qué hace entre mirada y mirada?")

    def attempt() -> str | None:
        any(live.eventually(live.between_looks) for _ in range(3))
        number, began = live.sender.publicar("9 €"), time.monotonic()
        unsure = began - live.looked > 0.15  # a busy machine: the next look may be near, however seldom they come
        event = reader.read(1)[0]
        took = time.monotonic() - began
        live.equal((event.id, event.data), (str(number), "9 €"), "tras publicar {wanted} llegó {found}: ¿qué había leído ya?")
        if unsure:
            return attempt()
        return None if took < 0.7 else f"tardó {took:.1f} s en llegar: ¿cada cuánto miras?"

    live.best_of_tries(attempt)


@LIVE.case("con dos lectores")
def two_readers(live: Live) -> None:
    live.open()
    live.publish("8 €")
    readers = {"al primero, ": live.listen(), "al segundo, ": live.listen()}
    for number, data in ((1, "8 €"), (2, "9 €")):
        for who, reader in readers.items():
            live.read(reader, (number, data), who=who, think="¿De qué lector es la posición que guardas?")
        live.publish("9 €")


@LIVE.case("cuando un lector vuelve")
def comes_back(live: Live) -> None:
    live.open(limit=3)
    live.publish("a", "b", "c", "d")
    for after, first in (("3", (4, "d")), ("1", (2, "b")), ("2", (3, "c")), ("no-es-un-numero", (2, "b"))):
        reader = live.listen(after)
        event = reader.read(1)[0]
        live.equal(
            (event.id, event.data),
            (str(first[0]), first[1]),
            f"guarda del 2 al 4, y con Last-Event-ID: {after} lo primero fue {{found}}: se esperaba {{wanted}}",
        )


@LIVE.case("con un dato de varias líneas")
def several_lines(live: Live) -> None:
    live.open()
    live.publish("12 €\nIVA incluido", "", "ok")
    live.read(live.listen(), (1, "12 €\nIVA incluido"), (2, ""), (3, "ok"))


@LIVE.case("con un lector que no lee")
def stuck(live: Live) -> None:
    live.open(limit=5)
    still, well = live.listen(slow=True), live.listen()
    for last in range(5, 121, 5):  # in bursts of as many as are held
        live.publish(*["x" * 200_000] * 5)
        came = well.read_until(last)
        live.equal(came, last, "al que sí lee le llegaron {found} de {wanted}: ¿a quién espera?")
    came = still.read_until(120)
    live.expect(came < 80, f"al atascado le llegaron {came} de 120, con 5 guardadas: ¿dónde esperaban las demás?")


@LIVE.case("cuando un lector se va")
def leaves(live: Live) -> None:
    live.open()
    reader = live.listen()
    live.publish("uno")
    reader.read(1)
    reader.close()

    def quiet() -> bool:
        live.publish("otro")
        time.sleep(0.2)
        before = live.looks
        time.sleep(0.2)
        return live.looks == before

    live.expect(live.eventually(quiet), "se fue y su manejador sigue mirando la emisora: ¿qué hace cuando no puede escribir?")
