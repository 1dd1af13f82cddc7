"""JupyterLab in a real browser: start it, open a notebook, Run All, read what came of it.

Used by the tests beside it and by `shot.py`, with which a person looks at a notebook.

What a notebook holds is read from JupyterLab's own model and not from the page: a long notebook's cells
outside the view are not in the DOM.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright
from support import free_port

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"

# Without these Chromium calls home, and on a closed network waits for it.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# The notebook in front, as JupyterLab holds it (`jupyterapp` is there because we have the server expose it).
PANEL = "window.jupyterapp.shell.currentWidget"

# idle: the kernel has nothing to do and no cell is scheduled.
# Looks at an idle kernel (150 ms apart) after which a notebook with cells left counts as stopped.
STOPPED = 40

STATE = f"""() => {{
    const panel = {PANEL};
    const kernel = panel?.context?.sessionContext?.session?.kernel;
    if (!kernel || !panel.context.isReady) return {{idle: false}};
    const cells = [...panel.content.model.cells].filter(cell => cell.type === "code");
    const waiting = cells.some(cell => cell.executionState === "running");
    return {{idle: kernel.status === "idle" && !waiting}};
}}"""


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome of this machine, or None."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    programs = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "C:/Program Files/Google/Chrome/Application/chrome.exe",
    ]
    found = (shutil.which(name) for name in names)
    return next(filter(None, found), None) or next((path for path in programs if Path(path).exists()), None)


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path, timeout: float = 60) -> None:
    """Return when `url` answers; raise with its last words when it ends or `timeout` seconds pass."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab does not answer. Its last words:\n{log.read_text('utf-8')[-3000:]}")


# JupyterLab's settings, by plugin. It asks a newcomer about news, in front of the notebook.
NO_NEWS = {"apputils-extension/notification": {"fetchNews": "false"}}
# Every cell in the page, as pictures need it.
FOR_PICTURES = {"notebook-extension/tracker": {"windowingMode": "none"}}


@contextlib.contextmanager
def jupyterlab(
    folder: Path,
    home: Path,
    settings: dict[str, dict[str, Any]] = NO_NEWS,
    program: Sequence[str] = ("jupyterlab",),
) -> Iterator[str]:
    """A JupyterLab that serves `folder`; yields its address with `{path}` and the token in it.

    Its settings, workspaces and log are kept in `home`, so that nobody's own are read or written. `program`
    is what `python -m` runs, in `folder`.
    """
    port, token, log = free_port(), secrets.token_hex(8), home / "jupyterlab.log"
    home.mkdir(parents=True, exist_ok=True)
    for plugin, values in settings.items():
        file = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values), "utf-8")
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    command = [
        *(sys.executable, "-m", *program, "--no-browser", f"--port={port}"),
        "--ServerApp.port_retries=0",
        "--ServerApp.allow_root=True",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_ready(f"http://127.0.0.1:{port}/api?token={token}", process, log)
        yield f"http://127.0.0.1:{port}/{{path}}?token={token}"
    finally:
        # Asked politely it ends its kernels too; and each kernel watches its parent.
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def browser_context(chromium: str, width: int = 1280, height: int = 900) -> Iterator[BrowserContext]:
    """A headless Chromium, whose pages share a cache: JupyterLab is large."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(60_000)
        yield context
        browser.close()


class Lab:
    """One JupyterLab, seen through one page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def open(self, path: str, *, alone: bool = False) -> None:
        """Open the notebook at `path` and wait for its kernel. `alone`: without side bars and tabs."""
        self.page.goto(self.address.format(path=f"{'doc' if alone else 'lab'}/tree/{path}") + "&reset")
        self.page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
        self.wait_idle(60)

    def wait_idle(self, timeout: float, all_cells: bool = False) -> None:
        """Wait until the kernel is idle, and with `all_cells` until every cell has run.

        A cell is sent when the one before is done: an idle kernel may be one that waits for the next.
        A run that stopped at an error never completes; it is over when nothing has moved for a while.
        """
        deadline = time.monotonic() + timeout
        needed = STOPPED if all_cells else 2
        seen = 0
        while seen < needed:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the notebook is still busy after {timeout:g} s")
            self.page.wait_for_timeout(150)
            seen = seen + 1 if self.page.evaluate(STATE)["idle"] else 0
            if all_cells and seen and not not_run(self.cells()):
                return

    def run_all(self, timeout: float = 90) -> None:
        """Forget every output, then Run > Run All Cells, as a person does it; return when all is done."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        self.page.get_by_role("menubar").get_by_text("Run", exact=True).click()
        self.page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
        self.wait_idle(timeout, all_cells=True)

    def cells(self) -> list[dict[str, Any]]:
        """The notebook's cells as they are now, in nbformat's form."""
        cells: list[dict[str, Any]] = self.page.evaluate(f"{PANEL}.content.model.toJSON()")["cells"]
        for cell in cells:
            if isinstance(cell["source"], list):
                cell["source"] = "".join(cell["source"])
        return cells

    def scroll_through(self, folder: Path, name: str) -> list[Path]:
        """Screenshots of the notebook from top to bottom, each one view long."""
        scroller = self.page.locator(".jp-NotebookPanel:visible .jp-WindowedPanel-outer")
        scroller.evaluate("outer => { outer.scrollTop = 0; }")
        shots: list[Path] = []
        while True:
            self.page.wait_for_timeout(500)
            shots.append(folder / f"{name}-{len(shots) + 1:02}.png")
            self.page.screenshot(path=shots[-1])
            # Not a remembered height: it grows as cells come into view and are drawn.
            more = scroller.evaluate(
                """outer => {
                    const last = [...outer.querySelectorAll(".jp-Cell")].at(-1).getBoundingClientRect();
                    outer.scrollBy({top: outer.clientHeight - 60, behavior: "instant"});
                    return last.bottom > outer.getBoundingClientRect().bottom;
                }"""
            )
            if not more or len(shots) == 60:
                return shots


def errors_in(cells: list[dict[str, Any]]) -> list[str]:
    """The errors that a notebook shows, other than those a cell shows on purpose."""
    return [
        f"cell {number}: {output['ename']}: {output['evalue']}"
        for number, cell in enumerate(cells)
        if cell["cell_type"] == "code" and "raises-exception" not in cell["metadata"].get("tags", [])
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]


def not_run(cells: list[dict[str, Any]]) -> list[int]:
    """The numbers of the code cells that hold code and did not run."""
    return [
        number
        for number, cell in enumerate(cells)
        if cell["cell_type"] == "code" and cell["source"].strip() and cell["execution_count"] is None
    ]
