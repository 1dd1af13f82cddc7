"""labkit/lens/telemetry.py: every way of calling is seen, whoever made session, pool or thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web
from observe_support import Start, aiohttp_app, fetch, flask_app, in_pool, in_thread, joined, lines
from support import PATIENCE, get

import labkit
from labkit import client_hooks

pytestmark = pytest.mark.usefixtures("nothing_left_in_place")


WAYS: dict[str, Callable[[str], Any]] = {
    "requests": get,
    "a session of requests": lambda url: requests.Session().get(url, timeout=PATIENCE),
    "a thread": lambda url: in_thread(get, url),
    "a timer": lambda url: joined(threading.Timer(0, get, (url,))),
    "a subclass of Thread": lambda url: joined(Caller(url)),
    "a pool of its own": lambda url: in_pool(get, url),
    "a thread of a pool's thread": lambda url: in_pool(in_thread, get, url),
    "asyncio.run": lambda url: in_thread(asyncio.run, fetch(url)),
    "labkit.run": lambda url: labkit.run(fetch(url)),
    "a task": lambda url: labkit.run(in_task(fetch(url))),
    "wait_for": lambda url: labkit.run(asyncio.wait_for(fetch(url), PATIENCE)),
    "to_thread": lambda url: labkit.run(asyncio.to_thread(get, url)),
    "run_in_executor": lambda url: labkit.run(in_executor(get, url)),
}


class Caller(threading.Thread):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def run(self) -> None:
        get(self.url)


async def in_task(coroutine: Any) -> None:
    await asyncio.create_task(coroutine)


async def in_executor(function: Callable[..., Any], *args: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function, *args)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [flask_app, aiohttp_app])
def test_every_way_of_calling_is_seen(start: Start, way: str, kind: Callable[[], Any]) -> None:
    service = start(kind, name="s")
    with labkit.observe() as journey:
        WAYS[way](service.url + "/x")
    assert repr(journey) == "cliente\n└─ GET s /x → 200"


def test_a_session_and_a_pool_that_existed_before_are_seen(start: Start) -> None:
    service = start(aiohttp_app, name="s")

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get(service.url + "/x") as response:
            await response.read()

    session = labkit.run(make())
    given = session._trace_configs
    labkit.run(ask(session))
    for _ in range(2):
        with labkit.observe() as journey:
            labkit.run(ask(session))
        assert repr(journey) == "cliente\n└─ GET s /x → 200"
        assert session._trace_configs == given
    labkit.run(ask(session))
    labkit.run(session.close())


def test_a_pools_threads_begun_in_a_block_belong_to_nobody(start: Start) -> None:
    service = start(flask_app(), name="s")
    with ThreadPoolExecutor(1) as pool:
        with labkit.observe() as journey:
            pool.submit(get, service.url + "/mine").result()
            # A thread that is not observed uses the same worker meanwhile.
            other = [threading.Thread(target=lambda: None)]
            done: Future[Any] = Future()
            with client_hooks.standing(None):
                other = [threading.Thread(target=lambda: done.set_result(ask_pool(pool, service.url)))]
                other[0].start()
            assert done.result(PATIENCE).status_code == 200
            other[0].join()
        assert lines(journey)[1:] == ["└─ GET s /mine → 200"]


def ask_pool(pool: ThreadPoolExecutor, url: str) -> Any:
    return pool.submit(get, url + "/other").result()


def test_a_service_that_a_block_starts_is_no_part_of_what_the_block_does(start: Start) -> None:
    """What its own tasks and the requests of others make it call is not the block's."""
    target = start(flask_app(), name="destino")
    beaten = threading.Event()

    async def beat(app: web.Application) -> None:
        await fetch(target.url + "/latido")
        beaten.set()

    def make() -> web.Application:
        async def relay(request: web.Request) -> web.Response:
            return web.Response(text=await fetch(target.url + "/x"))

        app = aiohttp_app(relay=relay)
        app.on_startup.append(beat)
        return app

    def relay() -> str:
        return get(target.url + "/x").text

    with labkit.observe() as journey:
        both = [start(make, name="a"), start(flask_app(relay=relay), name="f")]
        assert beaten.wait(PATIENCE)
        with client_hooks.standing(None):
            for service in both:
                get(service.url + "/relay")
    assert journey.calls == []
