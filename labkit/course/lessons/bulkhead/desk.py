"""The scene of BH-6: tasks that are counted, and what is logged of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Scene
from labkit.exercises.expectations import captured_log
from labkit.exercises.wording import described, kind, many, shown

Task = tuple[str, Callable[[], object]]
STAYS_IN = "¿qué debe pasar con las demás tareas, y quién recibe esa excepción?"


class OwnEnd(BaseException):
    """Not an Exception, as SystemExit is not."""


class Desk(Scene):
    """Tasks that are counted, and what the answer logs under "tareas"."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.records = self.enter(captured_log("tareas"))
        self.called: Counter[str] = Counter()

    def task(self, name: str, outcome: object = None) -> Task:
        """Return a task that returns the outcome; a raised one is an instance of BaseException in a list."""

        def run() -> object:
            self.called[name] += 1
            if isinstance(outcome, list):
                raise outcome[0]
            return outcome

        return name, run

    def run(self, tasks: list[Task], threads: int | None = 3) -> list[tuple[Any, Any]]:
        """Run the answer; the case fails unless it returns a pair a task, and each was called once."""
        try:
            found = self.answer(tasks) if threads is None else self.answer(tasks, threads)
        except (SystemExit, OwnEnd) as left:
            self.fail(f"{described(left)} salió de ejecutar. No hereda de Exception: ¿qué clase es la madre de todas?")
        self.expect(found is not None, "ejecutar no devolvió nada: ¿falta el return?")
        self.expect(isinstance(found, list | tuple), f"ejecutar devolvió {kind(found)}: se pide una lista de parejas")
        self.expect(
            len(found) == len(tasks),
            f"de {many(len(tasks), 'tarea')}, ejecutar devolvió {many(len(found), 'resultado')}: se pide uno por tarea",
        )
        for pair in found:
            right = isinstance(pair, list | tuple) and len(pair) == 2 and pair[0] in ("ok", "error")
            self.expect(right, f'un resultado es {shown(pair)}: se pide ("ok", valor) o ("error", excepción)')
        for name, times in self.called.items():
            self.expect(times == 1, f"la tarea «{name}» se ejecutó {times} veces: se pide una")
        return [(status, value) for status, value in found]
