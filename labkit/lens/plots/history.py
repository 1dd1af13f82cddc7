"""A history: what happened, one thing after the other, and the quantity that it left each time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from labkit.errors import BadArgument
from labkit.lens import load_messages as messages
from labkit.lens.plots.drawing import BLUE, GREY, WIDTH, Drawing, legible, new_figure, quiet
from labkit.lens.plots.refusing import refusing

_LETTER = 0.085  # inches, of a label below the axis


@refusing
def history(
    steps: Sequence[tuple[str, float]], *, ylabel: str, until: int | None = None, start: float = 0
) -> Drawing:
    """Draw a stream of events: below, each with its version; above, the quantity after it.

    `steps`: for each event its type and the quantity that it left; `start`: the quantity before the first.
    `until`: the version at which one stands; what came later is drawn faintly. `ylabel` names the quantity
    with its unit. Raises ValueError for a version that is not there.
    """
    now = len(steps) if until is None else until
    if isinstance(now, bool) or not isinstance(now, int) or not 0 <= now <= len(steps):
        raise BadArgument(messages.NO_SUCH_VERSION.format(given=repr(until), last=len(steps)))
    values = [start, *(value for _, value in steps)]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise BadArgument(messages.NOT_A_QUANTITY)
    versions = list(range(len(values)))
    crowded = max([len(label) for label, _ in steps], default=0) * _LETTER * len(versions) > WIDTH - 1
    slant: Any = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    with legible():
        figure = new_figure(4.4 if crowded else 3.6)
        axes = figure.subplots()
        late: Any = {"color": GREY, "alpha": 0.45}
        axes.step(versions[now:], values[now:], where="post", linewidth=2, linestyle=":", **late)
        axes.plot(versions[now + 1 :], values[now + 1 :], "o", markersize=7, markerfacecolor="white", **late)
        axes.step(versions[: now + 1], values[: now + 1], where="post", color=BLUE, linewidth=2.4)
        axes.plot(versions[: now + 1], values[: now + 1], "o", color=BLUE, markersize=8)
        axes.annotate(
            f"{values[now]:g}",
            (now, values[now]),
            xytext=(8, 7),
            textcoords="offset points",
            ha="left",
            color=BLUE,
            weight="bold",
        )
        axes.set_xticks(
            versions,
            ["0", *(f"{number}\n{label}" for number, (label, _) in enumerate(steps, start=1))],
            **slant,
        )
        low, high = min(0, *values), max(1, *values)
        axes.set_ylim(low - 0.08 * (high - low), high + 0.22 * (high - low))
        axes.locator_params(axis="y", integer=True)
        axes.set_xlim(right=len(steps) + 0.4)
        axes.set(xlabel=messages.VERSION_AXIS, ylabel=ylabel)
        axes.grid(axis="y", color="#E0E0E0", linewidth=0.8)
        quiet(axes)
        for number, letters in enumerate(axes.get_xticklabels()):
            letters.set_color(GREY if number > now else "black")
    told = [
        messages.HISTORY_STEP.format(version=number, label=label, value=value)
        for number, (label, value) in enumerate(steps[:now], start=1)
    ]
    here = messages.HISTORY_HERE.format(ylabel=ylabel, version=now, value=values[now], later=len(steps) - now)
    return Drawing(figure, "\n".join([*told, here]))
