"""The data that figures draw: bars, points, labels, words. How they look was looked at; see the module."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

import labkit
from labkit import messages as labkit_messages
from labkit.lens import load_messages as messages
from labkit.lens import plots
from labkit.lens.plots.drawing import PALETTE, colours_of, legible, looks_of, looks_of_outcomes
from labkit.lens.result import Result
from labkit.lens.samples import Sample


def bars_of(drawing: plots.Drawing, axes: int = 0) -> list[tuple[float, float, float]]:
    """(row, left, right) of each bar with a width, rounded."""
    return [
        (round(p.get_y() + p.get_height() / 2, 2), round(p.get_x(), 3), round(p.get_x() + p.get_width(), 3))
        for p in drawing.figure.axes[axes].patches
        if p.get_width()
    ]


def words_of(drawing: plots.Drawing) -> list[str]:
    return [text.get_text() for axes in drawing.figure.axes for text in axes.texts]


def legend_of(drawing: plots.Drawing) -> list[str]:
    legends = [*drawing.figure.legends, *(a.get_legend() for a in drawing.figure.axes if a.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def result_of(*outcomes: str, every: float = 0.1, latency: float = 0.05) -> Result:
    samples = [Sample(n * every, latency, outcome, None, "GET /") for n, outcome in enumerate(outcomes)]
    return Result(samples, len(samples) * every)


def lay_out(drawing: plots.Drawing) -> None:
    """Everything that drawing does but the pixels, which take the time."""
    with legible(), warnings.catch_warnings():
        warnings.simplefilter("error")  # of what does not fit
        drawing.figure.draw_without_rendering()


@pytest.fixture(scope="module")
def crowded() -> list[plots.Drawing]:
    """One of each figure, with long names and many things; drawn, which is when things find their places."""
    many = [f"una-instancia-con-nombre-largo-{n}" for n in range(24)]
    outcomes = ["200", "404", "500", "503", "302", messages.REFUSED, messages.TIMED_OUT]
    result = result_of(*outcomes * 10)
    result.notes.append("Una nota que es tan larga que no cabe en una línea de la figura. " * 3)
    tasks = [{"name": name, "arrival": n, "start": n + 1, "end": n + 9} for n, name in enumerate(many)]
    before = dict(matplotlib.rcParams)
    drawings = [
        plots.outcomes({name: ["a", "b", labkit_messages.NO_ANSWER] * 5 for name in many[:6]}),
        plots.states([(n % 7, name, f"estado {n % 11}") for n, name in enumerate(many * 2)]),
        plots.bars(tasks),
        plots.bars([{"arrival": 0, "start": 0, "end": 1, "outcome": "error", "worker": "a"}]),
        plots.latencies({name: [0.1, 0.2, 9.0] for name in many[:7]}),
        plots.levels(
            {name: [(t, n + t % 3) for t in range(60)] for n, name in enumerate(many[:7])}, ylabel="permisos"
        ),
        plots.throughput(dict.fromkeys(many[:3], result)),
        plots.requests_along_time(result),
        plots.comparison(dict.fromkeys(many[:3], result)),
    ]
    for drawing in drawings:
        lay_out(drawing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawings[0]._repr_png_().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before, "the settings of whoever draws besides are left alone"
    return drawings


# All figures


def test_every_figure_is_on_the_page_whole(crowded: list[plots.Drawing]) -> None:
    for drawing in crowded:
        figure = drawing.figure
        renderer = FigureCanvasAgg(figure).get_renderer()
        parts = [*figure.legends]
        for axes in figure.axes:
            assert axes.bbox.height > 60, drawing.text
            parts += axes.texts
            if axes.axison:
                parts += [*axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
        for part in parts:
            box = part.get_window_extent(renderer)
            if box.width and part.get_visible():
                assert box.x0 >= figure.bbox.x0 - 1, (drawing.text, part)
                assert box.x1 <= figure.bbox.x1 + 1, (drawing.text, part)


def test_every_letter_is_large_enough(crowded: list[plots.Drawing]) -> None:
    for drawing in crowded:
        for text in drawing.figure.findobj(Text):
            if text.get_text().strip() and text.get_visible():
                assert text.get_fontsize() >= 11, (drawing.text, text.get_text())


def test_every_figure_shows_as_its_text_where_there_are_no_pictures(crowded: list[plots.Drawing]) -> None:
    for drawing in crowded:
        assert repr(drawing) == drawing.text
        assert drawing.text


def test_the_module_is_a_public_name() -> None:
    assert labkit.plots is plots
    for name in ("outcomes", "states", "bars", "latencies", "levels", "throughput", "topology"):
        assert callable(getattr(plots, name))


# Looks: never colour alone


def test_things_in_a_row_are_told_apart_by_colour_and_besides() -> None:
    looks = list(looks_of(map(str, range(21))).values())
    assert len(set(looks)) == 21
    assert len({look.colour for look in looks[:7]}) == 7
    assert len({look.hatch for look in looks[:7]}) == 7
    assert len({look.marker for look in looks[:7]}) == 7


def test_an_instance_has_one_colour_whoever_else_is_drawn() -> None:
    """In the waterfall the second instance came second to a catalogue and to nobody among squares."""
    alone = colours_of(["inventario-1", "inventario-2"])
    among = colours_of(["catalogo", "inventario-2", "pagos"])
    assert among["inventario-2"] == alone["inventario-2"] == PALETTE[1]
    assert len(set(among.values())) == 3
    squares = plots.outcomes({"a": ["inventario-2", "inventario-3"]}).figure.axes[0].patches
    assert [to_hex(patch.get_facecolor()).upper() for patch in squares[:2]] == [*PALETTE[1:3]]


def test_outcomes_look_the_same_in_every_figure_and_unlike_each_other() -> None:
    names = ["200", "302", "404", "500", messages.REFUSED, messages.TIMED_OUT, messages.CUT]
    looks = looks_of_outcomes(names)
    assert list(looks) == names
    assert len({look.hatch for look in looks.values()}) == len({look.marker for look in looks.values()}) == 7
    assert looks_of_outcomes(["500", "200"])["200"] == looks["200"]
    assert looks["200"].hatch == ""
    many = looks_of_outcomes(
        [*names, "201", "429", "502", "503", "504", messages.NOT_HTTP, messages.OWN_LIMIT]
    )
    assert len(set(many.values())) == 14
    assert {name: many[name] for name in names} == looks


# outcomes


def test_outcomes_are_squares_in_order() -> None:
    drawing = plots.outcomes({"a": ["x", "sin respuesta"], "b": ["y", "x"]})
    axes = drawing.figure.axes[0]
    squares = [p for p in axes.patches if p.get_width()]
    assert [(round(p.get_x() + 0.43), round(p.get_y() + 0.36)) for p in squares] == [
        (1, 0),
        (2, 0),
        (1, 1),
        (2, 1),
    ]
    assert [p.get_hatch() for p in squares] == [None, "xxx", None, None]
    assert to_hex(squares[0].get_facecolor()) == to_hex(squares[3].get_facecolor()) == "#0072b2"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert legend_of(drawing) == ["x", "y", "sin respuesta"]
    assert drawing.text == "a: sin respuesta 1, x 1\nb: x 1, y 1"


def test_outcomes_with_nothing_or_too_much_to_draw_are_refused() -> None:
    for rows in ({}, {"a": []}):
        with pytest.raises(ValueError, match="nada que dibujar"):
            plots.outcomes(rows)
    with pytest.raises(ValueError, match="8 nombres"):
        plots.outcomes({"a": list("abcdefgh")})


# levels


def test_levels_are_lines_that_last_until_the_next_value() -> None:
    drawing = plots.levels(
        {"límite": [(0, 4), (10, 8), (20, 2)], "carga": [(0, 1), (20, 9)]}, ylabel="permisos", exact=True
    )
    axes = drawing.figure.axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 10, 20], [0, 20]]
    assert [list(line.get_ydata()) for line in axes.lines] == [[4, 8, 2], [1, 9]]
    assert {line.get_drawstyle() for line in axes.lines} == {"steps-post"}
    assert len({(line.get_linestyle(), line.get_marker()) for line in axes.lines}) == 2
    assert axes.get_ylabel() == "permisos"
    assert axes.get_ylim()[0] == 0
    assert legend_of(drawing) == ["límite", "carga"]
    assert drawing.text == (
        "límite: empieza en 4, va de 2 a 8 y acaba en 2\ncarga: empieza en 1, va de 1 a 9 y acaba en 9"
    )


def test_measured_levels_tell_no_values_and_may_be_joined() -> None:
    drawing = plots.levels(
        {"medido": [(20, 1.2), (40, 2.1)]}, ylabel="dentro", xlabel="por segundo", steps=False
    )
    assert drawing.text == "medido: 2 puntos"
    assert drawing.figure.axes[0].lines[0].get_drawstyle() == "default"
    assert drawing.figure.axes[0].get_xlabel() == "por segundo"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({}, "dibujar"),
        ({"a": []}, "dibujar"),
        ({"a": [(1, 2), (0, 2)]}, "orden"),
        ({"a": [(0, "x")]}, "número"),
        ({"a": [(0, float("nan"))]}, "número"),
    ],
)
def test_levels_without_points_or_out_of_order_are_refused(rows: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plots.levels(rows, ylabel="permisos")


# states


def test_states_are_bars_from_each_event_to_the_next() -> None:
    events = [(3.0, "pagos", "open"), (0.0, "pagos", "closed"), (1.0, "envíos", "closed")]
    drawing = plots.states(events, end=10, exact=True)
    assert bars_of(drawing) == [(0, 0, 3), (0, 3, 10), (1, 1, 10)]
    axes = drawing.figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pagos", "envíos"]
    assert axes.get_xlabel() == "tiempo (s)"
    assert legend_of(drawing) == ["closed", "open"]
    assert words_of(drawing) == ["closed", "open", "closed"]
    assert drawing.text == "pagos: closed (0 s) → open (3 s)\nenvíos: closed (1 s)"


def test_measured_states_begin_at_zero_and_their_text_holds_no_times() -> None:
    drawing = plots.states([(1000.5, "pagos", "closed"), (1002.5, "pagos", "open")])
    assert bars_of(drawing)[0] == (0, 0, 2)
    assert drawing.text == "pagos: closed → open"


def test_a_breakers_states_look_the_same_whatever_their_order() -> None:
    def look(*states: str) -> dict[str, Any]:
        drawing = plots.states([(t, "x", state) for t, state in enumerate(states)])
        found = zip(states, drawing.figure.axes[0].patches, strict=True)
        return {state: (to_hex(p.get_facecolor()), p.get_hatch()) for state, p in found}

    first = look("closed", "open", "half-open")
    assert first == look("half-open", "open", "closed")
    assert len({colour for colour, _ in first.values()}) == len({hatch for _, hatch in first.values()}) == 3
    assert look("closed", "otro")["otro"][0] != first["closed"][0]


def test_a_breakers_and_a_services_states_are_told_apart_in_one_figure() -> None:
    names = [
        "closed",
        "corriendo",
        "half-open",
        "en pausa",
        "open",
        "muerto",
        "detenido",
        "expulsada",
        "nueva",
    ]
    drawing = plots.states([(t, "x", state) for t, state in enumerate(names)])
    patches = drawing.figure.axes[0].patches
    assert len({(to_hex(p.get_facecolor()), p.get_hatch()) for p in patches}) == len(names)


@pytest.mark.parametrize("count", range(1, 16))
def test_a_legend_stays_on_the_page(count: int) -> None:
    names = [f"estado {'x' * (n % 5 * 3)}{n}" for n in range(count)]
    drawing = plots.states([(t, "x", state) for t, state in enumerate(names)])
    lay_out(drawing)
    [legend] = drawing.figure.legends
    box = legend.get_window_extent(FigureCanvasAgg(drawing.figure).get_renderer())
    assert box.x1 <= drawing.figure.bbox.x1
    assert len(legend_of(drawing)) == count


def test_a_state_that_lasts_no_time_stands_in_the_text() -> None:
    assert plots.states([(0, "x", "a"), (1, "x", "b"), (1, "x", "c")]).text == "x: a → b → c"


@pytest.mark.parametrize(
    ("events", "arguments", "text"),
    [
        ([], {}, "cambio de estado"),
        ([(float("nan"), "x", "a")], {}, "no es un tiempo"),
        ([("0", "x", "a")], {}, "no es un tiempo"),
        ([(5, "x", "a")], {"end": 4}, "anterior"),
    ],
)
def test_bad_events_are_refused(events: Any, arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plots.states(events, **arguments)


# bars

TASKS = [
    {"name": "A", "arrival": 0, "start": 0, "end": 2, "outcome": "ok", "worker": "hilo 1"},
    {"name": "B", "arrival": 0, "start": 0, "end": 3, "outcome": "error", "worker": "hilo 2"},
    {"name": "C", "arrival": 1, "start": 2, "end": 4, "outcome": "200", "worker": "hilo 1"},
    {"name": "D", "arrival": 1, "start": None, "end": None, "outcome": "rechazada"},
    {"name": "E", "arrival": 1, "start": None, "end": 2, "outcome": "se cansó"},
    {"name": "F", "arrival": 2, "start": 4, "end": None, "outcome": "ok", "worker": "hilo 1"},
]


def test_tasks_are_bars_from_arrival_over_start_to_end() -> None:
    drawing = plots.bars(TASKS, exact=True)
    assert bars_of(drawing) == [
        (0, 0, 2),
        (1, 0, 3),
        (2, 1, 2),
        (2, 2, 4),
        (4, 1, 2),
        (5, 2, 4),
        (5, 4, 4.16),
    ]
    axes = drawing.figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list("ABCDEF")
    marks = [(line.get_marker(), *line.get_xdata(), *line.get_ydata()) for line in axes.lines]
    assert marks == [("X", 1, 3), ("D", 2, 4)]
    assert legend_of(drawing) == [
        "hilo 1",
        "hilo 2",
        messages.WAITS,
        "error",
        "rechazada",
        "se cansó",
        messages.STILL_RUNS,
    ]
    failed = axes.patches[1]
    assert failed.get_hatch() == "xxx"
    assert words_of(drawing) == ["hilo 1", "hilo 2", "hilo 1"]


def test_the_text_of_tasks_holds_counts_and_times_only_if_they_are_exact() -> None:
    assert plots.bars(TASKS).text == "6 tareas: 200 × 1 · error × 1 · ok × 2 · rechazada × 1 · se cansó × 1"
    assert plots.bars(TASKS, exact=True).text.splitlines()[3:5] == [
        "C: llega 1 s, empieza 2 s, acaba 4 s · 200",
        "D: llega 1 s · rechazada",
    ]


def test_measured_tasks_begin_at_zero_and_objects_will_do() -> None:
    tasks = [SimpleNamespace(arrival=500.0, start=500.0, end=501.5), SimpleNamespace(start=502.0, end=503.0)]
    drawing = plots.bars(tasks)
    assert bars_of(drawing) == [(0, 0, 1.5), (1, 2, 3)]
    assert legend_of(drawing) == [messages.RUNS]
    assert drawing.text == "2 tareas: ok × 2"


def test_many_tasks_keep_their_figure_in_bounds_and_failures_hollow() -> None:
    tasks = [
        {"arrival": n, "start": n, "end": n + 1, "outcome": "ok" if n % 2 else "mal"} for n in range(200)
    ]
    drawing = plots.bars(tasks)
    assert drawing.figure.get_figheight() <= 8.1
    assert len(drawing.figure.axes[0].get_yticks()) <= 20
    assert {to_hex(p.get_facecolor()) for p in drawing.figure.axes[0].patches} == {"#ffffff", "#0072b2"}


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ([], "al menos una tarea"),
        ([{"arrival": 2, "start": 1, "end": 3}], "en este orden"),
        ([{"arrival": 1, "start": 2, "end": 1.5}], "en este orden"),
        ([{"end": 3}], "no es un tiempo"),
        ([{"arrival": "ya"}], "no es un tiempo"),
    ],
)
def test_bad_tasks_are_refused(tasks: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plots.bars(tasks)


# latencies, throughput, loads


def test_latencies_climb_to_the_share_that_was_answered() -> None:
    drawing = plots.latencies(
        {"antes": result_of("200", "503", "200", messages.REFUSED), "después": [0.1, 0.3]}
    )
    axes = drawing.figure.axes[0]
    before, before_on, after, after_on = axes.lines
    assert list(before.get_ydata()) == [0, 25, 50]
    assert [round(x) for x in after.get_xdata()] == [100, 100, 300]
    assert list(after.get_ydata()) == [0, 50, 100]
    # On to the end of the axis, without a mark that would look like an answer.
    assert [round(x) for x in after_on.get_xdata()] == [300, 312]
    assert (list(before_on.get_ydata()), list(after_on.get_ydata())) == ([50, 50], [100, 100])
    assert {line.get_marker() for line in (before_on, after_on)} == {"None"}
    assert before.get_linestyle() != after.get_linestyle()
    assert before.get_marker() != after.get_marker()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latencia (ms)", messages.SHARE_AXIS)
    assert legend_of(drawing) == ["antes (2 de 4)", "después (2 de 2)"]
    assert drawing.text == "antes: 2 de 4 con respuesta\ndespués: 2 de 2 con respuesta"


def test_far_apart_latencies_get_a_logarithmic_axis() -> None:
    assert plots.latencies({"a": [0.01] * 9 + [5]}).figure.axes[0].get_xscale() == "log"
    assert plots.latencies({"a": [0.01, 0.02]}).figure.axes[0].get_xscale() == "linear"


def test_a_load_in_which_nothing_was_answered_is_drawn_all_the_same() -> None:
    drawing = plots.comparison({"antes": result_of(messages.REFUSED), "después": result_of("200")})
    assert len(drawing.figure.axes[0].lines) == 2, "the climb, and on to the end of the axis"
    assert legend_of(drawing)[:2] == ["antes (0 de 1)", "después (1 de 1)"]
    plots.latencies({"a": result_of(messages.REFUSED)})


def test_throughput_counts_what_ended_in_each_window() -> None:
    result = result_of("200", "200", "503", "200", every=0.5, latency=0.1)
    drawing = plots.throughput(result, window=1.0)
    [axes] = drawing.figure.axes
    heights = [p.get_height() for p in axes.patches]
    assert heights == [2, 1, 0, 1]
    assert [p.get_y() for p in axes.patches] == [0, 0, 2, 1]
    assert legend_of(drawing) == ["200", "503"]
    assert drawing.text == "200: 3 · 503: 1"


def test_several_throughputs_share_their_axes() -> None:
    drawing = plots.throughput({"antes": result_of(*["200"] * 50), "después": result_of(*["503"] * 10)})
    above, below = drawing.figure.axes
    assert above.get_xlim() == below.get_xlim()
    assert above.get_ylim() == below.get_ylim()
    assert above.get_xlim()[1] >= 5
    assert [axes.get_title(loc="left") for axes in (above, below)] == ["antes", "después"]
    assert drawing.text == "antes: 200: 50\ndespués: 503: 10"


def test_a_load_is_drawn_as_a_point_for_each_request() -> None:
    result = result_of(*["200"] * 30, *["503"] * 20, messages.REFUSED)
    result.notes.append("El generador fue el límite.")
    drawing = plots.requests_along_time(result)
    axes, below = drawing.figure.axes
    assert [len(dots.get_offsets()) for dots in axes.collections] == [30, 20, 1]
    assert list(axes.collections[0].get_offsets()[1]) == pytest.approx([0.1, 50])
    assert sum(p.get_height() for p in below.patches) == pytest.approx(
        51 / below.patches[0].get_width() * 0.9
    )
    assert legend_of(drawing) == ["200 (30)", "503 (20)", f"{messages.REFUSED} (1)"]
    assert drawing.figure.get_supxlabel() == "El generador fue el límite."
    assert drawing.text == repr(result)
    assert len(plots.requests_along_time(result_of("200")).figure.axes) == 1


def test_a_comparison_shows_latencies_and_rates() -> None:
    drawing = plots.comparison(
        {"antes": result_of(*["200"] * 5, *["503"] * 5), "después": result_of(*["200"] * 4)}
    )
    left, right = drawing.figure.axes
    assert len(left.lines) == 2 * 2
    assert bars_of(drawing, 1) == [(0, 0, 5), (0, 5, 10), (1, 0, 10)]
    assert [label.get_text() for label in right.get_yticklabels()] == ["antes", "después"]
    assert legend_of(drawing) == ["antes (5 de 10)", "después (4 de 4)", "200", "503"]


def test_nothing_measured_is_nothing_to_draw() -> None:
    empty = Result([], 0.0)
    for draw in (
        lambda: plots.latencies({}),
        lambda: plots.latencies({"a": []}),
        lambda: plots.throughput(empty),
        lambda: plots.requests_along_time(empty),
    ):
        with pytest.raises(ValueError, match="ninguna petición"):
            draw()
    with pytest.raises(ValueError, match="window"):
        plots.throughput(result_of("200"), window=0)
    with pytest.raises(TypeError):
        plots.throughput({"a": [0.1]})  # type: ignore[dict-item]


# topology


def test_topology_is_a_mermaid_graph_with_a_label_for_each_pair() -> None:
    drawing = plots.topology(
        [("cliente", "edge", 100, 8), ("edge", 'pa"gos]', 30, 0), ("edge", 'pa"gos]', 10, 0)]
    )
    assert drawing._repr_mimebundle_()["text/vnd.mermaid"].splitlines() == [
        "flowchart LR",
        '  n0["cliente"]',
        '  n1["edge"]',
        '  n2["pa#34;gos#93;"]',
        "  n0 -.->|100 llamadas, 8 errores| n1",
        "  n1 -->|40 llamadas, 0 errores| n2",
    ]
    assert repr(drawing) == 'cliente → edge: 100 llamadas, 8 errores\nedge → pa"gos]: 40 llamadas, 0 errores'


def test_topology_counts_single_calls() -> None:
    calls = [
        SimpleNamespace(caller="cliente", callee="a", status=200, error=None),
        SimpleNamespace(caller="cliente", callee="a", status=404, error=None),
        SimpleNamespace(caller="cliente", callee="a", status=503, error=None),
        SimpleNamespace(caller="cliente", callee="a", status=None, error="conexión rechazada"),
    ]
    assert plots.topology(calls).text == "cliente → a: 4 llamadas, 2 errores"


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="No hay llamadas"):
        plots.topology([])
    with pytest.raises(ValueError, match="no puede ser"):
        plots.topology([("a", "b", 1, 2)])
