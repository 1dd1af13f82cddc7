"""Ways to serve an application: a module for each, and `recipe`, which tells them apart."""

from __future__ import annotations

import socket
from typing import Any

from labkit.faults import Faults
from labkit.journal import Journal
from labkit.servers.base import Kind, Program, Server
from labkit.servers.recipe import Isolation, Recipe, make_thread_server, recognise

__all__ = ["Isolation", "Kind", "Program", "Recipe", "Server", "make_server", "recognise"]


def make_server(
    kind: Kind, app: Any, listening: socket.socket, name: str, journal: Journal, faults: Faults
) -> Server:
    """Make the server for an application of that kind, on a socket that listens. Not started yet."""
    if kind == "process":
        from labkit.servers.process import ProcessServer

        return ProcessServer(listening, name, journal, faults, app)
    return make_thread_server(kind, app, listening, name, journal, faults)
