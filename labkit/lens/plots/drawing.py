"""The common part of all figures: the drawing that a cell shows, colours, hatchings, markers, letters."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from labkit.errors import MissingPackage
from labkit.lens import load_messages as messages
from labkit.lens.messages import NEEDS_MATPLOTLIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without the yellow that vanishes on white.
BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK = PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000",
)  # fmt: skip
GREY = "#7F7F7F"
EDGE = "#444444"
WIDTH = 9.0  # inches
_DPI = 110
# Some settings are read when a figure is drawn, and not when it is made: it is drawn within them, too.
_SETTINGS: dict[Any, Any] = {
    "font.size": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "legend.fontsize": 11.5,
    "hatch.linewidth": 1.0,
    "text.parse_math": False,  # `$` is part of a path or a name, and begins no formula
}
# Looks for things in a row: none is told from its neighbours by colour alone.
_HATCHES = ("", "///", "...", "\\\\\\", "xx", "ooo", "++")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))


@dataclass
class Drawing:
    """A figure and its text alternative."""

    figure: Any
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with legible():
            self.figure.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()


@dataclass(frozen=True)
class Look:
    """The look that tells one kind of thing from the others: colour, and hatching or marker."""

    colour: str
    hatch: str
    marker: str

    @property
    def patch(self) -> dict[str, Any]:
        """For bars."""
        return {"facecolor": self.colour, "hatch": self.hatch, "edgecolor": "white" if self.hatch else EDGE}

    @property
    def ink(self) -> str:
        """For letters on top of it."""
        return BLACK if self.colour in (ORANGE, SKY, PINK) else "white"


LOOKS = tuple(Look(*parts) for parts in zip(PALETTE, _HATCHES, MARKERS, strict=True))


@contextmanager
def legible() -> Iterator[None]:
    """Set letters and lines as large as a projector needs them."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise MissingPackage(NEEDS_MATPLOTLIB) from error
    with matplotlib.rc_context(_SETTINGS):
        yield


def new_figure(height: float) -> Figure:
    """Make an empty figure, as wide as all, `height` inches high."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07))


def quiet(axes: Axes, *hidden: str) -> None:
    """Remove every frame but the axes that say something."""
    for side in ("top", "right", *hidden):
        axes.spines[side].set_visible(False)
    if "left" in hidden:
        axes.tick_params(left=False)


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], side: str = "upper") -> None:
    """Place a legend above or below (`"lower"`) the axes, in as many columns as there is room for."""
    if not handles:
        return
    place: Any = f"outside {side} left"
    widths = [0.1 * len(label) + 0.75 for label in labels]  # inches, the sample and the gap included

    def total(columns: int) -> float:
        """Sum the widest of each column; as Matplotlib fills them, the first are one longer."""
        rows, longer = divmod(len(widths), columns)
        ends = [rows * (column + 1) + min(column + 1, longer) for column in range(columns)]
        return sum(max(widths[start:end]) for start, end in pairwise([0, *ends]))

    columns = next((n for n in range(len(labels), 1, -1) if total(n) < WIDTH - 0.3), 1)
    further = -(-len(labels) // columns) - 1  # the first row is in the height that was given
    figure.set_figheight(figure.get_figheight() + 0.27 * further)
    figure.legend(
        handles,
        labels,
        loc=place,
        ncols=columns,
        frameon=False,
        handlelength=1.8,
        columnspacing=1.6,
        handletextpad=0.6,
    )


def patch_of(look: dict[str, Any]) -> Any:
    """Return a legend's sample of a bar."""
    from matplotlib.patches import Patch

    return Patch(**look)


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Assign colours to services: instance 2 of any group has the second one, in every figure.

    Names without a number take what is left, in their order; where nothing is left they share.
    """
    names = list(dict.fromkeys(names))
    colours: dict[str, str] = {}
    for name in names:
        number = re.search(r"-([1-9])$", name)
        colour = PALETTE[int(number[1]) - 1] if number and int(number[1]) <= len(PALETTE) else None
        if colour is not None and colour not in colours.values():
            colours[name] = colour
    left = [colour for colour in PALETTE if colour not in colours.values()] or PALETTE
    others = [name for name in names if name not in colours]
    colours |= {name: left[place % len(left)] for place, name in enumerate(others)}
    return {name: colours[name] for name in names}


def looks_of(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, in order; from the eighth on hatchings are combined anew."""
    looks: dict[str, Look] = {}
    for name in names:
        if name not in looks:
            turn, place = divmod(len(looks), len(PALETTE))
            other = (place + 3 * turn) % len(PALETTE)
            looks[name] = Look(PALETTE[place], _HATCHES[other], MARKERS[other])
    return looks


def looks_of_outcomes(outcomes: Iterable[str]) -> dict[str, Look]:
    """Return a look for each outcome of a request: good ones plain and blue, others hatched."""
    preferred = {
        "2": Look(BLUE, "", "o"),
        "3": Look(SKY, "///", "s"),
        "4": Look(ORANGE, "\\\\\\", "^"),
        "5": Look(RED, "xx", "X"),
        messages.REFUSED: Look(BLACK, "...", "P"),
        messages.TIMED_OUT: Look(PINK, "++", "D"),
        messages.CUT: Look(GREEN, "ooo", "v"),
    }
    outcomes = list(outcomes)
    looks: dict[str, Look] = {}
    for outcome in outcomes:
        wanted = preferred.get(outcome[0] if outcome.isdigit() else outcome)
        if wanted is not None and wanted not in looks.values():
            looks[outcome] = wanted
    for outcome in outcomes:  # a second status of a class takes what is left
        if outcome not in looks:
            others = (*preferred.values(), *looks_of(map(str, range(21))).values())
            looks[outcome] = next((look for look in others if look not in looks.values()), LOOKS[-1])
    return {outcome: looks[outcome] for outcome in outcomes}


def spread_labels(count: int, room: int) -> int:
    """Return every how manieth of so many labels is shown where there is room for so many."""
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if count <= step * room:
            return step
    return max(1, count // room)
