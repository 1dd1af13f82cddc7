"""Programs that run in processes of their own, and what is left of them."""

from __future__ import annotations

import contextlib
import sys
from textwrap import dedent
from typing import Any

import psutil
import pytest

import labkit
from labkit.errors import StartupFailed
from labkit.servers import Program

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

FLASK = """
import os, sys, threading, time
import flask

app = flask.Flask("tienda")

@app.get("/")
def home():
    return "hola"

@app.get("/pid")
def pid():
    return str(os.getpid())

@app.get("/say")
def say():
    print("print")
    print("error", file=sys.stderr)
    app.logger.warning("log")
    os.write(1, b"crudo\\n")
    return "dicho"

@app.get("/boom")
def boom():
    raise ZeroDivisionError("boom")

@app.get("/wait")
def wait():
    time.sleep(60)
    return "tarde"

@app.get("/slow")
def slow():
    time.sleep(0.3)
    return "lento"

@app.get("/exit/<int:code>")
def leave(code):
    os._exit(code)

@app.get("/abort")
def abort():
    os.abort()

@app.get("/stubborn")
def stubborn():
    import re
    re.match("(a*)*b", "a" * 40)  # in C for ages, and never gives up Python's lock
    return "nunca"
"""

AIOHTTP = """
import asyncio, os, time
from aiohttp import web

async def home(request):
    print("print")
    return web.Response(text="hola")

async def pid(request):
    return web.Response(text=str(os.getpid()))

async def boom(request):
    raise ZeroDivisionError("boom")

async def wait(request):
    await asyncio.sleep(60)

app = web.Application()
app.add_routes([web.get("/", home), web.get("/pid", pid), web.get("/boom", boom), web.get("/wait", wait)])
"""

KINDS = {"flask": FLASK, "aiohttp": AIOHTTP}
every_kind = pytest.mark.parametrize("kind", KINDS)

# What other files' tests in this worker have left for good: multiprocessing's resource tracker, for one.
OLDER: set[psutil.Process] = set()


def children() -> list[psutil.Process]:
    """The children that live. One whose start was interrupted inside Popen is reaped by the next Popen."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child not in OLDER and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def script(text: str, *arguments: str, own_port: bool = True, **options: Any) -> Any:
    """What `%%service tienda` does with a cell of that text."""
    program = Program(text=dedent(text).lstrip("\n"), arguments=arguments, own_port=own_port)
    return labkit.serve(program, isolation="process", **{"name": "tienda", **options})


def fails(text: str, **options: Any) -> StartupFailed:
    """The error with which such a script fails to start; nothing of it is left."""
    with pytest.raises(StartupFailed) as caught:
        script(text, **options)
    assert not children()
    return caught.value


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True
