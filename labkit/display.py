"""Services as a notebook shows them: a small table where there is HTML, else one clean line.

Neither holds a time, and the port stands in the link's target only, so a cell may end in a service.
Colours come from JupyterLab's theme, and every state has a sign and a word besides its colour.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from typing import Protocol

from labkit import messages
from labkit.faults import Faults
from labkit.journal import Journal

_LAST_LINES = 5
# Okabe and Ito's palette: apart from each other for colour-blind readers too.
_SIGNS = {
    messages.RUNNING: ("●", "#009e73"),
    messages.PAUSED: ("‖", "#e69f00"),
    messages.STOPPED: ("○", "#7f7f7f"),
    messages.KILLED: ("✕", "#d55e00"),
}
_TABLE = "border-collapse:collapse;margin:.2em 0"
_CELL = "text-align:left;padding:.15em .9em .15em 0;vertical-align:top"
_LOG = "margin:.2em 0 0;padding:.3em .6em;border-left:3px solid #7f7f7f;font-size:90%;overflow-x:auto"


class Shown(Protocol):
    """A service, as far as it shows."""

    name: str
    journal: Journal
    faults: Faults
    port: int

    @property
    def url(self) -> str:
        """The address that it answers at."""

    @property
    def state(self) -> str:
        """A word for its state."""

    @property
    def running(self) -> bool:
        """True while it accepts connections."""

    @property
    def exit_code(self) -> int | None:
        """The exit code of its process, where that has ended."""


def service_line(service: Shown) -> str:
    """Return `inventario · corriendo · 3 peticiones · 0 errores`, and the injected faults.

    Also how its process ended, if it did not end by being stopped.
    """
    how = how_it_ended(service)
    line = " · ".join([service.name, service.state, *([how] if how else []), _counts(service)])
    faults = _faults(service)
    return f"{line} · {messages.FAULTS_ACTIVE.format(faults=faults)}" if faults else line


def lines(services: Iterable[Shown]) -> str:
    """Return a line a service."""
    return "\n".join(service_line(service) for service in services) or messages.NO_SERVICES


def service_html(service: Shown) -> str:
    """Return the table of one service, its last journal lines below."""
    last = service.journal.lines[-_LAST_LINES:]
    log = f'<pre style="{_LOG}">{html.escape(chr(10).join(last))}</pre>' if last else ""
    return table_html([service]) + log


def table_html(services: Iterable[Shown]) -> str:
    """Return a table with a row a service, and a column for injected faults while there are any."""
    services = list(services)
    if not services:
        return html.escape(messages.NO_SERVICES)
    with_faults = any(service.faults.active for service in services)
    rows = "".join(_row(service, with_faults) for service in services)
    columns = (*messages.COLUMNS, messages.FAULTS_COLUMN) if with_faults else messages.COLUMNS
    head = "".join(f'<th style="{_CELL}">{html.escape(column)}</th>' for column in columns)
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def state_html(state: str) -> str:
    """Return a state by its sign, in its colour, and its word."""
    sign, colour = _SIGNS[state]
    return f'<span style="color:{colour}">{sign}</span> {html.escape(state)}'


def how_it_ended(service: Shown) -> str:
    """Return how a process of its own died, in words; nothing for one that runs or was stopped."""
    code = service.exit_code
    return "" if code is None or service.state != messages.KILLED else messages.how_it_ended(code)


def link(service: Shown) -> str:
    """Return the address at which the reader's browser finds the service.

    On JupyterHub and Binder the browser is elsewhere: jupyter-server-proxy passes `proxy/<port>/` on.
    """
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix.rstrip('/')}/proxy/{service.port}/" if prefix else f"{service.url}/"


def _row(service: Shown, with_faults: bool) -> str:
    target = html.escape(link(service), quote=True)
    counts = service.journal.counts
    cells = [
        f"<b>{html.escape(service.name)}</b>",
        " · ".join(filter(None, [state_html(service.state), html.escape(how_it_ended(service))])),
        f'<a href="{target}" target="_blank" rel="noopener">{messages.OPEN_LINK}</a>'
        if service.running
        else "–",
        str(counts["requests"]),
        str(counts["errors"]),
    ]
    if with_faults:
        cells.append(html.escape(_faults(service)) or "–")
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _faults(service: Shown) -> str:
    return ", ".join(fault.what for fault in service.faults)


def _counts(service: Shown) -> str:
    counts = service.journal.counts
    requests, errors = counts["requests"], counts["errors"]
    return messages.COUNTS.format(
        requests=requests,
        request_word=messages.REQUEST_WORDS[requests != 1],
        errors=errors,
        error_word=messages.ERROR_WORDS[errors != 1],
    )
