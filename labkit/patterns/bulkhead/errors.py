"""What can go wrong with a bulkhead, each with a name of its own.

Each also derives from the built-in exception that a caller who has never heard of this package would catch.
"""

from functools import partial


class BulkheadError(Exception):
    """Whatever this package raises."""


class BulkheadFullError(BulkheadError, RuntimeError):
    """There was no permit, so nothing was called; over HTTP, 503.

    It says nothing about the health of the dependency: a circuit breaker around the bulkhead must not count
    it.

    `name`: the bulkhead's; `retry_after`: seconds until a permit may be free, by what calls take at present;
    `waited`: whether the call stood in the queue before it was refused.
    """

    def __init__(self, message: str, *, name: str, retry_after: float, waited: bool) -> None:
        super().__init__(message)
        self.name = name
        self.retry_after = retry_after
        self.waited = waited

    def __reduce__(self) -> tuple[object, ...]:
        return partial(
            type(self), name=self.name, retry_after=self.retry_after, waited=self.waited
        ), self.args


class BulkheadClosedError(BulkheadError, RuntimeError):
    """The pool was shut down and takes no more work."""
