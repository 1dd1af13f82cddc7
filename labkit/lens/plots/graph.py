"""Calls between services as a graph, which JupyterLab draws from its Mermaid source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadArgument
from labkit.lens import load_messages as messages
from labkit.lens.plots.refusing import refusing


@dataclass
class Traffic:
    """The calls from one service to another."""

    count: int = 0
    errors: int = 0

    def __str__(self) -> str:
        calls = messages.CALLS[self.count != 1].format(count=self.count)
        return f"{calls}, {messages.FAILED_CALLS[self.errors != 1].format(count=self.errors)}"


@dataclass(frozen=True)
class Topology:
    """A graph of calls: `source` in Mermaid's language, and its text alternative."""

    source: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/vnd.mermaid": self.source}


@refusing
def topology(calls: Iterable[Any]) -> Topology:
    """Draw an arrow from each caller to each callee, with the number of calls and of failures.

    `calls`: (caller, callee, count, errors) for each pair; or single calls, objects with `.caller` and
    `.callee` and an `.error` or a `.status`, such as those of `labkit.observe()`: those with an error or
    a status from 500 on have failed; their arrows are dashed. Raises ValueError for no calls.
    """
    traffic = counted(calls)
    if not traffic:
        raise BadArgument(messages.NO_CALLS_TO_DRAW)
    names = list(dict.fromkeys(name for pair in traffic for name in pair))
    boxes = [f'  n{number}["{_escaped(name)}"]' for number, name in enumerate(names)]
    arrows = [
        f"  n{names.index(caller)} {'-.->' if edge.errors else '-->'}|{edge}| n{names.index(callee)}"
        for (caller, callee), edge in traffic.items()
    ]
    return Topology("\n".join(["flowchart LR", *boxes, *arrows]), "\n".join(in_words(traffic)))


def counted(calls: Iterable[Any]) -> dict[tuple[str, str], Traffic]:
    """Add up the calls of each pair of services, in the order in which the pairs are first seen."""
    traffic: dict[tuple[str, str], Traffic] = {}
    for call in calls:
        if isinstance(call, tuple | list):
            caller, callee, count, errors = call
            if not 0 <= errors <= count:
                raise BadArgument(
                    messages.BAD_COUNTS.format(caller=caller, callee=callee, count=count, errors=errors)
                )
        else:
            caller, callee, count = call.caller, call.callee, 1
            status = getattr(call, "status", None)
            errors = int(bool(getattr(call, "error", None)) or (status is not None and int(status) >= 500))
        edge = traffic.setdefault((str(caller), str(callee)), Traffic())
        edge.count += count
        edge.errors += errors
    return traffic


def in_words(traffic: Mapping[tuple[str, str], Traffic]) -> list[str]:
    """Return a line for each pair, sorted: `cliente → pagos: 2 llamadas, 1 error`."""
    return [f"{caller} → {callee}: {edge}" for (caller, callee), edge in sorted(traffic.items())]


def _escaped(name: str) -> str:
    """Write as entities what Mermaid would take for its own language."""
    return "".join(c if c.isalnum() or c in " -_.:/" else f"#{ord(c)};" for c in name)
