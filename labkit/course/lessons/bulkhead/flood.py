"""The scene of BH-7a: groups of the learner's, and tasks that stay inside."""

from __future__ import annotations

import threading
from collections.abc import Callable

from labkit.exercises.exercise import Scene
from labkit.exercises.expectations import expect_methods
from labkit.exercises.wording import kind, many, shown


class Flood(Scene):
    """Groups of the learner's, with tasks that stay inside until the gate opens."""

    def open(self, workers: int, queue: int) -> Flood:
        """Make a new group behind a closed gate."""
        self.gate, self.began, self.ended = threading.Event(), list[int](), list[int]()
        self.workers, self.accepted, self.refused = workers, 0, 0
        self.group = self.answer(workers, queue)
        expect_methods(self, self.group)
        self.cleanup(self.start, self.group.cerrar)  # what closing does wrong is for the case that asks for it
        self.cleanup(self.gate.set)
        return self

    def deliver(self, task: Callable[[], object] | None = None) -> bool:
        """Deliver a task, one that waits for the gate where none is given; count what the answer says."""
        number, caller, gate, began, ended = (
            self.accepted + self.refused,
            threading.get_ident(),
            self.gate,
            self.began,
            self.ended,
        )

        def wait() -> None:
            began.append(number)
            if threading.get_ident() == caller:
                self.fail("la tarea se ejecutó en el hilo que la entrega: ¿en qué hilos tienen que ir?")
            gate.wait()
            ended.append(number)

        answer = self.group.entregar(task or wait)
        self.expect(
            isinstance(answer, bool), f"entregar devolvió {kind(answer)}: se pide True si la tarea se acepta y False si no cabe"
        )
        self.accepted, self.refused = self.accepted + answer, self.refused + (not answer)
        return bool(answer)

    def fill(self, count: int) -> None:
        """Deliver so many, each accepted; those that find a free thread must begin."""
        for number in range(count):
            said = f"con {many(min(number, self.workers), 'tarea')} en marcha y {max(0, number - self.workers)} en la cola, la siguiente"
            self.expect(self.deliver(), f"{said} se rechazó: ¿cuántas caben?")
            if number < self.workers:
                begun = self.eventually(lambda number=number: len(self.began) > number)  # type: ignore[misc]
                self.expect(begun, "se aceptó una tarea, había un hilo libre y no empezó: ¿quién la ejecuta?")

    def expect_counts(self, think: str = "¿cuándo se cuenta, y con qué protección si entregan varios hilos?") -> None:
        for name, right in (("aceptadas", self.accepted), ("rechazadas", self.refused)):
            self.expect(hasattr(self.group, name), f"a tu objeto le falta {name}")
            value = getattr(self.group, name)
            self.expect(not callable(value), f"{name} es un método: se lee sin paréntesis, como grupo.{name}")
            self.expect(value == right, f"{name} vale {shown(value)} y, por lo que devolvió entregar, son {right}: {think}")

    def drain(self) -> None:
        """Open the gate; all that was accepted must end, and nothing else."""
        self.gate.set()
        done = self.eventually(lambda: len(self.ended) >= self.accepted)
        self.expect(done, f"se aceptaron {self.accepted} tareas y terminaron {len(self.ended)}: ¿se perdió alguna?")
        self.never(lambda: len(self.began) > self.accepted)
        self.expect(len(self.began) == self.accepted, "se ejecutó una tarea rechazada, o una dos veces")
