"""The result of a load, and two of them compared, as pictures."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.lens import load_messages as messages
from labkit.lens import plots
from labkit.lens.plots import Drawing
from labkit.lens.samples import Samples, named


class Result(Samples):
    """The result of `labkit.load`: its samples, which a notebook shows as a picture.

    Latencies along time, and how each request ended.
    """

    def drawing(self) -> Drawing:
        """Draw the picture that it shows as."""
        return plots.requests_along_time(self)

    def _repr_png_(self) -> bytes | None:
        return self.drawing()._repr_png_() if self.samples else None


def compare(*results: Result, names: Sequence[str] = messages.BEFORE_AND_AFTER) -> Drawing:
    """Draw loads on the same axes: latencies, and how the requests ended.

    `names`: one for each. Raises TypeError for what is no result, ValueError for names that do not fit.
    """
    return plots.comparison(named(results, names))
