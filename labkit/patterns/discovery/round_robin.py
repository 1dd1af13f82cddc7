"""Turns that stay even while the list changes.

Rotating an index over a list that grows, shrinks or is filtered skips some and repeats others. Here every
key remembers its last turn, and whoever has waited longest goes next; who is not on the list today simply
keeps waiting.
"""

import threading
from collections.abc import Iterable


class RoundRobin:
    """Hand out keys by turns, evenly under any number of threads.

    A key that joins goes to the end of the queue: a newcomer is not flooded to make up for turns it was
    never there for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clock = 0
        self._last_turn: dict[str, int] = {}

    def pick(self, keys: Iterable[str]) -> str | None:
        """Return the key that has waited longest among `keys` (None: there are none) and move it last."""
        with self._lock:
            waiting = {key: self._join(key) for key in keys}
            if not waiting:
                return None
            chosen = min(waiting, key=waiting.__getitem__)
            self._last_turn[chosen] = self._tick()
            return chosen

    def join(self, key: str) -> None:
        """Give a new key its place at the end of the queue; a known one keeps its own."""
        with self._lock:
            self._join(key)

    def leave(self, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._last_turn.pop(key, None)

    def _join(self, key: str) -> int:
        if key not in self._last_turn:
            self._last_turn[key] = self._tick()
        return self._last_turn[key]

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
