"""A pytest plugin: pytest-httpbin's plain server is met through an edge, and not directly."""

import asyncio
import threading

from aiohttp import web
from pytest_httpbin import serve

from labkit.patterns.edge import Edge, Route, Shedder

_fronts = {}


class Front:
    """An edge on a loop and a thread of its own."""

    def __init__(self, behind):
        self.edge = Edge([Route("/", to=behind, public=True, timeout=60)], shedder=Shedder(1000))
        self.loop = asyncio.new_event_loop()
        self.started = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()
        assert self.started.wait(20)

    def run(self):
        async def start():
            runner = web.AppRunner(self.edge.app())
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self.started.set()

        self.loop.run_until_complete(start())
        self.loop.run_forever()


direct = serve.Server.url.fget


def through_the_edge(server):
    url = direct(server)
    if not url.startswith("http:"):
        return url  # the edge is behind whatever ends TLS
    if url not in _fronts:
        _fronts[url] = Front(url)
    return _fronts[url].url


serve.Server.url = property(through_the_edge)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"edges in front: {len(_fronts)}")
