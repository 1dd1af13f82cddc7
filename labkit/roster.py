"""The kernel's services, by name, and `serve`, which adds to them.

A name stands for one thing: serving it again replaces what runs under it, on the same port. That is what
makes running a cell twice harmless.
"""

from __future__ import annotations

import atexit
import inspect
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from labkit import display, messages
from labkit.errors import (
    BadArgument,
    BadPort,
    KindMismatch,
    NameInUse,
    NoSuchService,
    NotRestartable,
    WrongType,
)
from labkit.servers import Isolation, Program, Recipe, recognise
from labkit.service import GRACE, Group, Service, mismatch, seconds, stop_at_once


class Roster:
    """Every service of a kernel, also those that were stopped; instances of groups one by one.

    Iterates over services; by name it gives a service, an instance or a group. A name stands for one thing in
    one roster: a test has a roster of its own (`labkit.pytest_plugin`).
    """

    def __init__(self) -> None:
        self._entries: dict[str, Service | Group] = {}
        self._lock = threading.RLock()
        self._names: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    # looking

    def services(self) -> list[Service]:
        """List all of them, in the order in which their names were first served."""
        with self._lock:
            entries = list(self._entries.values())
        return [
            service
            for entry in entries
            for service in (entry.members if isinstance(entry, Group) else [entry])
        ]

    def entry(self, name: str) -> Service | Group | None:
        """Return the service or group that was served under that name."""
        with self._lock:
            return self._entries.get(name)

    def by_port(self, port: int) -> Service | None:
        """Return the service that listens on that port now."""
        return next((s for s in self.services() if s.running and s.port == port), None)

    def group_of(self, name: str) -> Group | None:
        """Return the group that an instance of that name belongs to."""
        with self._lock:
            groups = [entry for entry in self._entries.values() if isinstance(entry, Group)]
        return next((group for group in groups if any(m.name == name for m in group)), None)

    def __getitem__(self, name: str) -> Service | Group:
        found = self.entry(name) or next((s for s in self.services() if s.name == name), None)
        if found is None:
            known = ", ".join(service.name for service in self) or messages.NO_SERVICES
            raise NoSuchService(messages.NO_SUCH_SERVICE.format(name=name, known=known))
        return found

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services())

    def __len__(self) -> int:
        return len(self.services())

    def __repr__(self) -> str:
        return display.lines(self.services())

    def _repr_html_(self) -> str:
        return display.table_html(self.services())

    # changing

    def serve(
        self,
        app: Any,
        *,
        name: str | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        replicas: int | None = None,
        grace: float = GRACE,
        isolation: Isolation = "thread",
    ) -> Any:
        """Serve an application in the background; returns when it answers.

        `app`: a Flask or other WSGI application, an `aiohttp.web.Application`, a coroutine that makes one,
        or a factory of either (called without arguments, or with the instance's name if it takes one).
        `name`: what it is called; serving the name again replaces it on its port. Without a name it gets the
        application's own (`Flask("pagos")`), the factory's, or a number.
        `port`: 0 takes a free one, or the one its predecessor had.
        `host`: 127.0.0.1 unless others must get in.
        `replicas`: that many instances `name-1`, `name-2`…, each made by the factory; with a port, they
        take that one and the following.
        `grace`: seconds that requests in flight get when it is stopped.
        `isolation`: `"thread"`, in this kernel; or `"process"`, in a process of its own, and then `app` is
        `"module:application"` or `"module:factory"`, found as an import here would find it.

        Returns a Service, or a Group when `replicas` is given. Raises NotAnApp (a TypeError), BadPort and
        BadHost (ValueErrors), PortInUse and PortForbidden (OSErrors), KindMismatch where the name belongs to
        the other kind, and what the application itself raises while it starts (from another process as
        StartupFailed, with its traceback); then nothing is left running.
        """
        try:
            entry = self._entry(
                app, name=name, port=port, host=host, replicas=replicas, grace=grace, isolation=isolation
            )
            self.place(entry)
        except BaseException:
            if inspect.iscoroutine(app):
                app.close()  # else Python warns, later and in another cell, that it was never awaited
            raise
        return entry

    def _entry(
        self,
        app: Any,
        *,
        name: str | None,
        port: int,
        host: str,
        replicas: int | None,
        grace: float,
        isolation: Isolation,
    ) -> Service | Group:
        """Make what `serve` is to start; refuse here, before anything is stopped, what can be refused."""
        recipe = recognise(app, isolation)
        seconds(grace)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise BadPort(port)
        if host == "localhost":  # which on some systems is ::1 first, and calls to 127.0.0.1 are refused
            host = "127.0.0.1"
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise BadArgument(messages.BAD_NAME.format(name=name))
        name = name or self._own_name(app, recipe, port)
        group = self.group_of(name)
        if group is not None:
            raise NameInUse(messages.NAME_IN_GROUP.format(name=name, group=group.name))
        if not recipe.can_repeat:  # the same application in a cell that is run again
            raise NotRestartable(messages.NOT_RESTARTABLE.format(name=name))
        old = self.entry(name)
        expected = old.kind if old is not None and old.running else None
        if "process" in (
            expected,
            recipe.kind,
        ):  # who moves a service into a process, or back, means that one
            expected = None
        if expected is not None and recipe.kind not in (None, expected):
            raise KindMismatch(mismatch(name, expected, recipe.kind))
        recipe.kind = recipe.kind or expected  # what a factory makes shows when it is called
        if replicas is None:
            return Service(recipe, name, host=host, port=port, grace=grace)
        if isinstance(replicas, bool) or not isinstance(replicas, int) or not 1 <= replicas <= 100:
            raise BadArgument(messages.BAD_REPLICAS.format(replicas=replicas))
        if not recipe.is_factory:
            raise WrongType(messages.REPLICAS_NEED_FACTORY.format(replicas=replicas))
        if port and port + replicas - 1 > 65535:
            raise BadPort(port + replicas - 1)
        members = []
        for number in range(replicas):
            each = recognise(app, isolation)
            each.kind = recipe.kind
            member = Service(
                each, f"{name}-{number + 1}", host=host, port=port + number if port else 0, grace=grace
            )
            alone = self.entry(member.name)
            if alone is not None and alone.running:
                raise NameInUse(messages.NAME_ALONE.format(name=member.name))
            members.append(member)
        return Group(name, members)

    def _own_name(self, app: Any, recipe: Recipe, port: int) -> str:
        """Return a name for what was served without one: its own, else by port, else a number.

        `Flask(__name__)` is called `__main__` in every cell of every notebook, so that is no name.
        """
        if isinstance(recipe.given, Program) and recipe.given.target is not None:
            return recipe.given.target.partition(":")[0].rpartition(".")[2]
        own = getattr(app, "__name__", None) if recipe.is_factory else getattr(app, "name", None)
        if isinstance(own, str) and own.isprintable() and own[:1].isalnum():  # no __main__ and no <lambda>
            return own
        if port:
            return messages.UNNAMED.format(number=port)
        number = 1
        while self.entry(messages.UNNAMED.format(number=number)) is not None:
            number += 1
        return messages.UNNAMED.format(number=number)

    def place(self, entry: Service | Group) -> None:
        """Start what was made and keep it, in place of what has its name: that is stopped first.

        An instance without a port of its own takes the port of the one it replaces. If the start fails,
        nothing runs under the name.
        """
        with self._lock:
            lock = self._names[entry.name]
        with lock:
            old = self.entry(entry.name)
            if old is not None:
                _inherit(old, entry)
                old.stop()
            try:
                entry.start()
            finally:
                # Also after a failure: what was stopped is shown as stopped, what failed not at all.
                if entry.running:
                    with self._lock:
                        self._entries[entry.name] = entry

    def stop_all(self, grace: float | None = None) -> None:
        """Stop every service, all at the same time."""
        running = [service for service in self.services() if service.running]
        if running:
            stop_at_once(running, grace)

    def forget_all(self) -> None:
        """Forget every service, in a copy of the kernel made by `fork`: they are the kernel's."""
        self._entries, self._lock = {}, threading.RLock()
        self._names = defaultdict(threading.RLock)


ROSTER = Roster()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ROSTER.forget_all)
# On a graceful end of the interpreter, let clean-up hooks run. Threads are daemons: nothing waits for them.
atexit.register(ROSTER.stop_all, 0)

serve = ROSTER.serve


def services() -> Roster:
    """Return every service of this kernel, as a table; `services()["inventario"]` is one by name."""
    return ROSTER


def stop_all(grace: float | None = None) -> None:
    """Stop every service of this kernel; `grace` in seconds, each service's own by default."""
    ROSTER.stop_all(None if grace is None else seconds(grace))


def _inherit(old: Service | Group, new: Service | Group) -> None:
    """Pass ports that nobody asked for from predecessor to successor, instance by instance."""
    before = old.members if isinstance(old, Group) else [old]
    after = new.members if isinstance(new, Group) else [new]
    for predecessor, successor in zip(before, after, strict=False):
        if successor.port == 0:
            successor.port = predecessor.port
