"""Fixtures of the tests of `labkit.observe`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from observe_support import Start, in_place
from support import eventually

import labkit
from labkit.lens import telemetry
from labkit.servers import base


@pytest.fixture
def start() -> Iterator[Start]:
    """`labkit.serve` for the length of a test."""
    started = []

    def serve(app: Any, **kwargs: Any) -> Any:
        started.append(labkit.serve(app, **kwargs))
        return started[-1]

    yield serve
    for service in reversed(started):
        service.stop(grace=0)


@pytest.fixture
def nothing_left_in_place() -> Iterator[None]:
    before = in_place()
    yield
    eventually(lambda: in_place() == before)  # labkit.capture goes with the last thread of a service
    assert base.watcher is None
    assert not telemetry._open
    assert telemetry._here.get() is None
