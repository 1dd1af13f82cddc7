"""The program of a service's own process: a script or a module's application, served as in the kernel.

The servers are the same as for a service in a thread; journal and faults are stand-ins that speak to the
kernel (labkit.servers.process). A script runs as `__main__`, in the main thread. `app.run()` and
`web.run_app()` serve and block there, and return when the service is stopped, as they do after Ctrl-C.

The start counts: what is imported here is imported on each start, so nothing is that is not needed.
"""

from __future__ import annotations

import _thread
import base64
import faulthandler
import importlib
import importlib.util
import inspect
import itertools
import json
import linecache
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

from labkit import capture, messages, sockets
from labkit.entries import DURATION, STARTED, STATUS, Line, Noted, Request
from labkit.errors import BadArgument, LabkitError, PortInUse
from labkit.faults import Fault, FaultPlan, Faults
from labkit.journal import Journal
from labkit.servers import base
from labkit.servers.base import Server
from labkit.servers.channel import encode, fault_from_wire
from labkit.servers.recipe import make_thread_server, recognise

_WAITING = 1.0  # seconds for a script that listens somewhere to serve in another way
_LOOKING = 0.25  # seconds from one look at who the parent is to the next
_F_SETSIG = 10  # of Linux's fcntl.h; Python's fcntl does not name it
_NAMES = ("app", "application", "aplicacion", "create_app", "make_app", "build_app", "crear_app")

_IMPORTLIB = os.path.dirname(importlib.__file__)
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main(commands: BinaryIO, heard: bytes, events: int, hello: dict[str, Any]) -> NoReturn:
    """Serve what the kernel says in its first line, until it says stop.

    `heard`: what came behind that line already.
    """
    child = Child(commands, heard, Channel(events), hello)
    child.begin()
    sys.exit(child.run())


class Channel:
    """Events to the kernel, from any thread, in whole lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()  # reentrant: the garbage collector may run a finalizer that speaks
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self._lock = threading.RLock()

    def send(self, *event: Any) -> None:
        """Send an event. Waits while the kernel is slow to read, so that nothing piles up here."""
        data = memoryview(encode(list(event)))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:  # the kernel is gone, and so are we in a moment
                pass


class Reporter(Journal):
    """A journal that keeps nothing: it tells the kernel, whose journal it is."""

    def __init__(self, name: str, channel: Channel) -> None:
        super().__init__(limit=0, name=name)
        self._send = channel.send
        self._numbers = itertools.count(1)

    def arrival(self, method: str, path: str) -> Noted:
        """Note a request that the kernel has yet to be told about, with what the kernel will know it by."""
        return [method, path, None, time.time(), None, (), next(self._numbers)]

    def begin(self, method: str, path: str) -> Noted:
        noted = self.arrival(method, path)
        self._send("begin", number_of(noted), method, path, noted[STARTED])
        return noted

    def answer(self, noted: Noted, status: int) -> None:
        noted[STATUS] = status
        self._send("answer", number_of(noted), status)

    def done(self, noted: Noted, duration: float) -> None:
        noted[DURATION] = duration
        self._send("done", number_of(noted), duration)

    def add(self, line: Line) -> None:
        self._send("line", line.kind, line.text, line.detail, line.time)


def number_of(noted: Noted) -> int:
    """Return the number that the Reporter gave a request."""
    return int(noted[-1])


class Answers:
    """Questions to the kernel, each waiting for its answer."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: dict[int, tuple[threading.Event, list[Any]]] = {}

    def ask(self, number: int, *question: Any) -> Any:
        """Return the kernel's answer to the question; one at a time for each number."""
        arrived, answer = self._waiting[number] = (threading.Event(), [])
        self._channel.send(*question)
        arrived.wait()
        return answer[0]

    def take(self, number: int, answer: Any) -> None:
        """Hand the kernel's answer to the thread that waits for it."""
        arrived, holder = self._waiting.pop(number)
        holder.append(answer)
        arrived.set()


# What a request meets: the fault's number in the kernel, its double here, and for how many seconds.
Hit = tuple[int, Fault, float | None]


class RemoteFaults(Faults):
    """The faults of the service, which live in the kernel: there it is decided, here they act."""

    def __init__(self, name: str, channel: Channel, answers: Answers) -> None:
        super().__init__(name)
        self._channel = channel
        self._answers = answers
        self._doubles: dict[int, Fault] = {}
        # Servers look whether there are any: one that stands for all.
        self._some = (Fault.__new__(Fault),)

    def set_active(self, active: bool) -> None:
        self.active = self._some if active else ()

    def meet(self, journal: Journal, method: str, target: str, path: str) -> FaultPlan:
        assert isinstance(journal, Reporter)
        noted = journal.arrival(method, target)
        number = number_of(noted)
        hits = self._answers.ask(number, "meet", number, method, target, path, noted[STARTED])
        return RemoteFaultPlan(noted, hits, self._answers)

    # From the thread that hears commands, in the order in which they were sent: what a request meets has been
    # told before, and is looked up before it can be forgotten.

    def tell(self, key: int, facts: dict[str, Any]) -> None:
        self._doubles[key] = fault_from_wire(facts)

    def met(self, hits: list[tuple[int, float | None]]) -> list[Hit]:
        return [(key, self._doubles[key], seconds) for key, seconds in hits]

    def forget(self, cleared: list[int]) -> None:
        for key in cleared:
            self._doubles.pop(key).cleared = True
        for server in list(self._servers):
            server.wake()


class RemoteFaultPlan(FaultPlan):
    """A request and the doubles of the faults that it meets; the kernel counts what they do."""

    def __init__(self, noted: Noted, hits: list[Hit], answers: Answers) -> None:
        super().__init__(noted, [(double, seconds) for _, double, seconds in hits])
        self._keys = {id(double): key for key, double, _ in hits}
        self._answers = answers

    def apply(self, fault: Fault) -> bool:
        number = number_of(self.noted)
        return bool(self._answers.ask(number, "apply", number, self._keys[id(fault)]))


class Position:
    """The trace context of the code that answers a request; see labkit.lens.telemetry.

    Here calls only get their order; the kernel knows the rest.
    """

    def __init__(self, child: Child, number: int, prefix: tuple[int, ...] = ()) -> None:
        self._child, self._number, self._prefix = child, number, prefix
        self._count = itertools.count()

    @property
    def observed(self) -> bool:
        return self._child.observing

    def _next(self) -> tuple[int, ...]:
        return (*self._prefix, next(self._count))

    def fork(self) -> Position:
        return Position(self._child, self._number, self._next())

    def begin(self, method: str, url: str, path: str) -> RemoteCall | None:
        return self._child.call(self._number, method, url, path, self._next())


class RemoteCall:
    """A call that this process makes, of which the kernel makes a span."""

    def __init__(self, channel: Channel, ticket: int, headers: dict[str, str]) -> None:
        self.status: int | None = None
        self._channel, self._ticket, self._headers = channel, ticket, headers
        self._over = False

    def write_headers(self, headers: MutableMapping[str, str]) -> Callable[[], None]:
        """Inject the trace context into the headers, as labkit.lens.telemetry does."""
        from labkit import client_hooks  # here and below: loaded already, by whoever observes

        return client_hooks.inject(self._headers, headers)

    def end(self) -> None:
        if not self._over:
            self._tell(None, True)

    def go_on(self) -> None:
        self._tell(None, False)

    def fail(self, error: BaseException) -> None:
        if not self._over:
            from labkit import client_hooks

            self._tell(client_hooks.failure_of(error, self.status), True)

    def _tell(self, error: str | None, over: bool) -> None:
        self._over = over
        self._channel.send("called", self._ticket, self.status, error, over)


class Child:
    """The process: what it was told, what it serves, and the thread that hears commands."""

    def __init__(self, commands: BinaryIO, heard: bytes, channel: Channel, hello: dict[str, Any]) -> None:
        self.name: str = hello["name"]
        self._hello = hello
        self._commands, self._heard = commands, heard
        self._channel = channel
        self._answers = Answers(channel)
        self._journal = Reporter(self.name, channel)
        self._faults = RemoteFaults(self.name, channel, self._answers)
        self._faults.set_active(hello["faults"])
        self._observing = self._hooked = False
        self._output = os.dup(2)  # our own: a script may put anything in the place of 2
        self._listening: socket.socket | None = _take_over(hello["socket"])
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._serving = False
        self._over = threading.Event()
        self._tickets = itertools.count(1)
        self._originals: dict[str, Any] = {}  # of what is replaced
        self._taken_in = False  # a server of the script's own answers for the service

    # the process

    def begin(self) -> None:
        """Set up nets, streams, signals and stand-ins, before any of the user's code runs."""
        _be_killed_with(self._hello["lifeline"])
        threading.Thread(target=self._run_commands, name="labkit-commands", daemon=True).start()
        faulthandler.enable(self._output, all_threads=False)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        capture.current.set(self._journal)
        capture.begin()
        base.watcher = self._watch
        sys.argv = list(self._hello["argv"])
        _when_imported("flask.app", lambda module: setattr(module.Flask, "run", self._flask_run()))
        _when_imported("werkzeug.serving", lambda module: self._replace(module, self.run_simple))
        _when_imported("aiohttp.web", lambda module: self._replace(module, self.run_app))
        for library in ("requests", "aiohttp"):
            _when_imported(library, self._loaded)
        self._watch_sockets()
        self._do_observe(self._hello["observed"])

    def _replace(self, module: ModuleType, ours: Callable[..., None]) -> None:
        name = ours.__name__
        self._originals[name] = getattr(module, name)
        setattr(module, name, ours)

    def _watch_sockets(self) -> None:
        """Make room for a server of the script's own on the service's port, and take it in.

        At once where it listens there; else when it has not served in another way for a while.
        """
        bind, listen = socket.socket.bind, socket.socket.listen
        port = self._hello["address"][1]

        def bind_there(ours: socket.socket, address: Any, /) -> None:
            held = self._listening
            if held is not None and not self._serving and isinstance(address, tuple) and address[1] == port:
                self._listening = None
                held.close()
            bind(ours, address)

        def listen_and_tell(ours: socket.socket, *backlog: int) -> None:
            listen(ours, *backlog)
            if not self._serving and ours.family in (socket.AF_INET, socket.AF_INET6):
                place = ours.getsockname()[:2]
                timer = threading.Timer(0 if place[1] == port else _WAITING, self._take_in, place)
                timer.daemon = True
                timer.start()

        socket.socket.bind = bind_there  # type: ignore[method-assign,assignment]
        socket.socket.listen = listen_and_tell  # type: ignore[method-assign,assignment]

    def _take_in(self, host: str, port: int) -> None:
        with self._lock:
            if self._serving or self._taken_in:
                return
            self._taken_in = True
        self._journal.note(messages.SERVES_BY_ITSELF)
        self._channel.send("ready", host, port)

    def run(self) -> int:
        """Run the program, serve it, and return the code to exit with."""
        try:
            if self._hello["text"] is not None:
                self._run_script(self._hello["text"], self._hello["file"])
            else:
                self._run_target(self._hello["target"])
        except SystemExit:
            raise
        except BaseException as error:
            if self._taken_in and self._over.is_set():  # as after Ctrl-C
                return 0
            self._fail(error)
            return 1
        finally:
            self._journal.flush()
        return 0

    def _run_script(self, text: str, file: str) -> None:
        # JupyterLab counts the line of %%service as the first.
        text = "\n" + text
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        script = ModuleType("__main__")
        sys.modules["__main__"] = script
        exec(compile(text, file, "exec", dont_inherit=True), script.__dict__)
        if self._taken_in:  # its server has ended
            return
        if not self._serving:
            self.serve(_find(script.__dict__))
        else:  # by a thread of the script's
            self._wait()

    def _run_target(self, target: str) -> None:
        module_name, _, names = target.partition(":")
        found: Any = importlib.import_module(module_name)
        if self._serving:  # it runs its application when it is imported
            return
        for name in names.split("."):
            if not hasattr(found, name):
                raise NothingToServe(messages.NO_SUCH_ATTRIBUTE.format(module=module_name, name=name))
            found = getattr(found, name)
        self.serve(found)

    def _fail(self, error: BaseException) -> None:
        if self._serving and self._server is not None:
            self._journal.error(error)
        elif isinstance(error, PortInUse):
            self._channel.send("failed", "port", error.host, error.port)
        else:
            self._channel.send("failed", "error", error_text(error))

    # serving

    def serve(self, given: Any, host: str | None = None, port: int | None = None) -> None:
        """Serve an application, or what a factory makes, and return when the service is stopped."""
        with self._lock:
            if self._over.is_set():  # a script that serves in a loop
                raise SystemExit(0)
            if self._serving:
                raise BadArgument(messages.ALREADY_SERVED)
            self._serving = True
        try:
            recipe = recognise(given)
            app = recipe.make(self.name, self._journal)
            host, port = self._address(host, port)
            listening = self._socket(host, port)
            assert recipe.kind is not None  # Recipe.make raises where it cannot tell
            server = make_thread_server(recipe.kind, app, listening, self.name, self._journal, self._faults)
            server.start()
        except BaseException:
            self._serving = False
            raise
        self._server = server
        self._channel.send("ready", host, port)
        self._wait()

    def _wait(self) -> None:
        while not self._over.wait(_LOOKING):
            if self._server is not None and self._server.ended:  # the application took it down
                raise SystemExit(1)

    def _address(self, host: str | None, port: int | None) -> tuple[str, int]:
        """Return where to listen: what the kernel said, unless the script may choose, and does."""
        its_host, its_port = self._hello["address"]
        if host == "localhost":  # which on some systems is ::1 first
            host = "127.0.0.1"
        if host is not None and host.startswith("unix://"):
            _only_plain_http(host=host)
        if not self._hello["own_port"] or not port:  # 0, any free one: as the kernel has found one
            port = its_port
        return host or its_host, port

    def _socket(self, host: str, port: int) -> socket.socket:
        listening, self._listening = self._listening, None
        if listening is not None:
            if [host, port] == self._hello["address"]:
                return listening
            listening.close()
        return sockets.listen(host, port)

    def _watch(self, service: str, request: Request, traceparent: str | None, tracestate: str | None) -> None:
        named = traceparent is not None or tracestate is not None
        if named:
            self._channel.send("trace", number_of(request.noted), traceparent, tracestate)
        if self._observing:
            from labkit import client_hooks

            client_hooks.stand_at(Position(self, number_of(request.noted)) if named else None)

    @property
    def observing(self) -> bool:
        """True while the kernel wants to know of calls."""
        return self._observing

    def call(self, *facts: Any) -> RemoteCall | None:
        """Tell the kernel of a call that begins; None where it is of no interest to it."""
        ticket = -next(self._tickets)  # the other questions have the numbers of requests
        headers = self._answers.ask(ticket, "call", ticket, *facts)
        return None if headers is None else RemoteCall(self._channel, ticket, headers)

    # in the place of what blocks and serves by itself

    def _flask_run(self) -> Callable[..., None]:
        def run(
            app: Any,
            host: str | None = None,
            port: int | str | None = None,
            debug: bool | None = None,
            load_dotenv: bool = True,
            **options: Any,
        ) -> None:
            from flask import cli, helpers

            if helpers.get_load_dotenv(load_dotenv):
                cli.load_dotenv()
                if "FLASK_DEBUG" in os.environ:
                    app.debug = helpers.get_debug_flag()
            if debug is not None:  # neither the reloader nor the debugger's console
                app.debug = bool(debug)
            self.run_simple(host, port, app, **options)

        return run

    def run_simple(
        self,
        hostname: str | None,
        port: int | str | None,
        application: Any,
        *ignored: Any,
        static_files: Any = None,
        ssl_context: Any = None,
        **also_ignored: Any,
    ) -> None:
        """Replace `werkzeug.run_simple`: reloader, debugger and the like have no meaning here."""
        _only_plain_http(ssl_context=ssl_context)
        importlib.import_module("werkzeug.serving")  # where the original is put aside

        _refuse_unknown(self._originals["run_simple"], also_ignored)
        if static_files:
            from werkzeug.middleware.shared_data import SharedDataMiddleware

            application = SharedDataMiddleware(application, static_files)
        self.serve(application, hostname, None if port is None else int(port))

    def run_app(
        self,
        app: Any,
        *,
        host: Any = None,
        port: int | None = None,
        path: Any = None,
        sock: Any = None,
        ssl_context: Any = None,
        handler_cancellation: bool = False,
        **ignored: Any,
    ) -> None:
        """Replace `aiohttp.web.run_app`; on 127.0.0.1 where it names no host."""
        _only_plain_http(ssl_context=ssl_context, path=path, sock=sock)
        _refuse_unknown(self._originals["run_app"], ignored)
        if handler_cancellation:
            from labkit.servers.aio import cancelling_handlers

            app = cancelling_handlers(app)
        if host is not None and not isinstance(host, str):
            host = next(iter(host), None)
        self.serve(app, host, port)

    # commands, in a thread of their own

    def _run_commands(self) -> None:
        """Run the kernel's commands until the kernel ends, and end with it."""
        rest = self._heard
        while True:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                name, *facts = json.loads(line)
                try:
                    getattr(self, f"_do_{name}")(*facts)
                except Exception as error:  # whatever it is: the next command still counts
                    self._journal.error(error)
            data = os.read(self._commands.fileno(), 1 << 16) if self._kernel_lives() else b""
            if not data:
                _end_everything()
            rest += data

    def _kernel_lives(self) -> bool:
        """Wait until there is something to read; False when there is, or was, no parent any more."""
        if os.name == "nt":  # the end of the pipe is all it needs
            return True
        import select

        while os.getppid() == self._hello["parent"]:
            if select.select([self._commands], [], [], _LOOKING)[0]:
                return True
        return False

    def _do_sync(self, number: int) -> None:
        os.write(self._output, b"\x1elabkit %d\n" % number)
        self._channel.send("echo", number)

    def _do_answered(self, number: int, answer: Any) -> None:
        self._answers.take(number, answer)

    def _do_fault(self, key: int, facts: dict[str, Any]) -> None:
        self._faults.tell(key, facts)

    def _do_met(self, number: int, hits: list[tuple[int, float | None]]) -> None:
        self._answers.take(number, self._faults.met(hits))

    def _loaded(self, module: ModuleType) -> None:
        if self._hooked:
            from labkit import client_hooks

            client_hooks.install_into(module.__name__)

    def _do_observe(self, on: bool) -> None:
        if self._hooked is on:
            return
        from labkit import client_hooks  # here: a service that nobody observes starts without it

        if on:
            self._hooked = True
            client_hooks.install()
            self._observing = True  # last: requests are served meanwhile
        else:
            self._observing = self._hooked = False
            client_hooks.remove()

    def _do_faults(self, active: bool, cleared: list[int]) -> None:
        self._faults.set_active(active)
        self._faults.forget(cleared)

    def _do_pause(self) -> None:
        if self._server is not None:
            self._server.pause()

    def _do_resume(self) -> None:
        if self._server is not None:
            self._server.resume()

    def _do_stop(self, grace: float) -> None:
        self._channel.send("stopping")
        threading.Thread(target=self._stop, args=(grace,), daemon=True).start()

    def _do_cut_grace(self) -> None:
        if self._server is not None:
            self._server.cut_grace()

    def _stop(self, grace: float) -> None:
        server = self._server
        cut = server.stop(grace) if server is not None else 0
        self._channel.send("stopped", cut)
        self._over.set()
        if self._taken_in:
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main()


class NothingToServe(LabkitError, ValueError):
    """A script ended, or a module has been imported, and there is no application."""


def _find(variables: dict[str, Any]) -> Any:
    """Find the application, or the factory of one, among a script's variables."""
    for name in _NAMES:
        if name in variables:
            return variables[name]
    flask, web = sys.modules.get("flask"), sys.modules.get("aiohttp.web")
    kinds = (*([flask.Flask] if flask else []), *([web.Application] if web else []))
    found = {name: each for name, each in variables.items() if isinstance(each, kinds)}
    if not found:
        raise NothingToServe(messages.NOTHING_TO_SERVE)
    if len({id(each) for each in found.values()}) > 1:
        raise NothingToServe(messages.SEVERAL_TO_SERVE.format(names=", ".join(found)))
    return next(iter(found.values()))


def error_text(error: BaseException) -> str:
    """Return the traceback as Python shows it, without labkit's frames and the import system's."""
    shown = traceback.TracebackException.from_exception(error)
    own = False
    for part in _chain(shown):
        frames = [frame for frame in part.stack if not _is_inside(frame.filename)]
        part.stack = traceback.StackSummary.from_list(frames)
        own = own or bool(frames)
    if isinstance(error, LabkitError) and not own:
        return str(error)
    return "".join(shown.format()).rstrip()


def _chain(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    yield shown
    for each in (shown.__cause__, shown.__context__):
        if each is not None:
            yield from _chain(each)


def _is_inside(filename: str) -> bool:
    return filename.startswith((_HERE, _IMPORTLIB, "<frozen importlib", "<string>"))


def _only_plain_http(**options: Any) -> None:
    for option, value in options.items():
        if value is not None:
            raise BadArgument(messages.ONLY_PLAIN_HTTP.format(option=option))


def _refuse_unknown(original: Any, options: dict[str, Any]) -> None:
    """Raise TypeError for an option that the original does not have, as the original would."""
    known = inspect.signature(original).parameters
    for name in options:
        if name not in known:
            raise TypeError(f"{original.__name__}() got an unexpected keyword argument {name!r}")


def _take_over(handed: int | str) -> socket.socket:
    if isinstance(handed, str):
        return socket.fromshare(base64.b64decode(handed))  # type: ignore[attr-defined,no-any-return,unused-ignore]
    listening = socket.socket(fileno=handed)
    listening.set_inheritable(False)
    return listening


def _be_killed_with(lifeline: int | None) -> None:
    """Have the system kill this process group when the other end of the pipe closes (Linux)."""
    if lifeline is None:
        return
    import fcntl

    os.set_inheritable(lifeline, False)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | fcntl.FASYNC)


def _end_everything() -> NoReturn:
    """End this process, and all that it has started: the kernel is gone."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


class _Hook:
    """A finder that has a function called on a module when it has been imported, before anybody has it."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_then(module: ModuleType) -> None:
            execute(module)
            self._then(module)

        spec.loader.exec_module = execute_and_then  # type: ignore[method-assign]
        return spec


def _when_imported(name: str, then: Callable[[ModuleType], None]) -> None:
    module = sys.modules.get(name)
    if module is not None:
        then(module)
    else:
        sys.meta_path.insert(0, _Hook(name, then))
