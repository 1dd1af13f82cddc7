"""DT-12: W3C `traceparent`, by hand: the statement's rules as a function, held against a table of headers."""

from __future__ import annotations

import re
from collections.abc import Callable

from labkit.exercises.exercise import Exercise
from labkit.exercises.stories import Difference

TRACEPARENT = Exercise("DT-12", writes="continuar", call="continuar(cabecera, azar)")

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def model(cabecera: str | None, azar: Callable[[int], str]) -> str:
    """The statement."""
    match = _HEADER.fullmatch(cabecera or "")
    more = match and match[1] == "00" and match[5] is not None
    if match and not more and match[1] != "ff" and match[2].strip("0") and match[3].strip("0"):
        return f"00-{match[2]}-{azar(8)}-{'01' if int(match[4], 16) & 1 else '00'}"
    return f"00-{azar(16)}-{azar(8)}-01"


def fresh(octets: int) -> str:
    """As many octets as asked for, the same each time: which of two is drawn first is the learner's choice."""
    return {8: "b7ad6b7169203331", 16: "0af7651916cd43dd8448eb211c80319c"}.get(octets, "e" * 2 * octets)


VALID = [f"00-{TRACE}-{SPAN}-{flags}" for flags in ("01", "00", "09", "08", "ff", "fe")] + [
    f"cc-{TRACE}-{SPAN}-01",
    f"cc-{TRACE}-{SPAN}-00-lo-que-traiga",
    f"01-{TRACE}-{SPAN}-01-",
    f"00-{'0' * 31}1-{'0' * 15}1-01",
]
INVALID = [
    None,
    "",
    "hola",
    "a-b-c-d",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{'F' * 16}-01",
    f"00-{TRACE}-{SPAN}-0A",
    f"CC-{TRACE}-{SPAN}-01",
    f"00-{TRACE[:-1]}-{SPAN}-01",
    f"00-{TRACE}5-{SPAN}-01",
    f"00-{TRACE}-{SPAN[:-1]}-01",
    f"00-{TRACE}-{SPAN}8-01",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-001",
    f"00-{TRACE}-{SPAN}",
    f"0-{TRACE}-{SPAN}-01",
    f"000-{TRACE}-{SPAN}-01",
    f"00-{TRACE[:-1]}g-{SPAN}-01",
    f"00-{TRACE}-{SPAN[:-1]}.-01",
    f"00-{TRACE}-{SPAN}-0g",
    f"00-{TRACE[:-2]}_1-{SPAN}-01",
    f"00-+{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01-mas",
    f"00-{TRACE}-{SPAN}-01-",
    f"00-{TRACE}-{SPAN}-01.",
    f"cc-{TRACE}-{SPAN}-01.mas",
    f"cc-{'0' * 32}-{SPAN}-01",
    f"00_{TRACE}_{SPAN}_01",
]


def _trace_kept(step: str, value: object) -> bool:
    """True when the header that came and the one that goes out name the same trace."""
    return "-" in step and step.split("-")[1].lower() in str(value)


def _goes_on(difference: Difference) -> bool:
    return _trace_kept(difference.last, difference.wanted.value)


def _went_on(difference: Difference) -> bool:
    return _trace_kept(difference.last, difference.found.value)


TRACEPARENT.stories(
    model,
    steps=[f"continuar({header!r}, azar)" for header in (*VALID, *INVALID)],
    world=lambda: {"azar": fresh},
    hints=[
        (lambda d: d.found.error is not None, "¿Puede tumbar una cabecera lo que observa?"),
        (lambda d: SPAN in str(d.found.value), "¿Es nuevo el tramo que sale?"),
        (lambda d: d.found.value is None, "La función devuelve un texto."),
        (lambda d: _goes_on(d) and not _went_on(d), "Esa cabecera vale: ¿dónde se pierde su traza?"),
        (lambda d: _went_on(d) and not _goes_on(d), "¿Qué regla del enunciado incumple esa cabecera?"),
        (lambda d: str(d.found.value)[:2] != "00", "¿Qué versión se escribe?"),
        (lambda d: str(d.found.value)[-2:] not in ("00", "01"), "¿Qué bits de las banderas se conservan?"),
        (lambda d: str(d.found.value)[-2:] != str(d.wanted.value)[-2:], "¿Qué dice el último bit de las banderas?"),
    ],
    think="¿Cuántos octetos tiene cada parte?",
    situation="con esa cabecera",
)
