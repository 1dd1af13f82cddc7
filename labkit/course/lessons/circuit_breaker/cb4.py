"""CB-4: a file that tells of every change of state."""

from __future__ import annotations

from labkit.course.lessons.circuit_breaker.office import Office, line_problem
from labkit.exercises.exercise import Exercise

RECORD = Exercise("CB-4", "registrar_cambios", call="registrar_cambios(breaker, ruta)", scene=Office)
_DOES = "¿qué hace registrar_cambios con el breaker y la ruta que recibe?"


@RECORD.case("con un recorrido entero y tres rechazos", raised=_DOES)
def whole_way(office: Office) -> None:
    circuit = office.circuit()
    office.expect_told([])
    office.expect_told(told := circuit.open(calls=5))
    for well in (False, True):
        office.expect_told(told := told + circuit.probe(well=well))
    circuit.breaker.force_open()
    circuit.breaker.reset()
    office.expect_told([*told, ("pagos", "closed", "forced-open"), ("pagos", "forced-open", "closed")])


@RECORD.case("si el archivo ya tenía algo", raised=_DOES)
def what_was_there_stays(office: Office) -> None:
    office.path.write_text("lo de ayer\n", encoding="utf-8")
    told, lost = office.circuit().open(), "el archivo tenía una línea de ayer y ya no está: ¿cómo lo abres?"
    office.equal(office.lines(office.path)[:1], ["lo de ayer"], lost)
    office.expect_told(told, skip=1)


@RECORD.case("con dos circuitos en un archivo y otro en el suyo", raised=_DOES)
def several(office: Office) -> None:
    payments, shipping = office.circuit(), office.circuit("envíos")
    stock = office.circuit("almacén", office.other)
    told = payments.open() + shipping.open()
    office.expect_told([], office.other)
    office.expect_told(stock.open(), office.other)
    office.expect_told(told + payments.probe(well=True))


@RECORD.case("con ocho hilos a la vez", raised=_DOES)
def threads(office: Office) -> None:
    circuits = [office.circuit(f"circuito-{letter}") for letter in "abcdefgh"]
    told = office.at_once([lambda own=each: own.open() + own.probe(well=True) for each in circuits])  # type: ignore[misc]
    lines = office.lines(office.path)
    mixed = "ocho circuitos cambiaron 3 veces cada uno, y sus líneas no lo cuentan en orden: ¿se pisan o se mezclan?"
    for circuit, changes in zip(circuits, told, strict=True):
        own = [line for line in lines if circuit.name in line]
        office.expect(len(own) == 3 and not any(map(line_problem, own, changes)), mixed)
