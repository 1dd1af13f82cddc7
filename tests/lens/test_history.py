"""The figure of a history: what was, what came later, and the words beside it."""

from __future__ import annotations

import math

import ipywidgets
import pytest

from labkit.lens.plots import history, slider

STEPS = [("Recibido", 3), ("Vendido", 2), ("Vendido", 1)]


def lines_of(drawing):
    return [list(map(float, line.get_ydata())) for line in drawing.figure.axes[0].lines]


def test_what_was_is_told_apart_from_what_came_later():
    drawing = history(STEPS, until=1, ylabel="unidades")
    later, later_dots, before, dots = lines_of(drawing)
    assert (before, dots, later, later_dots) == ([0, 3], [0, 3], [3, 2, 1], [2, 1])
    assert repr(drawing) == ("1 · Recibido: 3\nunidades en la versión 1: 3 (quedan 2 hechos por delante)")
    labels = [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()]
    assert labels == ["0", "1\nRecibido", "2\nVendido", "3\nVendido"]


def test_the_whole_history_is_drawn_when_nothing_is_said():
    assert lines_of(history(STEPS, ylabel="unidades"))[2] == [0, 3, 2, 1]
    assert lines_of(history([], ylabel="unidades"))[3] == [0]


@pytest.mark.parametrize("until", [-1, 4, 1.5, True, "2"])
def test_a_version_that_is_not_there_is_refused(until):
    with pytest.raises(ValueError, match="de 0 a 3"):
        history(STEPS, until=until, ylabel="unidades")


@pytest.mark.parametrize("value", [math.nan, math.inf, "3", None])
def test_a_quantity_is_a_number(value):
    with pytest.raises(ValueError, match="número finito"):
        history([("Recibido", value)], ylabel="unidades")


def test_a_slider_shows_the_place_it_begins_at_and_draws_the_others():
    drawn = []

    def draw(version):
        drawn.append(version)
        return history(STEPS, until=version, ylabel="unidades")

    shown = slider(draw, 3, label="versión", start=2)
    assert "en la versión 2: 2" in repr(shown)
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == repr(shown)
    assert bundle["image/png"].startswith(b"\x89PNG")
    (moved,) = [
        widget
        for widget in ipywidgets.widgets.widget._instances.values()
        if isinstance(widget, ipywidgets.IntSlider) and widget.description == "versión"
    ]
    moved.value = 1
    assert drawn == [2, 1]
    moved.close()


def test_a_slider_begins_between_its_ends():
    with pytest.raises(ValueError, match="start=4"):
        slider(lambda version: history(STEPS, ylabel="u"), 3, label="versión", start=4)
