"""CB-4: a file that tells of every change of state."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from labkit.exercises.exercise import Exercise, Scene
from labkit.exercises.wording import described, many, shown
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.waiting import ManualClock

Change = tuple[str, str, str]  # the circuit's name, its previous state, its new one
_STATES = re.compile(r"(?:half|forced)[-_ ]open|closed|open|disabled", re.IGNORECASE)


class Office(Scene):
    """Circuits of two failures and ten seconds, and files in which the answer tells of them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        folder = self.enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        self.path, self.other = Path(folder) / "cambios.log", Path(folder) / "otro.log"
        self.errors: list[BaseException] = []
        self._seen: dict[Path, list[str]] = {}

    def circuit(self, name: str = "pagos", path: Path | None = None) -> Circuit:
        """Return a circuit that the answer was asked to follow."""
        circuit = Circuit(name)
        self.answer(circuit.breaker, path or self.path)
        # A breaker only logs what its listeners raise: hear it through them.
        for listener in circuit.breaker._listeners:
            circuit.breaker.remove_listener(listener)
            circuit.breaker.add_listener(partial(self._hear, listener))
        return circuit

    def _hear(self, listener: Any, event: Any) -> None:
        try:
            listener(event)
        except Exception as error:
            self.errors.append(error)

    def lines(self, path: Path) -> list[str]:
        """Return the lines of a file; none where it is not there."""
        for error in map(described, self.errors):
            self.fail(f"tu oyente lanzó {error}: ¿qué sucesos recibe, y qué lleva cada uno?")
        text = path.read_bytes().decode("utf-8", errors="replace") if path.exists() else ""
        return [line for line in text.splitlines() if line.strip()]

    def expect_told(self, changes: list[Change], path: Path | None = None, skip: int = 0) -> None:
        """Fail unless the file's lines tell of these changes, each once and in this order."""
        path = path or self.path
        lines = self.lines(path)[skip:]
        seen, self._seen[path] = self._seen.get(path, []), lines
        if gone := [line for line in seen if not any(line in each for each in lines)]:
            self.fail(f"al anotar otro cambio se perdió la línea {shown(gone[0])}: ¿cómo abres el archivo?")
        for line, change in zip(lines, changes, strict=False):
            if problem := _problem(line, change):
                told = "«{}» pasó de {} a {}".format(*change)
                self.fail(f"{told} y la línea dice {shown(line.strip())}: {problem}")
        text = f"hubo {many(len(changes), 'cambio')} y el archivo tiene {many(len(lines), 'línea')}"
        if len(lines) > len(changes):
            self.fail(f"{text}; sobra {shown(lines[len(changes)])}: ¿qué sucesos anotas, y de quién?")
        ended = not lines or path.read_bytes().endswith((b"\n", b"\r"))
        late = "¿cuándo llega al disco lo que escribes?"
        whole = late if ended else "¿termina cada línea en un salto de línea?"
        self.expect(len(lines) == len(changes), f"{text}: {whole}")


class Circuit:
    """A breaker, and a clock wound by hand. What is done returns the changes that it caused."""

    def __init__(self, name: str) -> None:
        self.name, self.clock = name, ManualClock()
        self.breaker = CircuitBreaker(name, fail_threshold=2, reset_timeout=10, clock=self.clock)

    def open(self, calls: int = 2) -> list[Change]:
        for _ in range(calls):
            self._call(well=False)
        return [(self.name, "closed", "open")]

    def probe(self, *, well: bool) -> list[Change]:
        self.clock.advance(10)
        self._call(well=well)
        return [(self.name, "open", "half-open"), (self.name, "half-open", "closed" if well else "open")]

    def _call(self, *, well: bool) -> None:
        with suppress(ConnectionError, CircuitOpenError), self.breaker:
            if not well:
                raise ConnectionError("pagos no contesta")


def _problem(line: str, change: Change) -> str:
    """Return what a line, of text or JSON, lacks: the name, and both states in order as the circuit writes them."""
    name, previous, state = change
    text = line
    with suppress(ValueError):
        text = json.dumps(json.loads(line), ensure_ascii=False)
    words = _STATES.findall(text.replace(name, ""))
    found = [re.sub("[_ ]", "-", each.lower()) for each in words]
    if name not in text or not {previous, state} <= set(found):
        return "se piden el nombre, el estado anterior y el nuevo"
    if not {previous, state} <= set(words):
        return "los estados se piden escritos como los escribe el circuito"
    return "" if found.index(previous) < found.index(state) else "¿cuál es el anterior, y cuál el nuevo?"


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
        office.expect(len(own) == 3 and not any(map(_problem, own, changes)), mixed)
