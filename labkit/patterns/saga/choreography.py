"""Choreography: no one directs; each service hears events, does its part, and tells what happened.

What it hears are the events of a store (`labkit.patterns.event_sourcing`), in the store's one order. How far
it has heard stands in its own database and moves in the transaction of its work, so each event has its
effect once. What it tells goes through its outbox; an event told twice has the same id, and the store keeps
one. So a participant may be killed between any two lines of this module and, started again, goes on.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence

from labkit.patterns._given import InvalidInput, valid_text
from labkit.patterns.event_sourcing import Event, EventStore, RecordedEvent
from labkit.patterns.saga import messages
from labkit.patterns.saga.database import Database
from labkit.patterns.saga.definition import INSIST, Retry
from labkit.patterns.saga.inbox import Inbox
from labkit.patterns.saga.log import Notice
from labkit.patterns.saga.outbox import Message, Outbox

Reaction = Callable[[sqlite3.Connection, RecordedEvent], Event | Sequence[Event] | None]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS heard (name TEXT PRIMARY KEY, position INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS parked (
        name TEXT NOT NULL, position INTEGER NOT NULL, stream TEXT NOT NULL, error TEXT NOT NULL,
        told INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (name, position)) WITHOUT ROWID""",
)

_log = logging.getLogger(__name__)


class Participant:
    """A service of a choreography, that reacts to the events of a store.

    `name`: the service's. `database`: its own, where its tables are. `insist`: attempts of a reaction that
    raises, before the event is parked: it waits for a person, and so do the later events of its stream, while
    the other streams go on. `on_stuck`: called with a Notice for each parked event, at least once; default:
    an error in the log of this module. `sleep`: called with the seconds between two attempts.

    `inbox` and `outbox` are the participant's, on the same database. One thread or process at a time may
    step it. Raises InvalidInput.
    """

    def __init__(
        self,
        name: str,
        store: EventStore,
        database: Database,
        *,
        insist: Retry = INSIST,
        on_stuck: Callable[[Notice], object] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.name = valid_text("name", name)
        self.store, self.database = store, database
        self.insist = insist
        self.inbox, self.outbox = Inbox(database), Outbox(database)
        self._on_stuck = on_stuck or _log_stuck
        self._sleep = sleep
        self._reactions: dict[str, Reaction] = {}
        with database.transaction() as connection:
            for table in _TABLES:
                connection.execute(table)
            connection.execute("INSERT OR IGNORE INTO heard VALUES (?, 0)", (name,))
        self._looked = self.position  # events up to here are handled or not for us

    @property
    def position(self) -> int:
        """Return the position in the store of the last event that was handled."""
        return int(self.database.query("SELECT position FROM heard WHERE name = ?", self.name)[0][0])

    def on(self, type: str, reaction: Reaction) -> None:
        """React to events of a type.

        `reaction` gets the connection and the event, inside the transaction of its effect, and returns the
        event or events that tell what happened; they are appended to the same stream. A no of the business is
        an event to return, not an exception. It may be called again after a rollback: what it does outside
        the database (a call to a bank) needs the event's id as key. Raises InvalidInput.
        """
        if valid_text("type", type) in self._reactions or not callable(reaction):
            raise InvalidInput(messages.BAD_REACTION.format(type=type, given=reaction))
        self._reactions[type] = reaction

    def step(self) -> bool:
        """Tell what is still to be told, handle one event, tell what came of it; False: nothing to do.

        Raises StorageError, and what the store raises when it cannot be read.
        """
        told = self.publish()
        event = self._next()
        if event is not None:
            self._handle(event)
            self.publish()
        self._give_notices()
        return bool(told) or event is not None

    def run(self) -> int:
        """Step until there is nothing left to do; return the number of steps."""
        steps = 0
        while self.step():
            steps += 1
        return steps

    def publish(self) -> int:
        """Append the outbox's events to the store; return how many."""
        return self.outbox.deliver(self._tell)

    def parked(self) -> list[RecordedEvent]:
        """Return the events that wait for a person, oldest first."""
        rows = self.database.query("SELECT position FROM parked WHERE name = ? ORDER BY position", self.name)
        return [self._event(position) for (position,) in rows]

    def retry_parked(self) -> int:
        """Handle the parked events again, in order, once their cause is mended; return how many went well."""
        well, held = 0, set[str]()
        for event in self.parked():
            if event.stream in held:
                continue
            try:
                with self.database.transaction() as connection:
                    self._react(connection, event)
                    connection.execute(
                        "DELETE FROM parked WHERE name = ? AND position = ?", (self.name, event.position)
                    )
                well += 1
            except Exception:
                _log.exception("%s cannot handle %s", self.name, event)
                held.add(event.stream)
        self.publish()
        return well

    def _next(self) -> RecordedEvent | None:
        for event in self.store.read_all(after=self._looked):
            if event.type in self._reactions:
                return event
            self._looked = event.position
        return None

    def _event(self, position: int) -> RecordedEvent:
        return next(self.store.read_all(after=position - 1, limit=1))

    def _handle(self, event: RecordedEvent) -> None:
        error = messages.BEHIND_PARKED
        behind = "SELECT 1 FROM parked WHERE name = ? AND stream = ?"
        if not self.database.query(behind, self.name, event.stream):
            for attempt in range(1, self.insist.attempts + 1):
                try:
                    with self.database.transaction() as connection:
                        self._react(connection, event)
                        self._heard(connection, event)
                    return
                except Exception as failure:
                    error = str(failure) or type(failure).__name__
                    _log.warning("%s: attempt %d of %s failed: %s", self.name, attempt, event, error)
                    if attempt < self.insist.attempts:
                        self._sleep(self.insist.delay(attempt, 1.0))
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO parked (name, position, stream, error) VALUES (?, ?, ?, ?)",
                (self.name, event.position, event.stream, error),
            )
            self._heard(connection, event)

    def _react(self, connection: sqlite3.Connection, event: RecordedEvent) -> None:
        told = self._reactions[event.type](connection, event)
        for new in [told] if isinstance(told, Event) else told or ():
            metadata = {**new.metadata, "cause": event.id, "by": self.name}
            body = {"type": new.type, "data": dict(new.data), "schema_version": new.schema_version}
            self.outbox.add(event.stream, {**body, "metadata": metadata}, id=new.id)

    def _heard(self, connection: sqlite3.Connection, event: RecordedEvent) -> None:
        connection.execute("UPDATE heard SET position = ? WHERE name = ?", (event.position, self.name))
        self._looked = event.position

    def _tell(self, message: Message) -> None:
        self.store.append(message.topic, [Event(**message.body, id=message.id)], None)

    def _give_notices(self) -> None:
        rows = self.database.query(
            "SELECT position, stream, error FROM parked WHERE name = ? AND told = 0 ORDER BY position",
            self.name,
        )
        for position, stream, error in rows:
            try:
                self._on_stuck(Notice(stream, self.name, error))
            except Exception:
                _log.exception("on_stuck failed for %s: it will be called again", stream)
                continue
            with self.database.transaction() as connection:
                connection.execute(
                    "UPDATE parked SET told = 1 WHERE name = ? AND position = ?", (self.name, position)
                )


def unfinished(store: EventStore, *, begin: str, end: Collection[str]) -> dict[str, RecordedEvent]:
    """Return the streams opened by an event of type `begin` and not closed by one of `end`, with their last.

    Nobody directs a choreography, so nobody knows that it has stopped: somebody has to read them all.
    """
    open_: dict[str, RecordedEvent] = {}
    for event in store.read_all():
        if event.type == begin or (event.stream in open_ and event.type not in end):
            open_[event.stream] = event
        elif event.type in end:
            open_.pop(event.stream, None)
    return open_


def _log_stuck(notice: Notice) -> None:
    _log.error("%s: %s waits for a person: %s", notice.name, notice.saga, notice.reason)
