"""Listening sockets: bind first, ask later.

A port is taken exactly when binding it fails; asking beforehand races with everyone else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
from typing import TYPE_CHECKING

from labkit import messages
from labkit.errors import BadHost, BadPort, PortForbidden, PortInUse

if TYPE_CHECKING:
    import psutil

# struct linger {on, 0 s}: closing sends RST. Two shorts on Windows, two ints everywhere else.
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on host:port (port 0: any free one).

    Raises BadPort and BadHost for what is no address of this machine, PortForbidden where the system
    refuses the port, and PortInUse, which names the owner where it can be known.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise BadPort(port)
    if not isinstance(host, str) or not host:  # "" would be every network that this machine is in
        raise BadHost(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Asked apart: create_server turns a gaierror into an OSError that cannot be told from others.
        socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (socket.gaierror, ValueError):  # ValueError: what is no host name at all, to IDNA for example
        raise BadHost(host) from None
    try:
        # create_server sets SO_REUSEADDR on POSIX only: on Windows it would let two servers share a port.
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port, owner_of(port)) from None
        if error.errno == errno.EACCES:
            raise PortForbidden(port) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise BadHost(host) from None
        raise


def owner_of(port: int) -> str | None:
    """Say which process listens on a port, in words; None where the system does not tell.

    Seeing the processes of others takes rights on some systems (macOS), hence the silence.
    """
    import psutil  # here: only who finds a port taken needs it

    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
        if not listens or connection.pid is None:
            continue
        if connection.pid == os.getpid():
            return messages.OWNED_BY_THIS_KERNEL.format(pid=connection.pid)
        try:
            found = psutil.Process(connection.pid)
            process = found.name()
            if found.username() != psutil.Process().username():
                return messages.OWNED_BY_PERSON.format(pid=connection.pid)
        except psutil.Error:
            continue
        if _is_kernel(found):
            return messages.OWNED_BY_KERNEL.format(pid=connection.pid)
        return messages.OWNED_BY_PROCESS.format(process=process, pid=connection.pid)
    return None


kernels: set[int] = set()  # ports of the kernel's own, which %load_ext finds in use


def listening_here() -> set[int]:
    """Return the ports on which this process listens; none where the system does not tell."""
    import psutil

    process = psutil.Process()
    look = getattr(process, "net_connections", None) or process.connections  # psutil 5
    try:
        return {each.laddr[1] for each in look(kind="tcp") if each.status == psutil.CONN_LISTEN}
    except (psutil.Error, OSError):
        return set()


def _is_kernel(process: psutil.Process) -> bool:
    """Return True for the kernel of another notebook, of this user's at least."""
    import psutil

    try:
        return any("ipykernel" in argument for argument in process.cmdline())
    except psutil.Error:
        return False


def cut(connection: socket.socket, *, reset: bool = True) -> None:
    """End a connection at once, from any thread: its reader sees the end, its peer a reset or the end.

    `reset=False` lets what was written already arrive. The socket is shut down and not closed, so that the
    thread or loop that owns it closes it itself and its file descriptor cannot be reused under its feet.
    """
    try:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # already gone
        pass


def stop_listening(listening: socket.socket) -> None:
    """Close a listening socket so that clients are refused, though a copy of this process may hold it too."""
    with contextlib.suppress(OSError):  # not on every system, and not when it is closed
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def let_go(held: socket.socket) -> None:
    """Close this process's descriptor alone, whoever has a file made of the socket; for copies by `fork`."""
    descriptor = held.detach()
    if descriptor >= 0:
        os.close(descriptor)


def hung_up(connection: socket.socket) -> bool:
    """Return True when the peer has closed a connection from which only its end is expected."""
    with selectors.DefaultSelector() as selector:  # select() itself knows no descriptor above 1023
        selector.register(connection, selectors.EVENT_READ)
        if not selector.select(0):
            return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True
