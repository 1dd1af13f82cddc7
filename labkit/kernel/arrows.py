"""Who calls whom as SVG: drawn anew several times a second, where matplotlib would take the kernel's time.

Boxes, arrows and labels stand where `labkit.plots.topology` puts them. Colours are those of JupyterLab's
theme, but for the arrows', which are told apart by their dashes too.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from labkit.lens.plots import graph
from labkit.lens.plots.drawing import BLUE, RED

_UNIT = 78  # an inch of the layout: letters of 12 points become 13 pixels
_INK, _BOX, _PAPER = (
    "var(--jp-ui-font-color1,#000)",
    "var(--jp-layout-color2,#f2f2f2)",
    "var(--jp-layout-color1,#fff)",
)
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def draw(calls: Sequence[tuple[str, str, int, int]]) -> str:
    """The picture of (caller, callee, count, errors); its text alternative is in it."""
    traffic = graph._counted(calls)
    labels = {pair: graph._label(edge) for pair, edge in traffic.items()}
    # Where things stand depends on how long the numbers are, not on what they are.
    plan = _plan(tuple((*pair, re.sub(r"\d", "0", text)) for pair, text in labels.items()))
    most = max(edge.count for edge in traffic.values())
    arrows, marks = [], []
    for pair, edge in traffic.items():
        colour = RED if edge.errors else BLUE
        weight = math.log1p(edge.count) / math.log1p(most)
        arrows.append(_arrow(plan.lines[pair], colour, bool(edge.errors), weight))
        marks.append(_label(plan.labels[pair], labels[pair], colour))
    boxes = [_named_box(box, plan.names[name]) for name, box in plan.boxes.items()]
    width, top, height = plan.width * _UNIT, plan.top * _UNIT, (plan.bottom - plan.top) * _UNIT
    words = html.escape(graph._in_words(traffic), quote=True)
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 {top:.0f} {width:.0f} {height:.0f}" '
        f'style="width:100%;max-width:{width:.0f}px;display:block" font-size="13" '
        f'font-family="var(--jp-ui-font-family,sans-serif)" text-anchor="middle">'
        f"{''.join([*arrows, *boxes, *marks])}</svg>"
    )


@dataclass(frozen=True)
class _Plan:
    """Where everything stands, in inches."""

    names: Mapping[str, str]
    boxes: Mapping[str, Box]
    lines: Mapping[graph.Edge, list[Point]]
    labels: Mapping[graph.Edge, Point]
    width: float
    top: float
    bottom: float


@lru_cache(maxsize=8)
def _plan(edges: tuple[tuple[str, str, str], ...]) -> _Plan:
    """The plan for (caller, callee, label): most of the time goes into it, and it seldom changes."""
    pairs = [(caller, callee) for caller, callee, _ in edges]
    places, routes = graph._layout(pairs)
    sheet = graph._Sheet(places, routes)
    boxes = {name: sheet.box(name) for name in places}
    lines = {
        (caller, callee): graph._curve(
            [sheet.at(point) for point in routes[caller, callee]],
            boxes[caller],
            boxes[callee],
            caller != callee and (callee, caller) in routes,
        )
        for caller, callee in pairs
    }
    callers, callees = Counter(caller for caller, _ in pairs), Counter(callee for _, callee in pairs)
    labels, taken = {}, list(boxes.values())
    for caller, callee, text in edges:
        outwards = (callers[caller] > callees[callee]) - (callers[caller] < callees[callee])
        others = [point for pair, line in lines.items() if pair != (caller, callee) for point in line]
        line = lines[caller, callee]
        labels[caller, callee] = graph._free_place(line, 0.5 + 0.12 * outwards, text, taken, others)
    # The sheet leaves room above for a legend, which a panel has in words below.
    ys = [y for line in lines.values() for _, y in line] + [top for _, top, _, _ in boxes.values()]
    return _Plan(sheet.names, boxes, lines, labels, sheet.width, min(ys) - 0.12, sheet.height)


def _arrow(line: list[Point], colour: str, failed: bool, weight: float) -> str:
    width = 1.5 + 2.5 * weight
    points = " ".join(f"{x * _UNIT:.1f},{y * _UNIT:.1f}" for x, y in line[:-1])
    dashes = ' stroke-dasharray="7 4"' if failed else ""
    (x0, y0), (x1, y1) = [pair for pair in pairwise(line) if pair[0] != pair[1]][-2][0], line[-1]
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    reach, half = 9 + width, 3.5 + width / 2
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width:.1f}"{dashes}/>'
        f'<polygon points="0,0 {-reach:.1f},{-half:.1f} {-reach:.1f},{half:.1f}" fill="{colour}" '
        f'transform="translate({x1 * _UNIT:.1f} {y1 * _UNIT:.1f}) rotate({angle:.1f})"/>'
    )


def _named_box(box: Box, name: str) -> str:
    left, top, right, bottom = (each * _UNIT for each in box)
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="5" '
        f'style="fill:{_BOX};stroke:{_INK};stroke-width:1.2"/>'
        + _text((left + right) / 2, (top + bottom) / 2, name)
    )


def _label(place: Point, text: str, colour: str) -> str:
    x, y = place[0] * _UNIT, place[1] * _UNIT
    lines = text.split("\n")
    width, height = 7.2 * max(map(len, lines)) + 12, 15 * len(lines) + 4
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height}" '
        f'rx="3" style="fill:{_PAPER};stroke:{colour}"/>' + _text(x, y, text)
    )


def _text(x: float, y: float, text: str) -> str:
    lines = text.split("\n")
    first = y - 7.5 * (len(lines) - 1) + 4.5
    return "".join(
        f'<text x="{x:.1f}" y="{first + 15 * number:.1f}" style="fill:{_INK}">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
