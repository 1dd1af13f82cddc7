"""Who calls whom: boxes in layers from left to right, after Sugiyama, Tagawa and Toda (1981).

Each layer stands one step to the right of all that call into it. Where an arrow skips a layer, it gets a
place there as a box would, so that it passes between the boxes and not through one.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from labkit.lens import load_messages as messages
from labkit.lens.plots.drawing import BLACK, BLUE, RED, WIDTH, Drawing, legible, new_figure

Edge = tuple[str, str]
_SWEEPS = 8
_WRAPS = (18, 14, 11, 9)  # letters of a line of a name: the fewer, the more room for arrows
_GAP = 0.95  # inches between two layers, for an arrow and its label
_LETTER = 0.1  # inches, of a letter of 12 points


@dataclass
class _Traffic:
    count: int = 0
    errors: int = 0


def topology(calls: Iterable[Any]) -> Drawing:
    """Who calls whom, how often, and what part of it fails.

    `calls`: (caller, callee, count, errors) for each pair; or single calls, objects with `.caller` and
    `.callee` and an `.error` or a `.status`, such as those of `labkit.observe()`: those with an error or
    a status from 500 on have failed. Arrows are the thicker the more calls there are. Raises
    ValueError for no calls.
    """
    traffic = _counted(calls)
    if not traffic:
        raise ValueError(messages.NO_CALLS_TO_DRAW)
    places, routes = _layout(list(traffic))
    return Drawing(_draw(traffic, places, routes), _in_words(traffic))


def _counted(calls: Iterable[Any]) -> dict[Edge, _Traffic]:
    traffic: dict[Edge, _Traffic] = {}
    for call in calls:
        if isinstance(call, tuple | list):
            caller, callee, count, errors = call
            if not 0 <= errors <= count:
                raise ValueError(
                    messages.BAD_COUNTS.format(caller=caller, callee=callee, count=count, errors=errors)
                )
        else:
            caller, callee, count = call.caller, call.callee, 1
            status = getattr(call, "status", None)
            errors = int(bool(getattr(call, "error", None)) or (status is not None and int(status) >= 500))
        edge = traffic.setdefault((str(caller), str(callee)), _Traffic())
        edge.count += count
        edge.errors += errors
    return traffic


def _in_words(traffic: Mapping[Edge, _Traffic]) -> str:
    return "\n".join(
        f"{caller} → {callee}: {_count_in_words(edge)}" for (caller, callee), edge in sorted(traffic.items())
    )


def _count_in_words(edge: _Traffic) -> str:
    calls = messages.CALLS[edge.count != 1].format(count=edge.count)
    return f"{calls}, {messages.FAILED_CALLS[edge.errors != 1].format(count=edge.errors)}"


# Layout


def _layout(
    edges: list[Edge],
) -> tuple[dict[str, tuple[float, float]], dict[Edge, list[tuple[float, float]]]]:
    """Where each box stands (layer, height from the middle), and by which points each arrow passes."""
    forward = _without_cycles(edges)
    layers = _layers(edges, forward)
    # A point for each layer that an arrow skips; named by a pair, boxes are named by a text.
    columns: list[list[Any]] = [[] for _ in range(max(layers.values()) + 1)]
    for name, layer in layers.items():
        columns[layer].append(name)
    chains: dict[Edge, list[Any]] = {}
    for edge in edges:
        caller, callee = edge
        low, high = sorted((layers[caller], layers[callee]))
        chain: list[Any] = [caller if layers[caller] <= layers[callee] else callee]
        for layer in range(low + 1, high):
            columns[layer].append((edge, layer))
            chain.append((edge, layer))
        chain.append(callee if layers[caller] <= layers[callee] else caller)
        chains[edge] = chain
    neighbours: dict[Any, list[Any]] = {}
    for chain in chains.values():
        for one, other in pairwise(chain):
            neighbours.setdefault(one, []).append(other)
            neighbours.setdefault(other, []).append(one)
    _order(columns, neighbours)
    heights = {
        thing: place - (len(column) - 1) / 2 for column in columns for place, thing in enumerate(column)
    }
    where = {
        thing: (float(layer), heights[thing]) for layer, column in enumerate(columns) for thing in column
    }
    routes = {}
    for (caller, callee), chain in chains.items():
        points = [where[thing] for thing in chain]
        routes[caller, callee] = points if chain[0] == caller else points[::-1]
    return {name: where[name] for name in layers}, routes


def _without_cycles(edges: list[Edge]) -> set[Edge]:
    """The edges that lead on; those that close a circle, found depth first, are left out."""
    called = {callee for caller, callee in edges if caller != callee}
    names = sorted({name for edge in edges for name in edge}, key=lambda name: name in called)
    leads_to: dict[str, list[str]] = {}
    for caller, callee in edges:
        leads_to.setdefault(caller, []).append(callee)
    forward: set[Edge] = set()
    state: dict[str, str] = {}
    for root in names:
        if root in state:
            continue
        state[root] = "open"
        path = [(root, iter(leads_to.get(root, [])))]
        while path:
            name, rest = path[-1]
            for callee in rest:
                if state.get(callee) == "open":
                    continue
                forward.add((name, callee))
                if callee not in state:
                    state[callee] = "open"
                    path.append((callee, iter(leads_to.get(callee, []))))
                    break
            else:
                state[name] = "done"
                path.pop()
    return forward


def _layers(edges: list[Edge], forward: set[Edge]) -> dict[str, int]:
    layers = dict.fromkeys((name for edge in edges for name in edge), 0)
    for _ in layers:  # the longest path has at most so many steps
        for caller, callee in forward:
            layers[callee] = max(layers[callee], layers[caller] + 1)
    return layers


def _order(columns: list[list[Any]], neighbours: Mapping[Any, list[Any]]) -> None:
    """Fewer crossings: each thing goes to the middle of its neighbours, in sweeps there and back."""
    place = {thing: number for column in columns for number, thing in enumerate(column)}
    layer_of = {thing: layer for layer, column in enumerate(columns) for thing in column}
    best, fewest = [list(column) for column in columns], _crossings(columns, neighbours, place, layer_of)
    for sweep in range(_SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for layer in range(len(columns))[::step]:

            def middle(thing: Any, beside: int = layer - step) -> float:
                near = [place[other] for other in neighbours.get(thing, []) if layer_of[other] == beside]
                return sum(near) / len(near) if near else place[thing]

            columns[layer].sort(key=middle)
            place.update({thing: number for number, thing in enumerate(columns[layer])})
        crossings = _crossings(columns, neighbours, place, layer_of)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best


def _crossings(
    columns: list[list[Any]],
    neighbours: Mapping[Any, list[Any]],
    place: Mapping[Any, int],
    layer_of: Mapping[Any, int],
) -> int:
    total = 0
    for layer, column in enumerate(columns):
        pairs = [
            (place[thing], place[other])
            for thing in column
            for other in neighbours.get(thing, [])
            if layer_of[other] == layer + 1
        ]
        total += sum(
            (a - c) * (b - d) < 0 for number, (a, b) in enumerate(pairs) for c, d in pairs[number + 1 :]
        )
    return total


# Drawing


class _Sheet:
    """Where everything goes, in inches, so that boxes and letters have the sizes that are reckoned with."""

    def __init__(
        self, places: Mapping[str, tuple[float, float]], routes: Mapping[Edge, list[tuple[float, float]]]
    ) -> None:
        self._places = places
        self.layers = 1 + int(max(layer for layer, _ in places.values()))
        for wrap in _WRAPS:
            self.names = {name: textwrap.fill(name, wrap, break_long_words=False) for name in places}
            self._halves = [
                max(self.half_width(name) for name, place in places.items() if place[0] == layer)
                for layer in range(self.layers)
            ]
            boxes = 2 * sum(self._halves)
            if boxes + _GAP * (self.layers - 1) <= WIDTH - 0.3:
                break
        # More layers than there is room for make the figure wider, which a notebook shows smaller.
        self.width = max(WIDTH, boxes + _GAP * (self.layers - 1) + 0.3)
        gap = (self.width - 0.3 - boxes) / max(1, self.layers - 1)
        gap = min(gap, 2.6)
        edge = (self.width - boxes - gap * (self.layers - 1)) / 2
        self._xs = [
            edge + sum(2 * half + gap for half in self._halves[:layer]) + self._halves[layer]
            for layer in range(self.layers)
        ]
        heights = [height for route in routes.values() for _, height in route]
        self._lowest, rows = min(heights), max(heights) - min(heights)
        self._row = min(1.0, 7.0 / max(1.0, rows))
        margin = 0.1 + max(self.half_height(name) for name in places)
        # Above a box there may be the loop of one that calls itself.
        self._top = 0.45 + margin + 0.3 * any(caller == callee for caller, callee in routes)
        self.height = self._top + self._row * rows + margin

    def half_width(self, name: str) -> float:
        return _LETTER * max(map(len, self.names[name].split("\n"))) / 2 + 0.14

    def half_height(self, name: str) -> float:
        return 0.1 * (self.names[name].count("\n") + 1) + 0.12

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        return self._xs[int(point[0])], self._top + (point[1] - self._lowest) * self._row

    def box(self, name: str) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        x, y = self.at(self._places[name])
        half, tall = self.half_width(name), self.half_height(name)
        return x - half, y - tall, x + half, y + tall


def _draw(
    traffic: Mapping[Edge, _Traffic],
    places: Mapping[str, tuple[float, float]],
    routes: Mapping[Edge, list[tuple[float, float]]],
) -> Any:
    sheet = _Sheet(places, routes)
    with legible():
        from matplotlib.lines import Line2D

        figure = new_figure(sheet.height)
        figure.set_layout_engine("none")
        figure.set_figwidth(sheet.width)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
        axes.axis("off")
        taken = [sheet.box(name) for name in places]
        most = max(edge.count for edge in traffic.values())
        lines = {}
        for (caller, callee), edge in traffic.items():
            points = [sheet.at(point) for point in routes[caller, callee]]
            both_ways = caller != callee and (callee, caller) in traffic
            lines[caller, callee] = _curve(points, sheet.box(caller), sheet.box(callee), both_ways)
            _arrow(axes, lines[caller, callee], edge, math.log1p(edge.count) / math.log1p(most))
        for name, place in places.items():
            _box(axes, sheet.box(name))
            axes.text(
                *sheet.at(place), sheet.names[name], ha="center", va="center", zorder=3, linespacing=1.05
            )
        callers = Counter(caller for caller, _ in traffic)
        callees = Counter(callee for _, callee in traffic)
        for pair, edge in traffic.items():
            text = _label(edge)
            # Away from the end at which more arrows meet.
            outwards = (callers[pair[0]] > callees[pair[1]]) - (callers[pair[0]] < callees[pair[1]])
            others = [point for other, line in lines.items() if other != pair for point in line]
            x, y = _free_place(lines[pair], 0.5 + 0.12 * outwards, text, taken, others)
            ground = {
                "facecolor": "white",
                "edgecolor": RED if edge.errors else BLUE,
                "linewidth": 0.8,
                "pad": 2.0,
            }
            axes.text(
                x, y, text, ha="center", va="center", fontsize=11, zorder=4, linespacing=1.05, bbox=ground
            )
        handles = [Line2D([], [], color=BLUE, linewidth=3)]
        words = [messages.ALL_WELL]
        if any(edge.errors for edge in traffic.values()):
            handles.append(Line2D([], [], color=RED, linewidth=3, linestyle=(0, (3, 1.2))))
            words.append(messages.WITH_ERRORS)
        axes.legend(handles, words, loc="upper left", ncols=2, frameon=False, borderaxespad=0.3)
    return figure


def _box(axes: Any, box: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, top, right, bottom = box
    axes.add_patch(
        FancyBboxPatch(
            (left + 0.06, top + 0.06),
            right - left - 0.12,
            bottom - top - 0.12,
            boxstyle="round,pad=0.06",
            facecolor="#F2F2F2",
            edgecolor=BLACK,
            linewidth=1.3,
            zorder=2,
        )
    )


def _arrow(axes: Any, line: list[tuple[float, float]], edge: _Traffic, weight: float) -> None:
    """Dashed where calls fail; the head is drawn apart, or it would be dashed as well."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    colour, width = RED if edge.errors else BLUE, 1.4 + 2.4 * weight
    (x, y), (before_x, before_y) = line[-1], line[-3]
    xs, ys = zip(*line[:-1], strict=True)
    axes.plot(
        xs, ys, color=colour, linewidth=width, linestyle=(0, (4, 1.6)) if edge.errors else "-", zorder=1
    )
    axes.add_patch(
        FancyArrowPatch(
            path=Path([(before_x, before_y), (x, y)]),
            arrowstyle="-|>",
            mutation_scale=16 + width,
            color=colour,
            linewidth=0.5,
            joinstyle="miter",
            shrinkA=0,
            shrinkB=0,
            zorder=1,
        )
    )


def _label(edge: _Traffic) -> str:
    if not edge.errors:
        return str(edge.count)
    share = 100 * edge.errors / edge.count
    shown = "<1" if share < 1 else ">99" if 99 < share < 100 else f"{share:.0f}"
    return messages.ERROR_SHARE.format(count=edge.count, share=shown)


def _curve(
    points: list[tuple[float, float]],
    start: tuple[float, float, float, float],
    end: tuple[float, float, float, float],
    both_ways: bool,
) -> list[tuple[float, float]]:
    """The points of an arrow from the edge of one box to the edge of the other."""
    steps = [step / 24 for step in range(25)]
    x0, x1 = points[0][0], points[-1][0]
    if start == end:  # it calls itself: a loop above the box
        angles = [math.pi * (0.95 + 1.1 * step) for step in steps]
        return [(x0 + 0.3 * math.cos(a), start[1] + 0.34 * math.sin(a)) for a in angles]
    direction = 1 if x1 > x0 else -1
    # Two arrows between the same boxes keep apart.
    aside = 0.11 * direction if both_ways else 0.0
    points = [(x, y + aside) for x, y in points]
    points[0] = (start[2] if direction > 0 else start[0], points[0][1])
    points[-1] = (end[0] - 0.02 if direction > 0 else end[2] + 0.02, points[-1][1])
    smooth: list[tuple[float, float]] = []
    for (xa, ya), (xb, yb) in pairwise(points):
        for step in steps:
            ease = step * step * (3 - 2 * step)
            smooth.append((xa + (xb - xa) * step, ya + (yb - ya) * ease))
    return smooth


def _free_place(
    line: list[tuple[float, float]],
    wanted: float,
    text: str,
    taken: list[tuple[float, float, float, float]],
    others: list[tuple[float, float]],
) -> tuple[float, float]:
    """A place along the line, near the wanted part of it, where the label covers the least.

    Boxes and labels (`taken`) count most, other arrows (points of `others`) less.
    """
    lines = text.split("\n")
    half_width = 0.045 * max(map(len, lines)) + 0.07
    half_height = 0.09 * len(lines) + 0.05

    def box(x: float, y: float) -> tuple[float, float, float, float]:
        return x - half_width, y - half_height, x + half_width, y + half_height

    def covered(place: tuple[float, float]) -> float:
        left, top, right, bottom = box(*place)
        overlap = sum(
            max(0.0, min(right, b[2]) - max(left, b[0])) * max(0.0, min(bottom, b[3]) - max(top, b[1]))
            for b in taken
        )
        return overlap + 0.003 * sum(left < x < right and top < y < bottom for x, y in others)

    # The first of equals is taken.
    shares = sorted((number / 40 for number in range(6, 35)), key=lambda share: abs(share - wanted))
    best = min((line[int(share * (len(line) - 1))] for share in shares), key=covered)
    taken.append(box(*best))
    return best
