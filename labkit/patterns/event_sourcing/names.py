"""Unique names: a name is reserved through a stream of its own.

A view cannot promise that an address is taken once: it lags. A stream can: the first event of «correo-ana@…»
is appended with `expected_version=0`, and of two writers one gets a conflict.
"""

import unicodedata

from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import NameTaken
from labkit.patterns.event_sourcing.event import Event, RecordedEvent, valid_text
from labkit.patterns.event_sourcing.state import decide, rebuild
from labkit.patterns.event_sourcing.store import EventStore

RESERVED, RELEASED = "NameReserved", "NameReleased"


class UniqueNames:
    """Names of one kind (addresses, nicknames), each held by at most one owner.

    Names that differ in case, or in how an accent is written, are the same name.
    """

    def __init__(self, store: EventStore, kind: str) -> None:
        """`kind`: the beginning of the streams' names."""
        self.store = store
        self.kind = valid_text("kind", kind)

    def reserve(self, name: str, owner: str) -> None:
        """Reserve a name; for the owner who holds it already, do nothing. Raises NameTaken.

        In a `store.transaction()` it is reserved together with what else is appended there, or not at all.
        """

        def decision(holder: str | None) -> list[Event]:
            if holder not in (None, owner):
                raise NameTaken(messages.NAME_TAKEN.format(name=name))
            return [] if holder == owner else [Event(RESERVED, {"owner": owner})]

        valid_text("owner", owner)
        decide(self.store, self._stream(name), decision, _holder, None)

    def release(self, name: str, owner: str) -> None:
        """Give a name back. Raises NameTaken when that owner does not hold it."""

        def decision(holder: str | None) -> list[Event]:
            if holder != owner:
                raise NameTaken(messages.NOT_THE_OWNER.format(name=name, owner=owner))
            return [Event(RELEASED, {"owner": owner})]

        decide(self.store, self._stream(name), decision, _holder, None)

    def owner(self, name: str) -> str | None:
        """Return who holds a name, or None."""
        return rebuild(self.store, self._stream(name), _holder, None).state

    def _stream(self, name: str) -> str:
        return f"{self.kind}-{unicodedata.normalize('NFKC', name).casefold()}"


def _holder(_: str | None, event: RecordedEvent) -> str | None:
    return event.data["owner"] if event.type == RESERVED else None
