"""`panel`: the services of the kernel in the notebook, alive, each with the buttons that break and repair it.

A thread of the panel's own looks four times a second at the services and sends the page what has changed,
so it goes on while a cell runs. It ends when the panel is closed or replaced, and when for a while nothing
runs, neither a service nor a cell; the next cell or click wakes it. The panel counts calls (see `traffic`)
for as long.

A click is dispatched by the kernel, and what it asks for is done by a thread that ends with it, so no
cell ever waits for a click. While a cell runs without awaiting anything:

- in JupyterLab from 4.4 and Notebook from 7.4, with ipykernel from 7.0, a click acts at once: they send it to
  a subshell, a shell in a thread of its own;
- elsewhere the kernel hears no click before the cell ends. The figures go on, the click is kept and
  acts then. A cell that awaits lets it through (ipykernel from 7.0).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from labkit import display, sockets
from labkit.kernel import messages
from labkit.roster import ROSTER

if TYPE_CHECKING:
    from labkit.kernel.controls import View
    from labkit.service import Service

PERIOD = 0.25  # seconds from one look to the next
DRAWING = 2  # looks for one drawing of the calls
IDLE = 2.0  # seconds without a service or a cell after which nobody looks
_PATIENCE = 2.0  # seconds that closing waits for the threads

_open: Panel | None = None
_last: Panel | None = None  # whose widgets may still be in a page
_opening = threading.Lock()


def panel() -> Panel:
    """Open a live panel: every service's state, requests, errors and latency, calls and buttons.

    There is one at a time: a new one closes the one before. Without a front end for widgets it shows as the
    table of `labkit.services()`. Closed by `close()` or its button, the services go on.
    """
    global _open, _last
    with _opening:
        close_open()
        if _last is not None:
            _last._remove()
        _open = _last = Panel()
    return _open


def close_open() -> None:
    """Close the panel that is open, if one is."""
    if _open is not None:
        _open.close()


class Panel:
    """A live panel. Made by `labkit.panel()`.

    `closed`: True when it has ended; then it shows how the services stood at that moment.
    """

    def __init__(self) -> None:
        self.closed = False
        self._shell = _kernel_shell()
        # A panel is made in a cell, of which IPython says only the end.
        self._in_cell = self._shell is not None
        self._lock = threading.RLock()  # of the widgets
        self._life = threading.Lock()  # of the thread that looks
        self._looking: tuple[threading.Thread, threading.Event] | None = None
        self._actions: set[threading.Thread] = set()
        self._view: View | None = None
        try:
            from labkit.kernel.controls import View
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "ipywidgets":
                raise
            return  # a plain table, which says why
        from labkit.kernel.traffic import Traffic

        self._traffic = Traffic()
        self._view = View(self._act, self.close)
        self.refresh()
        if self._shell is not None:
            self._shell.events.register("pre_run_cell", self._cell_begins)
            self._shell.events.register("post_run_cell", self._cell_ends)
            self._wake()

    def close(self) -> None:
        """Stop looking and take the buttons away; the services go on. A second time nothing happens."""
        global _open
        with self._life:
            if self.closed:
                return
            self.closed = True
        if _open is self:
            _open = None
        if self._view is None:
            return
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._cell_begins)
            self._shell.events.unregister("post_run_cell", self._cell_ends)
        self._rest()
        with self._lock:
            self._view.fold(ROSTER.services())

    def refresh(self) -> None:
        """Show how things are at this moment; on a page it happens by itself."""
        with self._lock:
            if self._view is not None and not self.closed:
                self._view.show(ROSTER.services())
                self._view.draw(self._traffic.counts())
                self._view.name_strangers(_strangers())

    # how it shows

    def __repr__(self) -> str:
        return display.lines(ROSTER)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": display.table_html(ROSTER)}
        if self._view is None:
            bundle["text/plain"] += f"\n({messages.PANEL_NEEDS_IPYWIDGETS})"
            bundle["text/html"] += f"<small>{messages.PANEL_NEEDS_IPYWIDGETS}</small>"
        elif self._shell is not None:
            bundle |= {
                kind: data for kind, data in self._view.root._repr_mimebundle_().items() if kind not in bundle
            }
        return bundle

    # looking

    def _wake(self) -> None:
        """Have somebody look, and calls counted, if that is not so."""
        with self._life:
            if self.closed or self._looking is not None or self._shell is None:
                return
            self._traffic.start()
            over = threading.Event()
            thread = threading.Thread(target=self._look, args=(over,), name="labkit-panel", daemon=True)
            self._looking = thread, over
        # In an empty context: the cell's may be observed, or be a service's.
        Context().run(thread.start)

    def _rest(self) -> None:
        """Stop looking; what was clicked comes to its end."""
        with self._life:
            looking, self._looking = self._looking, None
            if looking is not None:
                self._traffic.stop()
                looking[1].set()
        waited_for = [*self._actions, *([looking[0]] if looking is not None else [])]
        deadline = time.monotonic() + _PATIENCE
        for thread in waited_for:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _look(self, over: threading.Event) -> None:
        looks, alive = 0, time.monotonic()
        while not over.wait(PERIOD):
            services = ROSTER.services()
            looks += 1
            with self._lock:
                if over.is_set() or self._view is None:
                    return
                self._view.show(services)
                if looks % DRAWING == 0:
                    self._view.draw(self._traffic.counts())
            if self._in_cell or self._actions or any(service.running for service in services):
                alive = time.monotonic()
            elif time.monotonic() - alive > IDLE:
                with self._life:
                    if self._in_cell or over.is_set():
                        continue
                    self._looking = None
                    self._traffic.stop()
                    return

    def _cell_begins(self, *_: Any) -> None:
        self._in_cell = True
        self._wake()

    def _cell_ends(self, *_: Any) -> None:
        self._in_cell = False

    # acting

    def _act(self, service: Service, what: str, action: Callable[[], object]) -> None:
        """Do what a button says, in a thread: a stop may take its grace, a start as long as it likes."""

        def run() -> None:
            problem = ""
            try:
                action()
            except Exception as error:
                problem = messages.ACTION_FAILED.format(name=service.name, action=what, error=error)
            with self._lock:
                self._actions.discard(thread)
                if self._view is not None and not self.closed:
                    self._view.busy(service.name, False)
                    self._view.say(problem)
            self.refresh()

        thread = threading.Thread(target=run, name=f"labkit-panel-{what}", daemon=True)
        with self._lock:
            if self._view is None or self.closed:
                return
            self._actions.add(thread)
            self._view.busy(service.name, True)
        self._wake()
        Context().run(thread.start)

    def _remove(self) -> None:
        if self._view is not None:
            self._view.remove()


def _kernel_shell() -> Any:
    """Return IPython's shell where there is a kernel around it, and so perhaps a page; else None."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


def _strangers() -> list[int]:
    """List the ports on which a cell listens without labkit: not the services', and not the kernel's own."""
    if not sockets.kernels:  # not told by %load_ext
        return []
    known = {service.port for service in ROSTER.services() if service.running}
    return sorted(sockets.listening_here() - known - sockets.kernels)
