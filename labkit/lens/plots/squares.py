"""The instances that answered, a square for each request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit import messages
from labkit.errors import BadArgument
from labkit.lens.plots.drawing import EDGE, PALETTE, Drawing, colours_of, legible, new_figure, quiet
from labkit.lens.plots.refusing import refusing

_FAILED = {"facecolor": "white", "hatch": "xxx"}  # told by its hatching, not by a colour


@refusing
def outcomes(
    rows: Mapping[str, Sequence[str]], *, failures: Sequence[str] = (messages.NO_ANSWER,)
) -> Drawing:
    """Draw one square for each request, in order, by who answered; a row for each way of asking.

    `rows`: for each label the outcomes of its requests, each the name of who answered or one of
    `failures`, which are hatched. At most seven different names. Raises ValueError for more, or for no rows.
    """
    names = sorted({outcome for row in rows.values() for outcome in row} - set(failures))
    if not rows or not any(rows.values()):
        raise BadArgument(messages.NOTHING_TO_DRAW)
    if len(names) > len(PALETTE):
        raise BadArgument(messages.TOO_MANY_NAMES.format(count=len(names), limit=len(PALETTE)))
    looks: dict[str, dict[str, Any]] = {
        name: {"facecolor": colour} for name, colour in colours_of(names).items()
    }
    failed = sorted({outcome for row in rows.values() for outcome in row} & set(failures))
    looks |= dict.fromkeys(failed, _FAILED)

    longest = max(map(len, rows.values()))
    with legible():
        figure = new_figure(1.0 + 0.5 * len(rows))
        axes = figure.subplots()
        for y, row in enumerate(rows.values()):
            for x, outcome in enumerate(row, start=1):
                axes.barh(y, 0.86, left=x - 0.43, height=0.72, edgecolor=EDGE, **looks[outcome])
        axes.set(
            yticks=range(len(rows)),
            yticklabels=list(rows),
            xticks=range(1, longest + 1, 1 if longest <= 24 else 10),
            xlim=(0.4, longest + 0.6),
            xlabel=messages.REQUEST_NUMBER,
        )
        axes.invert_yaxis()
        quiet(axes, "left")
        handles = [axes.barh(0, 0, edgecolor=EDGE, **look)[0] for look in looks.values()]
        axes.legend(handles, list(looks), loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return Drawing(figure, _in_words(rows))


def _in_words(rows: Mapping[str, Sequence[str]]) -> str:
    lines = []
    for label, row in rows.items():
        counts = {outcome: row.count(outcome) for outcome in sorted(set(row))}
        lines.append(f"{label}: " + ", ".join(f"{outcome} {count}" for outcome, count in counts.items()))
    return "\n".join(lines)
