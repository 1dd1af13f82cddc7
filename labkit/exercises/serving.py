"""Services for the cases of exercises: real ones on 127.0.0.1, kept out of the learner's own list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labkit.servers import recognise
from labkit.service import Service


@contextmanager
def running(app: Any, name: str = "instancia") -> Iterator[Service]:
    """Serve an application, or what a factory makes, for the length of a block."""
    service = Service(recognise(app), name).start()
    try:
        yield service
    finally:
        service.stop(0)
