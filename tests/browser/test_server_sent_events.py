"""A browser's EventSource on a stream of labkit: after a kill it comes back and misses nothing."""

from __future__ import annotations

import pytest
from aiohttp import web
from playwright.sync_api import BrowserContext

import labkit
from labkit.patterns.reactive import Entry, ServerSentEvent, Topic, last_event_id, send_events

pytestmark = pytest.mark.limit(120)

PAGE = """<!doctype html><meta charset="utf-8"><script>
    window.seen = [];
    window.opened = 0;
    const source = new EventSource("/prices");
    source.onopen = () => window.opened++;
    source.addEventListener("price", event => window.seen.push([event.lastEventId, event.data]));
</script>"""


class Shop:
    """The topic lives here and not in the application: it outlasts the service's kills."""

    def __init__(self, history: int) -> None:
        self.topic: Topic[str] = Topic(history)
        self.asked: list[str | None] = []

    def app(self) -> web.Application:
        async def page(request: web.Request) -> web.Response:
            return web.Response(text=PAGE, content_type="text/html")

        async def prices(request: web.Request) -> web.StreamResponse:
            self.asked.append(request.headers.get("Last-Event-ID"))
            entries = self.topic.subscribe(after=last_event_id(request))
            return await send_events(request, entries.map(event), retry=0.1, heartbeat=1)

        def event(entry: Entry[str]) -> ServerSentEvent:
            return ServerSentEvent(entry.data, id=str(entry.id), event="price")

        app = web.Application()
        app.router.add_get("/", page)
        app.router.add_get("/prices", prices)
        return app


@pytest.mark.parametrize("death", ["kill", "stop"])
def test_event_source_comes_back_after_a_kill_and_misses_nothing_that_is_held(
    browser: BrowserContext, death: str
) -> None:
    shop = Shop(history=10)
    service = labkit.serve(shop.app, name="live-prices")
    page = browser.new_page()
    try:
        page.goto(service.url)
        labkit.eventually(lambda: shop.topic.readers == 1, timeout=20)
        for number in range(1, 6):
            shop.topic.publish(f"{number},50 €\nIVA incluido")
        page.wait_for_function("window.seen.length === 5")
        service.kill() if death == "kill" else service.stop(grace=0)
        for number in range(6, 13):  # while nobody answers
            shop.topic.publish(f"{number},50 €\nIVA incluido")
        service.restart()
        page.wait_for_function("window.seen.length === 12")
        shop.topic.publish("13,50 €\nIVA incluido")
        page.wait_for_function("window.seen.length === 13")
        assert page.evaluate("window.seen") == [
            [str(number), f"{number},50 €\nIVA incluido"] for number in range(1, 14)
        ]
        assert page.evaluate("window.opened") == 2
        assert (shop.asked[0], shop.asked[-1]) == (None, "5")
    finally:
        page.close()
        service.stop(grace=0)


def test_event_source_sees_by_the_numbers_what_the_history_no_longer_held(browser: BrowserContext) -> None:
    shop = Shop(history=3)
    service = labkit.serve(shop.app, name="live-prices")
    page = browser.new_page()
    try:
        page.goto(service.url)
        labkit.eventually(lambda: shop.topic.readers == 1, timeout=20)
        shop.topic.publish("first")
        page.wait_for_function("window.seen.length === 1")
        service.kill()
        for number in range(2, 9):
            shop.topic.publish(f"item {number}")
        service.restart()
        page.wait_for_function("window.seen.length === 4")
        assert page.evaluate("window.seen.map(([id, data]) => id)") == ["1", "6", "7", "8"]
    finally:
        page.close()
        service.stop(grace=0)
