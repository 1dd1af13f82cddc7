"""A trace as a waterfall: a bar for each span, below the one that asked for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.errors import BadArgument
from labkit.lens import load_messages as messages
from labkit.lens.plots.drawing import BLACK, Drawing, legend, legible, looks_of, new_figure, patch_of, quiet
from labkit.lens.plots.refusing import refusing

_TALLEST = 7.5  # inches
_LETTER = 0.1  # inches, of a monospaced letter of 11 points, generously
_STEP = "  "


@refusing
def waterfall(spans: Iterable[Any]) -> Drawing:
    """Draw the spans of a trace along time, each below its parent, siblings in the order in which they began.

    `spans`: objects or mappings with `id`, `parent` (an id; None, or one that is not among them, for a root),
    `name`, `start` and `end` (seconds) and `worker`, whose it is, which gives the bar its colour. The text
    holds the tree without times: siblings stand in it by their names. Raises ValueError for no spans.
    """
    given = sorted(spans, key=lambda span: float(_get(span, "start")))
    if not given:
        raise BadArgument(messages.NO_TASKS)
    known = {_get(span, "id") for span in given}
    below: dict[Any, list[Any]] = defaultdict(list)
    for span in given:
        below[_get(span, "parent") if _get(span, "parent") in known else None].append(span)
    rows = list(_rows(below, None, 0))
    first = float(_get(given[0], "start"))
    looks = looks_of(sorted({str(_get(span, "worker")) for span in given}))

    with legible():
        figure = new_figure(min(_TALLEST, 1.3 + 0.36 * len(rows)))
        axes = figure.subplots()
        for y, (_, span) in enumerate(rows):
            start, end = (float(_get(span, side)) for side in ("start", "end"))
            look = looks[str(_get(span, "worker"))]
            axes.barh(y, end - start, left=start - first, height=0.66, **look.patch)
            # A span of a moment is seen by its edge.
            axes.plot([start - first] * 2, [y - 0.33, y + 0.33], color=BLACK, linewidth=1.2)
        labels = [_STEP * level + str(_get(span, "name")) for level, span in rows]
        axes.set(yticks=range(len(rows)), yticklabels=labels, ylim=(len(rows) - 0.4, -0.6))
        axes.set(xlabel=messages.TIME_AXIS, xlim=(0, None))
        axes.tick_params(axis="y", pad=72 * _LETTER * max(map(len, labels)))
        for label in axes.get_yticklabels():
            label.set(ha="left", family="DejaVu Sans Mono", size=11)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
        quiet(axes, "left")
        legend(figure, [patch_of(look.patch) for look in looks.values()], list(looks))
    return Drawing(figure, "\n".join(_told(below, None, 0)))


def _rows(below: Mapping[Any, list[Any]], parent: Any, level: int) -> Iterable[tuple[int, Any]]:
    for span in below.get(parent, ()):
        yield level, span
        yield from _rows(below, _get(span, "id"), level + 1)


def _told(below: Mapping[Any, list[Any]], parent: Any, level: int) -> list[str]:
    """Return the tree as lines, the same whichever of two siblings was quicker."""
    blocks = [
        [_STEP * level + str(_get(span, "name")), *_told(below, _get(span, "id"), level + 1)]
        for span in below.get(parent, ())
    ]
    return [line for block in sorted(blocks) for line in block]


def _get(span: Any, name: str) -> Any:
    return span[name] if isinstance(span, Mapping) else getattr(span, name)
