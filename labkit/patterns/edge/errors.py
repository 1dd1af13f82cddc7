"""What the edge refuses, each with the word that its logs and answers use for it."""

from typing import Literal

TokenFlaw = Literal[
    "malformed", "unknown-key", "algorithm", "signature", "claims", "expired", "not-yet", "audience", "issuer"
]


class EdgeError(Exception):
    """The base of what this package raises."""


class InvalidInput(EdgeError, ValueError):
    """A configuration or an argument that cannot work, with what is accepted instead."""


class InvalidToken(EdgeError):
    """A token that was refused. `flaw` says why; neither it nor the text holds the token."""

    def __init__(self, flaw: TokenFlaw, text: str) -> None:
        super().__init__(text)
        self.flaw = flaw


class BadPath(EdgeError):
    """A path that two servers could read in two ways."""


class Overloaded(EdgeError):
    """No room for a request of this priority."""
