"""A service: one application that runs in the background, and its life.

The service outlives its servers: `restart` puts a new server on the same port, with the same name and
the same journal. Every change of state happens under one lock, so two cells, or a cell and a panel,
cannot cross.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, overload
from weakref import WeakSet

from labkit import display, messages, sockets
from labkit.errors import BadArgument, KindMismatch, NotRestartable, PortInUse, WrongState
from labkit.faults import Faults, GroupFaults
from labkit.journal import Journal
from labkit.servers import Kind, Recipe, Server, make_server

GRACE = 1.0
LONGEST = 86_400.0  # seconds of grace
_started: WeakSet[Service] = WeakSet()  # to say whose a port is, also where the roster no longer knows


def _forked() -> None:
    for service in list(_started):
        service._forget_server()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Service:
    """A running application. Made by `labkit.serve`, not by hand.

    `grace`: seconds that requests in flight get when it is stopped. As a context manager it is stopped
    at the end of the block. `journal`: what it served, printed and raised. `faults`: where delays, errors
    and other faults are injected into it.
    """

    def __init__(
        self, recipe: Recipe, name: str, *, host: str = "127.0.0.1", port: int = 0, grace: float = GRACE
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.grace = seconds(grace)
        self.journal = Journal(name=name)
        self.faults = Faults(name)
        self._recipe = recipe
        self._server: Server | None = None
        self._starting: Server | None = None
        self._stopping: Server | None = None
        self._exit_code: int | None = None
        self._state = messages.STOPPED
        self._lock = threading.RLock()

    # what it is

    @property
    def url(self) -> str:
        """The address for calls from this machine: `http://127.0.0.1:41234`."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else "::1" if self.host == "::" else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def kind(self) -> Kind | None:
        """`"wsgi"`, `"aiohttp"` or `"process"`; None as long as a factory has not said it."""
        return self._recipe.kind

    @property
    def state(self) -> str:
        """`corriendo`, `en pausa`, `detenido` or `muerto`."""
        server = self._server
        return messages.KILLED if server is not None and server.ended else self._state

    @property
    def running(self) -> bool:
        """True while it has a server, paused or not."""
        server = self._server
        return server is not None and not server.ended

    @property
    def pid(self) -> int | None:
        """The process that it runs in: its own, or this kernel's; None while it does not run."""
        server = self._server
        return None if server is None or server.ended else server.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code of its own process: 0, that of `sys.exit`, or -9 where signal 9 ended it.

        None while it runs, and always for a service in a thread of the kernel.
        """
        server = self._server
        return self._exit_code if server is None else server.exit_code

    # its life

    def start(self) -> Service:
        """Start the service where it is not running; returns when it answers.

        What a factory or `on_startup` raises is raised here, and the port is free again; what a process
        of its own raises, as StartupFailed. Raises PortInUse, PortForbidden, BadPort, BadHost;
        NotRestartable for an aiohttp application that was used; KindMismatch when a factory makes another
        kind than before.
        """
        with self._lock:
            self._drop_ended_server()
            if self._server is not None:
                return self
            if not self._recipe.can_repeat:
                raise NotRestartable(messages.NOT_RESTARTABLE.format(name=self.name))
            try:
                listening = sockets.listen(self.host, self.port)
            except PortInUse as error:
                raise name_owner(error) from None
            try:
                self._starting = server = self._make(listening)
                server.start()
            except PortInUse as error:  # a port that a script chose
                listening.close()
                raise name_owner(error) from None
            except BaseException:
                listening.close()
                raise
            finally:
                self._starting = None
            if server.address is not None:
                self.host, self.port = server.address
            self._server, self._exit_code = server, None
            self._state = messages.RUNNING
            _started.add(self)
            return self

    def _make(self, listening: Any) -> Server:
        before = self._recipe.kind
        app = self._recipe.make(self.name, self.journal)
        kind = self._recipe.kind
        assert kind is not None  # Recipe.make raises where it cannot tell
        if before is not None and kind != before:
            raise KindMismatch(mismatch(self.name, before, kind))
        self.port = listening.getsockname()[1]
        return make_server(kind, app, listening, self.name, self.journal, self.faults)

    def stop(self, grace: float | None = None) -> None:
        """Stop the service; requests in flight may finish within `grace` seconds (default: its own).

        Bounded: a handler that does not return is cut off and noted in the journal. Afterwards the port
        is free and every connection is closed.
        """
        grace = self.grace if grace is None else seconds(grace)
        with self._lock:
            self._drop_ended_server()
            server, self._server = self._server, None
            if server is None:
                return
            self._state = messages.STOPPED
            self._stopping = server
            try:
                cut = server.stop(grace)
            finally:
                self._stopping = None
                self._exit_code = server.exit_code
            if cut:
                self.journal.note(messages.ABANDONED.format(count=cut))

    def cut_grace(self) -> None:
        """End the grace of a stop that lasts in another thread: what is in flight is cut now."""
        stopping = self._stopping
        if stopping is not None:
            stopping.cut_grace()

    def kill(self) -> None:
        """End it as a crash would: connections are cut, clients are refused, no clean-up hook runs."""
        with self._lock:
            self._drop_ended_server()
            server, self._server = self._server, None
            if server is not None:
                self._state = messages.KILLED
                server.kill()
                self._exit_code = server.exit_code

    def restart(self, grace: float | None = None) -> Service:
        """Stop it if it runs and start it on the same port; a factory makes a new application.

        Raises NotRestartable, before anything is stopped, for an aiohttp application without a factory.
        """
        with self._lock:
            if not self._recipe.can_repeat:
                raise NotRestartable(messages.NOT_RESTARTABLE.format(name=self.name))
            self.stop(grace)
            return self.start()

    def pause(self) -> None:
        """Pause: accept connections and answer none. Raises WrongState unless it runs."""
        with self._lock:
            self._need_server("pause").pause()
            self._state = messages.PAUSED

    def resume(self) -> None:
        """Resume answering, beginning with what waited. Raises WrongState unless it runs."""
        with self._lock:
            self._need_server("resume").resume()
            self._state = messages.RUNNING

    def _drop_ended_server(self) -> None:
        """Forget a server whose application has exited (`sys.exit()` in a task, for example)."""
        if self._server is not None and self._server.ended:
            self._exit_code = self._server.exit_code
            self._server, self._state = None, messages.KILLED

    def _forget_server(self) -> None:
        """Forget the server, in a copy of the kernel made by `fork`: it is the kernel's."""
        self._server = self._starting = self._stopping = None
        self._state, self._lock = messages.STOPPED, threading.RLock()
        self.journal.forget_threads()
        self.faults.forget_threads()

    def _need_server(self, action: str) -> Server:
        self._drop_ended_server()
        if self._server is None:
            action = messages.ACTIONS[action]
            raise WrongState(messages.WRONG_STATE.format(name=self.name, state=self._state, action=action))
        return self._server

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # how it shows

    def __repr__(self) -> str:
        return display.service_line(self)

    def _repr_html_(self) -> str:
        return display.service_html(self)


class Group(Sequence[Service]):
    """The instances of one service, `inventario-1` to `inventario-N`: a sequence of services."""

    def __init__(self, name: str, members: Sequence[Service]) -> None:
        self.name = name
        self.members = list(members)

    @property
    def urls(self) -> list[str]:
        """The address of each instance."""
        return [member.url for member in self.members]

    @property
    def kind(self) -> Kind | None:
        """The kind of its instances."""
        return self.members[0].kind

    @property
    def faults(self) -> GroupFaults:
        """The faults of every instance, with a count of its own for each."""
        return GroupFaults([member.faults for member in self.members])

    @property
    def running(self) -> bool:
        """True while any instance runs."""
        return any(member.running for member in self.members)

    def start(self) -> Group:
        """Start those that are not running. If one cannot start, the ones started here are stopped.

        Those in processes of their own start at the same time, the others one after the other.
        """
        begun = [member for member in self.members if not member.running]
        try:
            if self.kind == "process":
                start_at_once(begun)
            else:
                for member in begun:
                    member.start()
        except BaseException:
            for member in begun:
                member.stop(0)
            raise
        return self

    def stop(self, grace: float | None = None) -> None:
        """Stop all at once, so that one slow request costs its grace once."""
        stop_at_once(self.members, grace)

    def kill(self) -> None:
        """Kill all."""
        for member in self.members:
            member.kill()

    def restart(self, grace: float | None = None) -> Group:
        """Restart each in turn, as a rolling deployment does."""
        for member in self.members:
            member.restart(grace)
        return self

    def pause(self) -> None:
        """Pause all."""
        for member in self.members:
            member.pause()

    def resume(self) -> None:
        """Resume all."""
        for member in self.members:
            member.resume()

    @overload
    def __getitem__(self, index: int) -> Service: ...
    @overload
    def __getitem__(self, index: slice) -> list[Service]: ...
    def __getitem__(self, index: int | slice) -> Service | list[Service]:
        return self.members[index]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Service]:
        return iter(self.members)

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return display.lines(self.members)

    def _repr_html_(self) -> str:
        return display.table_html(self.members)


def name_owner(error: PortInUse) -> PortInUse:
    """Return the same error, naming the service of this kernel that listens there, if there is one."""
    for service in list(_started):
        if service.running and service.port == error.port:
            owner = messages.OWNED_BY_SERVICE.format(name=service.name)
            return PortInUse(error.host, error.port, owner)
    return error


def mismatch(name: str, old: Kind, new: Kind) -> str:
    """Return the text of a KindMismatch."""
    return messages.KIND_MISMATCH.format(name=name, old=messages.KINDS[old], new=messages.KINDS[new])


def seconds(grace: float) -> float:
    """Return a valid grace. Raises ValueError for what is no number of seconds from 0 on."""
    if isinstance(grace, bool) or not isinstance(grace, int | float) or not 0 <= grace <= LONGEST:
        raise BadArgument(messages.BAD_GRACE.format(grace=grace))
    return float(grace)


def start_at_once(services: Sequence[Service]) -> None:
    """Start several at the same time. An error, or an interrupt, is raised when no start goes on."""
    failures: list[BaseException] = []

    def start(service: Service) -> None:
        try:
            service.start()
        except BaseException as error:
            failures.append(error)

    def give_up() -> None:
        for service in services:
            starting = service._starting
            if starting is not None:
                starting.kill()

    threads = [threading.Thread(target=start, args=(service,), daemon=True) for service in services]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.05)
            if failures:
                give_up()
    except BaseException:
        while any(thread.is_alive() for thread in threads):
            give_up()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(0.02)
        raise
    if failures:
        raise failures[0]


def stop_at_once(services: Sequence[Service], grace: float | None) -> None:
    """Stop several at the same time, so that one slow request costs its grace once.

    An interrupt ends all graces: no stop goes on behind the next cell's back, holding up a start.
    """
    if len(services) == 1:
        services[0].stop(grace)
        return
    failures: list[BaseException] = []

    def stop(service: Service) -> None:
        try:
            service.stop(grace)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=stop, args=(service,), daemon=True) for service in services]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # an interrupt may be lost, on Windows always, without a limit
                thread.join(0.1)
    except BaseException:
        while any(thread.is_alive() for thread in threads):
            for service in services:
                service.cut_grace()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(0.02)
        raise
    if failures:
        raise failures[0]
