"""Pictures of observed calls: arrows between services, and bars along time.

Each function returns a matplotlib figure. Colours tell services apart where there are few; what matters
(who, what, how it ended) is written as well, and a failure has a line or a hatching of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle

from labkit.lens import messages
from labkit.lens.plots.drawing import colours_of
from labkit.lens.tree import Call, branches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIMIT = 40  # calls that a picture shows
_LONGEST, _BRIEF = 44, 26  # letters of a path, along a bar and along an arrow
_FAILED = "#D55E00"  # Okabe and Ito's vermilion
_INK, _PALE = "#222222", "#999999"
_SIZE = 11.0  # of letters, in points
_ROW = 0.31  # inches
_ALONG = 5.0  # inches: the bars of a waterfall
_HALF = 0.055  # inches: half the width of a bar on a lifeline
_BOLD, _MONO = FontProperties(family="DejaVu Sans", weight="bold"), FontProperties(family="DejaVu Sans Mono")


def both(root: str, calls: Sequence[Call]) -> Figure:
    """Draw the sequence above the waterfall."""
    return _stacked(_Sequence(root, calls), _Waterfall(calls))


def sequence(root: str, calls: Sequence[Call]) -> Figure:
    """Draw an arrow for each call and one back for its answer, in the order of time."""
    return _stacked(_Sequence(root, calls))


def waterfall(calls: Sequence[Call]) -> Figure:
    """Draw a bar for each call, from its beginning to its end, below the call it was made for."""
    return _stacked(_Waterfall(calls))


def _stacked(*pictures: _Sequence | _Waterfall) -> Figure:
    """Place pictures one below the other, by the inch: each has measured what it needs."""
    width, height = max(each.width for each in pictures), sum(each.height for each in pictures)
    figure = Figure(figsize=(width, height))
    top = height
    for each in pictures:
        top -= each.height
        left, bottom, right, over = each.margins
        rectangle = (
            left / width,
            (top + bottom) / height,
            (width - left - right) / width,
            (each.height - bottom - over) / height,
        )
        with matplotlib.rc_context(
            {"font.family": "DejaVu Sans", "text.parse_math": False}
        ):  # in which all was measured
            each.draw(figure.add_axes(rectangle), width)
    return figure


class _Sequence:
    """Measures first, so that every label finds room; one unit along x is an inch, along y a row."""

    margins = (0.0, 0.0, 0.0, 0.0)  # inches: left, below, right, above

    def __init__(self, root: str, calls: Sequence[Call]) -> None:
        self.calls, self.left_out = calls[:LIMIT], max(0, len(calls) - LIMIT)
        names = [root, *(name for call in self.calls for name in (call.caller, call.callee))]
        self.names = list(dict.fromkeys(names))
        self.place = self._places()
        last = self.names[-1]
        # A call to oneself has its label to the right of the lifeline.
        own = [_inches(_label(call)) + 0.6 for call in self.calls if call.caller == call.callee == last]
        self.left = -_head_width(root) / 2 - 0.25
        self.right = self.place[last] + max([_head_width(last) / 2, *own]) + 0.25
        self.events = self._events()
        self.width = max(self.right - self.left, _inches(messages.TIME_DOWNWARDS) + 0.4)
        still_running = any(call.duration is None for call in self.calls)
        self.bottom = len(self.events) + (0.6 if still_running else -0.4)
        self.height = _ROW * (self.bottom + 3.6)

    def _places(self) -> dict[str, float]:
        """Place each lifeline, so far from those before it as names and labels need."""
        place: dict[str, float] = {}
        for index, name in enumerate(self.names):
            x = 0.0
            if index:
                before = self.names[index - 1]
                room = (_head_width(before) + _head_width(name)) / 2 + 0.35
                x = place[before] + max(room, 1.1)
            for call in self.calls:
                ends = {call.caller, call.callee}
                width = max(_inches(_label(call)), _inches(call.outcome)) + 0.45
                if name in ends and len(ends) == 2:
                    (other,) = ends - {name}
                    if other in place:
                        x = max(x, place[other] + width)
                elif index and ends == {self.names[index - 1]}:
                    x = max(x, place[self.names[index - 1]] + width + 0.3)
            place[name] = x
        return place

    def _events(self) -> list[tuple[Call, bool]]:
        """List (call, True at its end) in order; a call without an end has none."""
        moments = [(call.start, 0, call.index, call, False) for call in self.calls]
        # Where clocks see no difference, the inner call ends before the outer one.
        moments += [
            (call.start + call.duration, 1, -call.index, call, True)
            for call in self.calls
            if call.duration is not None
        ]
        return [(call, is_end) for *_, call, is_end in sorted(moments, key=lambda moment: moment[:3])]

    def draw(self, axes: Axes, width: float) -> None:
        bottom = self.bottom
        axes.set(xlim=(self.left, self.left + width), ylim=(bottom + 1.0, -2.6))
        axes.set_axis_off()
        for name, x in self.place.items():
            axes.plot([x, x], [-1.4, bottom], color=_PALE, lw=0.9, zorder=0)
            box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": _INK, "lw": 0.9}
            axes.text(x, -1.6, _head(name), ha="center", va="center", size=_SIZE, weight="bold", bbox=box)
        deep = self._depths()
        begins = {call.index: y for y, (call, is_end) in enumerate(self.events) if not is_end}
        ends = {call.index: y for y, (call, is_end) in enumerate(self.events) if is_end}
        for call in self.calls:
            self._draw_call(axes, call, begins[call.index], ends.get(call.index), deep[call.index])
        note = messages.TIME_DOWNWARDS
        if self.left_out:
            note += "   " + messages.MORE_CALLS_DRAWN.format(count=self.left_out)
        axes.text(self.left + 0.1, bottom + 0.6, note, size=_SIZE - 1, color="#555555", va="center")

    def _depths(self) -> dict[int, int]:
        """Count for each call how many others its service is already answering when it comes."""
        depths: dict[int, int] = {}
        under_way: dict[str, set[int]] = {name: set() for name in self.names}
        for call, is_end in self.events:
            if is_end:
                under_way[call.callee].discard(call.index)
            else:
                taken = {depths[index] for index in under_way[call.callee]}
                depths[call.index] = next(depth for depth in range(len(taken) + 1) if depth not in taken)
                if call.error is None:
                    under_way[call.callee].add(call.index)
        return depths

    def _draw_call(self, axes: Axes, call: Call, begin: int, end: int | None, depth: int) -> None:
        colour = _FAILED if call.failed else _INK
        if call.error is None:  # somebody was there and worked on it
            until = self.bottom if end is None else end
            axes.add_patch(
                Rectangle(
                    (self.place[call.callee] + (depth - 1) * _HALF, begin),
                    2 * _HALF,
                    until - begin,
                    facecolor="#D6E6F2",
                    edgecolor=_INK,
                    lw=0.7,
                    ls="-" if end is not None else ":",
                    zorder=1 + 0.01 * depth,
                )
            )
        self._draw_arrow(axes, call.caller, call.callee, begin, _label(call), _INK, solid=True)
        if end is not None:
            self._draw_arrow(axes, call.callee, call.caller, end, call.outcome, colour, solid=False)
        else:
            x = self.place[call.callee] + (depth + 1) * _HALF + 0.05
            axes.text(x, self.bottom - 0.25, call.outcome, size=_SIZE - 1, style="italic", va="bottom")

    def _draw_arrow(
        self, axes: Axes, origin: str, target: str, y: float, label: str, colour: str, *, solid: bool
    ) -> None:
        a, b = self.place[origin], self.place[target]
        style = {"arrowstyle": "-|>", "color": colour, "lw": 1.1, "ls": "-" if solid else (0, (4, 2))}
        if a == b:
            bend = "arc3,rad=-0.9" if solid else "arc3,rad=0.9"
            style |= {"connectionstyle": bend, "shrinkA": 0, "shrinkB": 0}
            x = a + _HALF
            axes.annotate("", (x, y + 0.3), (x, y - 0.3), arrowprops=style)
            axes.text(x + 0.28, y, label, size=_SIZE - 1, color=colour, va="center")
            return
        side = _HALF if b > a else -_HALF
        style |= {"shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (b - side, y), (a + side, y), arrowprops=style, zorder=3)
        # At the caller's end of a long arrow the reader sees whose it is; it covers no other arrow's label.
        near = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        x, alignment = (a + side * 2.4, "left") if b > a else (a + side * 2.4, "right")
        axes.text(
            x, y - 0.1, label, size=_SIZE - 1, color=colour, ha=alignment, va="bottom", bbox=near, zorder=2
        )


class _Waterfall:
    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls, self.left_out = calls[:LIMIT], max(0, len(calls) - LIMIT)
        drawn = [branch + _named(call) for branch, call in zip(branches(calls), calls, strict=True)]
        self.labels = drawn[:LIMIT]
        self.ends = [_ending(call) for call in self.calls]
        self.colours = colours_of(call.callee for call in self.calls)
        before, after = (max(map(_inches, texts), default=0.0) for texts in (self.labels, self.ends))
        self.margins = (before + 0.35, 0.75, after + 0.35, 0.35 if self.left_out else 0.15)
        self.width = before + after + 0.7 + _ALONG
        self.height = _ROW * len(self.calls) + self.margins[1] + self.margins[3]

    def draw(self, axes: Axes, _width: float) -> None:
        origin = min((call.start for call in self.calls), default=0.0)
        known = [call.start + (call.duration or 0) for call in self.calls]
        span = max([end - origin for end in known], default=0.0) * 1e3 or 1.0
        for y, call in enumerate(self.calls):
            left = (call.start - origin) * 1e3
            # One that still ran is drawn to the edge, without an end.
            width = span * 1.03 - left if call.duration is None else call.duration * 1e3
            axes.barh(y, max(width, span * 0.004), left=left, height=0.62, **self._look(call))
        axes.set(
            yticks=range(len(self.calls)),
            yticklabels=self.labels,
            xlim=(0, span * 1.02),
            ylim=(len(self.calls) - 0.5, -0.5),
        )
        axes.set_xlabel(messages.MILLISECONDS, size=_SIZE)
        axes.tick_params(axis="x", labelsize=_SIZE)
        if self.left_out:
            axes.set_title(messages.MORE_CALLS_DRAWN.format(count=self.left_out), size=_SIZE, loc="left")
        axes.grid(axis="x", color="#dddddd", lw=0.7)
        axes.set_axisbelow(True)
        beside = axes.secondary_yaxis("right")
        beside.set_yticks(range(len(self.calls)), self.ends, size=_SIZE)
        for call, label in zip(self.calls, beside.get_yticklabels(), strict=True):
            label.set_color(_FAILED if call.failed else _INK)
        for label in axes.get_yticklabels():
            label.set(family="DejaVu Sans Mono", size=_SIZE - 1, ha="left")
        axes.tick_params(axis="y", length=0, pad=72 * (self.margins[0] - 0.15))
        beside.tick_params(axis="y", length=0)
        for each in (axes, beside):
            for side in each.spines.values():
                side.set_visible(False)

    def _look(self, call: Call) -> dict[str, Any]:
        look: dict[str, Any] = {"facecolor": self.colours[call.callee], "edgecolor": _INK, "lw": 0.6}
        if call.failed:
            look |= {"facecolor": "white", "edgecolor": _FAILED, "hatch": "////"}
        if call.duration is None:
            look |= {"alpha": 0.45, "ls": ":"}
        return look


def _label(call: Call) -> str:
    return f"{call.method} {_short(call.path, _BRIEF)}"


def _named(call: Call) -> str:
    return f"{call.method} {call.callee} {_short(call.path, _LONGEST)}"


def _head(name: str) -> str:
    """Break a long service name at a hyphen: columns stay narrow."""
    hyphens = [index for index, letter in enumerate(name) if letter == "-"]
    if len(name) <= 14 or not hyphens:
        return name
    middle = min(hyphens, key=lambda index: abs(index - len(name) / 2))
    return f"{name[: middle + 1]}\n{name[middle + 1 :]}"


def _head_width(name: str) -> float:
    return max(_inches(line, bold=True) for line in _head(name).split("\n"))


def _short(path: str, longest: int) -> str:
    """Cut a path in the middle: both ends say something."""
    if len(path) <= longest:
        return path
    half = (longest - 1) // 2
    return f"{path[:half]}…{path[-half:]}"


def _ending(call: Call) -> str:
    if call.duration is None:
        return call.outcome
    milliseconds = call.duration * 1e3
    duration = f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    if milliseconds >= 1e4:
        duration = f"{call.duration:.1f} s"
    return messages.DURATION.format(status=call.outcome, duration=duration.replace(".", ","))


def _inches(text: str, *, bold: bool = False) -> float:
    """Measure a text, at most: drawn with proportional letters it is narrower."""
    font = get_font(findfont(_BOLD if bold else _MONO))  # both are matplotlib's own, and cached there
    font.set_size(_SIZE, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 72
