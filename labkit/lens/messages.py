"""Texts of the lens, in Spanish and in one place."""

from __future__ import annotations

# labkit.observe
CLIENT = "cliente"
NO_CALLS = "(ninguna llamada)"
RUNNING = "en curso"

MORE_CALLS = "(… y {count} llamadas más: están en .calls)"
MORE_CALLS_DRAWN = "… y {count} llamadas más, que no se dibujan"
DROPPED = "(… y {count} llamadas más, que no se anotaron: el límite es {limit})"

OBSERVED_ONCE = (
    "Este viaje ya se usó: escribe «with labkit.observe() as viaje:» de nuevo; "
    "cada bloque tiene su propio viaje."
)
NEEDS_OPENTELEMETRY = (
    "labkit.observe() necesita OpenTelemetry, que no está instalado. Instálalo, en la carpeta del curso, "
    "con: python -m pip install '.[course]'"
)
NEEDS_MATPLOTLIB = (
    "Para dibujar hace falta Matplotlib, que no está instalado. Instálalo con: pip install matplotlib"
)
NEEDS_PANDAS = (
    "viaje.frame() necesita pandas, que no está instalado. Instálalo con: pip install pandas "
    "(viaje.calls tiene los mismos datos sin él)."
)

# Figures of labkit.observe
MILLISECONDS = "milisegundos desde la primera llamada"
TIME_DOWNWARDS = "tiempo ↓ (en orden, no a escala)"
DURATION = "{status} · {duration}"
