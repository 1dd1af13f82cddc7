"""What holds for every test: it ends, leaves no service and no check behind, and the environment as it was.

The hooks stand in plugin objects, registered by hand: a conftest's own hooks see only the tests below its
folder, and the notebooks' cells, which nbval collects elsewhere, need two of them as well.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support import Stage

    from labkit import Service

ROOT = Path(__file__).parent.parent
MASTERS = ROOT / "notebooks" / "soluciones"

# Seconds that a test may take, set-up and tear-down included; @pytest.mark.limit(seconds) says otherwise.
LIMIT = 60
SOAK_LIMIT = 300
# How long a test that was told to stop may go on before the whole run is ended.
LAST_RESORT = 20

# What takes long, the longest last.
SLOW = [("tests", "lessons"), ("tests", "kernel"), ("tests", "soak"), ("notebooks",), ("tests", "browser")]

# What a shell may hold and would change what labkit does or shows.
for name in (
    "HOST",
    "PORT",
    "FLASK_APP",
    "FLASK_DEBUG",
    "FLASK_RUN_PORT",
    "LABKIT_STRICT",
    "NBGRADER_EXECUTION",
    "MPLBACKEND",
):
    os.environ.pop(name, None)
for name in [name for name in os.environ if name.startswith("JUPYTERHUB_")]:
    os.environ.pop(name)


class Watchdog:
    """Make a test that hangs a test that fails.

    On POSIX an alarm raises in the main thread, even inside a blocking call, and the run goes on. Where there
    is no alarm (Windows), or the exception is swallowed, every thread's stack is printed and the run ended;
    by a thread of faulthandler's own, which no test that counts threads can see.
    """

    def __init__(self, stderr: int) -> None:
        """`stderr`: the descriptor of the real one, which shows what is printed just before the end."""
        self.stderr = stderr

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        mark = item.get_closest_marker("limit")
        usual = SOAK_LIMIT if item.get_closest_marker("soak") else LIMIT
        limit = float(mark.args[0]) if mark else usual
        faulthandler.dump_traceback_later(limit + LAST_RESORT, exit=True, file=self.stderr)
        alarm = getattr(signal, "SIGALRM", None)
        if alarm is not None:
            before = signal.signal(alarm, lambda _number, _frame: self.stop_the_test(limit))
            signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()
            if alarm is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(alarm, before)

    def stop_the_test(self, limit: float) -> None:
        faulthandler.dump_traceback(file=2, all_threads=True)
        pytest.fail(f"not done after {limit:g} s (every thread's stack is below)")


class Notebooks:
    """Have `labkit.check` raise in the masters' kernels, and 00_inicio run alone: it names its ports.

    A kernel inherits this process's environment.
    """

    lock: socket.socket | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        # Outside the watchdog: another run may take its time.
        if item.path.name == "00_inicio.ipynb" and self.lock is None:
            from support import take_fixed_ports

            self.lock = take_fixed_ports()
        result = yield
        if self.lock is not None and (nextitem is None or nextitem.path != item.path):
            self.lock.close()
            self.lock = None
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.path.suffix == ".ipynb" and item.path.is_relative_to(MASTERS):
            os.environ["LABKIT_STRICT"] = "1"
        else:
            os.environ.pop("LABKIT_STRICT", None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"limit(seconds): may take this long and not only {LIMIT} s")
    config.addinivalue_line("markers", "soak: endurance at full length, which takes minutes (`make soak`)")
    config.pluginmanager.register(Watchdog(os.dup(2)))
    config.pluginmanager.register(Notebooks())  # the last registered is the outer one


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let what takes long come last, where a mistake in a module is to be told before a browser opens.

    Among several workers it comes first: the last one to end should be one of the short.
    """

    def weight(item: pytest.Item) -> int:
        folder = item.path.relative_to(ROOT).parts[:2]
        return next((n for n, slow in enumerate(SLOW) if folder[: len(slow)] == slow), -1)

    items.sort(key=weight, reverse=hasattr(config, "workerinput"))
    # They look at the process's streams and threads; a wrong answer that blocks a loop for ever keeps both.
    items.sort(key=lambda item: item.path.name not in ("test_capture.py", "test_roster.py"))


def running() -> set[Service]:
    """The services that run now. A test that imports no roster is not made to."""
    roster = sys.modules.get("labkit.roster")
    return {service for service in roster.ROSTER if service.running} if roster else set()


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail the test that leaves a service it started, and stop it for the tests that follow.

    What ran before the test (a module's fixture) is not its own.
    """
    before = running()
    yield
    left = running() - before
    for service in left:
        service.stop(grace=0)
    assert not left, f"left running: {sorted(service.name for service in left)}"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let this process be interrupted: pytest-xdist's workers and a shell's background ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_check_goes_on() -> Iterator[None]:
    """Wait until no check's thread is left, and fail the test that leaves one for good.

    The answer that a check has stopped may take a while to end. One that waits in C never does: the check
    goes on trying to stop it, and every try disturbs what the tests that follow do with their own threads.
    """

    def going_on() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "labkit-check"}

    before = going_on()
    yield
    end = time.monotonic() + 10
    while going_on() - before:
        assert time.monotonic() < end, "a check's answer goes on: let it wait in short sleeps, or free it"
        time.sleep(0.01)  # not a join, which raises for a thread that is just being started


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """Fail the test that changes the environment: use `monkeypatch.setenv`."""

    def environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}

    before = environment()
    yield
    after = environment()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    for name in changed:
        if name in before:
            os.environ[name] = before[name]
        else:
            del os.environ[name]
    # Names only: a value may be a secret and a test's report is public.
    assert not changed, "use monkeypatch.setenv"


@pytest.fixture
def stage() -> Iterator[Stage]:
    from support import new_stage  # here: notebooks need nothing of it

    with new_stage() as stage:
        yield stage


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool
