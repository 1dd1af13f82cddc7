"""The standard library's servers (socketserver, http.server, wsgiref) in a cell that is interrupted.

A script that Ctrl-C ends frees its port. In a kernel the server would go on listening and answer nobody,
and the cell, run again, would meet "address already in use". So a server whose `serve_forever` is
interrupted is closed where the same cell made it: nothing else is left of that cell.

It is closed on this proof alone. A server that an earlier cell made may be told to serve again, one in a
thread of its own hears no interrupt, and a bare socket that listens may be any thread's: they stay, and
`services()` and PortInUse name them (labkit.sockets).
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary


class BlockingServers:
    """The servers that cells of the shell `ip` make, and which cell made each."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip
        self._made: WeakKeyDictionary[socketserver.TCPServer, int] = WeakKeyDictionary()

    def server_activate(self, original: Callable[..., None]) -> Callable[..., None]:
        """Return the TCPServer.server_activate that notes the cell."""

        def activate(server: socketserver.TCPServer) -> None:
            original(server)
            self._made[server] = self._ip.execution_count

        return activate

    def serve_forever(self, original: Callable[..., None]) -> Callable[..., None]:
        """Return the BaseServer.serve_forever that frees the port when the cell is interrupted."""

        def serve(server: Any, *args: Any, **kwargs: Any) -> None:
            try:
                original(server, *args, **kwargs)
            except KeyboardInterrupt:
                if self._made.get(server) == self._ip.execution_count:
                    server.socket.close()  # not server_close(), which may wait for its handlers' threads
                raise

        return serve
