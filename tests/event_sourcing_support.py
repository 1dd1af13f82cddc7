"""What the event store's tests share: real processes that start quickly, and a PostgreSQL of their own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest


def processes() -> BaseContext:
    """Real processes, started in milliseconds where the platform can: what they import is there already."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["labkit.patterns.event_sourcing", "pytest"])
    return context


# PostgreSQL


def postgres_programs() -> Path | None:
    """The folder of Debian's newest server, or of the one on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).parent if on_path else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """A server in a folder of its own, without a port: the conninfo. Skips where there is none."""
    programs = postgres_programs()
    if programs is None:
        if os.environ.get("LABKIT_REQUIRE_POSTGRES"):
            pytest.fail("no PostgreSQL server is installed, and LABKIT_REQUIRE_POSTGRES wants one")
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="labkit-pg-"))  # not pytest's: a socket's path has 107 bytes
    # The server refuses to run as root; Debian's package brings a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60)

    try:
        run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--no-locale",
        )
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"host={folder} user=postgres dbname=postgres"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def own_schema(conninfo: str) -> str:
    """The same server with an empty schema, for one test."""
    import psycopg

    name = f"prueba_{time.monotonic_ns()}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"create schema {name}")
    return f"{conninfo} options=-csearch_path={name}"
