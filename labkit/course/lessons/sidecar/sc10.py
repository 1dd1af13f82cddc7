"""SC-10: a response cache that is right about freshness, and about whose answer it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.exercises.exercise import Exercise
from labkit.exercises.stories import Difference
from labkit.waiting import ManualClock

CACHE = Exercise("SC-10", writes="Cache", call="Cache(preguntar, reloj)", methods=("pedir(ruta, usuario)",), deadline=15)

Answer = tuple[int, Mapping[str, str], str]  # status, headers, body
Ask = Callable[[str, Any, Any], Answer]


class Model:
    """The statement, rule by rule."""

    def __init__(self, preguntar: Ask, reloj: Callable[[], float]) -> None:
        self._ask, self._clock = preguntar, reloj
        self._kept: dict[str, tuple[Answer, float]] = {}

    def pedir(self, ruta: str, usuario: str | None = None) -> tuple[int, str]:
        kept = self._kept.get(ruta)
        if kept is not None:
            (status, headers, body), since = kept
            if usuario is not None and "public" not in _told(headers):
                kept = None
            elif self._clock() - since < _max_age(headers):
                return status, body
        etag = kept[0][1].get("ETag") if kept else None
        status, headers, body = self._ask(ruta, usuario, etag)
        if status == 304 and kept is not None:
            self._kept[ruta] = (kept[0], self._clock())
            return kept[0][0], kept[0][2]
        told = _told(headers)
        mine = usuario is not None and "public" not in told
        if status == 200 and _max_age(headers) and not mine and not {"no-store", "private"} & {*told}:
            self._kept[ruta] = ((status, headers, body), self._clock())
        elif not mine:
            self._kept.pop(ruta, None)
        return status, body


def _told(headers: Mapping[str, str]) -> list[str]:
    return [part.strip() for part in headers.get("Cache-Control", "").split(",")]


def _max_age(headers: Mapping[str, str]) -> int:
    return next((int(each.removeprefix("max-age=")) for each in _told(headers) if each.startswith("max-age=")), 0)


@dataclass
class _Service:
    """Answers each path in its way, a new text each time, and keeps what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    status: int = 200
    version: int = 1

    def preguntar(self, ruta: str, usuario: Any, etag: Any) -> Answer:
        self.asked.append((ruta, usuario, etag))
        says = _SAYS[ruta]
        headers = {"Cache-Control": says} if says else {}
        if ruta in ("/etiqueta", "/ya"):
            headers["ETag"] = f'"v{self.version}"'
            if etag == headers["ETag"] and self.status == 200:
                return 304, headers, ""
        return self.status, headers, f"{self.status} número {len(self.asked)} para {usuario or 'cualquiera'}"


_SAYS = {
    "/libro": "max-age=60",
    "/nada": "",
    "/ya": "max-age=0",
    "/uno": "max-age=1",
    "/no": "max-age=60, no-store",
    "/mio": "private, max-age=60",
    "/todos": "public, max-age=60",
    "/etiqueta": "max-age=60",
}


def _world() -> dict[str, Any]:
    service = _Service()

    def pide(cache: Any, ruta: str, usuario: str | None = None) -> dict[str, Any]:
        """What the client gets, and what the service was asked for it."""
        before = len(service.asked)
        answer = cache.pedir(ruta, usuario) if usuario else cache.pedir(ruta)
        return {"responde": answer, "preguntado": service.asked[before:]}

    return {
        "preguntar": service.preguntar,
        "reloj": ManualClock(),
        "pide": pide,
        "falla": lambda status: setattr(service, "status", status),
        "cambia": lambda: setattr(service, "version", 2),
    }


def _asked(d: Difference) -> tuple[list[Any], list[Any]]:
    return d.found.value["preguntado"], d.wanted.value["preguntado"]


_HINTS: list[tuple[Callable[[Difference], object], str]] = [
    (lambda d: d.found.error is not None, "¿Qué llega de preguntar, y qué falta a veces?"),
    (
        lambda d: "'ana'" in f"{d.steps}{d.last}" and len(_asked(d)[0]) < len(_asked(d)[1]),
        "¿De quién es la respuesta que acaba de recibir?",
    ),
    (lambda d: len(_asked(d)[0]) < len(_asked(d)[1]), "¿Se podía guardar, y seguía fresca?"),
    (lambda d: len(_asked(d)[0]) > len(_asked(d)[1]), "¿Hacía falta preguntar?"),
    (lambda d: _asked(d)[0] != _asked(d)[1], "¿Qué se le pregunta: la ruta, quién y qué etiqueta?"),
]


_FRESH = [f"pide(c, '{path}')" for path in ("/libro", "/uno", "/ya", "/nada", "/no")]
_MINE = [f"pide(c, '{path}'{who})" for path in ("/libro", "/mio", "/todos") for who in ("", ", 'ana'", ", 'luis'")]
_STORIES = (
    ("con respuestas frescas y pasadas", 4, [*_FRESH, "reloj.advance(59)", "reloj.advance(1)"]),
    ("con respuestas de alguien", 3, _MINE),
    ("con etiquetas", 5, ["pide(c, '/etiqueta')", "reloj.advance(60)", "cambia()", "falla(500)"]),
)
for _situation, _length, _steps in _STORIES:
    CACHE.stories(
        Model,
        made_with=["preguntar, reloj"],
        thing="c",
        world=_world,
        steps=_steps,
        length=_length,
        hints=_HINTS,
        think="¿Qué recibe el cliente?",
        situation=_situation,
    )
