"""The participant's side: an effect happens once, however often and in whatever order its messages come.

Three things go wrong at the receiving end (Seata calls them idempotence, empty rollback and suspension):

- the same request comes twice, since an answer was lost: the second gets the first one's answer;
- the compensation of a request comes that never arrived: there is nothing to undo, and it must not fail;
- and then the request arrives after all, late: it must be refused, nobody would undo it any more.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from labkit.patterns._given import InvalidInput, valid_text
from labkit.patterns.saga import messages
from labkit.patterns.saga.database import Database
from labkit.patterns.saga.definition import to_json
from labkit.patterns.saga.errors import KeyReused, Refused

_TABLE = """
CREATE TABLE IF NOT EXISTS inbox (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL,  -- done, refused, undone
    request TEXT NOT NULL,
    answer TEXT NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID
"""


class Inbox:
    """Remember, beside the effects themselves, which keys a participant has handled, and how.

    `database`: the one that holds the participant's own tables: key and effect are written in one
    transaction. `clock`: seconds since 1970, for `forget`.

    Source: Helland, "Life beyond Distributed Transactions", CIDR 2007; Richardson, "Microservices Patterns",
    ch. 3 (idempotent consumer); Seata's TCC mode (empty rollback, suspension).
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self._clock = clock
        with database.transaction() as connection:
            connection.execute(_TABLE)

    def once(self, key: str, work: Callable[[sqlite3.Connection], Any], *, request: Any = None) -> Any:
        """Do the work under a key, or return the answer it gave before.

        `work` gets the connection, inside the transaction that also notes the key. What it returns (JSON) is
        kept; if it raises Refused, its writes are undone and the no is kept; any other exception leaves no
        trace, and the next attempt works anew. `request`: JSON; the same key with another one raises
        KeyReused. A key that was undone raises Refused. Raises InvalidInput; StorageError.
        """
        _valid_key(key)
        asked = to_json("request", request)
        with self.database.transaction() as connection:
            row = self._row(key)
            if row is None:
                try:
                    with self.database.transaction():
                        answer = work(connection)
                        state, kept = "done", to_json("answer", answer)
                except Refused as refusal:
                    state, kept = "refused", to_json("answer", str(refusal))
                self._keep(key, state, asked, kept)
                row = (state, asked, kept)
        state, before, kept = row
        if state == "undone":
            raise Refused(messages.UNDONE_KEY.format(key=key))
        if before != asked:
            raise KeyReused(messages.KEY_REUSED.format(key=key))
        if state == "refused":
            raise Refused(json.loads(kept))
        return json.loads(kept)

    def undo(self, key: str, work: Callable[[sqlite3.Connection, Any], object]) -> bool:
        """Undo what was done under a key, once; return True where there was something to undo.

        `work` gets the connection and the answer of the work it undoes. Where nothing was done, the key is
        closed: a request that arrives later is refused. Raises what `work` raises (nothing is undone then);
        InvalidInput; StorageError.
        """
        _valid_key(key)
        with self.database.transaction() as connection:
            state, asked, kept = self._row(key) or ("", "null", "null")
            if state == "undone":
                return bool(json.loads(kept))
            if state == "done":
                work(connection, json.loads(kept))
            self._keep(key, "undone", asked, to_json("answer", state == "done"))
            return state == "done"

    def state(self, key: str) -> str | None:
        """Return "done", "refused" or "undone", or None for a key never seen."""
        row = self._row(key)
        return None if row is None else row[0]

    def forget(self, older_than: float) -> int:
        """Forget keys that were last touched so many seconds ago; return how many.

        Choose it far longer than a request can be repeated or delayed: a forgotten key is a new one.
        """
        with self.database.transaction() as connection:
            return connection.execute(
                "DELETE FROM inbox WHERE at <= ?", (self._clock() - older_than,)
            ).rowcount

    def _row(self, key: str) -> tuple[str, str, str] | None:
        rows = self.database.query("SELECT state, request, answer FROM inbox WHERE key = ?", key)
        return None if not rows else (rows[0][0], rows[0][1], rows[0][2])

    def _keep(self, key: str, state: str, asked: str, answer: str) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO inbox VALUES (?, ?, ?, ?, ?)",
                (key, state, asked, answer, self._clock()),
            )


def _valid_key(key: object) -> None:
    try:
        valid_text("key", key)
    except InvalidInput:
        raise InvalidInput(messages.BAD_KEY.format(given=key)) from None
