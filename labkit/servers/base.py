"""The common part of every way of serving: a socket that already listens, a journal, and six verbs.

A server is used once: `start`, then `stop` or `kill`. What survives a restart (name, port, journal,
injected faults, how to make the application) belongs to the service above it.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol
from weakref import WeakSet

from labkit.entries import Request
from labkit.faults import Faults
from labkit.journal import Journal

Kind = Literal["wsgi", "aiohttp", "process"]


class Watcher(Protocol):
    """Observer of each request as it arrives, called by the thread or task that will answer it."""

    def __call__(
        self, service: str, request: Request, traceparent: str | None, tracestate: str | None, /
    ) -> None:
        """`request` is the journal's entry; then two headers, None where they are missing."""


class Call(Protocol):
    """A call that a service makes."""

    status: int | None
    error: str | None

    def write_headers(self, headers: MutableMapping[str, str], /) -> object:
        """Inject the trace context into the headers."""

    def end(self) -> None:
        """End the call: the answer is there, or there will be none."""

    def go_on(self) -> None:
        """Reopen the call: there is a body to read."""


class Caller(Protocol):
    """Observer of each call of a service in a process of its own, in the context of its watcher."""

    def __call__(self, method: str, url: str, path: str, order: tuple[int, ...], /) -> Call | None:
        """`order`: its place among the calls of the request that is being answered. None: of no interest."""


# Set by labkit.lens while somebody observes; servers cannot import it.
watcher: Watcher | None = None
caller: Caller | None = None
_told: WeakSet[Server] = WeakSet()


def observe(watches: Watcher | None, calls: Caller | None) -> None:
    """Set who is told of requests and calls, and inform the servers that must know."""
    global watcher, caller
    watcher, caller = watches, calls
    for server in list(_told):
        server.observe(watches is not None)


def tell(server: Server) -> None:
    """Register a server to be told when observing begins and ends, as long as it is in use."""
    _told.add(server)


@dataclass(frozen=True)
class Program:
    """The program of a process of its own: the `text` of a script, or a `target`, `"module:application"`.

    `arguments`: of the script, after its name. `own_port`: True to take a port that it names itself.
    """

    text: str | None = None
    target: str | None = None
    arguments: tuple[str, ...] = ()
    own_port: bool = False


class Server(ABC):
    """One application being served on one listening socket, which the server owns from now on."""

    kind: ClassVar[Kind]

    def __init__(self, listening: socket.socket, name: str, journal: Journal, faults: Faults) -> None:
        self.listening = listening
        self.name = name
        self.journal = journal
        self.faults = faults
        self.ended = False  # by itself: the application took its server down
        self.address: tuple[str, int] | None = None  # host and port, where the application chose its own
        _servers.add(self)

    @property
    def pid(self) -> int | None:
        """The process that answers; None when it is gone."""
        return os.getpid()

    @property
    def exit_code(self) -> int | None:
        """The exit code of a process of its own, -9 for a signal 9; None while it lives, or without one."""
        return None

    @abstractmethod
    def start(self) -> None:
        """Return when requests are answered.

        What the application raises while it starts is raised here, and nothing is left.
        """

    @abstractmethod
    def stop(self, grace: float) -> int:
        """Refuse new connections, close idle ones, give requests in flight `grace` seconds, cut the rest.

        Returns how many requests were cut. Takes little longer than `grace`, whatever the application does.
        """

    def cut_grace(self) -> None:  # noqa: B027
        """End the grace of a `stop` that lasts in another thread: what is in flight is cut now.

        A server whose stop takes no time has nothing to do here.
        """

    @abstractmethod
    def kill(self) -> None:
        """End as a crash would: every connection is cut at once and no hook of the application runs."""

    @abstractmethod
    def pause(self) -> None:
        """Go on accepting connections and answer none of them."""

    @abstractmethod
    def resume(self) -> None:
        """Answer again, beginning with what waited."""

    def observe(self, on: bool) -> None:  # noqa: B027
        """Begin or end observing. Told to those that asked for it, see `tell`."""

    @abstractmethod
    def forget(self) -> None:
        """Close this process's descriptors, in a copy of it made by `fork`, where no thread serves.

        Locks may be held by threads that do not exist here, and nothing may be told to those of the original.
        """

    @abstractmethod
    def wake(self) -> None:
        """Wake the requests that wait in a fault: one was injected or cleared."""


_servers: WeakSet[Server] = WeakSet()


def _forked() -> None:
    for server in list(_servers):
        server.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
