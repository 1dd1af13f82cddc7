"""labkit/background.py: a coroutine to its end, from anywhere."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import flask
import pytest
from support import Stage, build, eventually, get, name_of

import labkit


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_it_returns_the_result_and_raises_what_the_coroutine_raises() -> None:
    async def fail() -> None:
        raise LookupError("nada")

    assert labkit.run(double(21)) == 42
    with pytest.raises(LookupError, match="nada"):
        labkit.run(fail())
    assert labkit.run(double(1)) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_coroutine_that_exits_or_interrupts_raises_that_and_the_loop_lives_on(error: type) -> None:
    async def leave() -> None:
        raise error

    with ThreadPoolExecutor(1) as pool:
        raised = pool.submit(labkit.run, leave()).exception(timeout=20)
    assert type(raised).__name__ == error.__name__
    assert labkit.run(double(1), timeout=20) == 2


def test_a_timeout_cancels_it() -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        labkit.run(wait(), timeout=0.05)
    assert cancelled.wait(20)


def test_from_inside_a_running_loop() -> None:
    """As in a cell, whose thread runs the kernel's loop."""

    async def cell() -> int:
        return labkit.run(double(4))

    assert asyncio.run(cell()) == 8


def test_from_a_flask_handler_whose_words_stay_its_own(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    async def speak() -> int:
        print("desde la corrutina")
        return await double(5)

    app = flask.Flask("x")
    app.add_url_rule("/", "index", lambda: str(labkit.run(speak())))
    with labkit.serve(app, name="x") as service:
        assert get(service.url).text == "10"
        assert "desde la corrutina" in service.journal.lines
    assert capsys.readouterr().out == ""
    assert labkit.run(speak()) == 10
    assert capsys.readouterr().out == "desde la corrutina\n"


def test_from_within_a_coroutine_that_it_runs_it_would_wait_for_itself() -> None:
    async def outer() -> int:
        return labkit.run(double(1))

    with pytest.raises(RuntimeError, match="await"):
        labkit.run(outer(), timeout=20)

    async def elsewhere() -> int:
        return await asyncio.to_thread(labkit.run, double(3))

    assert labkit.run(elsewhere(), timeout=20) == 6


def test_a_session_is_used_again_by_the_next_run(stage: Stage) -> None:
    async def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def fetch(session: aiohttp.ClientSession, url: str) -> str:
        async with session.get(url) as answer:
            return await answer.text()

    with labkit.serve(build("aiohttp", stage), name="x") as service:
        session = labkit.run(open_session())
        assert [labkit.run(fetch(session, service.url), timeout=20) for _ in range(3)] == ["hola"] * 3
        labkit.run(session.close())


@pytest.mark.parametrize("thing", [42, None, double, lambda: None, "main()"], ids=name_of)
def test_what_is_no_coroutine_is_a_type_error(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"labkit\.run\(main\(\)\)"):
        labkit.run(thing)


def test_twenty_threads_at_once() -> None:
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda number: labkit.run(double(number)), range(100))) == [
            2 * number for number in range(100)
        ]
    assert sum(thread.name == "labkit-run" for thread in threading.enumerate()) == 1


def test_its_loop_belongs_to_no_service(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Also when a service's handler made the first call, in a process of its own."""
    import subprocess

    source = """
import flask, requests, labkit
async def speak(text): print(text)
app = flask.Flask("x"); app.add_url_rule("/", "i", lambda: str(labkit.run(speak("servicio"))))
with labkit.serve(app, name="x") as service:
    requests.get(service.url)
    labkit.run(speak("celda"))
    print([line for line in service.journal.lines if "→" not in line])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["celda", "['servicio']"], done.stderr


def test_services_do_not_wait_for_it(stage: Stage) -> None:
    entered, release = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        release.wait(20)

    with ThreadPoolExecutor(1) as pool, labkit.serve(build("aiohttp", stage), name="x") as service:
        running = pool.submit(labkit.run, block())
        assert entered.wait(20)
        assert get(service.url).text == "hola"
        release.set()
        running.result(20)
    eventually(lambda: labkit.run(double(1)) == 2)
