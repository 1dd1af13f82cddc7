"""A service in a process of its own: it can truly die, and nothing of the notebook's is in it.

This is the kernel's side; what runs over there is labkit.servers.child. The kernel binds the port, hands the
socket over and closes its own copy, so that a port whose process is dead refuses connections. Requests,
prints and errors come back as events and are put into the service's journal; whoever reads the journal first
lets what is on its way come in. Which faults a request meets is decided here, by the same `Faults` as for a
service in a thread, so that counts and seeds are exact and outlive the process.

No process may outlive the kernel, however that ends. Three nets hold. The process sees the end of the pipe
from which it reads commands. It looks who its parent is: a copy of the kernel that C code makes with `fork`
would hold the pipe open (one that Python makes lets go of it). And on Linux the system itself kills the whole
process group when the kernel's end of one more pipe closes (F_SETOWN and F_SETSIG, fcntl(2)), also while the
process is suspended or never gives up Python's lock. It stays in the kernel's session: there a suspended
group whose parent is gone gets SIGHUP and SIGCONT from the system (POSIX, "orphaned process group").
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Any, ClassVar

from labkit import messages
from labkit.entries import Line, Request
from labkit.errors import PortInUse, StartupFailed
from labkit.faults import Fault, FaultPlan, Faults
from labkit.journal import Journal
from labkit.servers import base
from labkit.servers.base import Kind, Program, Server
from labkit.servers.channel import encode, fault_to_wire
from labkit.traces import is_library

SAYING = 10.0  # seconds after which a start that lasts is told of
LONGEST_START = 60.0  # seconds for a program to serve
_SETTLING = 0.5  # seconds that a reader of the journal waits for a process that does not react
_HEARING = 0.3  # seconds for a process to hear that it should stop
_TIDY = 2.6  # seconds for an application's own clean-up hooks, see labkit.servers.aio
_LEAVING = 3.0  # seconds for what a script does after it has served, and for `atexit`
_DYING = 2.0  # seconds for the system to end a process
_LAST_WORDS = 12  # lines shown of a process that ended before it served
_REMEMBERED = 1000  # requests whose handler is done, and whose answer may still be on its way
_LONGEST_LINE = 64 * 1024  # bytes of raw output without an end of line

_WINDOWS = sys.platform == "win32"

# The process's private ends of the pipes are made before anything of the user's runs, so that neither a
# script that reads its input nor what it starts can take a command away or hold a pipe open.
_BOOT = """\
import os, sys
c = os.fdopen(os.dup(0), 'rb', 0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
e = os.dup(1)
os.dup2(2, 1)
h = bytearray()
while b'\\n' not in h:
    b = c.read(1 << 16)
    if not b: os._exit(1)
    h += b
import json
h, _, r = h.partition(b'\\n')
h = json.loads(h)
sys.path[:] = h['path']
from labkit.servers.child import main
main(c, bytes(r), e, h)
"""


@dataclass
class _Served:
    """A request to the process; the context is where its handler stands, for who observes it."""

    request: Request
    met: FaultPlan | None = None
    arrived: float = field(default_factory=time.perf_counter)
    context: Context = field(default_factory=Context)


class ProcessServer(Server):
    """A child process that serves. Threads here read its events and output, await its end, write commands."""

    kind: ClassVar[Kind] = "process"

    def __init__(
        self, listening: socket.socket, name: str, journal: Journal, faults: Faults, program: Program
    ) -> None:
        super().__init__(listening, name, journal, faults)
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._threads: list[threading.Thread] = []
        self._commands: SimpleQueue[bytes | None] = SimpleQueue()
        self._closing = self._paused = self._grace_cut = False
        self._heard, self._stopped, self._gone = (threading.Event() for _ in range(3))
        self._begun = threading.Event()  # it serves, or it does not and never will
        self._failure: list[Any] | None = None
        self._cut = 0
        # Requests by the number that the process gave them: those that last, and the last that are done, for
        # aiohttp answers when the handler is done.
        self._lasting: dict[int, _Served] = {}
        self._done: dict[int, _Served] = {}
        self._calls: dict[int, base.Call] = {}  # that it makes, while somebody observes
        # The faults that the process was told about, by number. The lock is held over what is sent about
        # them, so that none is met there before it is told nor after it is forgotten.
        self._told: dict[int, Fault] = {}
        self._told_in_order = threading.Lock()
        self._numbers = count(1)
        self._echoes: dict[str, threading.Event] = {}
        self._deaf = False  # it did not react lately: nobody waits for it again before it does
        self._events: dict[str, Callable[..., None]] = {
            "begin": self._on_begin,
            "trace": self._on_trace,
            "answer": self._on_answer,
            "done": self._on_done,
            "line": self._on_line,
            "meet": self._on_meet,
            "apply": self._on_apply,
            "call": self._on_call,
            "called": self._on_called,
            "echo": self._on_echo,
            "ready": self._on_ready,
            "failed": self._on_failed,
            "stopping": self._heard.set,
            "stopped": self._on_stopped,
        }

    # its life, from any thread

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._gone.is_set() else self._process.pid

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None or not self._gone.is_set() else self._process.returncode

    def start(self) -> None:
        try:
            self._launch()
            began, said = time.monotonic(), False
            while not self._begun.wait(0.1):  # an interrupt may be lost, on Windows always, without a limit
                waited = time.monotonic() - began
                if waited > LONGEST_START:
                    raise StartupFailed(messages.NEVER_STARTED.format(name=self.name, limit=LONGEST_START))
                if waited > SAYING and not said:
                    said = True
                    print(messages.STILL_STARTING.format(name=self.name, limit=LONGEST_START))
        except BaseException:  # an interrupt of the cell while the script begins
            self.kill()
            raise
        if self._failure is not None or self._gone.is_set():
            self._closing = True
            if not self._gone.wait(_LEAVING):
                self.kill()
            self._raise_failure()

    def stop(self, grace: float) -> int:
        self._closing = True
        if self._paused:
            self._suspend(False)
        end = time.monotonic() + grace
        self._tell("stop", grace)
        try:
            self._wait(self._heard, end + _HEARING)
            if self._heard.is_set():
                self._wait(self._stopped, end + _TIDY)
            if self._stopped.is_set():
                self._gone.wait(_LEAVING)
        finally:  # an interrupt of the cell ends the grace
            if not self._gone.is_set():
                self._cut = max(self._cut, len(self._lasting))
                self.kill()
        return self._cut

    def cut_grace(self) -> None:
        self._grace_cut = True
        self._tell("cut_grace")

    def kill(self) -> None:
        self._closing = True
        if self._process is None:
            return
        self._kill_all()
        end = time.monotonic() + _DYING
        while not self._gone.wait(0.1) and time.monotonic() < end:
            pass

    def pause(self) -> None:
        # First it holds its answers back, like a service in a thread; then the system takes it off the
        # processor. So whoever gave up meanwhile is not served when it goes on.
        self._tell("pause")
        self._sync()
        self._suspend(True)
        self._paused = True

    def resume(self) -> None:
        self._suspend(False)
        self._paused = False
        self._tell("resume")
        self._sync()

    def wake(self) -> None:
        with self._told_in_order:
            cleared = [number for number, fault in self._told.items() if fault.cleared]
            for number in cleared:
                del self._told[number]
            self._tell("faults", bool(self.faults.active), cleared)
        self._sync()  # the next request meets what was injected

    def observe(self, on: bool) -> None:
        self._tell("observe", on)
        self._sync()  # what it is asked next is observed
        if not on:
            self._calls.clear()

    # starting

    def _launch(self) -> None:
        host, port = self.listening.getsockname()[:2]
        environment = {**os.environ, "PORT": str(port)}
        if environment.get("MPLBACKEND", "").startswith("module://"):  # the kernel's own, for its cells
            del environment["MPLBACKEND"]
        for key in ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"):  # the user's, to a hub: no service needs it
            environment.pop(key, None)
        handed: list[int] = [] if _WINDOWS else [self.listening.fileno()]
        lifeline: int | None = None
        if sys.platform == "linux":
            lifeline, self._lifeline = os.pipe()
            handed.append(lifeline)
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-c", _BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                # A group of its own: an interrupt of the cell goes to the kernel's group.
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                process_group=None if _WINDOWS else 0,
                pass_fds=handed,
            )
        except BaseException:
            self._close_lifeline()
            raise
        finally:
            if lifeline is not None:
                os.close(lifeline)
        for work in (self._listen, self._read_output, self._reap, self._write):
            thread = threading.Thread(target=work, name=f"labkit-{self.name}", daemon=True)
            self._threads.append(thread)
            Context().run(thread.start)  # a service is no part of what the code that starts it does
        self.journal.settling = self._sync
        hello = {
            "path": sys.path,
            "name": self.name,
            "socket": self._handed_over(process.pid),
            "address": [host, port],
            "lifeline": lifeline,
            "parent": os.getpid(),
            "faults": bool(self.faults.active),
            "observed": base.watcher is not None,
            "argv": [self.name, *self._program.arguments],
            "text": self._program.text,
            "target": self._program.target,
            "file": messages.SCRIPT_FILE.format(name=self.name),
            "own_port": self._program.own_port,
        }
        self._send(json.dumps(hello).encode() + b"\n")
        self.listening.close()
        self.faults.attach(self)
        base.tell(self)
        # Again: both may have changed since.
        self._tell("faults", bool(self.faults.active), [])
        self._tell("observe", base.watcher is not None)

    def _handed_over(self, pid: int) -> int | str:
        if sys.platform == "win32":
            return base64.b64encode(self.listening.share(pid)).decode("ascii")
        return self.listening.fileno()

    def _raise_failure(self) -> None:
        if self._failure is not None and self._failure[0] == "port":
            _, host, port = self._failure
            from labkit.sockets import owner_of

            raise PortInUse(host, port, owner_of(port))
        if self._failure is not None:
            raise StartupFailed(messages.STARTUP_FAILED.format(name=self.name, text=self._failure[1]))
        code = self.exit_code
        text = messages.STARTUP_ENDED.format(name=self.name, how=messages.how_it_ended(code))
        raise StartupFailed("\n".join([text, *self.journal.lines[-_LAST_WORDS:]]), code)

    # speaking to the process

    def _tell(self, *command: Any) -> None:
        self._send(encode(list(command)))

    def _send(self, data: bytes) -> None:
        self._commands.put(data)

    def _write(self) -> None:
        """Write commands, in a thread of its own: a process that is stopped lets its pipe fill."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it is gone: its end is seen elsewhere
            with self._process.stdin as pipe:
                while (data := self._commands.get()) is not None:
                    pipe.write(data)
                    pipe.flush()

    def _sync(self) -> None:
        """Wait, for a moment, until the process's events are in and its commands are done."""
        if self._paused or self._deaf or self._gone.is_set() or threading.current_thread() in self._threads:
            return
        number = next(self._numbers)
        said, written = threading.Event(), threading.Event()
        self._echoes |= {f"said {number}": said, f"written {number}": written}
        self._tell("sync", number)
        end = time.monotonic() + _SETTLING
        if not (said.wait(_SETTLING) and written.wait(max(0.0, end - time.monotonic()))):
            self._deaf = not self._gone.is_set()

    def _suspend(self, on: bool) -> None:
        process = self._process
        if process is None or self._gone.is_set():
            return
        if sys.platform == "win32":
            import psutil

            with contextlib.suppress(psutil.NoSuchProcess):
                found = psutil.Process(process.pid)
                found.suspend() if on else found.resume()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGSTOP if on else signal.SIGCONT)

    def _kill_all(self) -> None:
        process = self._process
        assert process is not None
        if self._gone.is_set():
            return
        if sys.platform == "win32":
            process.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: of a group of zombies
            os.killpg(process.pid, signal.SIGKILL)

    def _wait(self, event: threading.Event, end: float) -> None:
        while not (event.is_set() or self._gone.is_set() or self._grace_cut) and time.monotonic() < end:
            event.wait(min(0.05, max(0.0, end - time.monotonic())))
        if self._grace_cut and not event.is_set():
            event.wait(_HEARING)

    # hearing it, in threads of its own

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as events:
            for line in events:
                try:
                    name, *facts = json.loads(line)
                    self._events[name](*facts)
                except Exception as error:  # a line cut off by its death; or whatever: the others still count
                    if not self._closing and line.endswith(b"\n"):
                        self.journal.error(error)

    def _on_begin(self, number: int, method: str, path: str, started: float) -> None:
        self._lasting[number] = served = _Served(self.journal.begin(method, path))
        served.request.started = started

    def _on_trace(self, number: int, traceparent: str | None, tracestate: str | None) -> None:
        watcher, served = base.watcher, self._find(number)
        if watcher is not None and served is not None:
            # In a context of its own: it says where the handler stands, which is not here.
            served.context.run(watcher, self.name, served.request, traceparent, tracestate)

    def _on_answer(self, number: int, status: int) -> None:
        served = self._find(number)
        if served is not None:
            self.journal.answer(served.request, status)

    def _on_done(self, number: int, duration: float) -> None:
        served = self._lasting.pop(number, None)
        if served is None:
            return
        self.journal.done(served.request, duration)
        self._done[number] = served
        if len(self._done) > _REMEMBERED:
            del self._done[next(iter(self._done))]

    def _find(self, number: int) -> _Served | None:
        return self._lasting.get(number) or self._done.get(number)

    def _on_call(self, ticket: int, number: int, method: str, url: str, path: str, order: list[int]) -> None:
        caller, served = base.caller, self._find(number)
        headers: dict[str, str] | None = None
        if caller is not None and served is not None:
            call = served.context.run(caller, method, url, path, tuple(order))
            if call is not None:
                self._calls[ticket], headers = call, {}
                call.write_headers(headers)
        self._tell("answered", ticket, headers)

    def _on_called(self, ticket: int, status: int | None, error: str | None, over: bool) -> None:
        call = self._calls.get(ticket)
        if call is None:
            return
        if status is not None:
            call.status = status
        if error is not None:
            call.error = error
        if over:
            call.end()
        else:
            call.go_on()

    def _on_line(self, kind: Any, text: str, detail: str, moment: float) -> None:
        self.journal.add(Line(kind, text, detail, moment))

    def _on_meet(self, number: int, method: str, target: str, path: str, started: float) -> None:
        met = self.faults.meet(self.journal, method, target, path)
        met.request.started = started
        self._lasting[number] = _Served(met.request, met)
        with self._told_in_order:
            hits = [(self._key_of(fault), seconds) for fault, seconds in met.hits]
            self._tell("met", number, hits)

    def _key_of(self, fault: Fault) -> int:
        """Return the fault's number in the process, which is told of a fault that it does not know."""
        key = next((key for key, told in self._told.items() if told is fault), None)
        if key is None:
            key = next(self._numbers)
            self._told[key] = fault
            self._tell("fault", key, fault_to_wire(fault))
        return key

    def _on_apply(self, number: int, key: int) -> None:
        served, fault = self._find(number), self._told.get(key)
        met = None if served is None else served.met
        self._tell("answered", number, met is not None and fault is not None and met.apply(fault))

    def _on_echo(self, number: int) -> None:
        self._echo(f"said {number}")

    def _echo(self, key: str) -> None:
        event = self._echoes.pop(key, None)
        if event is not None:
            self._deaf = False
            event.set()

    def _on_ready(self, host: str, port: int) -> None:
        self.address = (host, port)
        self._begun.set()

    def _on_failed(self, *failure: Any) -> None:
        self._failure = list(failure)
        self._begun.set()

    def _on_stopped(self, cut: int) -> None:
        self._cut = cut
        self._stopped.set()

    def _read_output(self) -> None:
        """Read what did not come through Python's streams: of C code, other programs, a crash."""
        assert self._process is not None
        assert self._process.stderr is not None
        rest = b""
        with self._process.stderr as output:
            while data := os.read(output.fileno(), 1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    if _MARK in line:
                        line, _, mark = line.rpartition(_MARK)
                        self._echo(f"written {mark.decode()}")
                        rest = line + rest
                    else:
                        self._add_output(line)
        if rest:
            self._add_output(rest)

    def _add_output(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip("\r")
        frame = _FRAME.match(text)
        if text.startswith(_EXTENSIONS) or (frame and (is_library(frame[1]) or frame[1] == "<string>")):
            return  # of faulthandler's words: how we got there, and what else is loaded
        self.journal.add(Line("print", _THREAD.sub(r"\1", text)))

    def _reap(self) -> None:
        process = self._process
        assert process is not None
        if sys.platform == "linux":
            # Its number stays its own until it is waited for, so the rest of its group can be told apart.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            self._kill_all()
        process.wait()
        for thread in self._threads[:2]:
            thread.join(_LEAVING)  # one that a program in another session holds up is left to it
        for served in list(self._lasting.values()):
            self.journal.done(served.request, time.perf_counter() - served.arrived)
        if self.journal.settling == self._sync:
            self.journal.settling = None
        if self._begun.is_set() and self._failure is None and not self._closing:
            by_itself = True
            self.journal.note(messages.PROCESS_ENDED.format(how=messages.how_it_ended(process.returncode)))
        else:
            by_itself = False
        self._close_lifeline()
        self._commands.put(None)
        self._gone.set()
        self.ended = by_itself  # now that there is an exit code to go with it
        for event in (self._begun, self._heard, *self._echoes.values()):
            event.set()

    def forget(self) -> None:
        self._commands, self._gone = SimpleQueue(), threading.Event()
        self._gone.set()
        self._close_lifeline()
        self.listening.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.raw.close()  # type: ignore[attr-defined]

    def _close_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


_MARK = b"\x1elabkit "  # in the raw output, followed by the number of a sync
_FRAME = re.compile(r'  File "(.*)", line \d+ in ')
_EXTENSIONS = "Extension modules: "
_THREAD = re.compile(r"^((?:Current t|T)hread) 0x[0-9a-f]+")  # faulthandler: another number on each run
