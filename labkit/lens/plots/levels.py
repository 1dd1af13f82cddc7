"""Quantities that go up and down: a limit that adapts itself, the load it follows, how many are inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise

from labkit.errors import BadArgument
from labkit.lens import load_messages as messages
from labkit.lens.plots.drawing import LINES, MARKERS, PALETTE, Drawing, legend, legible, new_figure, quiet
from labkit.lens.plots.refusing import refusing

_MARKS = 8  # on each line, so that it is told from the others where they cross


@refusing
def levels(
    rows: Mapping[str, Iterable[tuple[float, float]]],
    *,
    ylabel: str,
    xlabel: str = messages.TIME_AXIS,
    steps: bool = True,
    exact: bool = False,
) -> Drawing:
    """Draw a line for each row, all on the same axes, which begin at zero upwards.

    `rows`: for each label its points (x, y) in the order of x; `ylabel` and `xlabel` name the quantities with
    their units (x is time in seconds if nothing is said). `steps`: a value lasts until the next one, as a
    limit does; otherwise the points are joined. `exact`: the values are the same on every run (a model, a
    ManualClock), and the text tells them. Raises ValueError where there is nothing to draw, and for points
    that are no numbers or run backwards.
    """
    lines = {label: [(_number(x), _number(y)) for x, y in row] for label, row in rows.items()}
    if not lines or not all(lines.values()):
        raise BadArgument(messages.NO_POINTS)
    for label, line in lines.items():
        if any(after[0] < before[0] for before, after in pairwise(line)):
            raise BadArgument(messages.POINTS_BACKWARDS.format(label=label))
    with legible():
        figure = new_figure(4.0)
        axes = figure.subplots()
        drawn = [
            axes.plot(
                *zip(*line, strict=True),
                color=PALETTE[n % len(PALETTE)],
                linestyle=LINES[n % len(LINES)],
                marker=MARKERS[n % len(MARKERS)],
                markevery=max(1, len(line) // _MARKS),
                markersize=6,
                linewidth=2.2,
                drawstyle="steps-post" if steps else "default",
            )[0]
            for n, line in enumerate(lines.values())
        ]
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, color="#E0E0E0", linewidth=0.8)
        quiet(axes)
        legend(figure, drawn, list(lines))
    return Drawing(figure, "\n".join(_in_words(label, line, exact) for label, line in lines.items()))


def _in_words(label: str, line: list[tuple[float, float]], exact: bool) -> str:
    if not exact:
        return messages.POINTS[len(line) != 1].format(label=label, count=len(line))
    values = [y for _, y in line]
    return messages.LEVELS.format(
        label=label, first=values[0], least=min(values), most=max(values), last=values[-1]
    )


def _number(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadArgument(messages.NOT_A_POINT.format(given=repr(value)))
    return float(value)
