"""ES-8: the streams in parallel, each in its order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from labkit.course.lessons.event_sourcing.es4 import facts
from labkit.exercises.exercise import Exercise, Scene
from labkit.exercises.wording import many
from labkit.patterns.event_sourcing import RecordedEvent

STREAMS = [f"libro-{number}" for number in range(1, 25)]


class Publisher(Scene):
    """Who is told of each fact, and what it saw: the order of each stream, and how many were at it at once."""

    def open(self, versions: int = 3, streams: Sequence[str] = STREAMS) -> None:
        self.events = facts(*((stream, "Vendido", 1, 1) for _ in range(versions) for stream in streams))
        self.lock = threading.Condition()
        self.seen: list[RecordedEvent] = []
        self.inside: list[str] = []
        self.most, self.twice = 0, ""
        self.meet, self.slow, self.alone = 0, ("", 0), ""
        self.broken: dict[tuple[str, int], BaseException] = {}

    def hear(self, event: RecordedEvent) -> None:
        with self.lock:
            if event.stream in self.inside:
                self.twice = event.stream
            self.inside.append(event.stream)
            self.most = max(self.most, len(self.inside))
            self.lock.notify_all()
            if event.version == 1 and self.meet:  # time for others to come, if others come
                patience = self.pace.grace if self.meet > self.workers else self.pace.patience
                if not self.lock.wait_for(lambda: self.most >= self.meet, patience):
                    self.meet = 0
            if event.stream == self.alone and event.version == 1 and self.lock.wait_for(self.another, self.pace.patience):
                self.alone = ""
            if (event.stream, event.version) == self.slow:  # time for the next of its stream, which must not come
                self.lock.wait_for(lambda: self.twice, self.pace.grace)
            self.seen.append(event)
            self.inside.remove(event.stream)
        if error := self.broken.get((event.stream, event.version)):
            raise error

    def another(self) -> bool:
        return any(event.stream != self.alone for event in self.seen)

    def run(self, workers: int) -> Any:
        self.workers = workers
        return self.answer(self.events, workers, self.hear)

    def ask(self, heard: list[int], wanted: list[int], stopped: dict[str, int] | None) -> str:
        if heard == wanted[: len(heard)]:
            return "¿Qué flujos siguen cuando otro falla?" if stopped else "¿Espera tu función a que terminen todos?"
        if stopped and heard[: len(wanted)] == wanted:
            return "Uno falló: ¿qué pasa con los siguientes de su flujo?"
        return "¿Qué hechos van juntos, y en qué orden?"

    def expect_in_order(self, stopped: dict[str, int] | None = None) -> None:
        """Fail unless each stream was heard in its order, to the end or to where it stopped."""
        last = max(event.version for event in self.events)
        for stream in dict.fromkeys(event.stream for event in self.events):
            heard = [event.version for event in self.seen if event.stream == stream]
            wanted = list(range(1, (stopped or {}).get(stream, last) + 1))
            self.equal(
                heard,
                wanted,
                f"de «{stream}» se procesaron las versiones {{found}}: se esperaba {wanted}. {self.ask(heard, wanted, stopped)}",
            )
        self.expect(not self.twice, f"dos hechos de «{self.twice}» se procesaron a la vez: ¿quién lleva un flujo?")


PARALLEL = Exercise("ES-8", writes="repartir", call="repartir(hechos, hilos, procesar)", scene=Publisher, deadline=10)


@PARALLEL.case("con dos flujos y un hilo", raised="¿qué recibe cada llamada?")
def one_thread(publisher: Publisher) -> None:
    publisher.open(2, STREAMS[:2])
    publisher.equal(publisher.run(1), {}, "no falló ninguno y devolvió {found}: se esperaba {wanted}")
    publisher.expect(publisher.seen, "tu función volvió sin procesar nada: ¿espera a que terminen?")
    publisher.expect_in_order()
    publisher.equal(publisher.most, 1, "con un hilo hubo {found} hechos a la vez")


@PARALLEL.case("sin hechos", raised="¿y si la lista está vacía?")
def nothing(publisher: Publisher) -> None:
    publisher.open(0)
    publisher.equal(publisher.run(4), {}, "sin hechos devolvió {found}: se esperaba {wanted}")


@PARALLEL.case("con muchos flujos", raised="¿qué se comparte entre hilos?", late="¿espera un hilo a otro?")
def many_streams(publisher: Publisher) -> None:
    publisher.open()
    publisher.meet = 2
    publisher.equal(publisher.run(4), {}, "no falló ninguno y devolvió {found}: se esperaba {wanted}")
    publisher.expect(publisher.seen, "tu función volvió sin procesar nada: ¿espera a que terminen?")
    publisher.expect_in_order()
    publisher.expect(publisher.most > 1, "nunca hubo dos hechos a la vez: ¿trabajan los hilos de verdad en paralelo?")


@PARALLEL.case("con más flujos que hilos", raised="¿qué se comparte entre hilos?")
def no_more_threads(publisher: Publisher) -> None:
    publisher.open()
    publisher.meet = 4
    publisher.run(3)
    publisher.expect(publisher.most <= 3, f"con 3 hilos hubo {many(publisher.most, 'hecho')} a la vez: ¿cuántos hilos creas?")


@PARALLEL.case("con un flujo lento", raised="¿qué se comparte entre hilos?")
def slow_stream(publisher: Publisher) -> None:
    publisher.open()
    publisher.events.sort(key=lambda event: event.stream != "libro-1")  # all of the slow one come first
    publisher.alone = "libro-1"
    publisher.run(2)
    hint = "con dos hilos, ningún otro flujo avanzó mientras «libro-1» esperaba: ¿cuántos hilos ocupa un flujo?"
    publisher.expect(not publisher.alone, hint)


@PARALLEL.case("con un hecho lento", raised="¿qué se comparte entre hilos?")
def slow_one(publisher: Publisher) -> None:
    publisher.open()
    publisher.slow = ("libro-1", 1)
    publisher.run(4)
    publisher.expect_in_order()


@PARALLEL.case("si procesar falla", raised="¿quién recoge lo que lanza procesar?")
def failures(publisher: Publisher) -> None:
    publisher.open()
    publisher.broken = {("libro-3", 2): ConnectionError("editorial"), ("libro-8", 1): KeyError("isbn")}
    found = publisher.run(4)
    publisher.expect_in_order({"libro-3": 2, "libro-8": 1})
    wanted = {stream: error for (stream, _), error in publisher.broken.items()}
    publisher.equal(
        found, wanted, "fallaron «libro-3» y «libro-8» y devolvió {found}: se esperaba {wanted}. ¿Qué se guarda de cada fallo?"
    )
