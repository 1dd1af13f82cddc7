"""The route table: which service gets a request, decided by the path alone and never by a URL of the client.

Matching must see what the services will see, or a rule for `/pagos/admin` is passed by with `/pagos/%61dmin`,
`/pagos//admin` or `/pagos%2Fadmin`. So a path is decoded once and cut at its slashes, encoded ones and
repeated ones alike, the longest prefix wins, and a path with `.` or `..` in it, encoded or not, is refused.
What is forwarded is the path as it came, byte for byte.

A table never changes; `Routes` holds the current one and puts another in its place. A request keeps the table
it began with.

Sources: RFC 3986, sections 3.3 and 6.2.2; nginx, "Development guide" (merge_slashes); CWE-22, CWE-436.
"""

import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args
from urllib.parse import unquote_to_bytes

from labkit.patterns._given import valid_seconds
from labkit.patterns.edge import messages
from labkit.patterns.proxy import ClientFault

Priority = Literal["high", "normal", "low"]
Segments = tuple[bytes, ...]

_log = logging.getLogger(__name__)

_PREFIX = re.compile(r"/|(/[A-Za-z0-9_.~!$&'()*+,;=:@-]+)+")
_ADDRESS = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f\\]")
_CHARACTERS = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Route:
    """One prefix and where it leads.

    `to`: the addresses of its instances; or `service`: the name under which discovery knows them. `methods`:
    those that are let through (None: all). `public`: no token is asked for; else one is, with `scope` among
    its scopes where one is named. `strip`: the service sees the path without the prefix. `timeout`: seconds
    until the answer begins, retries included. `priority`: what is shed first when there is too much ("low").

    Raises ValueError.
    """

    prefix: str
    to: Sequence[str] = ()
    service: str | None = None
    methods: frozenset[str] | None = None
    public: bool = False
    scope: str | None = None
    strip: bool = False
    timeout: float = 10.0
    priority: Priority = "normal"

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix) or _has_dots(self.segments):
            raise ValueError(messages.BAD_PREFIX.format(given=self.prefix))
        to = (self.to,) if isinstance(self.to, str) else self.to
        if not isinstance(to, list | tuple) or bool(to) == (self.service is not None):
            raise ValueError(messages.BAD_TARGETS.format(prefix=self.prefix))
        object.__setattr__(self, "to", tuple(_address(each) for each in to))
        for name in ("service", "scope"):
            if (given := getattr(self, name)) is not None and (not isinstance(given, str) or not given):
                raise ValueError(messages.BAD_TEXT.format(name=name, given=given))
        if self.methods is not None:
            object.__setattr__(self, "methods", self._valid_methods())
        for name in ("public", "strip"):
            if (given := getattr(self, name)) not in (True, False):
                raise ValueError(messages.BAD_FLAG.format(name=name, given=given))
        if self.scope is not None and self.public:
            raise ValueError(messages.PUBLIC_SCOPE.format(prefix=self.prefix, scope=self.scope))
        valid_seconds("timeout", self.timeout)
        if self.priority not in get_args(Priority):
            raise ValueError(messages.BAD_PRIORITY.format(given=self.priority))

    @property
    def segments(self) -> Segments:
        """The prefix, cut at its slashes."""
        return tuple(part.encode() for part in self.prefix.split("/") if part)

    def target(self, path: str) -> str:
        """Return the path that the service sees for the raw `path`, which this route matches."""
        return _after(path, len(self.segments)) if self.strip else path

    def _valid_methods(self) -> frozenset[str]:
        given = self.methods
        listed = isinstance(given, list | tuple | set | frozenset) and given
        if not listed or not all(isinstance(each, str) and _METHOD.fullmatch(each) for each in listed):
            raise ValueError(messages.BAD_METHODS.format(given=given, prefix=self.prefix))
        return frozenset(listed)


class RouteTable:
    """An unchanging set of routes. Raises ValueError when two have the same prefix."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.routes = tuple(routes) if isinstance(routes, Iterable) else (routes,)
        if not all(isinstance(each, Route) for each in self.routes):
            raise ValueError(messages.NOT_A_TABLE)
        self._by_segments: dict[Segments, Route] = {}
        for route in self.routes:
            if route.segments in self._by_segments:
                raise ValueError(messages.TWICE.format(prefix=route.prefix))
            self._by_segments[route.segments] = route
        self._longest = max(map(len, self._by_segments), default=0)

    @classmethod
    def parse(cls, data: object) -> "RouteTable":
        """Return the table that plain data describe, `[{"prefix": "/catalogo", "to": […]}, …]`."""
        if not isinstance(data, list) or not all(isinstance(each, Mapping) for each in data):
            raise ValueError(messages.NOT_A_TABLE)
        known = {field.name for field in fields(Route)}
        for each in data:
            unknown = sorted(map(str, each.keys() - known))
            if unknown or "prefix" not in each:
                text = messages.UNKNOWN_FIELDS.format(
                    prefix=each.get("prefix"), fields=", ".join(unknown), known=", ".join(sorted(known))
                )
                raise ValueError(text if unknown else messages.NOT_A_TABLE)
        return cls(Route(**each) for each in data)

    def match(self, path: str) -> Route | None:
        """Return the route with the longest prefix of the raw `path` (no query). Raises ClientFault 400."""
        segments = path_segments(path)
        for length in range(min(len(segments), self._longest), -1, -1):
            if route := self._by_segments.get(segments[:length]):
                return route
        return None


class Routes:
    """The table in use. Reading it takes no lock; replacing it is one assignment.

    `version` counts the tables, from 1. `error` says why the last one offered was refused (None: it was not).
    """

    def __init__(self, table: RouteTable | Iterable[Route] = ()) -> None:
        self._lock = threading.Lock()
        self.table = table if isinstance(table, RouteTable) else RouteTable(table)
        self.version = 1
        self.error: str | None = None

    def replace(self, table: RouteTable | Iterable[Route]) -> int:
        """Put `table` in the place of the one in use, and return its version. Raises ValueError."""
        new = table if isinstance(table, RouteTable) else RouteTable(table)
        with self._lock:
            self.table, self.error = new, None
            self.version += 1
            return self.version

    def refuse(self, error: str) -> None:
        """Keep the table in use, and say why the one offered was refused."""
        if error != self.error:
            _log.error(messages.LOG_ROUTES_REFUSED, self.version, error)
        self.error = error


def path_segments(path: str) -> Segments:
    """Return a raw path decoded and cut at its slashes. Raises ClientFault 400."""
    decoded = unquote_to_bytes(path)
    segments = tuple(part for part in decoded.split(b"/") if part)
    if _has_dots(segments):
        raise ClientFault(400, messages.DOTS)
    if _CONTROL.search(decoded):
        raise ClientFault(400, messages.CONTROL)
    return segments


def _has_dots(segments: Segments) -> bool:
    # For some servers a parameter is no part of a name: to them "/..;x=1/" is "/../" (CVE-2020-5902).
    return any(part[:1] == b"." and part.split(b";")[0] in (b".", b"..") for part in segments)


def _after(path: str, segments: int) -> str:
    """Return what follows so many segments of a raw path."""
    inside = False
    for character in _CHARACTERS.finditer(path):
        slash = character[0] in ("/", "%2f", "%2F")
        if slash and inside:
            segments -= 1
        if segments == 0:
            return "/" + path[character.end() if slash else character.start() :]
        inside = not slash
    return "/"


def _address(given: Any) -> str:
    if not isinstance(given, str) or not _ADDRESS.fullmatch(given):
        raise ValueError(messages.BAD_URL.format(given=given))
    return given.rstrip("/")
