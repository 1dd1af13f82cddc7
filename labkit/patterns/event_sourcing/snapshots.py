"""Snapshots: a disposable cache of states, so that a long stream need not be replayed from its beginning.

Never the truth: they may be deleted at any moment, and one that cannot be used is as good as none. The name
says which function made them; when `evolve` changes its mind, a new name (stock-2) leaves the old ones
behind.
"""

import json
import logging
from typing import Any, NamedTuple

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import EventSourcingError
from labkit.patterns.event_sourcing.event import valid_text
from labkit.patterns.event_sourcing.store import EventStore

_log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """A state, and the version of the stream it is of."""

    version: int
    state: Any


class Snapshots:
    """The last snapshot of each stream, in the store's own database."""

    def __init__(self, store: EventStore, name: str, *, every: int = 100) -> None:
        """`name`: of the function that makes the states. `every`: keep one after so many more events."""
        self.store = store
        self.name = valid_text("name", name)
        self.every = valid_count("every", every)

    def load(self, stream: str, until: int | None = None) -> Snapshot | None:
        """Return the last snapshot, or None where it cannot be read or is of a version after `until`."""
        with self.store.reading() as cursor:
            row = cursor.execute(
                "select version, state from snapshots where stream = ? and name = ?", (stream, self.name)
            ).fetchone()
        if row is None or (until is not None and row[0] > until):
            return None
        try:
            return Snapshot(row[0], json.loads(row[1]))
        except ValueError:
            _log.warning(messages.LOG_BAD_SNAPSHOT, stream, row[0])
            return None

    def save_if_due(self, stream: str, version: int, state: Any, *, since: int) -> bool:
        """Keep a snapshot when `every` events have been replayed since the last; return whether it was kept.

        A store that cannot keep it is no reason to fail: the state is known all the same.
        """
        if version - since < self.every:
            return False
        try:
            self.save(stream, version, state)
        except (EventSourcingError, InvalidInput):
            _log.warning(messages.LOG_NO_SNAPSHOT, stream, version, exc_info=True)
            return False
        return True

    def save(self, stream: str, version: int, state: Any) -> None:
        """Keep a snapshot in place of the one before, unless that is of a later version."""
        text = json.dumps(state, allow_nan=False)
        with self.store.transaction() as cursor:
            cursor.execute(
                "insert into snapshots (stream, name, version, state) values (?, ?, ?, ?)"
                " on conflict (stream, name) do update set version = excluded.version, state = excluded.state"
                " where snapshots.version < excluded.version",
                (stream, self.name, version, text),
            )

    def forget(self) -> None:
        """Delete all snapshots of this name; the events know everything."""
        with self.store.transaction() as cursor:
            cursor.execute("delete from snapshots where name = ?", (self.name,))
