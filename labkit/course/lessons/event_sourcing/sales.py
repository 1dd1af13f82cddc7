"""The database of ES-5: sales and a mark in a file, which the power can fail."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from labkit.course.lessons.event_sourcing.es4 import facts
from labkit.exercises.exercise import Scene
from labkit.patterns.event_sourcing import RecordedEvent

FACTS = facts(
    ("libro-1", "Recibido", 9, 1),
    ("libro-1", "Vendido", 2, 2),
    ("libro-2", "Vendido", 1, 3),
    ("libro-1", "Vendido", 1, 4),
    ("libro-2", "Devuelto", 1, 5),
)


class Base(Scene):
    """A database in a file, as the statement describes it, and the learner's function."""

    def open(self) -> None:
        folder = self.enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        self.path = Path(folder) / "ventas.db"
        with closing(self.connect()) as connection:
            connection.execute("create table ventas (libro text primary key, unidades integer)")
            connection.execute("create table marcador (posicion integer)")
            connection.execute("insert into marcador values (0)")
            connection.commit()

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path)
        connection.execute("pragma synchronous=off")  # the power fails in the program, not in the machine
        connection.execute("pragma journal_mode=memory")
        return connection

    def empty(self) -> None:
        """Put everything back to the beginning."""
        with closing(self.connect()) as connection, connection:
            connection.execute("delete from ventas")
            connection.execute("delete from marcador")
            connection.execute("insert into marcador values (0)")

    def run(self, events: Sequence[RecordedEvent]) -> Any:
        """Call the answer with a connection of its own, which is closed as it was left."""
        with closing(self.connect()) as connection:
            found = self.answer(connection, events)
            try:
                connection.execute("select 1")
            except sqlite3.ProgrammingError:
                self.fail("tu función cerró la conexión: ¿quién la abrió, y quién la usa después?")
            return found

    def cut(self, events: Sequence[RecordedEvent], after: int) -> bool:
        """The same, and the power fails after so many of SQLite's instructions; False where it needed fewer."""
        left, fell = after, False

        def instruction() -> int:
            nonlocal left, fell
            left -= 1
            fell = fell or left < 0
            return int(fell)

        with closing(self.connect()) as connection:
            connection.set_progress_handler(instruction, 1)
            with suppress(sqlite3.Error):
                self.answer(connection, events)
        return fell

    def stored(self) -> tuple[list[Any], dict[str, int]]:
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("select posicion from marcador").fetchall()
            return [row[0] for row in rows], dict(connection.execute("select * from ventas").fetchall())

    def expect_stored(self, position: int, when: str, think: str) -> None:
        rows, sales = self.stored()
        self.expect(len(rows) == 1, f"{when}, marcador tiene {len(rows)} filas: ¿una sola?")
        wanted = sold(position)
        self.expect(
            rows[0] == position and sales == wanted,
            f"{when}, marcador dice {rows[0]} y ventas {sales}: se esperaba {position} y {wanted}. "
            + ("¿Tiene ya ventas una fila de cada libro?" if rows[0] == position and not sales else think),
        )


class Unreadable(dict[str, Any]):
    """The data of a fact that fails when it is read."""

    def get(self, *_: Any) -> Any:
        raise OSError("no se puede leer")

    __getitem__ = get


def sold(position: int) -> dict[str, int]:
    """Return what was sold until a position."""
    units: Counter[str] = Counter()
    for event in FACTS[:position]:
        if event.type == "Vendido":
            units[event.stream] += event.data["unidades"]
    return dict(units)
