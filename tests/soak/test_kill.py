"""kill -9 of the kernel in the middle of everything: nothing is left after two seconds.

Each kernel has services in threads, a process of a cell's text and a group of replicas in processes, all on
ports that are known beforehand. It then starts, stops, pauses, restarts and calls them without end, and is
killed at some moment of that: the seed says after how many operations, and the noise of the machine says in
which instruction.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import uuid
from pathlib import Path

import psutil
import pytest
from kernels import Kernel, kernel
from support import can_bind, eventually, free_ports, soak

SECONDS = 2.0  # in which all must be gone
MARK = "LABKIT_TEST_FAMILY"  # in the environment of a kernel and of whatever it starts

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")

BEGIN = """
import random, threading, time
import flask, requests
from aiohttp import web
import labkit

ports = {ports!r}
rng = random.Random({seed})
FLASK = "import flask\\ndef app(name):\\n    return flask.Flask(name)\\n"
AIOHTTP = "from aiohttp import web\\napp = web.Application()\\n"

def thread(name, port):
    labkit.serve(lambda: flask.Flask(name), name=name, port=port)

def loop(name, port):
    labkit.serve(web.Application, name=name, port=port)

def process(name, port):
    from labkit.servers.base import Program
    labkit.serve(Program(text=AIOHTTP), name=name, port=port, isolation="process")

def replicas(name, port):
    from labkit.servers.base import Program
    labkit.serve(Program(text=FLASK), name=name, port=port, isolation="process", replicas=3)

kinds = {{"thread": thread, "loop": loop, "process": process, "replicas": replicas}}
for kind, serve in kinds.items():
    serve(kind, ports[kind])
"""

LIFE = """
def operate():
    kind = rng.choice(list(kinds))
    service = labkit.services()[f"replicas-{{rng.randint(1, 3)}}" if kind == "replicas" else kind]
    what = rng.choice(["stop", "restart", "pause", "kill", "call", "serve"])
    if what == "serve":
        kinds[kind](kind, ports[kind])
    elif what == "call":
        try:
            requests.get(service.url, timeout=0.05)
        except requests.RequestException:
            pass
    elif what != "pause" or service.running:
        getattr(service, what)()

with open({path!r}, "w") as file:
    while True:
        operate()
        file.write(".")
        file.flush()
"""


def family(mark: str) -> list[psutil.Process]:
    """Every process that carries the mark in its environment, whoever its parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("seed", [0, 1, *map(soak, range(2, 20))])
def test_nothing_outlives_a_kernel_that_is_killed_in_the_middle_of_everything(
    seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    mark, count = uuid.uuid4().hex, tmp_path / "count"
    first = free_ports(6, 20_000 + 40 * seed)
    ports = {"thread": first, "loop": first + 1, "process": first + 2, "replicas": first + 3}
    with kernel(env={MARK: mark}) as running:
        running.ok(BEGIN.format(ports=ports, seed=seed))
        before = family(mark)
        assert len(before) >= 1 + 1 + 3, "the kernel, a process, three replicas"
        assert not any(map(can_bind, range(first, first + 6)))
        running.start(LIFE.format(path=str(count)))
        enough = rng.randint(0, 12)
        eventually(lambda: enough == 0 or (count.exists() and len(count.read_text()) >= enough))
        os.kill(pid_of(running), signal.SIGKILL)
        try:
            eventually(
                lambda: not family(mark) and all(map(can_bind, range(first, first + 6))), timeout=SECONDS
            )
        finally:
            for process in family(mark):
                process.kill()


def pid_of(running: Kernel) -> int:
    provisioner = running.manager.provisioner
    assert provisioner is not None
    pid = provisioner.pid  # type: ignore[attr-defined]
    assert isinstance(pid, int)
    return pid
