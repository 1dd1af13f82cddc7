"""Errors of a saga, each with a name of its own.

Each also derives from the built-in exception that a caller who has never heard of this package would catch.
"""


class SagaError(Exception):
    """Root of whatever this package raises."""


class Refused(SagaError):
    """A definite no: the participant did nothing and, under this key, never will.

    An action raises it for «no stock», «card declined». Any other exception (a timeout, a lost connection,
    a 500) leaves the outcome unknown: the work may have been done.
    """


class UnknownSaga(SagaError, LookupError):
    """No saga of that id, or no definition of that name."""


class SagaExists(SagaError, ValueError):
    """Another saga, with other data, was started under that id."""


class TakenOver(SagaError, RuntimeError):
    """Another orchestrator goes on with this saga: this one stops, and writes nothing more in its log."""


class KeyReused(SagaError, ValueError):
    """The idempotency key came again with another request; over HTTP, 422.

    Source: draft-ietf-httpapi-idempotency-key-header, section 2.7.
    """


class StorageError(SagaError, OSError):
    """The database cannot be read or written: locked, full, damaged. The transaction was rolled back."""
