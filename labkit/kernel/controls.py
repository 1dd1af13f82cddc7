"""The widgets of a panel: a row of figures and buttons for each service, and the calls between services.

Widgets only send what has changed, so `show` may be called as often as one likes.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import median
from typing import Any

import ipywidgets

from labkit import display
from labkit import messages as words
from labkit.entries import Request
from labkit.faults import Injector
from labkit.kernel import messages
from labkit.lens.plots import graph
from labkit.service import Service

RECENT = 20  # answers whose latency is shown
_LOOKED_AT = 200  # journal entries among which they are looked for

FAULTS: dict[str, Callable[[Injector[Any]], Any]] = {
    messages.FAULT_DELAY: lambda faults: faults.delay(1),
    messages.FAULT_ERROR: lambda faults: faults.error(503),
    messages.FAULT_HANG: lambda faults: faults.hang(),
    messages.FAULT_DROP: lambda faults: faults.drop(),
}

# Pixels. Figures and buttons stand side by side from a page of 900 pixels on, and wrap in narrower ones.
_WIDTHS = (112, 88, 84, 60, 66)
_INFO = f"{sum(_WIDTHS)}px"
_LINE = "line-height:1.35"
_LINK = "color:var(--jp-content-link-color,#1976d2);text-decoration:underline"

Calls = Sequence[tuple[str, str, int, int]]
Act = Callable[[Service, str, Callable[[], object]], None]


class View:
    """The widgets of one panel. `act(service, name, action)` is called for a click, `leave` to close it."""

    def __init__(self, act: Act, leave: Callable[[], None]) -> None:
        self._act = act
        self._rows: dict[str, Row] = {}
        self._drawn: Calls | None = None
        self._parts = Parts()
        self._title = self._parts.text(flex="1 1 auto")
        self._fault = self._parts.choice(messages.FAULT_CHOICE, list(FAULTS))
        close = self._parts.button(messages.CLOSE_PANEL, 60, leave)
        close.tooltip = messages.CLOSE_PANEL_TIP
        head = self._parts.line(self._title, self._fault, close)
        self._columns, self._legend, self._note, self._calls = (self._parts.text() for _ in range(4))
        self._strangers = self._parts.text()
        self._list = self._parts.column()
        self.root = ipywidgets.VBox(
            [head, self._columns, self._list, self._legend, self._strangers, self._note, self._calls],
            layout=ipywidgets.Layout(width="100%", padding="2px 0"),
        )
        self.root.add_class("labkit-panel")

    # what it shows

    def show(self, services: Sequence[Service]) -> None:
        """Bring the rows up to date."""
        running = sum(service.running for service in services)
        self._title.value = _title(running, len(services))
        gone = [self._rows.pop(name) for name in set(self._rows) - {each.name for each in services}]
        for service in services:
            if service.name not in self._rows:
                self._rows[service.name] = Row(service, self._act, lambda: self._fault.value)
            self._rows[service.name].show(service)
        rows = tuple(self._rows[service.name].box for service in services)
        if self._list.children != rows:
            self._list.children = rows
        self._columns.value = _head() if rows else html.escape(messages.PANEL_EMPTY)
        self._legend.value = _small(messages.PANEL_LATENCY.format(count=RECENT)) if rows else ""
        for row in gone:
            row.parts.close()

    def draw(self, calls: Calls) -> None:
        """Bring the list of the calls up to date."""
        if calls != self._drawn:
            self._drawn = calls
            self._calls.value = _calls(calls)

    def name_strangers(self, ports: Sequence[int]) -> None:
        """Name the ports on which the kernel listens without labkit: of a cell that was interrupted, say."""
        text = messages.PANEL_STRANGERS.format(ports=", ".join(map(str, ports))) if ports else ""
        self._strangers.value = _small(text) if text else ""

    def say(self, text: str) -> None:
        """Show what came of the last click, where that is not seen in the row."""
        self._note.value = f'<div role="status" style="{_LINE}">{html.escape(text)}</div>' if text else ""

    def busy(self, name: str, doing: bool) -> None:
        """Disable a service's buttons while an action on it is under way."""
        if name in self._rows:
            self._rows[name].busy(doing)

    # its end

    def fold(self, services: Sequence[Service]) -> None:
        """Replace the buttons by a table of how things stood at the end."""
        self._note.value = f"<b>{html.escape(messages.PANEL_CLOSED)}</b>{display.table_html(services)}"
        self.root.children = [self._note, self._calls]
        for row in self._rows.values():
            row.parts.close()
        self._rows.clear()
        self._parts.close(keep=(self._note, self._calls))

    def remove(self) -> None:
        """Remove the widgets, in the page too."""
        for widget in (self._note, self._calls, self.root):
            _close(widget)


class Row:
    """One service: what it is doing, and what can be done to it."""

    def __init__(self, service: Service, act: Act, chosen: Callable[[], str]) -> None:
        self._service = service
        self._act = act
        self._chosen = chosen
        self._busy = False
        self.parts = Parts()
        self._info = self.parts.text(width=_INFO)
        self._stop = self._button(messages.STOP, 60, lambda: self._service.stop)
        self._kill = self._button(messages.KILL, 50, lambda: self._service.kill)
        self._pause = self._button(messages.PAUSE, 56, self._other_of_pause)
        self._restart = self._button(messages.RESTART, 68, lambda: self._service.restart)
        self._inject = self._button(messages.INJECT, 62, self._other_of_inject)
        buttons = self.parts.line(self._stop, self._kill, self._pause, self._restart, self._inject)
        self.box = self.parts.line(self._info, buttons, wrap=True)
        self.box.layout.border_bottom = "1px solid var(--jp-border-color2,#e0e0e0)"

    def show(self, service: Service) -> None:
        self._service = service
        self._info.value = _info(service)
        self._show_buttons()

    def busy(self, doing: bool) -> None:
        self._busy = doing
        self._show_buttons()

    def _show_buttons(self) -> None:
        name, state = self._service.name, self._service.state
        paused, faulty = state == words.PAUSED, bool(self._service.faults.active)
        here = state in (words.RUNNING, words.PAUSED)
        for button, label, tip, possible in (
            (self._stop, messages.STOP, messages.STOP_TIP, here),
            (self._kill, messages.KILL, messages.KILL_TIP, here),
            (self._pause, messages.RESUME, messages.RESUME_TIP, here)
            if paused
            else (self._pause, messages.PAUSE, messages.PAUSE_TIP, here),
            (self._restart, messages.RESTART, messages.RESTART_TIP, True),
            (self._inject, messages.CLEAR_FAULTS, messages.CLEAR_FAULTS_TIP, True)
            if faulty
            else (self._inject, messages.INJECT, messages.INJECT_TIP, True),
        ):
            button.description, button.tooltip = label, tip.format(name=name)
            button.disabled = self._busy or not possible

    def _button(self, label: str, width: int, action: Callable[[], Callable[[], object]]) -> Any:
        # What it does is asked at the click: the service may be another since, or paused.
        button = self.parts.button(
            label, width, lambda: self._act(self._service, button.description, action())
        )
        return button

    def _other_of_pause(self) -> Callable[[], object]:
        paused = self._pause.description == messages.RESUME
        return self._service.resume if paused else self._service.pause

    def _other_of_inject(self) -> Callable[[], object]:
        if self._inject.description == messages.CLEAR_FAULTS:
            return self._service.faults.clear
        inject = FAULTS[self._chosen()]
        return lambda: inject(self._service.faults)


class Parts:
    """Makes widgets and remembers them, so that they can be closed: a box does not close what is in it."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def text(self, **layout: str) -> Any:
        return self._keep(ipywidgets.HTML(layout=ipywidgets.Layout(margin="0", **layout)))

    def button(self, label: str, width: int, pressed: Callable[[], None]) -> Any:
        layout = ipywidgets.Layout(width=f"{width}px", margin="1px 2px 1px 0", padding="0")
        button = self._keep(ipywidgets.Button(description=label, layout=layout))
        button.on_click(lambda _: pressed())
        _heard_at_once(button)
        return button

    def choice(self, label: str, options: list[str]) -> Any:
        choice = ipywidgets.Dropdown(
            description=label,
            options=options,
            value=messages.FAULT_ERROR,
            layout=ipywidgets.Layout(width="190px", margin="1px 8px 1px 0"),
            style={"description_width": "44px"},
        )
        _heard_at_once(choice)
        return self._keep(choice)

    def line(self, *children: Any, wrap: bool = False) -> Any:
        layout = ipywidgets.Layout(
            flex_flow="row wrap" if wrap else "row", align_items="center", overflow="visible"
        )
        return self._keep(ipywidgets.HBox(children, layout=layout))

    def column(self) -> Any:
        return self._keep(ipywidgets.VBox())

    def close(self, keep: Sequence[Any] = ()) -> None:
        for widget in self._made:
            if widget not in keep:
                _close(widget)
        self._made.clear()

    def _keep(self, widget: Any) -> Any:
        self._made.append(widget)
        return widget


def _close(widget: Any) -> None:
    for part in (widget, widget.layout, getattr(widget, "style", None)):
        if part is not None:
            part.close()


def _heard_at_once(widget: Any) -> None:
    """Let the front end decide which shell hears of clicks.

    JupyterLab (since 4.4) sends what is done to widgets to a subshell, which is free while a cell runs.
    ipykernel (7.4) would pass it on to the shell that last spoke to the widget: the cell's.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda data, subshell: subshell


def recent_latency(service: Service) -> float | None:
    """Return the median duration of the last answers, in seconds; None before there are any."""
    durations: list[float] = []
    for entry in islice(reversed(service.journal), _LOOKED_AT):  # a few at the end, not a copy of thousands
        if isinstance(entry, Request) and entry.duration is not None and entry.status is not None:
            durations.append(entry.duration)
            if len(durations) == RECENT:
                break
    return median(durations) if durations else None


def duration_text(seconds: float | None) -> str:
    """Return `12 ms`, `1,5 s`, or a dash."""
    if seconds is None:
        return "–"
    if seconds < 0.0995:
        return f"{max(0.1, seconds * 1000):.{1 if seconds < 0.00995 else 0}f} ms".replace(".", ",")
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s".replace(".", ",")


def _title(running: int, total: int) -> str:
    text = messages.PANEL_TITLE.format(running=running, total=total)
    return f'<b style="{_LINE}">{html.escape(text)}</b>'


def _grid(cells: Sequence[str]) -> str:
    columns = " ".join(f"{width}px" for width in _WIDTHS)
    numbers = ["", "", *["text-align:right"] * 3]
    inside = "".join(
        f'<span style="{style};padding-right:6px;overflow-wrap:anywhere">{cell}</span>'
        for cell, style in zip(cells, numbers, strict=True)
    )
    return f'<div style="display:grid;grid-template-columns:{columns};{_LINE}">{inside}</div>'


def _head() -> str:
    return _grid([f"<b>{html.escape(column)}</b>" for column in messages.PANEL_COLUMNS])


def _small(text: str) -> str:
    return f'<div style="font-size:90%;{_LINE};opacity:.85">{html.escape(text)}</div>'


def _info(service: Service) -> str:
    counts = service.journal.counts
    name = f"<b>{html.escape(service.name)}</b>"
    if service.running:
        target = html.escape(display.link(service), quote=True)
        name = f'<a href="{target}" target="_blank" rel="noopener" style="{_LINK}">{name}</a>'
    grid = _grid(
        [
            name,
            display.state_html(service.state),
            str(counts["requests"]),
            str(counts["errors"]),
            duration_text(recent_latency(service)),
        ]
    )
    faults = ", ".join(fault.what for fault in service.faults)
    if faults:
        grid += _small(f"⚠ {words.FAULTS_ACTIVE.format(faults=faults)}")
    return grid


def _calls(calls: Calls) -> str:
    head = f'<b style="{_LINE}">{html.escape(messages.PANEL_WHO_CALLS)}</b>'
    if not calls:
        return head + _small(messages.PANEL_NO_CALLS)
    lines = "".join(f"<div>{html.escape(line)}</div>" for line in graph.in_words(graph.counted(calls)))
    return f'{head}<div class="labkit-calls" style="{_LINE}">{lines}</div>{_small(messages.PANEL_CALLS_SEEN)}'
