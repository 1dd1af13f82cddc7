"""The waterfall of a trace: rows in the order of the tree, bars by their times, a text without them."""

import pytest

from labkit.lens import plots


def span(id, parent, start, end, name=None, worker="tienda"):
    return {"id": id, "parent": parent, "name": name or id, "start": start, "end": end, "worker": worker}


TRACE = [
    span("b", "a", 5.1, 5.4, worker="pedidos"),
    span("d", "c", 5.5, 5.6, worker="pagos"),
    span("a", None, 5.0, 6.0),
    span("c", "a", 5.5, 5.9, worker="pedidos"),
]


def rows(drawing):
    axes = drawing.figure.axes[0]
    return [label.get_text() for label in axes.get_yticklabels()]


def bars(drawing):
    patches = drawing.figure.axes[0].patches
    return [(round(p.get_x(), 3), round(p.get_width(), 3)) for p in patches]


def test_each_span_stands_below_its_parent_and_siblings_by_their_beginning():
    assert rows(plots.waterfall(TRACE)) == ["a", "  b", "  c", "    d"]


def test_bars_begin_and_end_as_the_spans_did_from_the_first_one_on():
    assert bars(plots.waterfall(TRACE)) == [(0, 1), (0.1, 0.3), (0.5, 0.4), (0.5, 0.1)]


def test_a_worker_has_one_colour_and_a_place_in_the_legend():
    drawing = plots.waterfall(TRACE)
    colours = [patch.get_facecolor() for patch in drawing.figure.axes[0].patches]
    assert colours[1] == colours[2]
    assert len(set(colours)) == 3
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == [
        "pagos",
        "pedidos",
        "tienda",
    ]


def test_the_text_is_the_tree_and_does_not_depend_on_who_was_quicker():
    def trace(quick, slow):
        return [
            span("r", None, 0, 9),
            span("x", "r", quick, 8),
            span("y", "r", slow, 8),
            span("z", "x", 8, 8),
        ]

    text = plots.waterfall(trace(1, 2)).text
    assert text.splitlines() == ["r", "  x", "    z", "  y"]
    assert plots.waterfall(trace(2, 1)).text == text


def test_a_parent_that_is_not_there_makes_a_root():
    assert rows(plots.waterfall([span("x", "lost", 0, 1), span("y", "x", 0, 1)])) == ["x", "  y"]


def test_objects_are_taken_as_well_as_mappings():
    class Record:
        def __init__(self, **parts):
            vars(self).update(parts)

    assert rows(plots.waterfall(Record(**each) for each in TRACE)) == rows(plots.waterfall(TRACE))


def test_no_spans_are_refused():
    with pytest.raises(ValueError, match=r"\w"):
        plots.waterfall([])
