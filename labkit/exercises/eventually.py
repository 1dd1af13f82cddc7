"""Waiting, in a case, for what comes about in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK = 0.01  # seconds between two looks


def eventually(condition: Callable[[], object], timeout: float) -> bool:
    """Wait until the condition holds; False when `timeout` seconds pass first.

    It waits in short sleeps, so that a case whose time is over can be stopped here.
    """
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(_LOOK)
    return bool(condition())
