"""From the two ends of each call, as they were recorded, to calls as a reader wants them.

A call has an end at its caller and one at the service that answered it, and they may disagree: who gave up
waiting saw no answer, though the service gave one. What a call is, its caller says; when one call of the
caller's reached the service several times (a client library that tries again by itself), each is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.lens.tree import Call

if TYPE_CHECKING:
    from labkit.lens.telemetry import CallSpan

_LAST = (1 << 60,)  # the order of what came in a way that leaves no order


@dataclass
class _Node:
    call: CallSpan
    caller: str
    order: tuple[int, ...]
    status: int | None
    error: str | None
    started: float
    ended: float | None
    children: list[_Node] = field(default_factory=list)

    @property
    def key(self) -> tuple[object, ...]:
        return self.order, self.call.callee, self.call.method, self.call.path, self.started


def calls_below(root: CallSpan, calls: Iterable[CallSpan]) -> list[CallSpan]:
    """Return the calls that came about below `root`, itself included, parents before children."""
    inside = {id(root)}
    found = [root]
    for call in calls:  # which stand in the order in which they began
        if call.parent is not None and id(call.parent) in inside:
            inside.add(id(call))
            found.append(call)
    return found


def calls_of(root: CallSpan, spans: Iterable[CallSpan]) -> list[Call]:
    """List the calls below a block's span: parents first, siblings in the order of asking."""
    below: defaultdict[int, list[CallSpan]] = defaultdict(list)
    for call in spans:
        if call.parent is not None and call is not root:
            below[id(call.parent)].append(call)
    calls: list[Call] = []
    pending: list[tuple[_Node, int | None]] = [(node, None) for node in reversed(_nodes(root, below))]
    while pending:
        node, parent = pending.pop()
        call = node.call
        calls.append(
            Call(
                index=len(calls),
                parent=parent,
                caller=node.caller,
                callee=call.callee,
                method=call.method,
                path=call.path,
                status=node.status,
                error=node.error,
                start=node.started - root.started,
                duration=None if node.ended is None else max(0.0, node.ended - node.started),
            )
        )
        here = len(calls) - 1
        pending += [
            (child, here) for child in sorted(node.children, key=lambda child: child.key, reverse=True)
        ]
    return calls


def _nodes(parent: CallSpan, below: dict[int, list[CallSpan]]) -> list[_Node]:
    """List the calls that were made directly below a call, sorted."""
    nodes: list[_Node] = []
    for call in below.get(id(parent), []):
        if call.kind == "block":  # one inside another: its calls are its surroundings' too
            nodes += [_placed(node, call.order + node.order) for node in _nodes(call, below)]
        elif call.kind == "client":
            nodes += _attempts(call, below)
        else:
            nodes.append(_answered(call, call.caller, _LAST, below))
    return sorted(nodes, key=lambda node: node.key)


def _attempts(call: CallSpan, below: dict[int, list[CallSpan]]) -> list[_Node]:
    """List the calls behind one of a client: as many as reached the service, at least one."""
    arrivals = below.get(id(call), [])
    reached = [each for each in arrivals if each.callee == call.callee]
    earlier = [
        _answered(each, call.caller, (*call.order, number), below) for number, each in enumerate(reached[:-1])
    ]
    status, error, ended = call.result()
    started = reached[-1].started if earlier else call.started
    last = _Node(call, call.caller, (*call.order, len(earlier)), status, error, started, ended)
    if reached:
        last.children += _nodes(reached[-1], below)
    # Somebody in between, who is no service of ours, passed the headers on.
    last.children += [_answered(each, each.caller, _LAST, below) for each in arrivals if each not in reached]
    return [*earlier, last]


def _answered(call: CallSpan, caller: str, order: tuple[int, ...], below: dict[int, list[CallSpan]]) -> _Node:
    status, error, ended = call.result()
    return _Node(call, caller, order, status, error, call.started, ended, _nodes(call, below))


def _placed(node: _Node, order: tuple[int, ...]) -> _Node:
    node.order = order
    return node
