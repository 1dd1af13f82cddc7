"""labkit/sockets.py and what it raises: bind first, ask later."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from support import free_port

from labkit import sockets
from labkit.errors import BadHost, BadPort, LabkitError, PortForbidden, PortInUse

ROOT = Path(__file__).parent.parent


def test_port_0_takes_a_free_one_and_a_number_takes_that_one() -> None:
    with sockets.listen("127.0.0.1", 0) as first:
        assert first.getsockname()[1] > 0
    port = free_port()
    with sockets.listen("127.0.0.1", port) as second:
        assert second.getsockname() == ("127.0.0.1", port)
        socket.create_connection(("127.0.0.1", port), timeout=10).close()


@pytest.mark.parametrize("port", [70000, -1, True, False, "80", 80.0, None, 65536])
def test_what_is_no_port_is_refused(port: object) -> None:
    with pytest.raises(BadPort, match="65535") as caught:
        sockets.listen("127.0.0.1", port)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, LabkitError)
    assert repr(port) in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-hay-tal.invalid", None, 5, "", "a" * 300, "x\0y"])
def test_what_is_no_address_of_this_machine_is_refused(host: object) -> None:
    with pytest.raises(BadHost, match=r"127\.0\.0\.1") as caught:
        sockets.listen(host, 0)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)


def test_a_port_held_by_another_process_names_it_and_its_pid() -> None:
    source = (
        "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with pytest.raises(PortInUse) as caught:
            sockets.listen("127.0.0.1", port)
        # A venv's interpreter may be a launcher (Windows), so the listener may be the child's child.
        family = [child.pid, *(p.pid for p in psutil.Process(child.pid).children(recursive=True))]
        child.stdin.close()
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.port == port
    assert isinstance(caught.value, OSError)
    assert str(port) in str(caught.value)
    if sys.platform == "linux":
        assert any(f"(pid {pid})" in str(caught.value) for pid in family)
        assert "python" in str(caught.value).lower()


def test_a_port_held_by_this_kernel_outside_of_labkit_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse, match="este mismo kernel") as caught:
            sockets.listen("127.0.0.1", port)
    assert f"pid {os.getpid()}" in str(caught.value)


def test_in_use_is_decided_by_the_bind_and_not_by_a_probe() -> None:
    """A socket that is bound and does not listen refuses every probe, and still holds the port."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        with pytest.raises(PortInUse) as caught:
            sockets.listen("127.0.0.1", holder.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE
    assert "otro programa" in str(caught.value)  # the system does not tell: nobody listens


def test_a_port_with_connections_that_linger_from_a_server_that_closed_is_free() -> None:
    """TIME_WAIT on our side, as after every restart, is no obstacle."""
    with sockets.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            accepted, _ = listening.accept()
            accepted.close()  # the side that closes first gets TIME_WAIT
            assert client.recv(1) == b""
    with sockets.listen("127.0.0.1", port):
        pass


def test_no_owner_where_nobody_listens() -> None:
    assert sockets.owner_of(free_port()) is None


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="a matter of POSIX rights")
def test_a_port_below_1024_without_rights_is_forbidden() -> None:
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if limit.exists() and int(limit.read_text()) <= 80:
        pytest.skip("this system lets everybody bind port 80")
    source = """
    import os
    import flask, labkit, labkit.roster, labkit.servers.wsgi, labkit.sockets, encodings.idna
    from labkit.errors import PortForbidden
    if os.getuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    try:
        labkit.serve(flask.Flask("x"), name="x", port=80)
    except PortForbidden as error:
        assert isinstance(error, PermissionError) and error.port == 80
        assert not any(service.running for service in labkit.services())
        print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert "El sistema no permite usar el puerto 80" in done.stdout, done.stderr
    assert "1024" in done.stdout


def test_an_error_reads_as_a_sentence_and_not_as_a_number_with_a_sentence() -> None:
    assert str(PortInUse("127.0.0.1", 8000, None)).startswith(
        "El puerto 8000 ya está ocupado por otro programa"
    )
    assert str(PortForbidden(80)).startswith("El sistema no permite")


def test_cutting_a_connection_ends_both_sides_and_may_be_repeated() -> None:
    with sockets.listen("127.0.0.1", 0) as listening:
        client = socket.create_connection(listening.getsockname(), timeout=10)
        accepted, _ = listening.accept()
        sockets.cut(accepted)
        sockets.cut(accepted)
        assert accepted.recv(1) == b""
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
        accepted.close()
        sockets.cut(accepted)
        client.close()
