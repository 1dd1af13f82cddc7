"""%load_ext labkit and %unload_ext labkit: what is put in the place of what, and given back.

One rule: between load and unload, `Flask.run`, `aiohttp.web.run_app` and `run_simple` never block, in
whatever thread of the kernel they are called. In a child process that inherited them (a fork) they are
the originals, since labkit's threads do not exist there; so is a replacement that outlives the unload
under another name.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socketserver
import sys
from collections.abc import Callable
from typing import Any

from labkit import sockets
from labkit.kernel import blocking, messages, nesting, runners, service_magic
from labkit.roster import ROSTER


class Replacements:
    """Attributes that stand in for others until `undo`."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._pid = os.getpid()
        self._active = True

    def replace(self, owner: Any, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
        """Put what `make(original)` returns in the place of `owner.name`."""
        original = getattr(owner, name)
        replacement = make(original)

        @functools.wraps(original)
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            here = self._active and os.getpid() == self._pid
            return (replacement if here else original)(*args, **kwargs)

        setattr(owner, name, stand_in)
        self._replaced.append((owner, name, original, stand_in))
        self._rename(original, stand_in)

    def undo(self) -> None:
        """Give back every original, except where somebody else has put something of theirs since."""
        self._active = False
        for owner, name, original, stand_in in reversed(self._replaced):
            if getattr(owner, name) is stand_in:
                setattr(owner, name, original)
            self._rename(stand_in, original)

    def _rename(self, old: Any, new: Any) -> None:
        # `from aiohttp.web import run_app` may have been run in a cell before the %load_ext.
        for name in [name for name, value in self._namespace.items() if value is old]:
            self._namespace[name] = new


class Extension:
    """One load of the extension into a shell, to be closed by one unload."""

    def __init__(self, ip: Any) -> None:
        import aiohttp.web
        import flask
        import werkzeug
        import werkzeug.serving

        self._replacements = Replacements(ip.user_ns)
        replace = self._replacements.replace
        replace(flask.Flask, "run", lambda original: runners.flask_run)
        replace(aiohttp.web, "run_app", lambda original: runners.run_app)
        replace(werkzeug.serving, "run_simple", lambda original: runners.run_simple)
        replace(werkzeug, "run_simple", lambda original: runners.run_simple)
        servers = blocking.BlockingServers(ip)
        replace(socketserver.TCPServer, "server_activate", servers.server_activate)
        replace(socketserver.BaseServer, "serve_forever", servers.serve_forever)

        self._magic = service_magic.Registration(ip)
        sockets.kernels |= sockets.listening_here() - {service.port for service in ROSTER.services()}
        # A cell is a script without arguments; these are the kernel's own.
        self._arguments, sys.argv[1:] = sys.argv[1:], []

        self._kernel_loop: nesting.KernelLoop | None = None
        # In a plain IPython no loop runs while a cell does: nothing to nest in.
        loop = asyncio._get_running_loop()
        if isinstance(loop, asyncio.BaseEventLoop) and not nesting.already_nested():
            self._kernel_loop = kernel_loop = nesting.KernelLoop(loop)
            replace(asyncio, "run", kernel_loop.asyncio_run)
            replace(asyncio, "new_event_loop", kernel_loop.asyncio_new_event_loop)
            replace(asyncio.Runner, "run", kernel_loop.set_aside_for)
            replace(asyncio.Runner, "close", kernel_loop.set_aside_for)

    def close(self) -> None:
        self._replacements.undo()
        if not sys.argv[1:]:
            sys.argv[1:] = self._arguments
        self._magic.undo()
        if self._kernel_loop is not None:
            self._kernel_loop.restore()


_loaded: Extension | None = None


def load(ip: Any) -> None:
    """Load the extension into the IPython shell `ip`. A second load changes nothing."""
    global _loaded
    if _loaded is None:
        _loaded = Extension(ip)


def unload(ip: Any) -> None:
    """Stop every service, say so in a line, and give everything back as it was before the load."""
    global _loaded
    if _loaded is None:
        return
    extension, _loaded = _loaded, None
    extension.close()
    if "labkit.kernel.panel" in sys.modules:  # else there is none
        from labkit.kernel import panel

        panel.close_open()
    stopped = runners.stop_services()
    if stopped:
        print(messages.UNLOADED.format(names=", ".join(stopped)))
