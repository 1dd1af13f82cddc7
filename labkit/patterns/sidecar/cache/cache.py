"""A request's way through the cache: served from it, validated, or fetched once for all who wait."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from urllib.parse import urljoin, urlsplit

from aiohttp import web
from multidict import CIMultiDict

from labkit.patterns.proxy import Answer, Call, Proxy, UpstreamFault, passed
from labkit.patterns.sidecar import messages
from labkit.patterns.sidecar.cache.rules import (
    Directives,
    Stored,
    byte_range,
    freshen,
    initial_age,
    may_store,
    not_modified,
    selecting_values,
    vary_names,
    worth_storing,
)
from labkit.patterns.sidecar.cache.store import Key, Store

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_CONDITIONS = ("If-None-Match", "If-Modified-Since")
# Preconditions on the state of the service itself, and ranges tied to a validator: its business.
_NOT_OURS = ("If-Match", "If-Unmodified-Since", "If-Range")


@dataclass(slots=True)
class CacheStats:
    """How many requests ended which way, and what the store did."""

    hits: int = 0
    stale: int = 0
    misses: int = 0
    validated: int = 0
    bypassed: int = 0
    waited: int = 0
    stored: int = 0
    invalidated: int = 0


@dataclass(slots=True, eq=False)
class _Fetch:
    """One question to the service; `spoiled`: what it asks about has been invalidated since."""

    key: Key
    began: float
    over: asyncio.Event
    spoiled: bool = False


class Cache:
    """A shared cache before a service.

    `max_bytes`: of all that is kept; `max_entry`: of one body. `stale_if_error`: seconds that a stale answer
    may stand in for a service that cannot be reached, unless it forbids it; an answer of 5xx is replaced only
    where stale-if-error says so. `clock` measures ages, `wall` is compared with Date.
    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        max_bytes: int = 16_000_000,
        max_entry: int = 1_000_000,
        stale_if_error: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.store = Store(max_bytes)
        self.stats = CacheStats()
        self._proxy = proxy
        self._max_entry = min(max_entry, max_bytes)
        self._stale_if_error = stale_if_error
        self._clock = clock
        self._wall = wall
        self._fetching: dict[Key, _Fetch] = {}
        self._underway: set[_Fetch] = set()

    async def serve(self, call: Call) -> web.StreamResponse:
        """Answer from the cache where that is right, else through it. Raises as `Proxy.ask`."""
        asked = Directives(call.headers)
        key = (call.headers.get("Host", ""), call.target)
        if call.method not in ("GET", "HEAD") or call.body is not None or call.websocket:
            return await self._pass_on(call, key)
        if "no-store" in asked or any(name in call.headers for name in _NOT_OURS):
            return await self._pass_on(call, key)
        if "Pragma" in call.headers and not asked and "no-cache" in call.headers["Pragma"].lower():
            asked = Directives(CIMultiDict({"Cache-Control": "no-cache"}))
        stored = self.store.find(key, call.headers)
        if stored is not None and self._fresh_enough(stored, asked):
            self.stats.hits += 1
            return await self._send_stored(call, stored, "hit")
        if "only-if-cached" in asked:
            raise UpstreamFault(504, "destination_unavailable", messages.ONLY_IF_CACHED, sent=False)
        waitable = call.method == "GET" and not asked and not _tied_to_a_user(call.headers)
        if waitable and (fetching := self._fetching.get(key)) is not None:
            self.stats.waited += 1
            await fetching.over.wait()
            stored = self.store.find(key, call.headers)
            if stored is not None and self._fresh_enough(stored, asked):
                self.stats.hits += 1
                return await self._send_stored(call, stored, "hit; collapsed")
        return await self._fetch(call, key, stored, waitable)

    # Judging

    def _fresh_enough(self, stored: Stored, asked: Directives) -> bool:
        age, lifetime = stored.age(self._clock()), stored.lifetime()
        if stored.must_validate() or "no-cache" in asked:
            return False
        if (most := asked.seconds("max-age")) is not None and age > most:
            return False
        lifetime -= asked.seconds("min-fresh") or 0.0
        if age < lifetime:
            return True
        if "max-stale" in asked and not stored.never_stale():
            return asked["max-stale"] is None or age - lifetime <= (asked.seconds("max-stale") or 0.0)
        return False

    def _may_stand_in(self, stored: Stored | None, asked: Directives, *, reached: bool) -> bool:
        """Tell whether a stale answer is better than this error (RFC 5861, 4; RFC 9111, 4.2.4)."""
        if stored is None or stored.never_stale() or stored.outdated or "no-cache" in asked:
            return False
        windows = [told.seconds("stale-if-error") for told in (stored.directives, asked)]
        if not reached:
            windows.append(self._stale_if_error)
        stale_for = stored.age(self._clock()) - stored.lifetime()
        return any(window is not None and stale_for <= window for window in windows)

    # Asking the service

    async def _fetch(self, call: Call, key: Key, stored: Stored | None, waitable: bool) -> web.StreamResponse:
        mine = _Fetch(key, self._clock(), asyncio.Event())
        self._underway.add(mine)
        if waitable:
            self._fetching.setdefault(key, mine)
        try:
            return await self._ask(call, key, stored, mine)
        finally:
            self._underway.discard(mine)
            self._release(mine)

    def _release(self, mine: _Fetch) -> None:
        if self._fetching.get(mine.key) is mine:
            del self._fetching[mine.key]
        mine.over.set()

    async def _ask(self, call: Call, key: Key, stored: Stored | None, mine: _Fetch) -> web.StreamResponse:
        asked, original = Directives(call.headers), call.headers
        conditions = stored.validators() if stored is not None and "Range" not in original else {}
        if conditions:
            call.headers = CIMultiDict(original)
            for name in _CONDITIONS:
                call.headers.popall(name, None)
            call.headers.update(conditions)
        try:
            answer = await self._proxy.ask(call)
        except UpstreamFault:
            if stored is not None and self._may_stand_in(stored, asked, reached=False):
                self.stats.stale += 1
                call.headers = original
                return await self._send_stored(call, stored, "hit; detail=stale-if-error")
            raise
        async with answer:
            failed = answer.status >= 500
            if failed and stored is not None and self._may_stand_in(stored, asked, reached=True):
                self.stats.stale += 1
                call.headers = original
                return await self._send_stored(call, stored, "hit; detail=stale-if-error")
            if answer.status == 304 and conditions and stored is not None:
                self.stats.validated += 1
                fresh = self._freshened(key, stored, answer, mine)
                call.headers = original
                return await self._send_stored(call, fresh, "hit; fwd=stale; fwd-status=304")
            self.stats.misses += 1
            if call.method == "HEAD":
                self._note_head(key, answer)
            return await self._send_and_store(call, key, answer, original, mine)

    async def _send_and_store(
        self, call: Call, key: Key, answer: Answer, request: CIMultiDict[str], mine: _Fetch
    ) -> web.StreamResponse:
        keep = self._candidate(call.method, request, answer, mine.began)
        pieces: list[bytes] = []
        room = self._max_entry

        def tap(piece: bytes) -> None:
            nonlocal keep, room
            room -= len(piece)
            if room < 0 and keep is not None:
                keep = None
                pieces.clear()
                self._release(mine)
            elif keep is not None:
                pieces.append(piece)

        if keep is None:
            self._release(mine)  # nothing to wait for
            if call.method == "GET" and answer.status < 300:
                self.store.remove(key)
        else:
            answer.tap = tap
        _say(answer.headers, self._proxy.name, "fwd=miss; stored" if keep is not None else "fwd=miss")
        response = await self._proxy.send(call, answer)
        if keep is not None and not call.broken and not mine.spoiled:
            keep.body = b"".join(pieces)
            self.store.put(key, keep)
            self.stats.stored += 1
        return response

    def _candidate(
        self, method: str, request: CIMultiDict[str], answer: Answer, began: float
    ) -> Stored | None:
        """Return what would be kept of an answer, still without its body; None when it may not be kept."""
        now, headers = self._clock(), answer.headers
        if "Date" not in headers:
            headers["Date"] = formatdate(self._wall(), usegmt=True)
        if not may_store(method, request, answer.status, headers):
            return None
        age = initial_age(headers, now - began, self._wall())
        selecting = selecting_values(request, vary_names(headers))
        stored = Stored(answer.status, answer.reason, CIMultiDict(headers), b"", now, age, selecting)
        return stored if worth_storing(stored) else None

    async def _pass_on(self, call: Call, key: Key) -> web.StreamResponse:
        """Ask without looking; what changes the service makes us forget (RFC 9111, 4.4)."""
        self.stats.bypassed += 1
        async with await self._proxy.ask(call) as answer:
            if call.method not in _SAFE and 200 <= answer.status < 400:
                self._invalidate(key, answer)
            return await self._proxy.send(call, answer)

    # What answers do to the store

    def _freshened(self, key: Key, stored: Stored, answer: Answer, mine: _Fetch) -> Stored:
        etag = answer.headers.get("ETag")
        if etag is not None and not etag.startswith("W/") and etag != stored.headers.get("ETag"):
            return stored  # it speaks of another version: nothing that it says is ours (RFC 9111, 4.3.4)
        now = self._clock()
        headers = freshen(stored, answer.headers)
        if "Date" not in answer.headers:
            headers["Date"] = formatdate(self._wall(), usegmt=True)
        fresh = replace(
            stored,
            headers=headers,
            answered=now,
            initial_age=initial_age(answer.headers, now - mine.began, self._wall()),
            outdated=False,
        )
        if not mine.spoiled:
            self.store.put(key, fresh)
        return fresh

    def _note_head(self, key: Key, answer: Answer) -> None:
        """Take from a HEAD what it says of the stored answers (RFC 9111, 4.3.5)."""
        if answer.status != 200:
            return
        for stored in self.store.variants(key):
            for name in ("ETag", "Last-Modified", "Content-Length"):
                if name in answer.headers and answer.headers[name] != stored.headers.get(name):
                    stored.outdated = True

    def _invalidate(self, key: Key, answer: Answer) -> None:
        host, target = key
        targets = {target}
        for name in ("Location", "Content-Location"):
            if name in answer.headers:
                parts = urlsplit(urljoin(f"http://{host}{target}", answer.headers[name]))
                if parts.netloc == host:  # another host's word is not enough
                    targets.add(parts.path + ("?" + parts.query if parts.query else ""))
        for one in targets:
            self.stats.invalidated += self.store.remove((host, one))
        for fetch in self._underway:
            fetch.spoiled |= fetch.key in {(host, one) for one in targets}

    # Answering from the store

    async def _send_stored(self, call: Call, stored: Stored, how: str) -> web.StreamResponse:
        headers = CIMultiDict(stored.headers)
        headers["Age"] = str(int(min(stored.age(self._clock()), 2**31)))
        _say(headers, self._proxy.name, how)
        status, reason, body = stored.status, stored.reason, stored.body
        asked = call.headers.get("Range") if call.method == "GET" and status == 200 else None
        if status == 200 and not_modified(call.headers, stored):
            status, reason, body = 304, "Not Modified", b""
            headers.popall("Content-Length", None)
        elif asked is not None and (part := byte_range(asked, len(body))) is not None:
            headers["Content-Range"] = f"bytes {part[0]}-{part[1]}/{len(body)}"
            status, reason, body = 206, "Partial Content", body[part[0] : part[1] + 1]
        if status not in (204, 304):
            headers["Content-Length"] = str(len(body))
        response = passed(call.request, status, reason, headers)
        response._send_headers_immediately = False
        await response.prepare(call.request)
        await response.write_eof(b"" if call.method == "HEAD" else body)
        call.note_sent(0 if call.method == "HEAD" else len(body))
        return response


def _tied_to_a_user(headers: CIMultiDict[str]) -> bool:
    return "Authorization" in headers or "Range" in headers or any(name in headers for name in _CONDITIONS)


def _say(headers: CIMultiDict[str], name: str, how: str) -> None:
    headers.add("Cache-Status", f"{name}; {how}")
