"""BH-8: measure each call and adapt the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Case, Exercise, wait_for
from labkit.exercises.expectations import expect_methods
from labkit.patterns.bulkhead import Bulkhead
from labkit.waiting import ManualClock

WATCH = Exercise(
    "BH-8",
    writes="Vigilante",
    call="Vigilante(bulkhead, objetivo, minimo, maximo, carga, reloj)",
    methods=("llamar(funcion)", "ajustar()"),
    deadline=10,
)


class Model:
    """The statement: half the limit after a slow call or under load, else one more if any was measured."""

    def __init__(
        self,
        bulkhead: Bulkhead,
        objetivo: float,
        minimo: int,
        maximo: int,
        carga: Callable[[], float],
        reloj: Callable[[], float],
    ) -> None:
        self.bulkhead, self.objetivo, self.bounds = bulkhead, objetivo, (minimo, maximo)
        self.carga, self.reloj, self.measured = carga, reloj, list[float]()

    def llamar(self, funcion: Callable[..., Any], *args: Any) -> Any:
        with self.bulkhead:
            begin = self.reloj()
            try:
                return funcion(*args)
            finally:
                self.measured.append(self.reloj() - begin)

    def ajustar(self) -> int:
        measured, self.measured = self.measured, []
        limit = self.bulkhead.limit
        if self.carga() >= 0.9 or any(seconds > self.objetivo for seconds in measured):
            limit //= 2
        elif measured:
            limit += 1
        self.bulkhead.limit = max(self.bounds[0], min(limit, self.bounds[1]))
        return self.bulkhead.limit


def _world() -> dict[str, Any]:
    clock, load = ManualClock(100), [0.2]

    def tarda(seconds: float, *more: object) -> tuple[object, ...]:
        clock.advance(seconds)
        return more

    def falla(seconds: float) -> None:
        clock.advance(seconds)
        raise LookupError("no queda papel")

    def interrumpe(seconds: float) -> None:
        clock.advance(seconds)
        raise KeyboardInterrupt

    def con_otra_dentro(watch: Any) -> str:
        clock.advance(0.4)
        watch.llamar(tarda, 0.1)
        clock.advance(0.1)
        return "las dos"

    def carga_de(value: float) -> None:
        load[:] = [value]

    acts = {each.__name__: each for each in (tarda, falla, interrumpe, con_otra_dentro, carga_de)}
    return {**acts, "reloj": clock, "carga": lambda: load[0], **{f"de_{n}": Bulkhead(n) for n in (1, 5, 7)}}


@WATCH.case("recién creado", raised="¿qué guarda tu clase al crearse?")
def has_its_methods(case: Case, watch: Any) -> None:
    expect_methods(case, watch(Bulkhead(4), 0.5, 1, 20, lambda: 0.2, ManualClock()))


WATCH.stories(
    Model,
    made_with=["de_5, 0.5, 1, 20, carga, reloj", "de_7, 0.5, 2, 6, carga, reloj", "de_1, 0.5, 3, 6, carga, reloj"],
    thing="vigilante",
    world=_world,
    steps=[
        "vigilante.llamar(tarda, 0.1)",
        "vigilante.llamar(tarda, 0.6)",
        "vigilante.ajustar()",
        "carga_de(0.9)",
        "vigilante.llamar(falla, 0.6)",
    ],
    length=4,
    think="¿Qué regla toca, cuántas veces se aplica, y desde cuándo cuentan las medidas?",
    situation="al llamar y ajustar",
)

WATCH.stories(
    Model,
    made_with=["de_5, 0.5, 1, 20, carga, reloj"],
    thing="vigilante",
    world=_world,
    steps=[
        "vigilante.ajustar()",
        "vigilante.llamar(tarda, 0.5)",
        "vigilante.llamar(tarda, 0, 'a', 'b')",
        "vigilante.llamar(interrumpe, 0.6)",
        "vigilante.llamar(con_otra_dentro, vigilante)",
        "carga_de(0.89)",
        "carga_de(0.95)",
        "de_5.limit",
        "de_5.metrics.max_in_use",
    ],
    length=3,
    think="¿Qué se mide de cada llamada, dónde lo guardas, y qué compara «más de»?",
    situation="con medidas en el límite",
)


@WATCH.case("cuando hay que esperar el permiso, o no lo hay", late="¿qué espera llamar, aparte del permiso?")
def waiting_is_no_work(case: Case, make: Any) -> None:
    clock, bulkhead = ManualClock(), Bulkhead(1, max_wait=5)
    watch = make(bulkhead, 0.5, 1, 20, lambda: 0.2, clock)
    permit = bulkhead.acquire()
    case.cleanup(permit.release)
    call = case.start(watch.llamar, clock.advance, 0.1)
    waits = case.eventually(lambda: bulkhead.waiting or call.done())
    case.expect(waits and not call.done(), "con el único permiso en uso, la función se ejecutó: ¿pasa por bulkhead?")
    clock.advance(2)
    permit.release()
    wait_for(call)
    told = "una llamada esperó 2 s su permiso y trabajó 0.1 s; con límite 1, el ajuste lo dejó en {found}: ¿qué mides?"
    case.equal(watch.ajustar(), 2, told)
    refusing = Bulkhead(1)
    watch = make(refusing, 0.5, 1, 20, lambda: 0.2, clock)
    with refusing:
        refused = case.start(watch.llamar, clock.advance, 9).exception(case.pace.patience)
    case.expect(refused is not None, "sin permisos libres, llamar no lanzó BulkheadFullError")
    case.equal(watch.ajustar(), 1, "una llamada se rechazó y el ajuste dejó el límite 1 en {found}: ¿es una medida?")
