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
    from labkit.lens.telemetry import Leg

_LAST = (1 << 60,)  # the order of what came in a way that leaves no order


@dataclass
class _Node:
    leg: Leg
    caller: str
    order: tuple[int, ...]
    status: int | None
    error: str | None
    started: float
    ended: float | None
    children: list[_Node] = field(default_factory=list)

    @property
    def key(self) -> tuple[object, ...]:
        return self.order, self.leg.callee, self.leg.method, self.leg.path, self.started


def legs_below(root: Leg, legs: Iterable[Leg]) -> list[Leg]:
    """Those that came about below `root`, itself included, parents before children."""
    inside = {id(root)}
    found = [root]
    for leg in legs:  # which stand in the order in which they began
        if leg.parent is not None and id(leg.parent) in inside:
            inside.add(id(leg))
            found.append(leg)
    return found


def calls_of(root: Leg, legs: Iterable[Leg]) -> list[Call]:
    """The calls below a block's leg: parents first, siblings in the order in which they were asked for."""
    below: defaultdict[int, list[Leg]] = defaultdict(list)
    for leg in legs:
        if leg.parent is not None and leg is not root:
            below[id(leg.parent)].append(leg)
    calls: list[Call] = []
    pending: list[tuple[_Node, int | None]] = [(node, None) for node in reversed(_nodes(root, below))]
    while pending:
        node, parent = pending.pop()
        leg = node.leg
        calls.append(
            Call(
                index=len(calls),
                parent=parent,
                caller=node.caller,
                callee=leg.callee,
                method=leg.method,
                path=leg.path,
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


def _nodes(parent: Leg, below: dict[int, list[Leg]]) -> list[_Node]:
    """The calls that were made directly below a leg, sorted."""
    nodes: list[_Node] = []
    for leg in below.get(id(parent), []):
        if leg.kind == "block":  # one inside another: its calls are its surroundings' too
            nodes += [_placed(node, leg.order + node.order) for node in _nodes(leg, below)]
        elif leg.kind == "client":
            nodes += _attempts(leg, below)
        else:
            nodes.append(_answered(leg, leg.caller, _LAST, below))
    return sorted(nodes, key=lambda node: node.key)


def _attempts(leg: Leg, below: dict[int, list[Leg]]) -> list[_Node]:
    """What a caller takes for one call: as many calls as have reached the service, at least one."""
    arrivals = below.get(id(leg), [])
    reached = [each for each in arrivals if each.callee == leg.callee]
    earlier = [
        _answered(each, leg.caller, (*leg.order, number), below) for number, each in enumerate(reached[:-1])
    ]
    status, error, ended = leg.result()
    started = reached[-1].started if earlier else leg.started
    last = _Node(leg, leg.caller, (*leg.order, len(earlier)), status, error, started, ended)
    if reached:
        last.children += _nodes(reached[-1], below)
    # Somebody in between, who is no service of ours, passed the headers on.
    last.children += [_answered(each, each.caller, _LAST, below) for each in arrivals if each not in reached]
    return [*earlier, last]


def _answered(leg: Leg, caller: str, order: tuple[int, ...], below: dict[int, list[Leg]]) -> _Node:
    status, error, ended = leg.result()
    return _Node(leg, caller, order, status, error, leg.started, ended, _nodes(leg, below))


def _placed(node: _Node, order: tuple[int, ...]) -> _Node:
    node.order = order
    return node
