"""RX-3: all questions at once, and a page that does not fall for want of one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from labkit.course.lessons.reactive.clock import cancelled_after, expect_nothing_left, now, virtually
from labkit.exercises.exercise import Exercise, Scene

NAMES = ["catalogo", "inventario", "pagos"]
TIMES = {"catalogo": 3, "inventario": 1, "pagos": 2}


class Shop(Scene):
    """The services that are asked: who was asked, and how many questions are under way."""

    def begin(self, **answers: Any) -> None:
        self.answers, self.asked, self.inside, self.took = answers, list[str](), 0, 0.0

    async def ask(self, name: str) -> Any:
        self.asked.append(name)
        self.inside += 1
        try:
            await asyncio.sleep(TIMES[name])
            answer = self.answers.get(name, f"soy {name}")
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.inside -= 1

    def page(self, names: list[str], **answers: Any) -> Any:
        self.begin(**answers)

        async def main() -> Any:
            found = await self.answer(self.ask, names)
            self.took = now()
            expect_nothing_left(self, "cuando pagina ya ha contestado", "¿a quién no esperaste?")
            return found

        return virtually(self, main())


PAGE = Exercise("RX-3", writes="pagina", call="pagina(pedir, nombres)", coroutine=True, scene=Shop)


@PAGE.case("con tres servicios sanos")
def all_well(shop: Shop) -> None:
    found = shop.page(NAMES)
    shop.expect(isinstance(found, Mapping), f"devolvió {found!r}: se pide un diccionario {{nombre: respuesta}}")
    wanted = {name: f"soy {name}" for name in NAMES}
    shop.equal(dict(found), wanted, "devolvió {found}: se esperaba {wanted}")
    shop.equal(list(found), NAMES, "las claves salen en el orden {found}: se pide el de nombres, {wanted}")
    shop.equal(sorted(shop.asked), sorted(NAMES), "se preguntó a {found}: ¿una vez a cada uno?")


@PAGE.case("con preguntas de 3, 1 y 2 segundos")
def at_once(shop: Shop) -> None:
    shop.page(NAMES)
    shop.expect(shop.took < 3.1, f"tardó {shop.took:g} s: ¿cuánto tarda la más lenta, y a quién espera cada una?")


@PAGE.case("sin nombres")
def nobody(shop: Shop) -> None:
    shop.equal(shop.page([]), {}, "devolvió {found}: se esperaba {wanted}")


@PAGE.case("con un servicio que falla", raised="¿qué debe pasar con las demás preguntas?")
def one_fails(shop: Shop) -> None:
    for error in (ConnectionError("no contesta"), ValueError("respuesta rara")):
        for failing in NAMES:
            found = shop.page(NAMES, **{failing: error})
            wanted = {name: None if name == failing else f"soy {name}" for name in NAMES}
            situation = f"si {failing} lanza {type(error).__name__}"
            shop.equal(found, wanted, f"{situation}, devolvió {{found}}: se esperaba {{wanted}}")
            shop.equal(list(found), NAMES, f"{situation}, las claves salen en el orden {{found}}")


@PAGE.case("si fallan todos", raised="¿cuántas preguntas pueden fallar?")
def all_fail(shop: Shop) -> None:
    found = shop.page(NAMES, **{name: ConnectionError() for name in NAMES})
    shop.equal(found, dict.fromkeys(NAMES), "devolvió {found}: se esperaba {wanted}")


@PAGE.case("con respuestas vacías")
def falsy(shop: Shop) -> None:
    answers = {"catalogo": 0, "inventario": "", "pagos": []}
    shop.equal(shop.page(NAMES, **answers), answers, "devolvió {found} y contestaron {wanted}: ¿qué es un fallo?")


@PAGE.case("si cancelan la página a mitad")
def cancelled(shop: Shop) -> None:
    async def main() -> None:
        await cancelled_after(shop, 1.5, shop.answer(shop.ask, NAMES))
        shop.expect(not shop.inside, f"después de cancelarla, preguntas en curso: {shop.inside}: ¿quién las cancela?")

    shop.begin()
    virtually(shop, main())
