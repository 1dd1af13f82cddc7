"""ES-4: the state of any moment, out of the facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.exercises.exercise import Exercise
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


def world() -> dict[str, Any]:
    return {
        "nada": [],
        "una_venta": facts(("libro-1", "Recibido", 5, 1), ("libro-1", "Vendido", 2, 2)),
        "devolucion": facts(("libro-1", "Recibido", 5, 1), ("libro-1", "Devuelto", 1, 2)),
        "dos_libros": facts(("libro-1", "Recibido", 5, 1), ("libro-2", "Recibido", 7, 2), ("libro-1", "Vendido", 1, 3)),
        "recuento": facts(("libro-1", "Recibido", 5, 1), ("libro-1", "Recontado", 3, 2), ("libro-1", "Vendido", 1, 3)),
        "agotado": facts(("libro-1", "Recibido", 1, 1), ("libro-1", "Vendido", 1, 2)),
        "otro_tipo": facts(("libro-1", "Fotografiado", 0, 1), ("libro-2", "Recibido", 1, 1)),
        "reloj_atrasado": facts(("libro-1", "Recibido", 5, 10), ("libro-1", "Vendido", 1, 30), ("libro-1", "Vendido", 2, 20)),
        "recuento_atrasado": facts(
            ("libro-1", "Recibido", 5, 10), ("libro-1", "Vendido", 1, 30), ("libro-1", "Recontado", 9, 20)
        ),
    }


MOMENT.stories(
    model,
    world=world,
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
        "inventario_en(otro_tipo, 9)",
        "inventario_en(reloj_atrasado, 20)",
        "inventario_en(recuento_atrasado, 40)",
        "inventario_en(tuple(una_venta), 9)",
    ],
    hints=[
        (lambda d: "recuento_atrasado" in d.last, "¿Qué orden manda, el de la lista o el de las horas?"),
        (
            lambda d: "atrasado" in d.last,
            "El último hecho se anotó a las 20 y está detrás de uno de las 30: ¿te paraste al ver el de las 30?",
        ),
        (lambda d: "recuento" in d.last, "Un recuento dice cuántas hay: ¿qué pasa con las de antes?"),
        (lambda d: "otro_tipo" in d.last, "¿De qué libros no se ha contado nada?"),
        (lambda d: "agotado" in d.last, "Un libro con 0 unidades, ¿tiene hechos que cuentan?"),
        (lambda d: "una_venta, 1)" in d.last, "El que se anotó justo en ese momento, ¿cuenta?"),
        (lambda d: "0.5" in d.last or "dos_libros, 1" in d.last, "¿Qué había ocurrido ya en ese momento?"),
    ],
    think="¿Qué hace cada tipo de hecho, y con qué libro?",
    situation="con unos pocos hechos",
)
