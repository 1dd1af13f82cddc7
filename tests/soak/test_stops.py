"""Handlers that never return when their service is stopped, and services that are called while replaced."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import flask
import pytest
import requests
from aiohttp import web
from support import PATIENCE, Raw, Stage, can_bind, eventually, get, open_files

import labkit

SOON = 15.0  # seconds; a stop with a grace of 0.1 takes a tenth of that on a busy machine


# Handlers that do not return before `stage.release`, whatever is asked of them.


def waits(stage: Stage) -> None:
    stage.release.wait(PATIENCE)


def spins(stage: Stage) -> None:
    while not stage.release.is_set():
        pass


def swallows_everything(stage: Stage) -> None:
    while not stage.release.is_set():
        with contextlib.suppress(BaseException):
            stage.release.wait(0.01)
            raise KeyboardInterrupt


async def blocks_its_loop(stage: Stage) -> None:
    stage.release.wait(PATIENCE)


async def spins_on_its_loop(stage: Stage) -> None:
    while not stage.release.is_set():
        pass


async def spins_and_lets_others(stage: Stage) -> None:
    while not stage.release.is_set():
        await asyncio.sleep(0)


async def swallows_its_cancellation(stage: Stage) -> None:
    while not stage.release.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.005)


async def swallows_and_spins(stage: Stage) -> None:
    while not stage.release.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def cancels_in_vain(stage: Stage) -> None:
    """Work that is shielded goes on without its request."""
    await asyncio.shield(asyncio.ensure_future(swallows_its_cancellation(stage)))


async def sends_for_ever(stage: Stage) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await swallows_and_spins(stage)


async def waits_in_a_thread(stage: Stage) -> None:
    await asyncio.to_thread(stage.release.wait, PATIENCE)


SYNCHRONOUS = [waits, spins, swallows_everything]
ASYNCHRONOUS = [
    blocks_its_loop,
    spins_on_its_loop,
    spins_and_lets_others,
    swallows_its_cancellation,
    swallows_and_spins,
    cancels_in_vain,
    sends_for_ever,
    waits_in_a_thread,
]


def maker(behave: Callable[[Stage], Any], stage: Stage) -> Callable[[], Any]:
    """A factory of an application that answers at `/` and does not return at `/never`."""

    def make_flask() -> flask.Flask:
        app = flask.Flask("terca")

        @app.get("/never")
        def never() -> str:
            stage.entered.release()
            behave(stage)
            return "tarde"

        app.add_url_rule("/", "index", lambda: "hola")
        return app

    def make_aiohttp() -> web.Application:
        async def never(request: web.Request) -> web.Response:
            stage.entered.release()
            await behave(stage)
            return web.Response(text="tarde")

        async def index(request: web.Request) -> web.Response:
            return web.Response(text="hola")

        app = web.Application()
        app.router.add_get("/never", never)
        app.router.add_get("/", index)
        return app

    return make_aiohttp if asyncio.iscoroutinefunction(behave) else make_flask


@pytest.mark.parametrize(
    ("behave", "ending"),
    [(behave, ending) for behave in (*SYNCHRONOUS, *ASYNCHRONOUS) for ending in ("stop", "kill", "replace")]
    + [
        (behave, end)
        for behave in (waits, blocks_its_loop, swallows_and_spins)
        for end in ("restart", "stop_all")
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_handler_that_never_returns_holds_up_nothing_and_is_gone_when_it_does(
    behave: Callable[[Stage], Any], ending: str, stage: Stage
) -> None:
    threads = threading.active_count()
    make = maker(behave, stage)
    service = labkit.serve(make, name="terca", grace=0.1)
    port = service.port
    with Raw(service) as raw:
        raw.ask("/never")
        stage.wait_entered()
        began = time.monotonic()
        if ending == "replace":
            service = labkit.serve(make, name="terca", grace=0.1)
        elif ending == "stop_all":
            labkit.stop_all(grace=0.1)
        else:
            getattr(service, ending)()
        assert time.monotonic() - began < SOON
        assert raw.read_to_end() == b""
    if ending not in ("restart", "replace"):
        assert can_bind(port)
        service.start()
    assert service.port == port
    assert get(service.url).text == "hola"
    service.stop()
    before = service.journal.lines
    stage.release.set()
    eventually(lambda: threading.active_count() <= threads)
    assert [line for line in service.journal.lines[len(before) :] if "Error" in line] == []


def test_ten_of_them_cost_one_grace(stage: Stage) -> None:
    behaviours = [
        waits,
        blocks_its_loop,
        swallows_its_cancellation,
        swallows_and_spins,
        swallows_everything,
    ] * 2
    services = [
        labkit.serve(maker(behave, stage), name=f"terca-{number}", grace=1.0)
        for number, behave in enumerate(behaviours)
    ]
    with contextlib.ExitStack() as stack:
        for service in services:
            raw = stack.enter_context(Raw(service))
            raw.ask("/never")
        stage.wait_entered(len(services))
        began = time.monotonic()
        labkit.stop_all()
        took = time.monotonic() - began
    assert took < 9.0  # and not ten graces
    assert all(can_bind(service.port) for service in services)


# called while it is replaced


def answering(kind: str, answer: str) -> Callable[[], Any]:
    def make_flask() -> flask.Flask:
        app = flask.Flask("b")
        app.add_url_rule("/", "index", lambda: answer)
        return app

    def make_aiohttp() -> web.Application:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text=answer)

        app = web.Application()
        app.router.add_get("/", handler)
        return app

    return make_flask if kind == "flask" else make_aiohttp


def quiet_port(count: int) -> int:
    """The first of some free ports that no system gives to who asks for any.

    Between the old and the new the port is nobody's, and another program of this machine that takes any
    port may be given that one, and answer.
    """
    first = random.Random(os.getpid()).randrange(20_000, 29_000)
    return next(
        port for port in range(first, 30_000) if all(can_bind(port + number) for number in range(count))
    )


@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "kept connections"])
@pytest.mark.parametrize("replicas", [None, 3], ids=["alone", "a group"])
@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_replaced_twenty_times_under_load_it_answers_as_the_old_or_the_new_or_refuses(
    kind: str, replicas: int | None, keep_alive: bool
) -> None:
    """`serve` with the same name, as a cell that is run again. Who called may have been let finish."""
    threads, files = threading.active_count(), open_files()
    port = quiet_port(replicas or 1)
    done = threading.Event()
    wrong: list[Any] = []
    outcomes: Counter[str] = Counter()
    being = 0  # the generation that may answer already; the one before may answer still
    surely = 0  # the generation whose `serve` has returned: none before it may answer what is asked now

    def serve(number: int) -> Any:
        options = {} if replicas is None else {"replicas": replicas}
        return labkit.serve(answering(kind, str(number)), name="b", port=port, grace=PATIENCE, **options)

    served = serve(0)
    urls = [served.url] if replicas is None else served.urls

    def ask(url: str) -> None:
        with requests.Session() as session:
            while not done.is_set():
                oldest = surely
                try:
                    answer = session.get(url, timeout=PATIENCE) if keep_alive else get(url)
                except requests.Timeout as error:
                    wrong.append(error)
                    return
                except requests.ConnectionError:
                    outcomes["refused"] += 1
                    continue
                if answer.status_code != 200 or not oldest <= int(answer.text) <= being:
                    wrong.append((oldest, answer.status_code, answer.text, being))
                outcomes[answer.text] += 1

    askers = [threading.Thread(target=ask, args=(url,)) for url in urls * (4 // len(urls) + 1)]
    for asker in askers:
        asker.start()
    for number in range(1, 21):
        answered = sum(outcomes.values()) - outcomes["refused"]
        eventually(
            lambda answered=answered: wrong or sum(outcomes.values()) - outcomes["refused"] > answered + 3
        )
        being = number
        serve(number)
        surely = number
    eventually(lambda: wrong or outcomes["20"])
    done.set()
    for asker in askers:
        asker.join(2 * PATIENCE)
        assert not asker.is_alive()
    labkit.stop_all()
    assert wrong == []
    assert len(outcomes) > 10
    eventually(lambda: threading.active_count() <= threads)

    def as_many_files_as_before() -> bool:
        gc.collect()  # the callers' own sockets, in the pools of their sessions
        return open_files() <= files

    eventually(as_many_files_as_before)


@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_a_load_over_a_service_that_is_replaced_ends_and_tells(kind: str) -> None:
    service = labkit.serve(answering(kind, "0"), name="b")
    results: list[Any] = []
    loading = threading.Thread(
        target=lambda: results.append(labkit.load(service.url, requests=3000, concurrency=4, progress=False))
    )
    loading.start()
    for number in range(1, 21):
        service = labkit.serve(answering(kind, str(number)), name="b")
    loading.join(2 * PATIENCE)
    service.stop()
    assert not loading.is_alive()
    (result,) = results
    assert len(result) == 3000
    assert set(result.counts) <= {"200", "conexión rechazada", "conexión cortada"}
    assert result.ok > 0
