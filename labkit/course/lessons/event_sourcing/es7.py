"""ES-7: an event's old shapes, read by new code."""

from __future__ import annotations

from typing import Any

from labkit.exercises.exercise import Case, Exercise

UPCASTING = Exercise("ES-7", writes="actualizar", call="actualizar(version, datos)")


def model(version: int, datos: dict[str, Any]) -> dict[str, Any]:
    """The statement: from shape to shape until the third."""
    if version not in (1, 2, 3):
        raise ValueError(version)
    new = dict(datos)
    if version == 1:
        new["moneda"] = "EUR"
    if version < 3:
        new["centimos"] = round(100 * new.pop("precio"))
    return new


UPCASTING.stories(
    model,
    world=lambda: {
        "uno": {"libro": "42", "precio": 9.5},
        "caro": {"libro": "7", "precio": 19.99},
        "barato": {"libro": "8", "precio": 1.1},
        "gratis": {"libro": "9", "precio": 0},
        "con_cupon": {"libro": "42", "precio": 8.2, "cupon": "LEER", "por": "Ana"},
        "pesos": {"libro": "42", "precio": 180.35, "moneda": "MXN"},
        "de_hoy": {"libro": "42", "centimos": 950, "moneda": "USD"},
    },
    steps=[
        "actualizar(1, uno)",
        "actualizar(1, caro)",
        "actualizar(1, barato)",
        "actualizar(1, gratis)",
        "actualizar(1, con_cupon)",
        "actualizar(2, pesos)",
        "actualizar(3, de_hoy)",
        "actualizar(0, uno)",
        "actualizar(4, de_hoy)",
        "uno",
        "pesos",
    ],
    length=2,
    hints=[
        (lambda d: d.last in ("uno", "pesos") or d.again or d.steps == (d.last, d.last), "¿Quién más tiene ese diccionario?"),
        (lambda d: "caro" in d.last, "El precio era 19.99: ¿cuánto vale 100 * 19.99, y cuál es el entero más cercano?"),
        (lambda d: "barato" in d.last, "El precio era 1.1: ¿cuánto vale 100 * 1.1, y cuál es el entero más cercano?"),
        (
            lambda d: "pesos" in d.last and d.found.error is None,
            "Era una venta de 180.35 en MXN: ¿cuál es el entero más cercano, y qué moneda era?",
        ),
        (lambda d: "con_cupon" in d.last, "¿Qué campos no cambian de una forma a otra?"),
        (lambda d: d.wanted.error is not None, "¿Se puede adivinar una forma que no se conoce?"),
        (lambda d: "de_hoy" in d.last, "Lo que ya está en la forma 3, ¿qué necesita?"),
    ],
    think="¿Qué pasos lleva una venta de esa forma hasta la 3?",
    situation="con ventas de cada forma",
)


@UPCASTING.case("con un precio", raised="¿qué pasos lleva una venta hasta la 3?")
def whole_cents(case: Case, update: Any) -> None:
    cents = update(1, {"libro": "42", "precio": 9.5})["centimos"]
    case.expect(isinstance(cents, int), f"centimos es {cents!r}: ¿es un entero?")
