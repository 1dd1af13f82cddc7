"""The outbox: a message is sent if, and only if, the transaction that decided it was committed.

Sending inside the transaction tells of what may yet be rolled back; sending after it is forgotten if the
process dies between the two. So the message is a row, written with the rest, and a relay sends it later: at
least once, since it may die between sending and noting that it did. The receiver has an inbox for that.

Source: Richardson, "Microservices Patterns", ch. 3 (transactional outbox, polling publisher).
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.patterns._given import valid_count, valid_text
from labkit.patterns.saga.database import Database
from labkit.patterns.saga.definition import to_json

_TABLE = """
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT ''
)
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """A message that waits to be sent.

    `id`: the same each time it is sent; the receiver's inbox takes it as key. `topic`: what it is about (an
    order); messages of one topic are sent in order. `attempts` and `error`: of its sending so far.
    """

    id: str
    topic: str
    body: Any
    attempts: int = 0
    error: str = ""


class Outbox:
    """Keep messages beside the changes they tell of, and send them afterwards.

    `database`: the one that holds the service's own tables.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._sending = threading.Lock()
        with database.transaction() as connection:
            connection.execute(_TABLE)

    def add(self, topic: str, body: Any, *, id: str | None = None) -> Message:
        """Write a message; inside `with database.transaction()` it stands or falls with the rest.

        `body`: JSON. `id`: of your own where the same decision may be taken twice: the second is ignored.
        Raises InvalidInput; StorageError.
        """
        message = Message(
            uuid.uuid4().hex if id is None else valid_text("id", id), valid_text("topic", topic), body
        )
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO outbox (id, topic, body) VALUES (?, ?, ?)",
                (message.id, message.topic, to_json("body", body)),
            )
        return message

    def pending(self, limit: int = 100) -> list[Message]:
        """Return the messages that are not known to be sent, oldest first."""
        rows = self.database.query(
            "SELECT id, topic, body, attempts, error FROM outbox ORDER BY number LIMIT ?",
            valid_count("limit", limit),
        )
        return [Message(id, topic, json.loads(body), *tried) for id, topic, body, *tried in rows]

    def deliver(self, send: Callable[[Message], object], *, limit: int = 100) -> int:
        """Send pending messages, the oldest first; return how many were sent.

        `send` returns when the receiver has the message, and raises where that is not sure: then this one
        and the later ones of its topic stay for the next call, the others go on. Each message is sent at
        least once. One thread at a time sends. Raises StorageError.
        """
        with self._sending:
            sent, held = 0, set[str]()
            for message in self.pending(limit):
                if message.topic in held:
                    continue
                try:
                    send(message)
                except Exception as error:
                    held.add(message.topic)
                    _log.warning("message %s was not sent: %s", message.id, error)
                    self._note("UPDATE outbox SET attempts = attempts + 1, error = ? WHERE id = ?",
                               str(error) or type(error).__name__, message.id)  # fmt: skip
                else:
                    self._note("DELETE FROM outbox WHERE id = ?", message.id)
                    sent += 1
            return sent

    def _note(self, sql: str, *parameters: str) -> None:
        with self.database.transaction() as connection:
            connection.execute(sql, parameters)
