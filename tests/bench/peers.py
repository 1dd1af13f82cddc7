"""labkit beside everything else that serves from a notebook: each contestant in a Jupyter kernel of its own.

This file is both sides. In the kernel a Host starts and stops services and reads the clock; outside, a Kernel
sends it one question at a time, so that only one of them works while it is measured. What they serve is the
Flask app of apps.py, except pytest-httpserver, whose way is an answer of its own, and the bare ASGI function.

The first answer comes over a bare socket: a client as heavy as requests would make everybody look alike.
"""

from __future__ import annotations

import ast
import gc
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import load
import psutil
from apps import ANSWER
from jupyter_client.manager import KernelManager

LABKIT, LABKIT_PROCESS, FLASK_RUN = "labkit", "labkit, process", "`flask run`, process"
FIELD = {
    LABKIT: "LabkitFlask",
    "`make_server` in a thread": "BareWerkzeug",
    "pytest-httpserver": "PytestHttpserver",
    "Dash in a notebook": "DashInNotebook",
    "Gradio's way: uvicorn, a2wsgi": "GradioWay",
    "uvicorn, bare ASGI function": "PlainUvicorn",
    FLASK_RUN: "FlaskRun",
    LABKIT_PROCESS: "LabkitProcess",
}
PROCESSES = {FLASK_RUN, LABKIT_PROCESS}
ONE_LABKIT, ONE_FLASK = "labkit, one replica", "`flask run`, one"
TEN_LABKIT, TEN_FLASK = "labkit, ten replicas", "`flask run`, ten at once"
AT_ONCE = {
    ONE_LABKIT: "LabkitProcess",
    TEN_LABKIT: "LabkitTenProcesses",
    ONE_FLASK: "FlaskRun",
    TEN_FLASK: "FlaskRunTen",
}
CONNECTIONS = [1, 16, 64]
STEPS = [1, 10, 100, 250, 500]  # the n-th service to be started, the others running
CROWD = 100  # services, for memory
FEW = 20  # what stands for a crowd where each is a process
AROUND = 2  # neighbours on each side that have a say in the time of the n-th
DESCRIPTORS = 10_000  # what macOS allows at most
POLL = 0.5  # seconds, of socketserver's serve_forever
PATIENCE = 120.0  # seconds for an answer of a kernel


Values = dict[str, list[float]]


# In the kernel


class Host:
    """One contestant, as often as wanted."""

    def __init__(self, name: str) -> None:
        import contestants

        self.descriptors = raise_descriptor_limit()
        self.make: Callable[[], Any] = getattr(contestants, name)
        self.up: list[Any] = []
        self.life()  # pays for imports, and fails here if it cannot run

    def life(self, seconds: float = 0.0) -> tuple[float, float]:
        """Milliseconds: start to first answer; stop until it has returned and connections are refused.

        `seconds`: how long it lives. Servers that look every so often whether they shall stop would always
        be met at the same moment, the worst, if the stop came right after the start.
        """
        contestant, urls, started = self._start()
        time.sleep(seconds)
        began = time.perf_counter()
        contestant.stop()
        for url in urls:
            wait_until_refused(url)
        return started, 1e3 * (time.perf_counter() - began)

    def climb(self, number: int) -> list[float]:
        """Start more, until so many are up; the milliseconds of each to its first answer."""
        times = []
        while len(self.up) < number:
            contestant, urls, started = self._start()
            self.up.append((contestant, urls))
            times.append(started)
        return times

    def urls(self) -> list[str]:
        return [url for _, urls in self.up for url in urls]

    def memory(self) -> float:
        """MiB of this process and its children; on Linux what they share is counted once (PSS)."""
        gc.collect()
        here = psutil.Process()
        infos = [process.memory_full_info() for process in [here, *here.children(recursive=True)]]
        return sum(getattr(info, "pss", info.uss) for info in infos) / 2**20

    def end(self) -> None:
        with ThreadPoolExecutor(len(self.up)) as pool:  # at once: some need half a second each
            list(pool.map(lambda one: one[0].stop(), self.up))
        for url in self.urls():
            wait_until_refused(url)
        self.up.clear()

    def _start(self) -> tuple[Any, list[str], float]:
        contestant = self.make()
        began = time.perf_counter()
        urls = contestant.start().split()
        for url in urls:
            ask(url)
        return contestant, urls, 1e3 * (time.perf_counter() - began)


def ask(url: str) -> None:
    """Get an answer; a refused connection is tried again."""
    address = urlsplit(url)
    host, port = str(address.hostname), address.port or 80
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=30)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
    with connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        # Not until the connection closes: werkzeug drains it for 10 ms, in case the client goes on sending.
        while not answer.endswith(ANSWER.encode()) and (piece := connection.recv(65536)):
            answer += piece
    if not answer.split(b"\r\n")[0].endswith(b" 200 OK") or not answer.endswith(ANSWER.encode()):
        raise RuntimeError(f"{url}: {answer!r}")


def wait_until_refused(url: str) -> None:
    address = urlsplit(url)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection((str(address.hostname), address.port or 80), timeout=30).close()
        except OSError:
            return
        time.sleep(0.0005)
    raise RuntimeError(f"{url} still answers")


def raise_descriptor_limit() -> int:
    """Raise and return it (0: there is none): 500 services hold a few thousand descriptors."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


# Outside


class CannotRun(RuntimeError):
    """A contestant that does not run here, and why, in a line."""


class Kernel:
    """A kernel with a Host in it."""

    def __init__(self, name: str) -> None:
        self.manager = KernelManager()
        # Its errors come back as replies; what it prints besides is none of a table's business.
        self.manager.start_kernel(cwd=str(Path(__file__).parent), stderr=subprocess.DEVNULL)
        self.client: Any = self.manager.blocking_client()
        self.client.start_channels()
        self.process: psutil.Process | None = None
        try:
            self.client.wait_for_ready(timeout=PATIENCE)
            self.process = psutil.Process(self._execute("import os; answer = os.getpid()"))
            self._execute(f"import peers; host = peers.Host({name!r}); answer = None")
        except BaseException:
            self.end()
            raise

    def ask(self, question: str) -> Any:
        """What `host` answers, a literal."""
        return self._execute(f"answer = host.{question}")

    def end(self) -> None:
        children = self.process.children(recursive=True) if self.process else []
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        for child in children:  # of a measurement that was broken off
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def _execute(self, code: str) -> Any:
        wanted = {"answer": "globals().get('answer')"}
        reply = self.client.execute(code, user_expressions=wanted, reply=True, timeout=PATIENCE)["content"]
        if reply["status"] != "ok":
            raise CannotRun(f"{reply['ename']}: {reply['evalue']}".splitlines()[0])
        return ast.literal_eval(reply["user_expressions"]["answer"]["data"]["text/plain"])


@contextmanager
def kernels(names: dict[str, str], absent: dict[str, str]) -> Iterator[dict[str, Kernel]]:
    """A kernel for each that can run; in `absent` why the others cannot."""
    with ExitStack() as stack:
        running = {}
        for name, contestant in names.items():
            try:
                running[name] = Kernel(contestant)
            except CannotRun as reason:
                absent[name] = str(reason)
            else:
                stack.callback(running[name].end)
        yield running


@dataclass
class Found:
    """What was measured, by contestant, a value for each round; and who could not be measured, and why."""

    start: Values = field(default_factory=dict)  # ms
    stop: Values = field(default_factory=dict)  # ms
    rates: dict[int, Values] = field(default_factory=dict)  # requests per second, by connections
    memory: Values = field(default_factory=dict)  # MiB for a crowd
    climbs: dict[int, Values] = field(default_factory=dict)  # ms to start the n-th, by n
    descriptors: int = 0  # the limit; 0: none
    absent: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def excuse(self, name: str) -> Iterator[None]:
        """Who fails on the way is told as absent, with the reason; the others go on."""
        try:
            yield
        except (RuntimeError, TimeoutError) as reason:
            self.absent[name] = str(reason)

    def still(self, names: Iterable[str], number: int) -> list[str]:
        """Who takes part in a round, in its order."""
        names = [name for name in names if name not in self.absent]
        return names if number % 2 == 0 else names[::-1]


def measure(lives: int, loads: int, load_seconds: int, tens: int, climbs: int) -> Found:
    """So many rounds of each; every other round goes in reverse order."""
    found = Found()
    with kernels(FIELD, found.absent) as running:
        measure_lives(running, lives, found)
        measure_rates(running, loads, load_seconds, found)
    with kernels(AT_ONCE, found.absent) as running:
        measure_lives(running, tens, found)
    for number in range(climbs):
        for name in found.still(FIELD, number):
            with found.excuse(name):
                measure_climb(name, found)
    return found


def measure_lives(running: dict[str, Kernel], rounds: int, found: Found) -> None:
    for number in range(rounds):
        seconds = POLL * (number + 0.5) / rounds  # spread evenly, and the same for all
        for name in found.still(running, number):
            with found.excuse(name):
                started, stopped = running[name].ask(f"life({seconds})")
                found.start.setdefault(name, []).append(started)
                found.stop.setdefault(name, []).append(stopped)


def measure_rates(running: dict[str, Kernel], rounds: int, seconds: int, found: Found) -> None:
    urls = {}
    for name in found.still(running, 0):
        running[name].ask("climb(1)")
        urls[name] = running[name].ask("urls()")[0] + "/"
    for number in range(rounds):
        for connections in CONNECTIONS:
            for name in found.still(urls, number):
                with found.excuse(name):
                    rate, _ = load.requests_per_second(urls[name], seconds, connections=connections)
                    found.rates.setdefault(connections, {}).setdefault(name, []).append(rate)
    for name in urls:
        running[name].ask("end()")


def measure_climb(name: str, found: Found) -> None:
    """A fresh kernel fills up with services, one after the other, each asked once."""
    crowd, top = (FEW, FEW) if name in PROCESSES else (CROWD, STEPS[-1] + AROUND)
    with kernels({name: FIELD[name]}, found.absent) as running:
        if name not in running:
            return
        kernel = running[name]
        found.descriptors = kernel.ask("descriptors")
        before = kernel.ask("memory()")
        times = kernel.ask(f"climb({crowd})")
        growth = kernel.ask("memory()") - before
        found.memory.setdefault(name, []).append(growth * CROWD / crowd)
        times += kernel.ask(f"climb({top})")
        for step in [step for step in STEPS if step <= top]:
            near = times[max(0, step - 1 - AROUND) : step + AROUND]
            found.climbs.setdefault(step, {}).setdefault(name, []).append(median(near))
        kernel.ask("end()")
