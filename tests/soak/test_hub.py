"""The hub of deploy/hub as a class uses it: everybody logs in at once and runs lesson 01 from top to bottom.

LABKIT_HUB_USERS=20 makes the class larger. The table is printed, no figure of it is asserted.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import nbformat
import psutil
import pytest
import requests
from support import free_ports
from yarl import URL

import labkit

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "hub" / "jupyterhub_config.py"
LESSON = "01_service_discovery.ipynb"
USERS = [f"alumno{number}" for number in range(1, int(os.environ.get("LABKIT_HUB_USERS", "5")) + 1)]
PATIENCE = 200.0  # seconds: a class of 20 starts on two cores

# Where `make soak` puts JupyterHub and its proxy.
HUB = Path(sys.prefix, "hub")
HERE = (HUB / ".ready").exists()

pytestmark = [
    pytest.mark.soak,
    pytest.mark.limit(280 if len(USERS) <= 5 else 900),
    pytest.mark.skipif(not HERE, reason="JupyterHub and its npm proxy are not here: make soak installs them"),
]

# What a student's cells say after the lesson: a service in the kernel and one in a process, which tell what
# they are given.
SERVICES = """
%load_ext labkit
import flask, labkit, os
eco = flask.Flask("eco")
@eco.get("/")
def ver():
    return {"de": os.environ["JUPYTERHUB_USER"], "cabeceras": list(map(list, flask.request.headers))}
labkit.serve(eco, name="eco").port
"""
PROCESS = """%%service eco_proceso
import os, flask
app = flask.Flask("eco")
@app.get("/")
def ver():
    return {"de": os.environ["JUPYTERHUB_USER"], "entorno": dict(os.environ)}
app.run()
"""
PORTS = "[service.port for service in labkit.services() if service.running]"
# What the configuration holds a kernel to: memory, processors, and no ports of its own, which a class that
# comes in at once would draw twice.
LIMITS = """
from ipykernel.kernelapp import IPKernelApp
try:
    bytearray(2 * 10**9)
    cabe = True
except MemoryError:
    cabe = False
caben = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
cabe, caben, IPKernelApp.instance().transport
"""


@contextmanager
def hub(course: Path, configuration: Path) -> Iterator[str]:
    """Run the hub in the folder of a class; yield its address."""
    # Below the ports that the system gives to whoever connects, and another run's are others.
    port = free_ports(len(USERS) + 4, 12_000 + os.getpid() % 500 * 40)
    address = f"http://127.0.0.1:{port}"
    command = [
        *(str(HUB / "bin" / "jupyterhub"), "-f", str(configuration)),
        *(f"--JupyterHub.bind_url={address}", f"--JupyterHub.hub_bind_url=http://127.0.0.1:{port + 1}"),
        f"--LimitedSpawner.first_port={port + 3}",
        f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{port + 2}",
    ]
    with (course / "hub.log").open("w") as log:
        process = subprocess.Popen(command, cwd=course, stdout=log, stderr=log, start_new_session=True)
        try:
            there = f"{address}/hub/api"
            labkit.eventually(lambda: answers(there) or process.poll() is not None, 60, every=0.3)
            assert process.poll() is None, (course / "hub.log").read_text("utf-8")[-3000:]
            yield address
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                for left in family:
                    if left.is_running():
                        left.kill()
                process.kill()


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


@dataclass
class Student:
    """A browser that somebody uses, as far as cookies and websockets go."""

    name: str
    address: str
    session: aiohttp.ClientSession
    kernel: str = ""
    errors: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    ports: tuple[int, ...] = ()

    @property
    def server(self) -> str:
        return f"{self.address}/user/{self.name}"

    def cookies(self) -> dict[str, str]:
        """Return the cookies that the browser sends to the student's own server."""
        cookies = self.session.cookie_jar.filter_cookies(URL(f"{self.server}/"))
        return {name: cookie.value for name, cookie in cookies.items()}

    async def log_in(self) -> None:
        async with self.session.get(f"{self.address}/hub/login") as page:
            token = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        assert token
        form = {"username": self.name, "password": f"la-clave-de-{self.name}", "_xsrf": token[1]}
        async with self.session.post(f"{self.address}/hub/login", data=form, allow_redirects=False) as done:
            assert done.status == 302, await done.text()

    async def come_in(self) -> None:
        """Start the server and wait until its page is there, as the browser's redirections do."""
        end = time.monotonic() + PATIENCE
        page = f"{self.address}/hub/spawn/{self.name}"
        while True:
            async with self.session.get(page) as answer:
                if answer.ok and "/lab" in answer.url.path and answer.url.path.startswith("/user/"):
                    return
                assert answer.status != 500, await answer.text()
                assert time.monotonic() < end, (answer.url, answer.status)
            await asyncio.sleep(0.3)
            page = f"{self.server}/lab"

    async def start_kernel(self) -> None:
        keys = {"X-XSRFToken": self.cookies()["_xsrf"]}
        async with self.session.post(f"{self.server}/api/kernels", headers=keys, json={}) as made:
            assert made.status == 201, await made.text()
            self.kernel = (await made.json())["id"]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        address = f"{self.server}/api/kernels/{self.kernel}/channels"
        parameters = {"session_id": uuid.uuid4().hex, "_xsrf": self.cookies()["_xsrf"]}
        async with self.session.ws_connect(
            address, params=parameters, headers={"Origin": self.address}, max_msg_size=0
        ) as channel:
            yield channel

    async def run(self, channel: aiohttp.ClientWebSocketResponse, code: str) -> tuple[str, str]:
        """Run a cell; return what it showed as text and the error it ended with, if any."""
        message = uuid.uuid4().hex
        header = {
            "msg_id": message,
            "msg_type": "execute_request",
            "session": "x",
            "username": "",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        await channel.send_json(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        )
        text, error = "", ""
        while True:
            got = json.loads((await channel.receive(timeout=PATIENCE)).data)
            if got["parent_header"].get("msg_id") != message:
                continue
            kind, content = got["msg_type"], got["content"]
            if kind == "stream":
                text += str(content["text"])
            elif kind in ("execute_result", "display_data"):
                text += str(content["data"].get("text/plain", ""))
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return text, error

    async def run_all(self, lesson: nbformat.NotebookNode) -> None:
        async with self.connected() as channel:
            for cell in lesson.cells:
                if cell.cell_type == "code":
                    _, error = await self.run(channel, cell.source)
                    if bool(error) != ("raises-exception" in cell.metadata.get("tags", [])):
                        self.errors.append(f"{cell.id}: {error or 'no error'}")

    async def serve(self) -> None:
        async with self.connected() as channel:
            for code in (SERVICES, PROCESS):
                _, error = await self.run(channel, code)
                assert not error, error
            self.ports = tuple(ast.literal_eval((await self.run(channel, PORTS))[0]))
            assert await self.run(channel, LIMITS) == ("(False, 1, 'ipc')", "")

    async def visit(self, owner: Student, port: int) -> tuple[int, str, str]:
        """Open a link to somebody's service, as a browser does; return the status, the path and the page."""
        async with self.session.get(f"{owner.server}/proxy/{port}/") as answer:
            return answer.status, answer.url.path, await answer.text()


async def at_once(students: list[Student], verb: str, *arguments: Any) -> None:
    """Have everybody do the same at once, and note how long each took."""

    async def one(student: Student) -> None:
        began = time.monotonic()
        await getattr(student, verb)(*arguments)
        student.seconds[verb] = time.monotonic() - began

    await asyncio.gather(*map(one, students))


def family(student: str) -> list[psutil.Process]:
    """Return the processes of a student: the server, its kernels and what these started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("JUPYTERHUB_USER") == student:
                found.append(process)
        except psutil.Error:
            continue
    return found


def used(student: str) -> dict[str, float]:
    """Return a student's processor seconds and MB: proportional (shared pages divided) and resident."""
    total: dict[str, float] = Counter()
    for process in family(student):
        memory, times = process.memory_full_info(), process.cpu_times()
        total["pss"] += getattr(memory, "pss", memory.uss) / 1e6
        total["rss"] += memory.rss / 1e6
        total["processor"] += times.user + times.system
    return total


def table(students: list[Student], measured: dict[str, dict[str, float]]) -> str:
    lines = [f"{len(students)} students at once, {psutil.cpu_count()} processors, {LESSON}"]
    lines.append("student   server s  Run All s  processor s  PSS MB  RSS MB  errors")
    for student in students:
        seen = measured[student.name]
        lines.append(
            f"{student.name:9} {student.seconds['come_in']:8.1f} {student.seconds['run_all']:10.1f}"
            f" {seen['processor']:12.1f} {seen['pss']:7.0f} {seen['rss']:7.0f} {len(student.errors):7}"
        )
    return "\n".join(lines)


def listeners(students: list[Student]) -> dict[int, set[int]]:
    """Return who listens on each port: the processes of the students, by number."""
    found: dict[int, set[int]] = defaultdict(set)
    for student in students:
        for process in family(student.name):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found[connection.laddr.port].add(process.pid)
    return found


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "estudiantes.txt").write_text("\n".join(USERS) + "\n", "utf-8")
    return tmp_path


def test_a_class_runs_a_lesson_at_once_and_nobody_enters_anothers_services(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hub(course, CONFIG) as address:
        students, said = asyncio.run(a_class(address))
    with capsys.disabled():
        print("\n" + said)
    assert {student.name: student.errors for student in students} == {name: [] for name in USERS}
    assert all((course / "alumnos" / name / "mi_curso" / LESSON).exists() for name in USERS)


async def a_class(address: str) -> tuple[list[Student], str]:
    """Have everybody come in, run the lesson and visit each other; return them and the table."""
    lesson = nbformat.read(ROOT / "notebooks" / LESSON, 4)
    async with AsyncExitStack() as browsers:
        students = [Student(name, address, await browsers.enter_async_context(browser())) for name in USERS]
        await at_once(students, "log_in")
        await at_once(students, "come_in")
        await at_once(students, "start_kernel")
        await at_once(students, "run_all", lesson)
        said = table(students, {name: used(name) for name in USERS})
        await at_once(students, "serve")
        taken = listeners(students)
        services = [port for student in students for port in student.ports]
        assert len(set(services)) == 2 * len(students)
        assert {port: len(pids) for port, pids in taken.items()} == dict.fromkeys(taken, 1)
        assert set(services) <= set(taken)
        stranger = Student("nadie", address, await browsers.enter_async_context(browser()))
        for student, other in zip(students, students[1:] + students[:1], strict=True):
            await only_the_owner_enters(student, other, stranger)
    return students, said


async def only_the_owner_enters(owner: Student, other: Student, stranger: Student) -> None:
    """Visit each service of the owner's with everybody's cookies; see what the service was given."""
    secrets = {*owner.cookies().values(), *process_token(owner.name)}
    for port in owner.ports:
        status, _, page = await owner.visit(owner, port)
        assert (status, json.loads(page)["de"]) == (200, owner.name)
        assert [secret for secret in secrets if secret.strip('"') in page] == []
        status, _, page = await other.visit(owner, port)
        assert status == 403
        assert '"de"' not in page
        _, path, page = await stranger.visit(owner, port)
        assert path == "/hub/login"
        assert '"de"' not in page


def process_token(student: str) -> set[str]:
    """Return the token that the hub gave the student's server."""
    found = {process.environ().get("JUPYTERHUB_API_TOKEN", "") for process in family(student)} - {""}
    assert found
    return found


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.CookieJar(unsafe=True)
    )  # unsafe: of an address in numbers


def test_a_server_that_nobody_uses_is_stopped(course: Path) -> None:
    """The hub's own configuration, with seconds for its hour."""
    impatient = course / "impatient.py"
    impatient.write_text(
        f"load_subconfig({str(CONFIG)!r})\n"
        "command = c.JupyterHub.services[0]['command']\n"
        "command[-1:] = ['--timeout=1', '--cull-every=1']\n",
        "utf-8",
    )

    async def begin(address: str) -> None:
        """Ask for a server until it is there: by the time its page is, the culler may have stopped it."""
        async with browser() as session:
            student = Student(USERS[0], address, session)
            await student.log_in()
            asking = asyncio.create_task(student.come_in())
            try:
                await labkit.aeventually(lambda: bool(family(USERS[0])), PATIENCE, every=0.05)
            finally:
                asking.cancel()

    with hub(course, impatient) as address:
        asyncio.run(begin(address))
        labkit.eventually(lambda: not family(USERS[0]), 60, every=0.3)
