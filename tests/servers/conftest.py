"""Fixtures of the tests of services in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from process_support import OLDER, children
from support import eventually

from labkit.roster import ROSTER


@pytest.fixture
def nothing_left(older_children: None) -> Iterator[None]:
    yield
    ROSTER.stop_all(0)
    eventually(lambda: not children())


@pytest.fixture(scope="module")
def older_children() -> None:
    OLDER.update(psutil.Process().children(recursive=True))
