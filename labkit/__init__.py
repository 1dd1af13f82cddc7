"""Servers that live in the background of a notebook's kernel.

>>> import labkit
>>> servicio = labkit.serve(app, name="inventario")     # returns when it answers
>>> requests.get(servicio.url + "/stock/42")            # from any cell
>>> servicio.journal                                    # what it served, printed and raised
>>> servicio.stop()

`%load_ext labkit` makes `app.run(...)` and `web.run_app(...)` return at once in a cell.

The names below are loaded when they are first used: `import labkit` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.background import run as run
    from labkit.errors import LabkitError as LabkitError
    from labkit.errors import PortInUse as PortInUse
    from labkit.exercises.check import check as check
    from labkit.journal import Journal as Journal
    from labkit.kernel.panel import panel as panel
    from labkit.lens import plots as plots
    from labkit.lens.load import load as load
    from labkit.lens.observe import observe as observe
    from labkit.lens.result import compare as compare
    from labkit.roster import serve as serve
    from labkit.roster import services as services
    from labkit.roster import stop_all as stop_all
    from labkit.service import Group as Group
    from labkit.service import Service as Service
    from labkit.waiting import ManualClock as ManualClock
    from labkit.waiting import aeventually as aeventually
    from labkit.waiting import eventually as eventually

_HOMES = {
    "Group": "labkit.service",
    "Journal": "labkit.journal",
    "LabkitError": "labkit.errors",
    "ManualClock": "labkit.waiting",
    "PortInUse": "labkit.errors",
    "Service": "labkit.service",
    "aeventually": "labkit.waiting",
    "check": "labkit.exercises.check",
    "compare": "labkit.lens.result",
    "eventually": "labkit.waiting",
    "load": "labkit.lens.load",
    "observe": "labkit.lens.observe",
    "panel": "labkit.kernel.panel",
    "plots": "labkit.lens",
    "run": "labkit.background",
    "serve": "labkit.roster",
    "services": "labkit.roster",
    "stop_all": "labkit.roster",
}

__all__ = [*sorted(_HOMES), "load_ipython_extension", "unload_ipython_extension"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'labkit' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def load_ipython_extension(ipython: Any) -> None:
    """Run servers started in a cell in the background: `%load_ext labkit`."""
    from labkit.kernel import extension

    extension.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Give everything back as it was before: `%unload_ext labkit`."""
    from labkit.kernel import extension

    extension.unload(ipython)
