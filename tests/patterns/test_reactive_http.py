"""Server-Sent Events, deadlines and cancellation over real sockets; the format by the HTML standard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

import labkit
from labkit.patterns.reactive import (
    DEADLINE_HEADER,
    Entry,
    EventTooLong,
    InvalidInput,
    ServerSentEvent,
    Stream,
    Topic,
    deadline,
    deadline_middleware,
    decode,
    encode,
    headers_with_deadline,
    last_event_id,
    remaining,
    run_virtually,
    send_events,
)


def events_of(*chunks: bytes, limit: int = 1 << 20) -> list[ServerSentEvent]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def read() -> list[ServerSentEvent]:
        return [event async for event in decode(arriving(), limit)]

    return run_virtually(read())


def to_event(entry: Entry[str]) -> ServerSentEvent:
    return ServerSentEvent(entry.data, id=str(entry.id))


# The format


def test_an_event_on_the_wire() -> None:
    event = ServerSentEvent("one\ntwo", id="7", event="price", retry=250)
    assert encode(event) == b"id: 7\nevent: price\nretry: 250\ndata: one\ndata: two\n\n"
    assert encode(ServerSentEvent("")) == b"data: \n\n"
    assert encode(ServerSentEvent("a\r\nb\rc")) == b"data: a\ndata: b\ndata: c\n\n"


# The examples of the HTML standard, 9.2.6 "Interpreting an event stream".
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [ServerSentEvent("YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
            [ServerSentEvent("first event", id="1"), ServerSentEvent("second event", id="")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [ServerSentEvent(""), ServerSentEvent("\n")]),
        ("data:test\n\ndata: test\n\n", [ServerSentEvent("test")] * 2),
        ("event: add\ndata: 73\n\ndata: 74\n\n", [ServerSentEvent("73", event="add"), ServerSentEvent("74")]),
        ("id: 4\ndata: a\n\ndata: b\n\n", [ServerSentEvent("a", id="4"), ServerSentEvent("b", id="4")]),
        ("id: 4\0\ndata: a\n\n", [ServerSentEvent("a")]),
        (
            "retry: 50\ndata: a\n\nretry: soon\ndata: b\n\n",
            [ServerSentEvent("a", retry=50), ServerSentEvent("b")],
        ),
        ("\ufeffdata: mark\n\n", [ServerSentEvent("mark")]),
        ("data: a\r\n\r\ndata: b\r\r\ndata: c\n\r\n", [ServerSentEvent(letter) for letter in "abc"]),
        ("other: x\nid: 3\n\n", []),
    ],
)
def test_events_are_read_as_the_standard_says_however_they_are_cut(
    text: str, found: list[ServerSentEvent]
) -> None:
    data = text.encode()
    assert events_of(data) == found
    assert events_of(*(data[at : at + 1] for at in range(len(data)))) == found


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(
        st.builds(
            ServerSentEvent,
            st.text(),
            id=st.none() | st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")),
            event=st.none() | st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), min_size=1),
            retry=st.none() | st.integers(0, 10**6),
        ),
        max_size=5,
    ),
    cuts=st.lists(st.integers(1, 9), min_size=1),
)
def test_what_is_written_is_read_again(events: list[ServerSentEvent], cuts: list[int]) -> None:
    data = b"".join(map(encode, events))
    chunks, at = [], 0
    while at < len(data):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(data[at : at + size])
        at += size
    last = None
    for event, again in zip(events, events_of(*chunks), strict=True):
        last = event.id if event.id is not None else last
        lines = event.data.replace("\r\n", "\n").replace("\r", "\n")
        assert again == ServerSentEvent(lines, last, event.event, event.retry)


def test_an_event_without_end_does_not_fill_the_memory() -> None:
    for chunk in (b"data: " + bytes(2000), b"data: x\n" * 300):
        with pytest.raises(EventTooLong, match="1000"):
            events_of(chunk, limit=1000)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"data": 5}, "data"),
        ({"data": "x", "id": "1\ndata: forged"}, "id"),
        ({"data": "x", "event": "a\rb"}, "event"),
        ({"data": "x", "id": "\0"}, "id"),
        ({"data": "x", "id": 5}, "id"),
        ({"data": "x", "retry": -1}, "retry"),
    ],
)
def test_a_field_that_would_forge_another_is_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        ServerSentEvent(**fields)


# Over HTTP


class Shop:
    """A service whose prices are a topic; it knows how many of its handlers run."""

    def __init__(
        self, history: int = 100, size: int = 0, cancellation: bool = False, **settings: Any
    ) -> None:
        self.topic: Topic[str] = Topic(history)
        self.settings = settings
        self.handlers = 0
        self.cancellation = cancellation

    def app(self) -> web.Application:
        app = web.Application(handler_args={"handler_cancellation": self.cancellation})
        app.router.add_get("/prices", self.prices)
        return app

    async def prices(self, request: web.Request) -> web.StreamResponse:
        self.handlers += 1
        try:
            entries = self.topic.subscribe(after=last_event_id(request))
            return await send_events(request, entries.map(to_event), **self.settings)
        finally:
            self.handlers -= 1


def read(response: requests.Response, count: int) -> list[tuple[str | None, str]]:
    """The next events, as (id, data)."""
    found: list[tuple[str | None, str]] = []
    text = b""
    while len(found) < count:
        piece = response.raw.read1(65536)
        assert piece, f"ended after {found}"
        text += piece
        found = [(event.id, event.data) for event in events_of(text)]
    return found[:count]


def listen(service: Any, after: str | None = None) -> requests.Response:
    headers = {} if after is None else {"Last-Event-ID": after}
    return requests.get(f"{service.url}/prices", headers=headers, stream=True, timeout=20)


def test_a_stream_over_http_and_what_a_reader_missed_meanwhile() -> None:
    shop = Shop(history=4)
    service = labkit.serve(shop.app, name="prices-http")
    try:
        with listen(service, after="0") as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert response.headers["Cache-Control"] == "no-store"
            for number in range(1, 4):
                shop.topic.publish(f"{number} €")
            assert read(response, 3) == [("1", "1 €"), ("2", "2 €"), ("3", "3 €")]
        shop.topic.publish("4 €")
        with listen(service, after="3") as response:
            assert read(response, 1) == [("4", "4 €")]
        for number in range(5, 10):
            shop.topic.publish(f"{number} €")
        with listen(service, after="4") as response:  # four are held: 5 is gone
            assert [id_ for id_, _ in read(response, 4)] == ["6", "7", "8", "9"]
        with listen(service, after="no number") as response:
            labkit.eventually(lambda: shop.topic.readers >= 1)
    finally:
        service.stop(grace=0)


def test_the_end_of_the_stream_ends_the_answer_and_its_failure_cuts_it_off() -> None:
    shop = Shop(retry=0.25)
    service = labkit.serve(shop.app, name="prices-end")
    try:
        with listen(service) as response:
            labkit.eventually(lambda: shop.topic.readers == 1)
            shop.topic.publish("last")
            shop.topic.finish()
            assert response.raw.read() == b"retry: 250\n\nid: 1\ndata: last\n\n"
        shop.topic = Topic()
        with listen(service) as response:
            labkit.eventually(lambda: shop.topic.readers == 1)
            shop.topic.finish(LookupError("the source failed"))
            with pytest.raises(Exception, match=r"(?i)incomplete|broken|ended"):
                response.raw.read()
    finally:
        service.stop(grace=0)


def test_a_heartbeat_keeps_a_silent_stream_alive_and_notices_who_has_left() -> None:
    shop = Shop(heartbeat=0.05)
    service = labkit.serve(shop.app, name="prices-silent")
    try:
        response = listen(service)
        beats = b""
        while beats.count(b":\n\n") < 4:
            beats += response.raw.read1(100)
        assert (shop.handlers, shop.topic.readers) == (1, 1)
        response.close()
        labkit.eventually(lambda: (shop.handlers, shop.topic.readers) == (0, 0))
    finally:
        service.stop(grace=0)


def test_where_aiohttp_cancels_handlers_a_reader_that_leaves_is_freed_at_once() -> None:
    shop = Shop(cancellation=True, heartbeat=3600)
    service = labkit.serve(shop.app, name="prices-cancel")
    try:
        response = listen(service)
        labkit.eventually(lambda: shop.topic.readers == 1)
        response.close()
        labkit.eventually(lambda: (shop.handlers, shop.topic.readers) == (0, 0))
    finally:
        service.stop(grace=0)


def test_a_reader_that_reads_nothing_is_cut_off_and_the_others_get_everything() -> None:
    shop = Shop(history=50, stuck_after=0.5)
    service = labkit.serve(shop.app, name="prices-stuck")
    try:
        stuck, well = listen(service, after="0"), listen(service, after="0")
        labkit.eventually(lambda: shop.topic.readers == 2)
        number, received = 0, b""
        while shop.topic.readers == 2:  # until the stuck one's connection is full, and its time is over
            number += 1
            shop.topic.publish(f"{number}" + "x" * 100_000)
            while f"id: {number}\n".encode() not in received:
                received += well.raw.read1(1 << 20)
            received = received[-200_000:]
            assert number < 5000
        assert labkit.eventually(lambda: shop.handlers == 1)
        shop.topic.publish("afterwards")
        shop.topic.finish()
        assert b"afterwards" in well.raw.read()
        assert any("no leyó nada" in str(entry) for entry in service.journal)
        with pytest.raises(requests.RequestException):  # and no end that looks like a good one
            _ = stuck.content
        assert "Traceback" not in service.journal.text()
        well.close()
    finally:
        service.stop(grace=0)


# Deadlines and cancellation from service to service


def test_a_deadline_crosses_services_and_ends_the_work_in_each() -> None:
    seen: list[float] = []
    ended: list[str] = []

    async def last(request: web.Request) -> web.Response:
        seen.append(remaining())
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("last")
        raise AssertionError("unreachable")

    def app_last() -> web.Application:
        app = web.Application(middlewares=[deadline_middleware()])
        app.router.add_get("/", last)
        return app

    async def first(request: web.Request) -> web.Response:
        seen.append(remaining())
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(service_last.url, headers=headers_with_deadline()) as response:
                    return web.Response(text=await response.text(), status=response.status)
        finally:
            ended.append("first")

    def app_first() -> web.Application:
        app = web.Application(middlewares=[deadline_middleware(longest=50)])
        app.router.add_get("/", first)
        return app

    service_last = labkit.serve(app_last, name="deadline-last")
    service_first = labkit.serve(app_first, name="deadline-first")
    try:
        answer = requests.get(service_first.url, headers={DEADLINE_HEADER: "700"}, timeout=20)
        assert answer.status_code == 504
        assert "plazo" in answer.json()["error"]
        labkit.eventually(lambda: sorted(ended) == ["first", "last"])
        assert 0 < seen[1] <= seen[0] <= 0.7
    finally:
        service_first.stop(grace=0)
        service_last.stop(grace=0)


def test_a_caller_cannot_ask_for_more_than_the_service_allows() -> None:
    seen: list[float] = []

    async def tell(request: web.Request) -> web.Response:
        seen.append(remaining())
        return web.Response()

    def app() -> web.Application:
        app = web.Application(middlewares=[deadline_middleware(longest=2)])
        app.router.add_get("/", tell)
        return app

    service = labkit.serve(app, name="deadline-longest")
    try:
        for value in ("99999999", "nonsense", ""):
            assert requests.get(service.url, headers={DEADLINE_HEADER: value}, timeout=20).ok
        assert len(seen) == 3
        assert max(seen) <= 2
    finally:
        service.stop(grace=0)


def test_a_client_that_leaves_stops_the_work_three_services_below() -> None:
    working: list[int] = []
    services: list[Any] = []

    def app(depth: int) -> web.Application:
        async def handle(request: web.Request) -> web.Response:
            working.append(depth)
            try:
                if depth == 0:
                    await asyncio.sleep(60)
                async with aiohttp.ClientSession() as session:
                    async with session.get(services[depth - 1].url) as response:
                        return web.Response(text=await response.text())
            finally:
                working.remove(depth)

        app = web.Application(handler_args={"handler_cancellation": True})
        app.router.add_get("/", handle)
        return app

    try:
        for depth in range(3):
            services.append(labkit.serve(lambda depth=depth: app(depth), name=f"depth-{depth}"))

        async def leave() -> None:
            async with aiohttp.ClientSession() as session:
                call = asyncio.create_task(session.get(services[2].url))
                await labkit.aeventually(lambda: sorted(working) == [0, 1, 2])
                call.cancel()
                await asyncio.wait([call])

        asyncio.run(leave())
        labkit.eventually(lambda: working == [])
    finally:
        for service in services:
            service.stop(grace=0)


def test_a_deadline_inside_the_handler_is_its_own_affair() -> None:
    async def handle(request: web.Request) -> web.Response:
        try:
            async with deadline(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            return web.Response(text="plan B")
        raise AssertionError("unreachable")

    def app() -> web.Application:
        app = web.Application(middlewares=[deadline_middleware()])
        app.router.add_get("/", handle)
        return app

    service = labkit.serve(app, name="deadline-inside")
    try:
        assert requests.get(service.url, timeout=20).text == "plan B"
    finally:
        service.stop(grace=0)


def test_settings_of_send_events_are_checked() -> None:
    async def numbers() -> AsyncGenerator[ServerSentEvent, None]:
        yield ServerSentEvent("1")

    for settings_ in ({"heartbeat": 0}, {"stuck_after": -1}, {"retry": float("inf")}):
        with pytest.raises(InvalidInput):
            run_virtually(send_events(None, Stream(numbers), **settings_))  # type: ignore[arg-type]
