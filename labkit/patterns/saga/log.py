"""The durable log of an orchestrator, on SQLite.

A saga's entries are numbered, and each transaction says which number it follows on. So two orchestrators
that go on with the same saga (one was only paused, and is not dead) cannot both write: the one that comes
late finds entries that it has not written, and stops.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike

from labkit.patterns.saga import messages
from labkit.patterns.saga.database import Database
from labkit.patterns.saga.definition import to_json
from labkit.patterns.saga.errors import SagaExists, TakenOver, UnknownSaga
from labkit.patterns.saga.machine import UNFINISHED, Entry, State

_TABLES = """
CREATE TABLE IF NOT EXISTS sagas (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    notice TEXT  -- of a stuck saga, until somebody was told
);
CREATE TABLE IF NOT EXISTS entries (
    saga INTEGER NOT NULL REFERENCES sagas,
    position INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (saga, position)
) WITHOUT ROWID;
-- What recovery asks for: its cost must not grow with the sagas that have ended.
CREATE INDEX IF NOT EXISTS unfinished ON sagas (number) WHERE state IN ('running', 'compensating');
CREATE INDEX IF NOT EXISTS stuck ON sagas (number) WHERE state = 'stuck';
"""

# The state that an entry of this kind leaves behind; "resumed" depends on what was before.
_STATES: dict[str, State] = {
    "compensating": "compensating",
    "completed": "completed",
    "compensated": "compensated",
    "stuck": "stuck",
}


@dataclass(frozen=True)
class Notice:
    """A saga that needs a person: which, in which state, and why."""

    saga: str
    name: str
    reason: str


class SagaLog:
    """Keep what every saga has done and is about to do, in an SQLite file (or ":memory:").

    `database`: a path, or a service's own Database: then a saga can be started in the transaction that
    writes the order it is about. `clock`: seconds since 1970, for people who read the log; nothing is
    decided by it. Raises StorageError.
    """

    def __init__(
        self, database: Database | str | PathLike[str] = ":memory:", *, clock: Callable[[], float] = time.time
    ) -> None:
        self.database = database if isinstance(database, Database) else Database(database)
        self._clock = clock
        with self.database.transaction() as connection:
            for statement in _TABLES.split(";"):
                connection.execute(statement)

    def create(self, saga: str, name: str, entry: Entry) -> None:
        """Start a saga with that entry; once more with the same is nothing new. Raises SagaExists."""
        with self.database.transaction() as connection:
            row = connection.execute("SELECT number, name FROM sagas WHERE id = ?", (saga,)).fetchone()
            if row is not None:
                data = to_json("data", self._entries(row[0], limit=1)[0].detail["data"])
                if (row[1], data) != (name, to_json("data", entry.detail["data"])):
                    raise SagaExists(messages.EXISTS.format(saga=saga))
                return
            cursor = connection.execute(
                "INSERT INTO sagas (id, name, state) VALUES (?, ?, 'running')", (saga, name)
            )
            self._write(int(cursor.lastrowid or 0), 0, [entry])

    def read(self, saga: str) -> list[Entry]:
        """Return a saga's entries, oldest first. Raises UnknownSaga."""
        return self._entries(self._number(saga))

    def name(self, saga: str) -> str:
        """Return the name of a saga's definition. Raises UnknownSaga."""
        return str(self._row(saga, "name"))

    def state(self, saga: str) -> State:
        """Return a saga's state. Raises UnknownSaga."""
        state: State = self._row(saga, "state")  # type: ignore[assignment]
        return state

    def advance(
        self,
        saga: str,
        known: Sequence[Entry],
        outcome: Sequence[Entry],
        decide: Callable[[list[Entry]], list[Entry]],
    ) -> list[Entry]:
        """Append an outcome, and what `decide` makes of the log with it, in one transaction.

        `known`: the entries read so far. Returns what the log holds behind them now: a cancellation that
        came meanwhile, the outcome, the decision. Raises TakenOver where somebody else went on; UnknownSaga.
        """
        with self.database.transaction():
            number = self._number(saga)
            fresh = self._entries(number, after=len(known))
            if any(entry.kind != "cancelled" for entry in fresh):
                raise TakenOver(messages.TAKEN_OVER.format(saga=saga))
            seen = [*known, *fresh]
            decided = decide([*seen, *outcome])
            self._write(number, len(seen), [*outcome, *decided])
            return [*fresh, *outcome, *decided]

    def resume(self, saga: str, state: State, entry: Entry) -> None:
        """Append the entry and set the state that it leads back to."""
        with self.database.transaction() as connection:
            number = self._number(saga)
            self._write(number, len(self._entries(number)), [entry])
            connection.execute("UPDATE sagas SET state = ?, notice = NULL WHERE number = ?", (state, number))

    def unfinished(self) -> list[str]:
        """Return the sagas that are neither ended nor stuck, oldest first."""
        states = "', '".join(UNFINISHED)
        return self._ids(f"SELECT id FROM sagas WHERE state IN ('{states}') ORDER BY number")

    def stuck(self) -> list[str]:
        """Return the sagas that wait for a person, oldest first."""
        return self._ids("SELECT id FROM sagas WHERE state = 'stuck' ORDER BY number")

    def notices(self) -> list[Notice]:
        """Return the notices that nobody has been given yet."""
        rows = self.database.query(
            "SELECT id, name, notice FROM sagas WHERE state = 'stuck' AND notice IS NOT NULL ORDER BY number"
        )
        return [Notice(*row) for row in rows]

    def noticed(self, notice: Notice) -> None:
        """Forget a notice that was given."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE sagas SET notice = NULL WHERE id = ?", (notice.saga,))

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def _write(self, number: int, after: int, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        now = self._clock()
        with self.database.transaction() as connection:
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        number,
                        position,
                        now,
                        entry.kind,
                        entry.step,
                        entry.attempt,
                        to_json("detail", entry.detail),
                    )
                    for position, entry in enumerate(entries, start=after + 1)
                ],
            )
            changes = [entry for entry in entries if entry.kind in _STATES]
            if changes:
                last = changes[-1]
                notice = last.detail if last.kind == "stuck" else None
                connection.execute(
                    "UPDATE sagas SET state = ?, notice = ? WHERE number = ?",
                    (_STATES[last.kind], notice, number),
                )

    def _entries(self, number: int, *, after: int = 0, limit: int = -1) -> list[Entry]:
        rows = self.database.query(
            "SELECT kind, step, attempt, detail FROM entries "
            "WHERE saga = ? AND position > ? ORDER BY position LIMIT ?",
            number,
            after,
            limit,
        )
        return [Entry(kind, step, attempt, json.loads(detail)) for kind, step, attempt, detail in rows]

    def _number(self, saga: str) -> int:
        return int(self._row(saga, "number"))

    def _row(self, saga: str, column: str) -> str | int:
        rows = self.database.query(f"SELECT {column} FROM sagas WHERE id = ?", saga)
        if not rows:
            raise UnknownSaga(messages.NO_SAGA.format(saga=saga))
        value: str | int = rows[0][0]
        return value

    def _ids(self, sql: str) -> list[str]:
        return [row[0] for row in self.database.query(sql)]
