"""`labkit.load` against wrk on the same aiohttp service, and against what aiohttp's own client gets there.

The service stands in a process of its own. wrk loads it from outside; the others from inside, next to it
and behind the same GIL, as in a notebook's kernel. Told by lines on its standard input, it answers each with
a rate:

    python load_generator.py        # prints the URL
    < labkit 2                      # labkit.load for so many seconds
    < aiohttp 2                     # the same with a ClientSession, on a loop in a thread
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import aiohttp
import contestants
import load

import labkit

FROM_OUTSIDE = "wrk" if load.WRK else "tests/bench/load.py (wrk is not installed)"
LABKIT, AIOHTTP = "labkit.load", "aiohttp's client"
ELSEWHERE = "labkit.load, from another process"
AIM = 2_000  # requests per second


@contextmanager
def all_of_them(seconds: int) -> Iterator[dict[str, Callable[[], float]]]:
    """For each generator a function that measures its rate, all on one service."""
    command = [sys.executable, str(Path(__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip() + "/"

        def inside(name: str) -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            print(name, seconds, file=process.stdin, flush=True)
            return float(process.stdout.readline())

        try:
            load.requests_per_second(url, 1)
            yield {
                LABKIT: partial(inside, "labkit"),
                AIOHTTP: partial(inside, "aiohttp"),
                ELSEWHERE: lambda: with_labkit(url, seconds),
                FROM_OUTSIDE: lambda: load.requests_per_second(url, seconds)[0],
            }
        finally:
            process.stdin.close()  # it ends when its input does


def with_labkit(url: str, seconds: float) -> float:
    result = labkit.load(url, duration=seconds, concurrency=load.CONNECTIONS, progress=False)
    assert not result.errors, result
    return result.throughput


def with_aiohttp(url: str, seconds: float) -> float:
    answers = 0

    async def client(session: aiohttp.ClientSession, until: float) -> None:
        nonlocal answers
        while time.perf_counter() < until:
            async with session.get(url) as response:
                await response.read()
            assert response.status == 200
            answers += 1

    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            until = time.perf_counter() + seconds
            await asyncio.gather(*(client(session, until) for _ in range(load.CONNECTIONS)))

    began = time.perf_counter()
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
    return answers / (time.perf_counter() - began)


def serve() -> None:
    contestant = contestants.LabkitAiohttp()
    url = contestant.start()
    print(url, flush=True)
    for line in sys.stdin:
        name, seconds = line.split()
        measure = {"labkit": with_labkit, "aiohttp": with_aiohttp}[name]
        print(measure(url + "/", float(seconds)), flush=True)
    contestant.stop()


if __name__ == "__main__":
    serve()
