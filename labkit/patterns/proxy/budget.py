"""A budget of retries: while everything fails, the load grows by a fraction and not threefold.

Every request pays `ratio` of a retry in, every retry takes one out; what is in the budget never passes
`reserve`. So over any stretch retries ≤ reserve + ratio x requests, whatever the clock says.

Source: Finagle's RetryBudget; gRPC's retry throttling (gRFC A6).
"""

import threading

from labkit.patterns._given import valid_count, valid_fraction


class RetryBudget:
    """Count what may still be repeated; safe to share among threads."""

    def __init__(self, ratio: float = 0.2, reserve: int = 10) -> None:
        """`ratio`: retries that a request pays for; `reserve`: those at hand at first and at most."""
        valid_fraction("ratio", ratio, zero=True)
        valid_count("reserve", reserve, minimum=0)
        self.ratio = ratio
        self.reserve = reserve
        self.spent = 0
        self.denied = 0
        self._lock = threading.Lock()
        self._left = float(reserve)

    @property
    def left(self) -> float:
        """Retries that may be made now."""
        return self._left

    def deposit(self) -> None:
        """Note a request."""
        with self._lock:
            self._left = min(self.reserve, self._left + self.ratio)

    def withdraw(self) -> bool:
        """Take one retry out; False, and count it as denied, when there is none."""
        with self._lock:
            # A fifth five times is a little less than 1 as a float.
            if self._left < 1 - 1e-9:
                self.denied += 1
                return False
            self._left = max(0.0, self._left - 1)
            self.spent += 1
            return True
