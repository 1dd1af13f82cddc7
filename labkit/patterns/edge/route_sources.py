"""Where routes are kept, and how a running edge learns that they changed: a JSON file, or SQLite.

Both are read whole and checked before they are used. What does not pass is logged and told by `Routes.error`,
and the table in use stays: a mistake in a file must not close the shop. Both write atomically, so that nobody
reads a half: a file is replaced by another of its folder, a database changes in one transaction.
"""

import asyncio
import json
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from watchfiles import awatch

from labkit.patterns._given import valid_seconds
from labkit.patterns.edge import messages
from labkit.patterns.edge.routes import Routes, RouteTable

RoutesData = Iterable[Mapping[str, Any]]

_SCHEMA = "CREATE TABLE IF NOT EXISTS routes (prefix TEXT PRIMARY KEY, route TEXT NOT NULL) WITHOUT ROWID"


class RouteSource(Protocol):
    """A place where routes are kept."""

    def read(self) -> str:
        """Return the routes as JSON. Raises OSError and sqlite3.Error."""

    def changes(self) -> AsyncIterator[object]:
        """Give a sign whenever they may have changed, until cancelled."""


@dataclass(frozen=True)
class RouteFile:
    """A JSON file with a list of routes, watched by the operating system's own notices.

    `every`: seconds after which it is also read without a notice, for file systems that send none.
    """

    path: Path | str
    every: float = 1.0

    def __post_init__(self) -> None:
        valid_seconds("every", self.every)

    def read(self) -> str:
        """Return the file's text."""
        return Path(self.path).read_text("utf-8")

    def write(self, routes: RoutesData) -> None:
        """Replace the file by one with these routes. Raises ValueError, and nothing is written then."""
        text = _dump(routes)
        folder = Path(self.path).resolve().parent
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
            file.write(text)
        os.replace(file.name, self.path)

    async def changes(self) -> AsyncIterator[object]:
        """Give a sign whenever something happened in the file's folder, and every so many seconds."""
        # The folder, not the file: what replaces a file is another file, of which a watcher knows nothing.
        folder = Path(self.path).resolve().parent
        pause = round(self.every * 1000)
        async for change in awatch(
            folder, recursive=False, debounce=50, step=10, rust_timeout=pause, yield_on_timeout=True
        ):
            yield change


@dataclass(frozen=True)
class RouteDatabase:
    """The table `routes` of an SQLite file: a prefix and its route, as JSON, in each row.

    `every`: seconds between two looks; a look at a small table costs less than a request.
    """

    path: Path | str
    every: float = 0.1

    def __post_init__(self) -> None:
        valid_seconds("every", self.every)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(_SCHEMA)

    def read(self) -> str:
        """Return all rows, in order of their prefixes."""
        # A writer's lock is hardly waited for: the whole edge would wait. The next look is soon.
        with closing(sqlite3.connect(self.path, timeout=0.05)) as database:
            rows = database.execute("SELECT route FROM routes ORDER BY prefix").fetchall()
        return "[" + ",\n".join(route for (route,) in rows) + "]"

    def write(self, routes: RoutesData) -> None:
        """Replace all rows by these routes. Raises ValueError, and nothing is written then."""
        rows = [(each["prefix"], json.dumps(each)) for each in json.loads(_dump(routes))]
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("DELETE FROM routes")
            database.executemany("INSERT INTO routes VALUES (?, ?)", rows)

    async def changes(self) -> AsyncIterator[object]:
        """Give a sign every so many seconds."""
        while True:
            yield None
            await asyncio.sleep(self.every)


def load(source: RouteSource) -> RouteTable:
    """Return the table that the source holds. Raises ValueError, OSError, sqlite3.Error."""
    return _parse(source.read())


async def follow(source: RouteSource, routes: Routes) -> None:
    """Keep `routes` as the source has them, until cancelled. What cannot be used changes nothing."""
    seen: str | None = None
    while True:
        try:
            async for _ in source.changes():
                seen = _update(source, routes, seen)
        except OSError as error:  # what is watched is gone, and may come back
            routes.refuse(str(error))
            await asyncio.sleep(1)


def _update(source: RouteSource, routes: Routes, seen: str | None) -> str | None:
    """Take over what the source holds, if it is new and can be used; return the text that is in use."""
    try:
        text = source.read()
        if text == seen:
            return seen
        table = _parse(text)
    except (ValueError, OSError, sqlite3.Error) as error:
        routes.refuse(str(error))
        return seen
    if seen is not None or table.routes != routes.table.routes:
        routes.replace(table)
    return text


def _parse(text: str) -> RouteTable:
    try:
        return RouteTable.parse(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(messages.NOT_JSON.format(line=error.lineno)) from None
    except RecursionError:
        raise ValueError(messages.NOT_A_TABLE) from None


def _dump(routes: RoutesData) -> str:
    text = json.dumps(list(routes), indent=2, ensure_ascii=False, default=_plain)
    _parse(text)
    return text + "\n"


def _plain(given: object) -> object:
    if isinstance(given, set | frozenset):
        return sorted(given)
    raise ValueError(messages.NOT_A_TABLE)
