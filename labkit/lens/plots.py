"""Figures for lessons: legible on a projector, told apart by colour-blind readers, with a text beside them.

Each function returns a Drawing, which a cell shows as a picture and, where there are no pictures, as text.
The text is the figure's alternative for who cannot see it, and what a strict comparison of notebooks
compares. Matplotlib is loaded when something is drawn, and without its window machinery.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit import messages

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), without the yellow that vanishes on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
_EDGE = "#444444"
_FAILED = {"facecolor": "white", "hatch": "xxx"}  # told by its hatching, not by a colour
_DPI = 110


@dataclass
class Drawing:
    """A figure and its text alternative."""

    figure: Any
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()


def outcomes(
    rows: Mapping[str, Sequence[str]], *, failures: Sequence[str] = (messages.NO_ANSWER,)
) -> Drawing:
    """One square for each request, in order: who answered it, a row for each way of asking.

    `rows`: for each label the outcomes of its requests, each the name of who answered or one of
    `failures`, which are hatched. At most seven different names. Raises ValueError for more, or for no rows.
    """
    from matplotlib.figure import Figure

    names = sorted({outcome for row in rows.values() for outcome in row} - set(failures))
    if not rows or not any(rows.values()):
        raise ValueError(messages.NOTHING_TO_DRAW)
    if len(names) > len(PALETTE):
        raise ValueError(messages.TOO_MANY_NAMES.format(count=len(names), limit=len(PALETTE)))
    looks: dict[str, dict[str, Any]] = {
        name: {"facecolor": colour} for name, colour in zip(names, PALETTE, strict=False)
    }
    failed = sorted({outcome for row in rows.values() for outcome in row} & set(failures))
    looks |= dict.fromkeys(failed, _FAILED)

    longest = max(map(len, rows.values()))
    figure = Figure(figsize=(9, 1.0 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows.values()):
        for x, outcome in enumerate(row, start=1):
            axes.barh(y, 0.86, left=x - 0.43, height=0.72, edgecolor=_EDGE, **looks[outcome])
    axes.set(
        yticks=range(len(rows)),
        yticklabels=list(rows),
        xticks=range(1, longest + 1, 1 if longest <= 24 else 10),
        xlim=(0.4, longest + 0.6),
        xlabel=messages.REQUEST_NUMBER,
    )
    axes.invert_yaxis()
    _quiet(axes)
    handles = [axes.barh(0, 0, edgecolor=_EDGE, **look)[0] for look in looks.values()]
    axes.legend(handles, list(looks), loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return Drawing(figure, _outcomes_in_words(rows))


def _outcomes_in_words(rows: Mapping[str, Sequence[str]]) -> str:
    lines = []
    for label, row in rows.items():
        counts = {outcome: row.count(outcome) for outcome in sorted(set(row))}
        lines.append(f"{label}: " + ", ".join(f"{outcome} {count}" for outcome, count in counts.items()))
    return "\n".join(lines)


def _quiet(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
