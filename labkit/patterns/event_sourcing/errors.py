"""What can go wrong with an event store, each with a name of its own.

Each also derives from the built-in exception that a caller who has never heard of this package would catch.
After any of them nothing of the refused append is in the store.
"""

from labkit.patterns.event_sourcing import messages


class EventSourcingError(Exception):
    """Whatever this package raises."""


class VersionConflict(EventSourcingError):
    """Another writer was quicker; over HTTP, 409. Read the stream again and decide again."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        """Tell the version that the decision was made on, and the one that the stream has now."""
        super().__init__(messages.CONFLICT.format(stream=stream, expected=expected, actual=actual))
        self.stream, self.expected, self.actual = stream, expected, actual


class DuplicateEvent(EventSourcingError):
    """An event with that id is recorded already, elsewhere or with other content; over HTTP, 409."""


class UnknownSchema(EventSourcingError):
    """An event is of a newer schema version than this code knows."""


class StoreUnavailable(EventSourcingError, ConnectionError):
    """The database cannot be opened, or does not answer; over HTTP, 503."""


class StoreBusy(EventSourcingError, TimeoutError):
    """Another writer holds the database for longer than `lock_timeout`; over HTTP, 503. Try again later."""


class StoreFull(EventSourcingError, OSError):
    """There is no room left on the disk; over HTTP, 507."""


class StoreDamaged(EventSourcingError, OSError):
    """The file is not a database, or a damaged one: restore a backup; over HTTP, 500."""
