"""A real Jupyter kernel under test: run a cell, see what it showed, and everything that any cell showed."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

ROOT = Path(__file__).parent.parent
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Cell:
    """What one cell showed."""

    stdout: str = ""
    stderr: str = ""
    result: str | None = None
    html: str | None = None
    error: str | None = None
    error_text: str = ""
    traceback: str = ""

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


@dataclass
class Kernel:
    """A kernel and its client. `cells` keeps every cell's output, also what came after the cell's end."""

    manager: KernelManager
    client: Any
    cells: dict[str, Cell] = field(default_factory=dict)

    def start(self, code: str) -> str:
        """Send a cell and return its id, without waiting for it."""
        message_id: str = self.client.execute(code)
        self.cells[message_id] = Cell()
        return message_id

    def wait(self, message_id: str, timeout: float = 20) -> Cell:
        """Wait until that cell has ended and return what it showed."""
        deadline = time.monotonic() + timeout
        while not self._take(deadline - time.monotonic(), until_idle_of=message_id):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the cell did not end within {timeout} s")
        return self.cells[message_id]

    def run(self, code: str, timeout: float = 20) -> Cell:
        """Run a cell that may fail."""
        return self.wait(self.start(code), timeout)

    def ok(self, code: str, timeout: float = 20) -> Cell:
        """Run a cell that must not fail."""
        cell = self.run(code, timeout)
        assert cell.error is None, cell.traceback
        return cell

    def settle(self, seconds: float = 0.2) -> None:
        """Take in what threads still say after their cells have ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._take(deadline - time.monotonic())

    def everything(self) -> str:
        """Return all text shown by all cells so far."""
        self.settle()
        return "".join(c.stdout + c.stderr + (c.result or "") + c.traceback for c in self.cells.values())

    def kill(self) -> None:
        """SIGKILL."""
        self.manager.shutdown_kernel(now=True)

    def _take(self, timeout: float, until_idle_of: str | None = None) -> bool:
        try:
            message = self.client.get_iopub_msg(timeout=max(timeout, 0.01))
        except queue.Empty:
            return False
        kind, content = message["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id", "")
        cell = self.cells.setdefault(parent, Cell())
        if kind == "stream":
            setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
        elif kind in ("execute_result", "display_data"):
            cell.result = content["data"].get("text/plain")
            cell.html = content["data"].get("text/html")
        elif kind == "error":
            cell.error, cell.error_text = content["ename"], content["evalue"]
            cell.traceback = _COLOURS.sub("", "\n".join(content["traceback"]))
        return bool(kind == "status" and content["execution_state"] == "idle" and parent == until_idle_of)


@contextlib.contextmanager
def kernel(*, loaded: bool = True, env: dict[str, str] | None = None) -> Iterator[Kernel]:
    """Start a kernel in this Python, with `%load_ext labkit` run unless `loaded` is false."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(ROOT), env={**os.environ, **(env or {})})
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        running = Kernel(manager, client)
        if loaded:
            running.ok("%load_ext labkit")
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
