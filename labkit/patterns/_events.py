"""Events of a pattern, told to its listeners in order, one at a time, while no lock of its own is held."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

E = TypeVar("E")

LISTENER_FAILED = "«%s»: un oyente de sucesos ha fallado y se sigue adelante"

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # whether it is shown is for the application to say


class Listeners(Generic[E]):
    """Hand events to listeners: noted under the pattern's lock, which orders them, delivered after it.

    A listener may be slow, may fail, which is logged, and may use what it listens to. Each `deliver` takes
    along what other threads noted meanwhile.
    """

    def __init__(self, name: str, listeners: Iterable[Callable[[E], object]] = ()) -> None:
        self.name = name
        self.all = tuple(listeners)
        self._noted: deque[E] = deque()
        self._turn = threading.Lock()

    def note(self, event: E) -> None:
        """Keep an event until `deliver`."""
        self._noted.append(event)

    def deliver(self) -> None:
        """Call the listeners with what was noted, unless another thread, or a caller of ours, is at it."""
        # Asked again after the release: an event noted just before it was left to us.
        while self._noted and self._turn.acquire(blocking=False):
            try:
                while self._noted:
                    event = self._noted.popleft()
                    for listener in self.all:
                        self._tell(listener, event)
            finally:
                self._turn.release()

    def _tell(self, listener: Callable[[E], object], event: E) -> None:
        try:
            listener(event)
        except Exception:
            _log.exception(LISTENER_FAILED, self.name)
