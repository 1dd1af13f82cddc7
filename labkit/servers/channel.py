"""Messages between the kernel and a service's own process: JSON, a line each, over pipes.

The process is told commands (`stop`, `faults`, …) and tells events (`begin`, `answer`, `line`, …); each is a
list that begins with its name. JSON and not pickle, so that neither side runs what the other sends.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from labkit.faults import Delay, Drop, Error, Fault, Hang

_KINDS: dict[str, type[Fault]] = {kind.__name__: kind for kind in (Delay, Drop, Error, Hang)}


def encode(message: list[Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def fault_to_wire(fault: Fault) -> dict[str, Any]:
    """Return what a process must know of a fault to act it out; the kernel decides when."""
    facts: dict[str, Any] = {"kind": type(fault).__name__}
    if isinstance(fault, Error):
        facts |= {
            "status": fault.status,
            "reason": fault.reason,
            "headers": fault.headers,
            "has_body": fault.has_body,
            "body": base64.b64encode(fault.body).decode("ascii"),
        }
    return facts


def fault_from_wire(facts: dict[str, Any]) -> Fault:
    """Make a fault's double in the process: it acts and does not count."""
    kind = _KINDS[facts.pop("kind")]
    fault = kind.__new__(kind)
    fault.cleared = False
    if "body" in facts:
        facts["body"] = base64.b64decode(facts["body"])
    for name, value in facts.items():
        setattr(fault, name, value)
    return fault
