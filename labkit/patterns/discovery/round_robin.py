"""Turns that stay even while the list changes.

Rotating an index over a list that grows, shrinks or is filtered skips some and repeats others. Here the keys
stand in a queue: the first has waited longest, and goes last when it has had its turn. Whoever cannot take a
turn today is passed over and keeps its place.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable


class RoundRobin:
    """Hand out keys by turns, evenly under any number of threads.

    A key that joins goes to the end of the queue: a newcomer is not flooded to make up for turns it was
    never there for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A linked list inside: the first is found, and moved last, in the same time however many there are.
        self._queue: OrderedDict[str, None] = OrderedDict()

    def pick(self, keys: Iterable[str] | None = None) -> str | None:
        """Return the key that has waited longest and move it last; None when there is none.

        `keys`: the only ones that may be chosen now, of which new ones join. Without them, everyone that has
        joined; this alone takes constant time.
        """
        with self._lock:
            if keys is None:
                chosen = next(iter(self._queue), None)
            else:
                wanted = dict.fromkeys(keys)
                for key in wanted:
                    self._queue.setdefault(key)
                chosen = next((key for key in self._queue if key in wanted), None)
            if chosen is not None:
                self._queue.move_to_end(chosen)
            return chosen

    def join(self, key: str) -> None:
        """Give a new key its place at the end of the queue; a known one keeps its own."""
        with self._lock:
            self._queue.setdefault(key)

    def leave(self, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._queue.pop(key, None)
