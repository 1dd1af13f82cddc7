"""The scene of CB-4: circuits, and the files that tell of them."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from labkit.exercises.exercise import Scene
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
        for listener in circuit.breaker._listeners.all:
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
            if problem := line_problem(line, change):
                told = "«{}» pasó de {} a {}".format(*change)
                if any(not line_problem(line, other) for other in changes):
                    self.fail(f"{told} y en su sitio está la línea {shown(line.strip())}: ¿qué cambios anotas?")
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


def line_problem(line: str, change: Change) -> str:
    """Return what a line, of text or JSON, lacks: the name, and both states in order as the circuit writes them."""
    name, previous, state = change
    text = line
    with suppress(ValueError):
        text = json.dumps(json.loads(line), ensure_ascii=False)
    words = _STATES.findall(text.replace(name, ""))
    found = [re.sub("[_ ]", "-", each.lower()) for each in words]
    if name not in text or not {previous, state} <= set(found):
        return "se piden el nombre, el estado anterior y el nuevo, como los escribe el circuito"
    if not {previous, state} <= set(words):
        return "los estados se piden como los escribe el circuito"
    return "" if found.index(previous) < found.index(state) else "¿cuál es el anterior, y cuál el nuevo?"
