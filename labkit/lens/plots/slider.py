"""A figure with a slider: drawn anew for each place where one lets go of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.lens.plots.drawing import Drawing


class Slider:
    """A slider and the figure of its place; where there are no widgets, the figure of its first place."""

    def __init__(self, draw: Callable[[int], Drawing], last: int, start: int, label: str) -> None:
        self._draw, self._last, self._start, self._label = draw, last, start, label
        self._drawing = draw(start)

    def __repr__(self) -> str:
        return repr(self._drawing)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        picture = self._drawing._repr_png_()
        bundle: dict[str, Any] = {"text/plain": repr(self), "image/png": picture}
        try:
            import ipywidgets
        except ModuleNotFoundError:
            return bundle
        image = ipywidgets.Image(value=picture, format="png", layout={"max_width": "100%"})
        slider = ipywidgets.IntSlider(
            self._start, 0, self._last, description=self._label, continuous_update=False
        )

        def redraw(change: Any) -> None:
            image.value = self._draw(change["new"])._repr_png_()

        slider.observe(redraw, "value")
        widget = ipywidgets.VBox([slider, image])._repr_mimebundle_()
        return bundle | {kind: data for kind, data in widget.items() if kind not in bundle}


def slider(draw: Callable[[int], Drawing], last: int, *, label: str, start: int = 0) -> Slider:
    """Show a slider from 0 to `last`, and below it the drawing that `draw` makes of its place.

    `start`: where it stands at first, and what is shown where there are no widgets. Raises ValueError for a
    start beyond the ends.
    """
    if not 0 <= start <= last:
        raise ValueError(f"start={start}: 0…{last}")
    return Slider(draw, last, start, label)
