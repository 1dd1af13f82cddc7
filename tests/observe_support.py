"""Applications, callers and what must be in place again, for the tests of `labkit.observe`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import flask
import requests
from aiohttp import web
from requests.adapters import HTTPAdapter

from labkit.lens.observe import Journey

Start = Callable[..., Any]


def in_place() -> list[Any]:
    return [
        HTTPAdapter.send,
        requests.Session.send,
        aiohttp.ClientSession._request,
        aiohttp.ClientResponse.read,
        threading.Thread.start,
        ThreadPoolExecutor.submit,
        asyncio.BaseEventLoop.create_task,
        asyncio.BaseEventLoop.call_soon_threadsafe,
    ]


def flask_app(**routes: Callable[[], Any]) -> flask.Flask:
    """`hola=f` answers /hola with what f returns; anything else is answered with its path."""
    app = flask.Flask("app")
    for name, answer in routes.items():
        app.add_url_rule(f"/{name}", name, answer, methods=["GET", "POST"])
    app.add_url_rule("/<path:path>", "any", lambda path: path, methods=["GET", "POST"])
    return app


def aiohttp_app(**routes: Callable[[web.Request], Any]) -> web.Application:
    app = web.Application()

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    for name, answer in routes.items():
        app.router.add_route("*", f"/{name}", answer)
    app.router.add_route("*", "/{path:.*}", echo)
    return app


async def fetch(url: str, method: str = "GET", **kwargs: Any) -> str:
    async with aiohttp.ClientSession() as session, session.request(method, url, **kwargs) as response:
        return await response.text()


def lines(journey: Journey) -> list[str]:
    return repr(journey).splitlines()


def joined(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def in_thread(function: Callable[..., Any], *args: Any) -> None:
    joined(threading.Thread(target=function, args=args))


def in_pool(function: Callable[..., Any], *args: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function, *args).result()
