"""The one error of this package; bad input is a ValueError or a TypeError."""

from labkit.patterns.circuit_breaker import messages
from labkit.patterns.circuit_breaker.events import State

_TEXTS = {"open": messages.OPEN, "half-open": messages.HALF_OPEN}


class CircuitOpenError(Exception):
    """The call was not made: the circuit `name` is open, or half-open with all its permits taken (`state`).

    `retry_after`: seconds after which another attempt may be let through; None when nobody knows (opened by
    hand). In half-open it is the longest that may be left; the probe usually ends before. `issuer`: id() of
    the breaker, by which it knows its own refusals. `__cause__`: the exception that opened the circuit, if
    it was one.

    It is no ConnectionError on purpose: a retry on connection errors would ask an open circuit again and
    again.
    """

    def __init__(self, name: str, state: State, retry_after: float | None, issuer: int = 0) -> None:
        super().__init__(name, state, retry_after, issuer)
        self.name = name
        self.state = state
        self.retry_after = retry_after
        self.issuer = issuer

    def __str__(self) -> str:
        if self.retry_after is None:
            return messages.FORCED_OPEN.format(name=self.name)
        return _TEXTS.get(self.state, messages.OPEN).format(name=self.name, seconds=self.retry_after)
