"""A pytest plugin: the plain servers of foreign suites are met through an edge, and not directly."""

import asyncio
import importlib.util
import threading

from aiohttp import web

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


def front_of(url):
    """The URL of an edge before a plain server. TLS is left alone: an edge is behind what ends it."""
    if not url.startswith("http:"):
        return url
    if url not in _fronts:
        _fronts[url] = Front(url)
    return _fronts[url].url


def put_in_front(cls, made=str):
    """Have a test server's `url` be that of an edge before it."""
    direct = cls.url.fget
    cls.url = property(lambda server: made(front_of(str(direct(server)).rstrip("/"))))


def pytest_plugin_registered(plugin):
    if hasattr(plugin, "TestServer"):  # the conftest of httpx
        put_in_front(plugin.TestServer, lambda url: plugin.httpx.URL(url + "/"))


def pytest_configure(config):
    if importlib.util.find_spec("pytest_httpbin"):  # what requests is tested with
        from pytest_httpbin import serve

        put_in_front(serve.Server)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"edges in front: {len(_fronts)}")
