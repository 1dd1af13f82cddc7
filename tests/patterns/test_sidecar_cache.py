"""The sidecar's cache: what it keeps, serves, validates, forgets, and asks once for many."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from multidict import CIMultiDict
from proxy_support import Client, Exchange, Origin, ask, on_a_loop, running, until

from labkit.patterns.proxy import Retries
from labkit.patterns.sidecar import Sidecar, SidecarConfig
from labkit.patterns.sidecar.cache.rules import (
    Directives,
    byte_range,
    freshness_lifetime,
    http_date,
    initial_age,
    may_store,
)
from labkit.patterns.sidecar.cache.store import Store
from labkit.patterns.sidecar.config import CacheSettings

DAY = "Tue, 24 Nov 2026 10:00:00 GMT"
NOON = 1_795_514_400.0  # the same, in seconds since 1970


def answer(*headers: str, status: int = 200, body: bytes = b"hola") -> bytes:
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Cached:
    """A sidecar with a cache before a service that answers what the test says, and a clock to wind."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.origin = Origin(answer("Cache-Control: max-age=60"))
        self.settings = settings

    async def get(
        self, path: str = "/", *headers: str, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", "Host: tienda", *headers, "", ""]
        status, head, body = await ask(self.port, "\r\n".join(lines))
        pairs = [line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:]]
        return status, {name.lower(): value for name, value in pairs}, body

    @property
    def asked(self) -> int:
        return len(self.origin.heads)

    async def __aenter__(self) -> Cached:
        self._stack = contextlib.AsyncExitStack()
        await self._stack.enter_async_context(self.origin)
        config = SidecarConfig(
            service=self.origin.url,
            retries=Retries(attempts=1),
            cache=CacheSettings(**self.settings),
            log=lambda line: None,
        )
        self.sidecar = Sidecar(config, clock=lambda: self.now)
        assert self.sidecar.cache is not None
        self.cache = self.sidecar.cache
        self.cache._wall = lambda: NOON
        self.port = await self._stack.enter_async_context(running(self.sidecar.app()))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()


# Rules, as tables


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Tue, 24 Nov 2026 10:00:00 GMT", NOON),
        ("Tuesday, 24-Nov-26 10:00:00 GMT", NOON),
        ("Tue Nov 24 10:00:00 2026", NOON),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("0", None),
        ("24 Nov 2026 10:00:00 GMT", None),
        ("Tue, 24 nov 2026 10:00:00 GMT", None),
        ("Tue, 24 Nov 2026 10:00:00 CET", None),
        ("Tue, 24 Nov 26 10:00:00 GMT", None),
        (None, None),
    ],
)
def test_a_date_is_one_of_three_forms_or_none(text: str | None, seconds: float | None) -> None:
    assert http_date(text) == seconds


@pytest.mark.parametrize(
    ("header", "members"),
    [
        ("max-age=60, Public", {"max-age": "60", "public": None}),
        ('private="a, max-age=9", max-age=1', {"private": "a, max-age=9", "max-age": "1"}),
        ("max-age=60, max-age=5", {"max-age": "5"}),
        ("max-age=5, max-age=60", {"max-age": "5"}),
        ("max-age =60, ,", {}),
        ('max-age="60"', {"max-age": "60"}),
    ],
)
def test_cache_control_is_read_as_a_list_with_quotes(header: str, members: dict[str, str | None]) -> None:
    assert dict(Directives(CIMultiDict({"Cache-Control": header}))) == members


@pytest.mark.parametrize(
    ("status", "headers", "lifetime"),
    [
        (200, {"Cache-Control": "max-age=60"}, 60),
        (200, {"Cache-Control": "max-age=60, s-maxage=5"}, 5),
        (200, {"Cache-Control": "max-age=1", "Expires": "Tue, 24 Nov 2026 11:00:00 GMT", "Date": DAY}, 1),
        (200, {"Expires": "Tue, 24 Nov 2026 10:01:00 GMT", "Date": DAY}, 60),
        (200, {"Expires": "0", "Date": DAY}, 0),
        (200, {"Cache-Control": "max-age='60'"}, 0),
        (200, {"Cache-Control": "max-age=-60"}, 0),
        (200, {"Last-Modified": "Tue, 24 Nov 2026 09:00:00 GMT", "Date": DAY}, 360),
        (200, {"Last-Modified": "Sun, 24 Nov 2024 09:00:00 GMT", "Date": DAY}, 86_400),
        (403, {"Last-Modified": "Tue, 24 Nov 2026 09:00:00 GMT", "Date": DAY}, 0),
        (200, {}, 0),
    ],
)
def test_freshness_comes_from_the_first_that_says_it(
    status: int, headers: dict[str, str], lifetime: float
) -> None:
    assert freshness_lifetime(status, CIMultiDict(headers)) == lifetime


@pytest.mark.parametrize(
    ("headers", "age"),
    [
        ([("Date", DAY)], 2),
        ([("Date", DAY), ("Age", "30")], 32),
        ([("Date", "Tue, 24 Nov 2026 09:59:00 GMT")], 60),
        ([("Date", DAY), ("Age", "abc")], 2**31 + 2),
        ([("Date", DAY), ("Age", "0"), ("Age", "0")], 2**31 + 2),
    ],
)
def test_age_is_the_larger_of_what_the_dates_and_the_others_say(headers: Any, age: float) -> None:
    assert initial_age(CIMultiDict(headers), 2, NOON) == age


@pytest.mark.parametrize(
    ("request_", "status", "headers", "kept"),
    [
        ({}, 200, {"Cache-Control": "max-age=60"}, True),
        ({}, 200, {"Cache-Control": "max-age=60, no-store"}, False),
        ({"Cache-Control": "no-store"}, 200, {"Cache-Control": "max-age=60"}, False),
        ({}, 200, {"Cache-Control": "max-age=60, private"}, False),
        ({}, 200, {"Cache-Control": "max-age=60, private=x"}, False),
        ({"Authorization": "x"}, 200, {"Cache-Control": "max-age=60"}, False),
        ({"Authorization": "x"}, 200, {"Cache-Control": "public, max-age=60"}, True),
        ({"Authorization": "x"}, 200, {"Cache-Control": "s-maxage=60"}, True),
        ({}, 200, {"Cache-Control": "max-age=60", "Set-Cookie": "a=1"}, False),
        ({}, 200, {"Cache-Control": "public, max-age=60", "Set-Cookie": "a=1"}, True),
        ({}, 200, {"Cache-Control": "max-age=60", "Vary": "A, *"}, False),
        ({}, 206, {"Cache-Control": "max-age=60"}, False),
        ({}, 599, {"Cache-Control": "max-age=60"}, True),
        ({}, 599, {"Cache-Control": "max-age=60, must-understand"}, False),
        ({}, 200, {"Cache-Control": "max-age=60, must-understand, no-store"}, True),
        ({}, 503, {"Last-Modified": DAY}, False),
        ({}, 404, {"Last-Modified": DAY}, True),
    ],
)
def test_what_a_shared_cache_may_keep(request_: Any, status: int, headers: Any, kept: bool) -> None:
    assert may_store("GET", CIMultiDict(request_), status, CIMultiDict(headers)) is kept
    assert not may_store("POST", CIMultiDict(request_), status, CIMultiDict(headers))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-1", (0, 1)),
        ("bytes=8-", (8, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-30", (0, 9)),
        ("bytes=5-99", (5, 9)),
        ("bytes=10-", None),
        ("bytes=5-4", None),
        ("bytes=-0", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
    ],
)
def test_a_single_range_is_cut_out_and_any_other_ignored(text: str, part: Any) -> None:
    assert byte_range(text, 10) == part


# A request's way


@on_a_loop
async def test_a_fresh_answer_is_served_with_its_age_and_the_service_asked_once() -> None:
    async with Cached() as cached:
        assert (await cached.get())[1]["cache-status"] == "sidecar; fwd=miss; stored"
        cached.now += 59
        status, headers, body = await cached.get()
        assert (status, body, headers["age"], headers["cache-status"]) == (200, b"hola", "59", "sidecar; hit")
        assert cached.asked == 1
        cached.now += 1
        await cached.get()
        assert cached.asked == 2


@on_a_loop
async def test_host_and_query_make_another_answer() -> None:
    async with Cached() as cached:
        for path in ("/a", "/a?x", "/a?y"):
            await cached.get(path)
        await ask(cached.port, "GET /a HTTP/1.1\r\nHost: otra\r\n\r\n")
        assert cached.asked == 4


@on_a_loop
async def test_a_private_answer_never_reaches_another_user() -> None:
    async with Cached() as cached:
        for says in ("Cache-Control: private, max-age=60", "Cache-Control: max-age=60\r\nSet-Cookie: s=ana"):
            cached.origin.reply = answer(says, body=b"de ana")
            await cached.get("/yo")
            cached.origin.reply = answer(says, body=b"de luis")
            assert (await cached.get("/yo"))[2] == b"de luis"
        cached.origin.reply = answer("Cache-Control: max-age=60", body=b"de ana")
        await cached.get("/cuenta", "Authorization: Bearer ana")
        cached.origin.reply = answer("Cache-Control: max-age=60", body=b"de luis")
        assert (await cached.get("/cuenta", "Authorization: Bearer luis"))[2] == b"de luis"
        assert (await cached.get("/cuenta"))[2] == b"de luis"


@on_a_loop
async def test_vary_keeps_a_variant_for_each_thing_said() -> None:
    async with Cached() as cached:
        for language in (b"es", b"en"):
            cached.origin.reply = answer("Cache-Control: max-age=60", "Vary: Accept-Language", body=language)
            await cached.get("/", f"Accept-Language: {language.decode()}")
        assert (await cached.get("/", "Accept-Language: es"))[2] == b"es"
        assert (await cached.get("/", "Accept-Language: en"))[2] == b"en"
        assert cached.asked == 2
        await cached.get("/")
        assert cached.asked == 3


@on_a_loop
async def test_a_stale_answer_is_validated_and_made_fresh_by_a_304() -> None:
    async with Cached() as cached:
        cached.origin.reply = answer("Cache-Control: max-age=60", 'ETag: "v1"', "X-Version: 1")
        await cached.get()
        cached.now += 61
        cached.origin.reply = (
            b'HTTP/1.1 304 X\r\nETag: "v1"\r\nCache-Control: max-age=60\r\nX-Version: 2\r\n\r\n'
        )
        status, headers, body = await cached.get()
        assert (status, body, headers["x-version"], headers["age"]) == (200, b"hola", "2", "0")
        assert dict(cached.origin.headers())["if-none-match"] == '"v1"'
        cached.now += 59
        assert (await cached.get())[1]["cache-status"] == "sidecar; hit"
        assert cached.asked == 2


@on_a_loop
async def test_a_304_about_another_version_updates_nothing() -> None:
    async with Cached() as cached:
        cached.origin.reply = answer("Cache-Control: max-age=60", 'ETag: "v1"')
        await cached.get()
        cached.now += 61
        cached.origin.reply = b'HTTP/1.1 304 X\r\nETag: "v2"\r\nCache-Control: max-age=60\r\n\r\n'
        assert (await cached.get())[1]["etag"] == '"v1"'
        await cached.get()
        assert cached.asked == 3


@on_a_loop
async def test_a_clients_own_condition_is_answered_from_what_is_kept() -> None:
    async with Cached() as cached:
        cached.origin.reply = answer("Cache-Control: max-age=60", 'ETag: "v1"', f"Last-Modified: {DAY}")
        await cached.get()
        for condition in ('If-None-Match: W/"v1"', 'If-None-Match: "x", "v1"', f"If-Modified-Since: {DAY}"):
            assert (await cached.get("/", condition))[::2] == (304, b""), condition
        assert (await cached.get("/", 'If-None-Match: "v2"'))[0] == 200
        assert cached.asked == 1


@on_a_loop
async def test_a_range_is_cut_out_of_a_whole_answer_and_a_head_has_no_body() -> None:
    async with Cached() as cached:
        await cached.get()
        status, headers, body = await cached.get("/", "Range: bytes=1-2")
        assert (status, body, headers["content-range"]) == (206, b"ol", "bytes 1-2/4")
        status, headers, body = await cached.get(method="HEAD")
        assert (status, body, headers["content-length"]) == (200, b"", "4")
        assert cached.asked == 1


@pytest.mark.parametrize(
    ("asks", "served"),
    [
        ("max-age=5", False),
        ("max-age=20", True),
        ("min-fresh=55", False),
        ("no-cache", False),
        ("no-store", False),
        ("max-stale=5", True),
        ("only-if-cached", True),
    ],
)
def test_what_a_client_asks_of_freshness_is_kept(asks: str, served: bool) -> None:
    @on_a_loop
    async def run() -> None:
        async with Cached() as cached:
            await cached.get()
            cached.now += 10
            await cached.get("/", f"Cache-Control: {asks}")
            assert cached.asked == (1 if served else 2)

    run()


@on_a_loop
async def test_only_if_cached_without_an_answer_is_504() -> None:
    async with Cached() as cached:
        assert (await cached.get("/", "Cache-Control: only-if-cached"))[0] == 504
        assert cached.asked == 0


@pytest.mark.parametrize(
    ("says", "gone", "fails"),
    [
        ("max-age=60", 200, 502),
        ("max-age=60, stale-if-error=100", 200, 200),
        ("max-age=60, must-revalidate", 502, 502),
        ("s-maxage=60", 502, 502),
    ],
)
def test_a_stale_answer_stands_in_only_where_it_may(says: str, gone: int, fails: int) -> None:
    @on_a_loop
    async def run() -> None:
        async with Cached() as cached:
            cached.origin.reply = answer(f"Cache-Control: {says}")
            await cached.get()
            cached.now += 100
            cached.origin.reply = answer(status=502, body=b"mal")
            assert (await cached.get())[0] == fails

            async def hang_up(exchange: Exchange) -> None:
                exchange.writer.close()

            cached.origin.reply = hang_up
            assert (await cached.get())[0] == gone
            cached.now += 101  # longer than 60 s, and than 100
            assert (await cached.get())[0] == 502

    run()


@on_a_loop
async def test_many_who_wait_are_one_request_to_the_service() -> None:
    async with Cached() as cached:
        release = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            await release.wait()
            await exchange.say(answer("Cache-Control: max-age=60"))

        cached.origin.reply = slow
        clients = [asyncio.create_task(cached.get()) for _ in range(50)]
        await until(lambda: cached.cache.stats.waited == 49)
        release.set()
        assert {(await client)[0] for client in clients} == {200}
        assert cached.asked == 1


@on_a_loop
async def test_who_waited_for_what_cannot_be_shared_asks_alone_and_all_at_once() -> None:
    async with Cached() as cached:
        release = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            number = len(cached.origin.heads)
            await release.wait()
            await exchange.say(answer("Cache-Control: private", body=b"%d" % number))

        cached.origin.reply = slow
        clients = [asyncio.create_task(cached.get()) for _ in range(5)]
        await until(lambda: cached.cache.stats.waited == 4)
        release.set()
        assert sorted([(await client)[2] for client in clients]) == [b"1", b"2", b"3", b"4", b"5"]


@on_a_loop
async def test_when_the_first_of_many_leaves_the_others_get_their_answer() -> None:
    async with Cached() as cached:
        release = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            await release.wait()
            await exchange.say(answer("Cache-Control: max-age=60"))

        cached.origin.reply = slow
        async with Client(cached.port) as first:
            await first.say("GET / HTTP/1.1\r\nHost: tienda\r\n\r\n")
            await until(lambda: cached.asked == 1)
            others = [asyncio.create_task(cached.get()) for _ in range(3)]
            await until(lambda: cached.cache.stats.waited == 3)
        await until(lambda: cached.asked > 1)
        release.set()
        assert [(await other)[0] for other in others] == [200, 200, 200]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_changes_the_service_makes_the_cache_forget(method: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Cached() as cached:
            for path in ("/a", "/b?x", "/c"):
                await cached.get(path)
            cached.origin.reply = answer(status=500)
            await cached.get("/a", method=method)
            assert cached.cache.stats.invalidated == 0
            cached.origin.reply = answer(
                "Location: /b?x", "Content-Location: http://otra/c", "Cache-Control: max-age=60", status=201
            )
            await cached.get("/a", method=method)
            assert cached.cache.stats.invalidated == 2, "another host's word counts for nothing"
            asked = cached.asked
            for path, more in (("/a", 1), ("/b?x", 2), ("/c", 2)):
                await cached.get(path)
                assert cached.asked == asked + more, path

    run()


@pytest.mark.parametrize(("changed", "kept"), [("/", 0), ("/otra", 1)])
@pytest.mark.parametrize("validates", [False, True])
def test_what_was_on_its_way_when_its_own_resource_changed_is_not_kept(
    changed: str, kept: int, validates: bool
) -> None:
    @on_a_loop
    async def run() -> None:
        async with Cached() as cached:
            cached.origin.reply = answer("Cache-Control: max-age=60", 'ETag: "v1"', body=b"lo de antes")
            if validates:
                await cached.get()
                cached.now += 61
            release = asyncio.Event()

            async def slow(exchange: Exchange) -> None:
                if exchange.head.startswith(b"GET"):
                    await release.wait()
                known = b"If-None-Match" in exchange.head
                await exchange.say(b'HTTP/1.1 304 X\r\nETag: "v1"\r\n\r\n' if known else before)

            before, cached.origin.reply = cached.origin.reply, slow
            asked = cached.asked
            reading = asyncio.create_task(cached.get())
            await until(lambda: cached.asked == asked + 1)
            await cached.get(changed, method="DELETE")
            release.set()
            assert (await reading)[2] == b"lo de antes"
            assert len(cached.cache.store) == kept

    run()


@on_a_loop
async def test_a_head_that_tells_of_another_version_outdates_what_is_kept() -> None:
    async with Cached() as cached:
        cached.origin.reply = answer("Cache-Control: max-age=1000", 'ETag: "v1"')
        await cached.get()
        cached.origin.reply = answer("Cache-Control: max-age=1000", 'ETag: "v2"')
        await cached.get("/", "Cache-Control: no-cache", method="HEAD")
        await cached.get()
        assert cached.asked == 3


@on_a_loop
async def test_an_answer_that_breaks_off_or_is_too_large_is_not_kept() -> None:
    async with Cached(max_entry=3) as cached:
        await cached.get()
        await cached.get()
        assert cached.asked == 2

        async def cut(exchange: Exchange) -> None:
            await exchange.say(b"HTTP/1.1 200 X\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nab")
            exchange.writer.close()

        cached.origin.reply = cut
        async with Client(cached.port) as client:
            await client.say("GET /corta HTTP/1.1\r\nHost: tienda\r\n\r\n")
            await client.rest()
        assert len(cached.cache.store) == 0


@on_a_loop
async def test_the_store_stays_within_its_bytes_and_the_oldest_use_goes_first() -> None:
    async with Cached(max_bytes=2500, max_entry=1000) as cached:
        cached.origin.reply = answer("Cache-Control: max-age=60", body=b"x" * 500)
        for path in ("/1", "/2", "/1", "/3", "/4"):
            await cached.get(path)
        assert cached.cache.store.bytes <= 2500
        asked = cached.asked
        await cached.get("/4")
        assert cached.asked == asked
        await cached.get("/2")
        assert cached.asked == asked + 1
    assert Store(10).bytes == 0


@on_a_loop
async def test_without_a_connection_header_of_the_hop_nothing_of_the_hop_is_kept() -> None:
    async with Cached() as cached:
        cached.origin.reply = answer(
            "Cache-Control: max-age=60", "Connection: X-A", "X-A: 1", "Keep-Alive: 5"
        )
        await cached.get()
        headers = (await cached.get())[1]
        assert "x-a" not in headers
        assert "keep-alive" not in headers
