"""labkit/lens/diagrams.py and the text of a tree: text and pictures of given calls."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from observe_support import Start, flask_app
from support import get

import labkit
from labkit.lens import diagrams
from labkit.lens.tree import Call, as_text, branches

pytestmark = pytest.mark.usefixtures("nothing_left_in_place")


def a_call(index: int, parent: int | None, caller: str, callee: str, **changes: Any) -> Call:
    values: dict[str, Any] = {"method": "GET", "path": f"/ruta/{index}", "status": 200, "error": None}
    values |= {"start": index / 100, "duration": (40 - 2 * index) / 100}
    return Call(index=index, parent=parent, caller=caller, callee=callee, **{**values, **changes})


MANY = [
    a_call(0, None, "cliente", "puerta-de-enlace"),
    *(a_call(i, 0, "puerta-de-enlace", f"servicio-de-inventario-{i % 5}") for i in range(1, 12)),
    a_call(12, 11, "servicio-de-inventario-1", "servicio-de-inventario-1"),
    a_call(13, 0, "puerta-de-enlace", "pagos", status=503),
    a_call(14, 0, "puerta-de-enlace", "pagos", status=None, error="sin respuesta a tiempo"),
    a_call(15, 0, "puerta-de-enlace", "pagos", status=None, error="conexión rechazada", method="DELETE"),
    a_call(16, 15, "pagos", "ejemplo.org", path="/una/ruta/larga/" + "x" * 90 + "?fin=si"),
    a_call(17, None, "cliente", "puerta-de-enlace", status=None, duration=None),
    a_call(18, 17, "puerta-de-enlace", "pagos", status=None, duration=None),
    a_call(19, None, "cliente", "zeta"),
]


def test_branches_are_drawn_to_the_last_child() -> None:
    calls = [a_call(0, None, "", "a"), a_call(1, 0, "", "b"), a_call(2, 1, "", "c"), a_call(3, 0, "", "d")]
    assert branches(calls) == ["└─ ", "   ├─ ", "   │  └─ ", "   └─ "]


def test_a_very_long_tree_is_cut_and_says_so() -> None:
    calls = [a_call(index, None, "cliente", "s") for index in range(250)]
    text = as_text("cliente", calls).splitlines()
    assert len(text) == 202
    assert text[-1] == "(… y 50 llamadas más: están en .calls)"


def texts_of(figure: Any) -> list[Any]:
    renderer = figure.canvas.get_renderer()
    shown = []
    for axes in figure.axes:
        own = [*axes.texts, *(axes.get_yticklabels() if axes.axison else []), axes.xaxis.label, axes.title]
        shown += [text for text in own if text.get_text()]
        for child in axes.child_axes:
            shown += child.get_yticklabels()
    return [(text, text.get_window_extent(renderer)) for text in shown]


@pytest.mark.parametrize(
    "draw", [diagrams.both, diagrams.sequence, lambda _, calls: diagrams.waterfall(calls)]
)
@pytest.mark.parametrize("calls", [MANY, MANY[:1], MANY * 3], ids=["twenty", "one", "sixty"])
def test_no_label_is_cut(draw: Any, calls: list[Call]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if len(calls) > len(MANY):
        calls = [a_call(index, None, "cliente", f"servicio-{index % 4}") for index in range(60)]
    figure = draw("cliente", calls)
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox
    for text, box in texts_of(figure):
        assert whole.x0 <= box.x0, text
        assert box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0, text
        assert box.y1 <= whole.y1, text


def test_the_sequence_has_a_lifeline_for_each_service_and_their_names_do_not_touch() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = diagrams.sequence("cliente", MANY)
    FigureCanvasAgg(figure).draw()
    heads = [(text, box) for text, box in texts_of(figure) if text.get_weight() == "bold"]
    names = ["cliente", "puerta-de-enlace", *(f"servicio-de-inventario-{i}" for i in (1, 2, 3, 4, 0))]
    assert [text.get_text().replace("\n", "") for text, _ in heads] == [
        *names,
        "pagos",
        "ejemplo.org",
        "zeta",
    ]
    for (_, left), (_, right) in pairwise(heads):
        assert left.x1 + 5 < right.x0
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"503", "sin respuesta a tiempo", "conexión rechazada", "en curso", "GET /ruta/1"} <= set(said)


def test_the_waterfall_has_a_bar_for_each_call_as_long_as_it_took() -> None:
    figure = diagrams.waterfall(MANY)
    axes = figure.axes[0]
    bars = axes.patches
    assert [bar.get_x() for bar in bars] == pytest.approx([10.0 * index for index in range(20)])
    assert bars[3].get_width() == pytest.approx(340)
    assert [bar.get_hatch() is not None for bar in bars] == [call.failed for call in MANY]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "├─ GET puerta-de-enlace /ruta/0"
    assert labels[1] == "│  ├─ GET servicio-de-inventario-1 /ruta/1"
    assert "…" in labels[16]
    ends = [label.get_text() for label in axes.child_axes[0].get_yticklabels()]
    assert ends[0] == "200 · 400 ms"
    assert ends[13] == "503 · 140 ms"
    assert ends[15] == "conexión rechazada · 100 ms"
    assert ends[17] == "en curso"


def test_a_picture_says_what_it_leaves_out() -> None:
    calls = [a_call(index, None, "cliente", "s") for index in range(60)]
    assert len(diagrams.waterfall(calls).axes[0].patches) == 40
    assert "20 llamadas más" in diagrams.waterfall(calls).axes[0].get_title(loc="left")
    assert any("20 llamadas más" in text.get_text() for text in diagrams.sequence("c", calls).axes[0].texts)


def test_pictures_have_the_tree_as_their_text(start: Start) -> None:
    service = start(flask_app(), name="s")
    with labkit.observe() as journey:
        get(service.url + "/x")
    for drawing in (journey.waterfall(), journey.sequence()):
        assert repr(drawing) == repr(journey)
        assert drawing._repr_png_().startswith(b"\x89PNG")
    png = journey._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")
