"""RX-6: a deadline and a cancellation that reach every call below."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from labkit.course.lessons.reactive import clock
from labkit.exercises.exercise import Exercise, Scene

NAMES = ("inventario", "pagos", "envios")
LEFT = "¿quién las cancela, y quién espera a que acaben?"


class Purchase(Scene):
    """Three services: how long each takes (or its error), what it was told, and which are at work."""

    def begin(self, cleaning: float = 0.0, **does: Any) -> None:
        self.does: dict[str, Any] = {"inventario": 1, "pagos": 1, "envios": 2} | does
        self.cleaning = cleaning
        self.told: dict[str, float] = {}
        self.began: dict[str, float] = {}
        self.working: set[str] = set()

    def service(self, name: str) -> Callable[[float], Awaitable[str]]:
        async def service(left: float) -> str:
            self.told[name], self.began[name] = left, clock.now()
            self.working.add(name)
            does = self.does[name]
            try:
                await asyncio.sleep(1 if isinstance(does, Exception) else does)
            except asyncio.CancelledError:
                await asyncio.sleep(self.cleaning)
                raise
            finally:
                self.working.discard(name)
            if isinstance(does, Exception):
                raise does
            return f"{name} hecho"

        return service

    def call(self, seconds: float) -> Any:
        return self.answer(seconds, *map(self.service, NAMES))

    def buy(self, seconds: float) -> Any:
        """Return the result, or the error that came out."""

        async def main() -> Any:
            try:
                result = await self.call(seconds)
            except Exception as error:
                result = error
            self.took = clock.now()
            self.equal(sorted(self.working), [], f"comprar acabó y seguía en marcha {{found}}: {LEFT}")
            clock.expect_nothing_left(self, "cuando comprar ya ha acabado", LEFT)
            return result

        return clock.virtually(self, main())


BUY = Exercise("RX-6", writes="comprar", call="comprar(plazo, inventario, pagos, envios)", coroutine=True, scene=Purchase)


@BUY.case("con tiempo de sobra")
def in_time(purchase: Purchase) -> None:
    purchase.begin()
    found = purchase.buy(10)
    if isinstance(found, Exception):
        raise found
    purchase.equal(found, {name: f"{name} hecho" for name in NAMES}, "devolvió {found}: se esperaba {wanted}")
    purchase.expect(
        purchase.began["pagos"] >= 1 <= purchase.began["envios"],
        "pagos o envios empezó antes de que inventario contestara: ¿en qué orden van?",
    )
    purchase.equal(purchase.took, 3, "con 1, 1 y 2 segundos tardó {found} s: ¿van pagos y envios a la vez?")


@BUY.case("en el momento de llamar a cada una")
def what_is_left(purchase: Purchase) -> None:
    purchase.begin()
    purchase.buy(10)
    for name, left in (("inventario", 10), ("pagos", 9), ("envios", 9)):
        told = purchase.told.get(name)
        purchase.expect(
            isinstance(told, int | float) and abs(told - left) < 0.01,
            f"con plazo=10, a {name} le dijiste que quedaban {told} s: ¿cuántos habían pasado ya?",
        )


@BUY.case("si se agota el plazo")
def too_late(purchase: Purchase) -> None:
    for seconds in (0.5, 1.5, 2.5):
        purchase.begin()
        found, made = purchase.buy(seconds), f"con plazo={seconds:g}"
        purchase.expect(isinstance(found, TimeoutError), f"{made} salió {found!r}: se pide TimeoutError")
        purchase.expect(abs(purchase.took - seconds) < 0.01, f"{made} acabó a los {purchase.took:g} s: ¿para quién es el plazo?")
        begun = sorted(NAMES[: 1 if seconds < 1 else 3])
        purchase.equal(sorted(purchase.began), begun, f"{made} se llamó a {{found}}: se esperaba {{wanted}}")


@BUY.case("si falla una")
def one_fails(purchase: Purchase) -> None:
    for name, took in (("inventario", 1), ("pagos", 2), ("envios", 2)):
        error = ConnectionError(f"{name} no contesta")
        does: dict[str, Any] = {"pagos": 50, "envios": 50} | {name: error}
        purchase.begin(**does)
        found = purchase.buy(100)
        right = isinstance(found, Exception) and clock.holds(found, error)
        purchase.expect(right, f"si {name} falla, salió {found!r}: se pide su excepción")
        purchase.expect(purchase.took <= took + 0.01, f"{name} falló y comprar aún esperó {purchase.took - took:g} s: ¿a quién?")
        if name == "inventario":
            purchase.equal(list(purchase.began), ["inventario"], "si inventario falla, se llamó también: {found}")


@BUY.case("si al cancelarse tardan en recoger")
def cleaning(purchase: Purchase) -> None:
    for seconds, does in ((2.5, {}), (100, {"pagos": ConnectionError("no contesta"), "envios": 50})):
        purchase.begin(cleaning=3, **does)
        purchase.buy(seconds)


@BUY.case("si cancelan la compra")
def cancelled(purchase: Purchase) -> None:
    for moment in (0.5, 1.5, 2.5):
        purchase.begin(cleaning=1)

        async def main(moment: float = moment) -> None:
            await clock.cancelled_after(purchase, moment, purchase.call(100))
            purchase.equal(sorted(purchase.working), [], f"la cancelaron y seguía en marcha {{found}}: {LEFT}")
            clock.expect_nothing_left(purchase, "después de cancelarla", LEFT)

        clock.virtually(purchase, main())
