"""What the lens costs: a service that was never observed, one that was, and one that is.

Each stands in a process of its own, which is told by lines on its standard input what to do, and answers
each with a line:

    python lens.py flask            # prints the URL
    < observe                       # begins a block, or a new one; prints a header that belongs to it
    < leave                         # ends it
    < ask 200                       # so many calls with requests, one after the other; prints the rate
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import contestants
import load
import psutil
import requests

import labkit

KINDS = {"flask": contestants.LabkitFlask, "aiohttp": contestants.LabkitAiohttp}
NAMES = {"flask": "Flask", "aiohttp": "aiohttp"}
NEVER, BEFORE, OBSERVING = "never observed", "observed before", "observing"
Measures = dict[str, Callable[[], float]]


class Observed:
    """A process with a service in it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = self._line() + "/"

    def tell(self, *words: str) -> str:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        return self._line()

    def cpu_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the observed process ended")
        return line


@contextmanager
def process_of(kind: str) -> Iterator[Observed]:
    command = [sys.executable, str(Path(__file__)), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Observed(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


@contextmanager
def all_of_them(seconds: int, asked: int, cpu: dict[str, list[float]]) -> Iterator[dict[str, Measures]]:
    """`served` and `asked`: for each contestant a function that measures a rate.

    Those that serve also note in `cpu` the microseconds of processor time of each request.
    """
    served: Measures = {}
    calls: Measures = {}
    with ExitStack() as stack:
        for kind, name in NAMES.items():
            plain, loaded, observing = (stack.enter_context(process_of(kind)) for _ in range(3))
            loaded.tell("observe")
            loaded.tell("leave")
            for state, who in ((NEVER, plain), (BEFORE, loaded), (OBSERVING, observing)):
                label = f"{name}, {state}"
                observe = state == OBSERVING
                cpu[label] = []
                served[label] = partial(serve, who, seconds, cpu[label], observe=observe)
                calls[label] = partial(ask, who, asked, observe=observe)
        for who in served.values():
            who()
        for values in cpu.values():
            values.clear()
        yield {"served": served, "asked": calls}


def serve(who: Observed, seconds: int, cpu: list[float], *, observe: bool) -> float:
    # A new block for each round: one remembers every call, and that should not slow the next round.
    headers = [who.tell("observe")] if observe else []
    before = who.cpu_seconds()
    rate, answers = load.requests_per_second(who.url, seconds, *headers)
    cpu.append(1e6 * (who.cpu_seconds() - before) / answers)
    return rate


def ask(who: Observed, number: int, *, observe: bool) -> float:
    if observe:
        who.tell("observe")
    return float(who.tell("ask", str(number)))


def main(kind: str) -> None:
    contestant = KINDS[kind]()
    url = contestant.start()
    print(url, flush=True)
    block = None
    for line in sys.stdin:
        match line.split():
            case ["observe"]:
                if block is not None:
                    block.__exit__(None, None, None)
                block = labkit.observe()
                block.__enter__()
                from labkit.lens import telemetry

                telemetry.LIMIT = 10**9  # what is not remembered any more costs less
                position = telemetry.here()
                assert position is not None
                headers: dict[str, str] = {}
                telemetry._write_headers(position.leg, headers)
                print(f"{telemetry.TRACESTATE}: {headers[telemetry.TRACESTATE]}", flush=True)
            case ["leave"]:
                assert block is not None
                block.__exit__(None, None, None)
                block = None
                print("left", flush=True)
            case ["ask", number]:
                with requests.Session() as session:
                    began = time.perf_counter()
                    for _ in range(int(number)):
                        session.get(url + "/", timeout=10)
                    print(int(number) / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
