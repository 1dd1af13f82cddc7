"""What can go wrong with a stream or a call, each with a name of its own.

Each also derives from the built-in exception that a caller who has never heard of this package would catch.
"""


class ReactiveError(Exception):
    """Whatever this package raises."""


class BufferOverflow(ReactiveError, RuntimeError):
    """A buffer whose policy is "fail" was full."""


class BufferClosed(ReactiveError, RuntimeError):
    """The buffer, or the topic, has finished and takes no more items."""


class SubscriberTooSlow(ReactiveError, RuntimeError):
    """The reader fell behind what the topic still holds. `skipped`: how many items it has lost."""

    def __init__(self, message: str, skipped: int) -> None:
        super().__init__(message)
        self.skipped = skipped


class StreamTimeout(ReactiveError, TimeoutError):
    """No item came in time."""


class DeadlineExceeded(ReactiveError, TimeoutError):
    """The time for the whole is over; over HTTP, 504."""


class EventTooLong(ReactiveError, ValueError):
    """A Server-Sent Event is longer than the reader is willing to hold."""
