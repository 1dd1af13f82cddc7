"""CB-9: when a window opens a circuit, thought out in the middle of the lesson."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind, shown
from labkit.patterns.circuit_breaker import CircuitBreaker, CountWindow

OPENS = Exercise("CB-9", writes="abre")
SERIES = ("mmm", "mmbb", "mbbb", "bbbmm", "bmbbbmbm")


def opens_at(series: str) -> int | None:
    """Return the number of the call that opens the circuit; None where it stays closed."""
    breaker = CircuitBreaker(window=CountWindow(4), failure_rate=0.5, minimum_calls=4)
    for number, call in enumerate(series, start=1):
        with suppress(ConnectionError), breaker:
            if call == "m":
                raise ConnectionError
        if breaker.state == "open":
            return number
    return None


@OPENS.case("con tus números")
def numbers(case: Case, abre: Any) -> None:
    case.expect(isinstance(abre, Mapping), f"abre es {kind(abre)}: usa un diccionario que dé un número, o None, para cada serie")
    missing = [series for series in SERIES if series not in abre]
    case.expect(not missing, f"en abre falta: {', '.join(missing)}")
    for series in SERIES:
        said, right = abre[series], opens_at(series)
        case.expect(said is None or type(said) is int, f"abre[{series!r}] es {shown(said)}: escribe un número o None")
        if said == right:
            continue
        if said is None:
            case.fail(f"{series}: dices que no se abre. ¿Cuántas fallan de las cuatro últimas, llamada a llamada?")
        case.expect(said >= 4, f"{series}: dices que se abre en la {said}. ¿Con cuántas llamadas empieza a decidir?")
        window = series[max(0, said - 4) : said]
        case.fail(f"{series}: dices que se abre en la {said}. Las cuatro últimas eran «{window}»: ¿es ahí, y la primera vez?")
