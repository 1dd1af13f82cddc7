"""ES-4: the state of any moment, out of the facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from labkit.exercises.exercise import Exercise
from labkit.exercises.stories import Difference
from labkit.patterns.event_sourcing import RecordedEvent

MOMENT = Exercise("ES-4", writes="inventario_en", call="inventario_en(hechos, momento)")


def model(hechos: Sequence[RecordedEvent], momento: float) -> dict[str, int]:
    """The statement: those recorded until the moment, in the order of the list."""
    units: dict[str, int] = {}
    for event in hechos:
        before = units.get(event.stream, 0)
        if event.recorded_at > momento:
            continue
        match event.type:
            case "Recibido" | "Devuelto":
                units[event.stream] = before + event.data["unidades"]
            case "Vendido":
                units[event.stream] = before - event.data["unidades"]
            case "Recontado":
                units[event.stream] = event.data["unidades"]
    return units


def facts(*told: tuple[str, str, int, float]) -> list[RecordedEvent]:
    """Return facts as a store would: stream, type, units, hour."""
    versions: dict[str, int] = {}
    found = []
    for position, (stream, type, units, at) in enumerate(told, start=1):
        versions[stream] = versions.get(stream, 0) + 1
        data: dict[str, Any] = {"unidades": units} if type != "Fotografiado" else {}
        found.append(RecordedEvent(stream, versions[stream], position, type, data, {}, 1, f"id-{position}", at))
    return found


TOLD: dict[str, tuple[tuple[str, str, int, float], ...]] = {
    "nada": (),
    "una_venta": (("libro-1", "Recibido", 5, 1), ("libro-1", "Vendido", 2, 2)),
    "devolucion": (("libro-1", "Recibido", 5, 1), ("libro-1", "Devuelto", 1, 2)),
    "dos_libros": (("libro-1", "Recibido", 5, 1), ("libro-2", "Recibido", 7, 2), ("libro-1", "Vendido", 1, 3)),
    "recuento": (("libro-1", "Recibido", 5, 1), ("libro-1", "Recontado", 3, 2), ("libro-1", "Vendido", 1, 3)),
    "agotado": (("libro-1", "Recibido", 1, 1), ("libro-1", "Vendido", 1, 2)),
    "de_menos": (("libro-1", "Vendido", 2, 1), ("libro-1", "Recibido", 5, 2)),
    "otro_tipo": (("libro-1", "Fotografiado", 0, 1), ("libro-2", "Recibido", 1, 1)),
    "reloj_atrasado": (("libro-1", "Recibido", 5, 10), ("libro-1", "Vendido", 1, 30), ("libro-1", "Vendido", 2, 20)),
    "recuento_atrasado": (("libro-1", "Recibido", 5, 10), ("libro-1", "Vendido", 1, 30), ("libro-1", "Recontado", 9, 20)),
}


def list_of(difference: Difference) -> str:
    """Return the name of the list that the answer was given."""
    return next((name for name in re.findall(r"\w+", difference.last) if name in TOLD), "nada")


def shown(name: str) -> str:
    """Return a list's facts as a learner can follow them by hand."""
    parts = [f"{stream} {type}{f' {units}' if units else ''} a las {at}" for stream, type, units, at in TOLD[name]]
    return f" En {name}: {', '.join(parts)}." if parts else ""


QUESTIONS: list[tuple[Callable[[Difference], object], str]] = [
    (lambda d: "recuento_atrasado" in d.last, "¿Qué orden manda, el de la lista o el de las horas?"),
    (
        lambda d: "atrasado" in d.last and d.found.value == {"libro-1": 5},
        "El último está detrás de uno de las 30: ¿te paraste al ver el de las 30?",
    ),
    (lambda d: "atrasado" in d.last, "¿Qué dato del hecho dice cuándo se anotó?"),
    (lambda d: "recuento" in d.last, "Un recuento dice cuántas hay: ¿qué pasa con las de antes?"),
    (lambda d: "otro_tipo" in d.last and d.found.error, "¿Qué haces con un tipo que no conoces?"),
    (lambda d: "otro_tipo" in d.last, "¿De qué libros no se ha contado nada?"),
    (lambda d: "agotado" in d.last, "Un libro con 0 unidades, ¿tiene hechos que cuentan?"),
    (lambda d: "de_menos" in d.last, "¿Qué queda si se vende lo que nadie anotó?"),
    (lambda d: "una_venta, 1)" in d.last, "El que se anotó justo en ese momento, ¿cuenta?"),
    (lambda d: "0.5" in d.last or "dos_libros, 1" in d.last, "¿Qué había ocurrido ya en ese momento?"),
    (lambda d: True, "¿Qué hace cada tipo de hecho, y con qué libro?"),
]


def asks(number: int, name: str) -> Callable[[Difference], object]:
    """Return whether a question is the one to ask about a list."""
    return lambda difference: list_of(difference) == name and QUESTIONS[number][0](difference)


MOMENT.stories(
    model,
    world=lambda: {name: facts(*told) for name, told in TOLD.items()},
    steps=[
        "inventario_en(nada, 5)",
        "inventario_en(una_venta, 9)",
        "inventario_en(devolucion, 9)",
        "inventario_en(dos_libros, 9)",
        "inventario_en(una_venta, 0.5)",
        "inventario_en(una_venta, 1)",
        "inventario_en(dos_libros, 1)",
        "inventario_en(recuento, 2)",
        "inventario_en(recuento, 3)",
        "inventario_en(agotado, 9)",
        "inventario_en(de_menos, 1)",
        "inventario_en(otro_tipo, 9)",
        "inventario_en(reloj_atrasado, 20)",
        "inventario_en(recuento_atrasado, 40)",
        "inventario_en(tuple(una_venta), 9)",
    ],
    hints=[(asks(number, name), f"{question}{shown(name)}") for number, (_, question) in enumerate(QUESTIONS) for name in TOLD],
    situation="con unos pocos hechos",
)
