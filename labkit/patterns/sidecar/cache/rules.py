"""RFC 9111's rules as functions of headers: what may be stored, how long it is fresh, what a 304 updates.

Whatever cannot be read counts against reuse: an invalid Expires or max-age has passed already.
"""

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from multidict import CIMultiDict, MultiMapping

HEURISTIC_FRACTION = 0.1  # of the time since Last-Modified (RFC 9111, 4.2.2)
HEURISTIC_LIMIT = 86_400.0
_NEVER = 2**31  # what a larger delta-seconds counts as (1.2.2)

# Statuses that this cache understands, and those that may be kept without being told (RFC 9110, 15.1).
_UNDERSTOOD = frozenset(
    {200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 421, 451}
    | {500, 501, 502, 503, 504}
)
_HEURISTIC = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# A 304 speaks of the answer that is kept, whose body it does not change (3.2).
_NOT_UPDATED = frozenset({"content-encoding", "content-length", "content-md5", "content-range", "etag"})

# A member of a list: commas inside quotes do not end it.
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~\w-]+", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_FIXDATE = re.compile(_DAY + r", (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_RFC850 = re.compile(_DAY + r"[a-z]*, (\d\d)-(\w{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT")
_ASCTIME = re.compile(_DAY + r" (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})")


class Directives(Mapping[str, str | None]):
    """The members of Cache-Control: names in lower case, values without quotes, None for no value."""

    def __init__(self, headers: MultiMapping[str], name: str = "Cache-Control") -> None:
        self._members: dict[str, str | None] = {}
        if name not in headers:
            return
        for member in _MEMBER.findall(", ".join(headers.getall(name))):
            key, _, text = member.strip().partition("=")
            if not _TOKEN.fullmatch(key):
                continue
            value = re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == text[-1:] == '"' else text
            # Said twice, the stricter holds.
            if key.lower() not in self._members or _delta(value) < _delta(self._members[key.lower()]):
                self._members[key.lower()] = value if text else None

    def __getitem__(self, name: str) -> str | None:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def seconds(self, name: str) -> float | None:
        """Return a directive's delta-seconds; None when it is absent, 0 when it cannot be read."""
        if name not in self._members:
            return None
        return _delta(self._members[name])


def _delta(value: str | None) -> float:
    return float(min(int(value), _NEVER)) if value and value.isascii() and value.isdigit() else 0.0


def http_date(text: str | None) -> float | None:
    """Return an HTTP date's seconds since 1970 (RFC 9110, 5.6.7), None for what is none."""
    if text is None:
        return None
    if found := _FIXDATE.fullmatch(text):
        day, month, year, *clock = found.groups()
    elif found := _RFC850.fullmatch(text):
        day, month, year, *clock = found.groups()
        # Two digits mean this century unless that is more than 50 years ahead; the course ends before 2076.
        year = ("19" if int(year) > 76 else "20") + year
    elif found := _ASCTIME.fullmatch(text):
        month, day, *clock, year = found.groups()
    else:
        return None
    if month not in _MONTHS:
        return None
    hour, minute, second = map(int, clock)
    return float(
        calendar.timegm((int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, 0, 0, 0))
    )


@dataclass(slots=True, eq=False)
class Stored:
    """An answer that is kept.

    `answered`: when, by the cache's clock; `initial_age`: how old it was then, in seconds. `selecting`: what
    the request said in the headers that Vary names. `outdated`: a HEAD has told that it is no longer so.
    """

    status: int
    reason: str | None
    headers: CIMultiDict[str]
    body: bytes
    answered: float
    initial_age: float
    selecting: dict[str, str] = field(default_factory=dict)
    outdated: bool = False

    @property
    def directives(self) -> Directives:
        """Cache-Control of the answer."""
        return Directives(self.headers)

    @property
    def size(self) -> int:
        """Bytes that it counts for in the store."""
        return len(self.body) + sum(len(name) + len(value) + 64 for name, value in self.headers.items())

    def age(self, now: float) -> float:
        """Return current_age (RFC 9111, 4.2.3)."""
        return self.initial_age + now - self.answered

    def lifetime(self) -> float:
        """Return the freshness lifetime in seconds (RFC 9111, 4.2.1)."""
        return 0.0 if self.outdated else freshness_lifetime(self.status, self.headers)

    def must_validate(self) -> bool:
        """Tell whether it may never be served without asking, fresh as it may be."""
        return "no-cache" in self.directives

    def never_stale(self) -> bool:
        """Tell whether it may not be served stale, not even when the service is gone (4.2.4)."""
        told = self.directives
        return any(name in told for name in ("must-revalidate", "proxy-revalidate", "s-maxage", "no-cache"))

    def validators(self) -> dict[str, str]:
        """Return the headers of a conditional request for it (4.3.1)."""
        found = {}
        if etag := self.headers.get("ETag"):
            found["If-None-Match"] = etag
        if modified := self.headers.get("Last-Modified"):
            found["If-Modified-Since"] = modified
        return found


def freshness_lifetime(status: int, headers: MultiMapping[str]) -> float:
    """Return how many seconds an answer is fresh from its origin on, for a shared cache (4.2.1)."""
    told = Directives(headers)
    for name in ("s-maxage", "max-age"):
        if (seconds := told.seconds(name)) is not None:
            return seconds
    date = http_date(headers.get("Date"))
    if "Expires" in headers:
        expires = http_date(headers["Expires"])
        # Several are as good as none that can be read.
        if expires is None or date is None or len(headers.getall("Expires")) > 1:
            return 0.0
        return max(0.0, expires - date)
    modified = http_date(headers.get("Last-Modified"))
    if modified is not None and date is not None and (status in _HEURISTIC or "public" in told):
        return min(max(0.0, HEURISTIC_FRACTION * (date - modified)), HEURISTIC_LIMIT)
    return 0.0


def initial_age(headers: MultiMapping[str], delay: float, now: float) -> float:
    """Return corrected_initial_age (4.2.3). `delay`: of the answer; `now`: wall clock on its arrival."""
    date = http_date(headers.get("Date"))
    apparent = 0.0 if date is None else max(0.0, now - date)
    values = headers.getall("Age", ["0"])
    # 5.1 lets the first of several be used and the unreadable be ignored: too old is the safer guess.
    good = len(values) == 1 and values[0].isascii() and values[0].isdigit()
    return max(apparent, (min(float(values[0]), _NEVER) if good else _NEVER) + delay)


def may_store(method: str, request: MultiMapping[str], status: int, headers: MultiMapping[str]) -> bool:
    """Tell whether a shared cache may keep this answer for the next client (RFC 9111, 3)."""
    told = Directives(headers)
    if method != "GET" or status < 200 or status in (206, 304):
        return False
    if "must-understand" in told:
        if status not in _UNDERSTOOD:
            return False
    elif "no-store" in told:
        return False
    if "no-store" in Directives(request) or "private" in told or "*" in vary_names(headers):
        return False
    if "Authorization" in request and not any(
        name in told for name in ("public", "must-revalidate", "s-maxage")
    ):
        return False  # an answer to one user is not another's (3.5)
    if "Set-Cookie" in headers and "public" not in told:
        return False  # allowed by 7.3, and how a session ends up with somebody else
    explicit = "Expires" in headers or any(name in told for name in ("public", "s-maxage", "max-age"))
    return explicit or status in _HEURISTIC


def worth_storing(stored: Stored) -> bool:
    """Tell whether it may ever serve: it is fresh, can be validated, or may be used stale."""
    if stored.lifetime() > stored.initial_age or stored.validators():
        return True
    return "stale-if-error" in stored.directives


def vary_names(headers: MultiMapping[str]) -> set[str]:
    """Return the header names in Vary, in lower case; "*" among them forbids every reuse."""
    return {
        name
        for value in headers.getall("Vary", [])
        for part in value.split(",")
        if (name := part.strip().lower())
    }


def selecting_values(request: MultiMapping[str], names: set[str]) -> dict[str, str]:
    """Return what a request says in the headers that Vary names, spaces evened out (4.1)."""
    return {
        name: ",".join(part.strip() for value in request.getall(name, []) for part in value.split(","))
        if name in request
        else "\0"
        for name in names
    }


def same_etag(one: str, other: str) -> bool:
    """Compare entity tags weakly (RFC 9110, 8.8.3.2)."""
    return one.removeprefix("W/") == other.removeprefix("W/")


def etags(headers: MultiMapping[str], name: str) -> list[str]:
    """Return the members of If-None-Match: quoted texts with their W/, or "*"."""
    return re.findall(r'(?:W/)?"[^"]*"|\*|[^\s,"]+', ", ".join(headers.getall(name, [])))


def not_modified(request: MultiMapping[str], stored: Stored) -> bool:
    """Tell whether a client's own condition says that it has this answer already (RFC 9110, 13.2.2)."""
    if "If-None-Match" in request:
        asked = etags(request, "If-None-Match")
        etag = stored.headers.get("ETag")
        return "*" in asked or (etag is not None and any(same_etag(etag, one) for one in asked))
    since = http_date(request.get("If-Modified-Since"))
    if since is None:
        return False
    known = stored.headers.get("Last-Modified") or stored.headers.get("Date")
    modified = http_date(known)
    return modified is not None and modified <= since


def freshen(stored: Stored, headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Return the stored headers as a 304 updates them (RFC 9111, 3.2)."""
    new = CIMultiDict(stored.headers)
    updated = {name.lower() for name in headers} - _NOT_UPDATED
    for name in updated:
        new.popall(name, None)
    new.popall("Age", None)
    new.extend((name, value) for name, value in headers.items() if name.lower() in updated)
    return new


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """Return first and last byte of a single range (RFC 9110, 14.1.2); None when it must be ignored."""
    found = re.fullmatch(r"bytes=\s*(\d*)-(\d*)\s*", text)
    if found is None or not any(found.groups()) or size == 0:
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) else None
    end = min(int(last), size - 1) if last else size - 1
    return (int(first), end) if int(first) <= end else None
