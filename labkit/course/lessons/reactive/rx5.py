"""RX-5: a bounded queue between a fast and a slow side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from labkit.course.lessons.reactive import clock
from labkit.exercises.exercise import Exercise, Scene

LEFT = "¿quién detiene al otro lado?"


class Pipe(Scene):
    """Both ends of the pipeline, with what each did."""

    def begin(
        self, items: Iterable[Any], make: float = 0.0, use: float = 0.0, error: Exception | None = None, fails_at: Any = None
    ) -> None:
        self.items, self.make, self.use = list(items), make, use
        self.error, self.fails_at, self.consumer_error = error, fails_at, KeyError("consumir")
        self.given = self.done = self.using = self.most_using = 0
        self.used, self.ahead = list[Any](), list[int]()

    async def produce(self) -> AsyncIterator[Any]:
        for thing in self.items:
            await asyncio.sleep(self.make)
            self.given += 1
            yield thing
        if self.error is not None:
            raise self.error

    async def consume(self, thing: Any) -> None:
        self.using += 1
        self.most_using = max(self.most_using, self.using)
        self.used.append(thing)
        try:
            await asyncio.sleep(self.use)
            self.ahead.append(self.given - self.done)
            if self.fails_at is not None and thing == self.fails_at:
                raise self.consumer_error
            self.done += 1
        finally:
            self.using -= 1

    def run(self, limit: int) -> BaseException | None:
        async def main() -> BaseException | None:
            error = await clock.outcome(self.answer(self.produce, self.consume, limit))
            self.took = clock.now()
            clock.expect_nothing_left(self, "cuando tuberia ya ha acabado", LEFT)
            return error

        return clock.virtually(self, main())

    def run_well(self, limit: int) -> None:
        if (error := self.run(limit)) is not None:
            raise error


PIPE = Exercise("RX-5", writes="tuberia", call="tuberia(producir, consumir, maximo)", coroutine=True, scene=Pipe)


@PIPE.case("con cinco cosas")
def everything(pipe: Pipe) -> None:
    for make, use in ((0, 0), (0, 1), (1, 0)):
        pipe.begin([1, 2, 3, 4, 5], make, use)
        pipe.run_well(2)
        pipe.equal(pipe.used, [1, 2, 3, 4, 5], "se consumió {found}: se esperaba {wanted}, y esperar a la última")
        pipe.equal(pipe.done, 5, "acabó con {found} de 5 consumidas del todo")
        pipe.equal(pipe.most_using, 1, "se llegaron a consumir {found} a la vez: se pide una cada vez")


@PIPE.case("con cosas vacías, o sin ninguna")
def falsy(pipe: Pipe) -> None:
    for given in ([], [0, None, "", False, 7]):
        pipe.begin(given)
        pipe.run_well(9)
        pipe.equal(pipe.used, given, "se dio {wanted} y se consumió {found}: ¿cómo sabes que es el final?")


@PIPE.case("con dos lados que tardan un segundo")
def overlap(pipe: Pipe) -> None:
    pipe.begin(range(5), make=1, use=1)
    pipe.run_well(2)
    pipe.expect(pipe.took < 6.5, f"cinco cosas tardaron {pipe.took:g} s: ¿trabajan los dos lados a la vez?")


@PIPE.case("con un lado rápido y otro lento")
def bounded(pipe: Pipe) -> None:
    for limit in (1, 3, 5):
        pipe.begin(range(30), use=1)
        pipe.run_well(limit)
        waiting = max(pipe.ahead) - 2  # one in the hand of each side
        pipe.expect(waiting <= limit, f"con maximo={limit} llegaron a esperar {waiting} cosas en medio: ¿quién frena al rápido?")
        pipe.expect(
            waiting >= limit - 1, f"con maximo={limit} el que produce no se adelantó lo que puede: ¿cuántas caben en medio?"
        )


@PIPE.case("si falla el que consume")
def consumer_fails(pipe: Pipe) -> None:
    for make in (0, 0.5, 5):
        pipe.begin(range(1, 20), make=make, use=1, fails_at=3)
        error = pipe.run(2)
        pipe.expect(
            error is not None and clock.holds(error, pipe.consumer_error), f"salió {error!r}: se pide la excepción de consumir"
        )
        pipe.equal(pipe.used, [1, 2, 3], "consumir falló con el 3 y se consumió {found}")
        pipe.expect(pipe.took <= 3 * (make + 1) + 0.1, "consumir falló y tuberia aún esperó: ¿a qué?")


@PIPE.case("si falla el que produce")
def producer_fails(pipe: Pipe) -> None:
    for use in (0, 1):
        wanted = ConnectionError("producir")
        pipe.begin([1, 2, 3], use=use, error=wanted)
        error = pipe.run(5)
        pipe.expect(error is not None and clock.holds(error, wanted), f"salió {error!r}: se pide la excepción de producir")
        pipe.equal(pipe.used, [1, 2, 3], "producir dio [1, 2, 3] antes de fallar y se consumió {found}")
        pipe.equal(pipe.done, 3, "se consumieron del todo {found} de las 3 que dio")


@PIPE.case("si la cancelan a mitad")
def cancelled(pipe: Pipe) -> None:
    for make, use in ((0, 2), (2, 0)):
        pipe.begin(range(10), make, use)

        async def main() -> None:
            await clock.cancelled_after(pipe, 3, pipe.answer(pipe.produce, pipe.consume, 2))
            clock.expect_nothing_left(pipe, "después de cancelarla", LEFT)

        clock.virtually(pipe, main())
