"""SC-9: authentication at the door, and balance over several instances behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.exercises.exercise import Exercise
from labkit.exercises.races import Overtaking
from labkit.exercises.stories import Difference

ENTRANCE = Exercise(
    "SC-9", writes="Entrada", call="Entrada(tokens, instancias, preguntar)", methods=("atender(cabeceras, ruta)",), deadline=10
)

Answer = tuple[int, Any]


class Model:
    """The statement: 401 without a known token; turns; the next one on a ConnectionError and no other; else 502."""

    def __init__(self, tokens: Mapping[str, str], instancias: list[str], preguntar: Callable[[str, str, str], Answer]) -> None:
        self._users, self._instances, self._ask = tokens, list(instancias), preguntar

    def atender(self, cabeceras: Mapping[str, str], ruta: str) -> Answer:
        scheme, _, token = cabeceras.get("Authorization", "").partition(" ")
        user = self._users.get(token) if scheme == "Bearer" else None
        if user is None:
            return 401, "¿quién eres?"
        for _ in self._instances:
            instance = self._instances.pop(0)
            self._instances.append(instance)
            try:
                return self._ask(instance, ruta, user)
            except ConnectionError:
                pass
        return 502, "nadie contesta"


class _Street:
    """Instances that answer or are down, and what each was asked."""

    def __init__(self, *names: str) -> None:
        self.instances = list(names)
        self.down: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []

    def preguntar(self, instancia: str, ruta: str, usuario: str) -> Answer:
        self.asked.append((instancia, ruta, usuario))
        if instancia in self.down:
            raise ConnectionError(f"{instancia} no contesta")
        if ruta == "/averia":
            raise RuntimeError("contesta, y mal")
        return (404 if ruta == "/nada" else 200), f"{instancia} a {usuario}"


def _world() -> dict[str, Any]:
    street = _Street("uno", "dos", "tres")

    def pide(entrada: Any, cabeceras: Mapping[str, str], ruta: str = "/libros") -> dict[str, Any]:
        """What the client gets, by its status alone where the entrance itself answers, and who was asked for it."""
        asked = len(street.asked)
        answer = entrada.atender(dict(cabeceras), ruta)
        own = isinstance(answer, tuple | list) and len(answer) == 2 and answer[0] in (401, 502)
        return {"responde": answer[0] if own else answer, "preguntadas": street.asked[asked:]}

    return {
        "tokens": {"t-ana": "ana", "t-luis": "luis"},
        "instancias": street.instances,
        "preguntar": street.preguntar,
        "pide": pide,
        "cae": street.down.add,
        "vuelve": street.down.discard,
        "ANA": {"Authorization": "Bearer t-ana"},
        "LUIS": {"Authorization": "Bearer t-luis"},
        "NADIE": {},
    }


def _asked(d: Difference) -> tuple[list[Any], list[Any]]:
    return d.found.value["preguntadas"], d.wanted.value["preguntadas"]


_HINTS: list[tuple[Callable[[Difference], object], str]] = [
    (lambda d: d.wanted.error is not None, "¿Qué excepción dice que una instancia no contesta?"),
    (lambda d: d.found.error is not None, "¿Qué llega al cliente cuando algo falla detrás?"),
    (lambda d: d.wanted.value["responde"] == 401, "¿Quién ha entrado sin un token conocido?"),
    (lambda d: d.found.value["responde"] == 401, "¿Por qué no se le conoce?"),
    (lambda d: len(_asked(d)[0]) < len(_asked(d)[1]), "¿Quedaba otra instancia a quien preguntar?"),
    (lambda d: len(_asked(d)[0]) > len(_asked(d)[1]), "¿Cuántas veces se pregunta a cada una por una petición?"),
    (lambda d: _asked(d)[0] != _asked(d)[1], "¿De quién era el turno, y qué se le pregunta?"),
]

_UNKNOWN = ("", "t-ana", "Bearer", "Bearer ", "Bearer t-an", "Bearer t-ana x", "Basic t-ana", "Bearer  t-ana", "Bearer:t-ana")

ENTRANCE.stories(
    Model,
    made_with=["tokens, instancias, preguntar"],
    thing="e",
    world=_world,
    steps=[
        *(f"pide(e, {{'Authorization': {text!r}}})" for text in _UNKNOWN),
        "pide(e, NADIE)",
        "pide(e, ANA, '/nada')",
        "pide(e, ANA, '/averia')",
    ],
    length=1,
    hints=_HINTS,
    situation="con una petición",
)

ENTRANCE.stories(
    Model,
    made_with=["tokens, instancias, preguntar"],
    thing="e",
    world=_world,
    steps=[
        "pide(e, ANA)",
        "pide(e, LUIS, '/nada')",
        "pide(e, NADIE)",
        "cae('uno')",
        "cae('dos')",
        "cae('tres')",
        "vuelve('dos')",
    ],
    length=4,
    hints=_HINTS,
    think="¿Qué recibe el cliente?",
    situation="con tres instancias que caen y vuelven",
)

ENTRANCE.races(
    Model,
    Overtaking(
        "tokens, instancias, preguntar",
        ("atender(ANA, '/libros')",),
        ("atender(LUIS, '/libros')",),
        after=("atender(ANA, '/libros')",),
        think="¿Puede un hilo tomar el turno que otro está tomando?",
    ),
    world=_world,
)
