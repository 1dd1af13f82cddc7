"""SG-5: the process dies at any point; called again, the saga ends, all done or all undone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import shown
from labkit.patterns.saga import Refused

SURVIVES = Exercise("SG-5", writes="seguir", call="seguir(bitacora, pasos)", deadline=10)

NAMES = ("inventario", "pagos", "envios")
HOWS = ("bien", "no", "corte antes", "corte después", "deshacer falla")
Follow = Callable[[Any, list[Any]], Any]


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


class World:
    """A diary and services that outlive the process, which dies at its n-th point (None: never)."""

    def __init__(self, hows: tuple[str, ...]) -> None:
        self.hows = dict(zip(NAMES, hows, strict=False))
        self.lines: list[str] = []
        self.state: dict[str, str] = {}
        self.met: set[str] = set()  # what of the script has happened: each misfortune comes once
        self.called: list[str] = []
        self.undone: list[str] = []
        self.again = False  # forward, after a compensation
        self.points, self.die_at, self.dead = 0, set[int](), False

    def anotar(self, texto: str) -> None:
        self._point()
        self.lines.append(texto)
        self._point()

    def lineas(self) -> list[str]:
        return list(self.lines)

    def steps(self) -> list[Any]:
        return [(name, self._call(self._do, name), self._call(self._undo, name)) for name in self.hows]

    def _call(self, function: Callable[[str], None], name: str) -> Callable[[], None]:
        def call() -> None:
            self._point()
            self.called.append(f"{'hacer' if function == self._do else 'deshacer'} {name}")
            function(name)
            self._point()

        return call

    def _do(self, name: str) -> None:
        self.again = self.again or any(call.startswith("deshacer") for call in self.called)
        if self.state.get(name) == "deshecho":
            raise Refused(f"{name}: llega tarde")
        if self.state.get(name) == "hecho":
            return
        if self._happens(name, "no"):
            raise Refused(f"{name} dice que no")
        cut = self._happens(name, "corte antes")
        if not cut:
            self.state[name] = "hecho"
        if cut or self._happens(name, "corte después"):
            raise ConnectionError(f"{name} no contesta")

    def _undo(self, name: str) -> None:
        if self._happens(name, "deshacer falla"):
            raise ConnectionError(f"{name} no contesta")
        if self.state.get(name) == "hecho":
            self.undone.append(name)
        self.state[name] = "deshecho"

    def _happens(self, name: str, what: str) -> bool:
        if self.hows[name] != what or name in self.met:
            return False
        self.met.add(name)
        return True

    def _point(self) -> None:
        if self.dead:
            raise Died
        self.points += 1
        if self.points in self.die_at:
            self.dead = True
            raise Died


def live(case: Case, follow: Follow, hows: tuple[str, ...], deaths: tuple[int, ...]) -> World:
    """Run one history to its end, started again after each death, and hold it against the statement."""
    world = World(hows)
    world.die_at = set(deaths)
    script = ", ".join(f"{name}: {how}" for name, how in world.hows.items())
    ends: list[Any] = []
    for _ in range(len(deaths) + 1):
        world.dead = False
        case.doing = script
        try:
            ends.append(follow(world, world.steps()))
        except Died:
            continue
        case.expect(not world.dead, f"con {script}: el proceso había muerto y tu función siguió. ¿Qué capturas?")
        break
    told = f"con {script}{'; muere y vuelve' if deaths else ''}; llamó a: {', '.join(world.called) or 'nadie'}"
    case.expect(ends and ends[0] in ("hecho", "deshecho"), f"{told}; devolvió {shown(ends[0] if ends else None)}: {ENDS}")
    case.expect(not world.again, f"{told}. Volvió a ir hacia delante: ¿qué sabe, al volver, de lo que se decidió?")
    done = [name for name in world.hows if world.state.get(name) == "hecho"]
    whole = list(world.hows) if ends[0] == "hecho" else []
    case.expect(done == whole, f"{told}; devolvió {ends[0]!r} y quedó hecho: {', '.join(done) or 'nada'}. ¿Qué falta?")
    backwards = [name for name in reversed(NAMES) if name in world.undone]
    case.expect(world.undone == backwards, f"{told}. ¿En qué orden se deshace?")
    if not deaths:
        failed = [how for how in hows if how not in ("bien", "deshacer falla")]
        case.expect(ends[0] == ("deshecho" if failed else "hecho"), f"{told}; devolvió {ends[0]!r}. ¿Por qué?")
    before = len(world.called)
    case.equal(follow(world, world.steps()), ends[0], f"{told}. Había acabado, y al repetir contestó {{found}}.")
    case.equal(len(world.called), before, f"{told}. Había acabado, y al repetir llamó a un servicio.")
    return world


ENDS = "se esperaba 'hecho' o 'deshecho'."
HISTORIES = [hows for count in (1, 2, 3) for hows in product(HOWS, repeat=count)]


@SURVIVES.case("sin ninguna muerte", raised="¿qué debe pasar con esa excepción?", late="¿qué se repite sin fin?")
def nobody_dies(case: Case, follow: Follow) -> None:
    for hows in HISTORIES:
        live(case, follow, hows, ())


@SURVIVES.case("con una muerte en cualquier punto", raised="¿qué hay en la bitácora en ese momento?")
def one_death(case: Case, follow: Follow) -> None:
    for hows in HISTORIES:
        for point in range(1, live(case, follow, hows, ()).points + 1):
            live(case, follow, hows, (point,))


@SURVIVES.case("con dos muertes", raised="¿qué hay en la bitácora en ese momento?")
def two_deaths(case: Case, follow: Follow) -> None:
    for hows in product(("bien", "corte después"), ("no", "corte después")):
        for first, second in product(range(1, 20), repeat=2):
            live(case, follow, hows, (first, first + second))
