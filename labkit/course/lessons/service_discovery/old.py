"""The exercises of 01_service_discovery."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from flask import Flask, jsonify, request

from labkit import messages, sockets
from labkit.course.lessons.old_expectations import (
    TIMEOUT,
    described,
    expect_call,
    expect_class,
    expect_methods,
    flask_app,
    get,
    json_object,
    kind,
)
from labkit.exercises.eventually import eventually
from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.serving import running
from labkit.service import Group, Service

_DEAD = "http://127.0.0.1:9"  # the discard port, on which nothing listens
# What an instance takes that is too slow for a limit of one second, with room for a busy machine.
_SLOW = 3.0
_LIMIT = "¿lleva tu petición un tiempo límite, y de cuántos segundos?"
# What an instance takes that is well and not the first to answer.
_UNHURRIED = 0.2

# Those that only a reader can judge.
QUESTIONS = ("SD-1",)

# SD-2 · a third instance

THIRD = Exercise("SD-2", given=("registro",), writes=("tercera", "reparto"), deadline=12)
_PREPARED = ("registro-ejercicios", "envios", "envios-1", "envios-2")
_PREPARE = "ejecuta otra vez la celda que prepara los ejercicios"


@THIRD.case("con la instancia nueva")
def third_answers(case: Case, registro: Any, tercera: Any, reparto: Any) -> None:
    case.expect(
        not isinstance(tercera, Group),
        "tercera es un grupo de servicios: hace falta una sola instancia. ¿Qué le pediste a labkit.serve?",
    )
    case.expect(
        isinstance(tercera, Service),
        f"tercera es {kind(tercera)}: guarda en ella el servicio que devuelve labkit.serve",
    )
    took_a_name = (
        f": servir con un nombre que ya existe sustituye al anterior. Antes de seguir, {_PREPARE}"
        if tercera.name in _PREPARED
        else ""
    )
    case.expect(
        tercera.name == "envios-tercera",
        f"tercera se llama {tercera.name} y se pide envios-tercera{took_a_name}",
    )
    case.expect(
        tercera.state == messages.RUNNING,
        f"el estado de tercera es «{tercera.state}»: tiene que quedarse corriendo",
    )
    answer = get(case, tercera, "/stock/42")
    case.expect(
        answer.ok, f"GET /stock/42 de tercera contestó {answer.status_code}: ¿sirve la misma aplicación?"
    )


@THIRD.case("al buscar en el registro")
def third_is_found(case: Case, registro: Any, tercera: Any, reparto: Any) -> None:
    found = Counter(_look_up(case, registro) for _ in range(12))
    case.expect(
        tercera.url in found,
        f"en 12 búsquedas salieron {', '.join(sorted(found))}, y ninguna es la de tercera ({tercera.url}): "
        "¿la registraste como envios, con su dirección completa?",
    )
    case.expect(
        len(found) == 3,
        f"el registro reparte {len(found)} direcciones ({', '.join(sorted(found))}) y tenían que ser tres: "
        "¿qué falta o qué registraste de más? "
        f"Para empezar de cero, {_PREPARE}",
    )


@THIRD.case("con el reparto que mediste")
def distribution_is_even(case: Case, registro: Any, tercera: Any, reparto: Any) -> None:
    case.expect(
        isinstance(reparto, Mapping),
        f"reparto es {kind(reparto)}: usa un diccionario (o un Counter) que dé, para cada dirección, cuántas veces salió",
    )
    case.expect(
        all(isinstance(key, str) and key.startswith("http") for key in reparto),
        f"las claves de reparto no son direcciones, como {next(iter(reparto), None)!r}: "
        "cuenta lo que devuelve buscar, no quién contestó",
    )
    case.expect(
        all(type(times) is int for times in reparto.values()),
        "los valores de reparto no son números enteros: cuenta cuántas veces salió cada dirección",
    )
    case.expect(
        tercera.url in reparto, "en reparto no sale la dirección de tercera: ¿mediste antes de registrarla?"
    )
    total = sum(reparto.values())
    case.expect(
        total == 30,
        f"reparto suma {total} y se piden 30 búsquedas: ¿cuántas veces llamas a buscar en cada vuelta?",
    )
    counts = sorted(reparto.values())
    case.expect(
        counts[-1] - counts[0] <= 1,
        f"las veces fueron {counts}: los turnos reparten por igual. ¿Cuentas cada búsqueda, y solo una vez?",
    )


def _look_up(case: Case, registro: Any) -> str:
    case.expect(isinstance(getattr(registro, "url", None), str), f"registro es {kind(registro)}: {_PREPARE}")
    try:
        answer = requests.get(f"{registro.url}/buscar/envios", timeout=TIMEOUT)
    except requests.RequestException:
        case.fail(f"el registro no contesta: {_PREPARE}")
    case.expect(answer.ok, f"el registro contestó {answer.status_code} al buscar envios: {_PREPARE}")
    return str(answer.json()["url"])


# SD-3 · does the registry notice?

NOTICES = Exercise("SD-3", writes=("tabla", "sigue_repartida"))
_MOMENTS = ("todas vivas", "una detenida", "otra vez viva")
_MEASURES = ("direcciones", "sin respuesta")
_PURCHASES = 12


@NOTICES.case("con la tabla")
def table_is_complete(case: Case, tabla: Any, sigue_repartida: Any) -> None:
    case.expect(
        isinstance(tabla, Mapping), f"tabla es {kind(tabla)}: usa un diccionario con los tres momentos"
    )
    missing = [moment for moment in _MOMENTS if moment not in tabla]
    case.expect(not missing, f"en tabla falta: {', '.join(missing)}")
    for moment in _MOMENTS:
        row = tabla[moment]
        case.expect(not callable(row), f"«{moment}» es una función: guarda lo que devuelve al llamarla")
        case.expect(
            isinstance(row, Mapping) and all(type(row.get(measure)) is int for measure in _MEASURES),
            f"«{moment}» no es lo que devuelve medir(): guarda su resultado entero",
        )


@NOTICES.case("en los tres momentos")
def table_shows_the_stop(case: Case, tabla: Any, sigue_repartida: Any) -> None:
    alive, stopped, again = (tabla[moment] for moment in _MOMENTS)
    known = alive["direcciones"]
    case.expect(
        alive["sin respuesta"] == 0,
        f"con todas vivas quedaron {alive['sin respuesta']} compras sin respuesta: ¿estaba ya alguna detenida?",
    )
    case.expect(
        known >= 2, f"con todas vivas se repartió {known} dirección: tienen que ser dos o tres; {_PREPARE}"
    )
    case.expect(
        stopped["sin respuesta"] > 0,
        "con una detenida no falló ninguna compra: ¿mediste después de detenerla, y estaba registrada?",
    )
    least, most = math.ceil(_PURCHASES / known - 1), math.floor(_PURCHASES / known + 1)
    case.expect(
        least <= stopped["sin respuesta"] <= most,
        f"con una detenida de {known} direcciones se esperaban entre {least} y {most} compras sin respuesta "
        f"de {_PURCHASES}, y fueron {stopped['sin respuesta']}: ¿cuántas detuviste?",
    )
    case.expect(
        stopped["direcciones"] == known,
        f"antes se repartían {known} direcciones y con una detenida {stopped['direcciones']}: "
        "aquí el registro no debía cambiar. ¿Qué más tocaste?",
    )
    case.expect(
        again["sin respuesta"] == 0,
        f"al final quedaron {again['sin respuesta']} compras sin respuesta: ¿arrancaste la instancia en su puerto, "
        "y antes de medir?",
    )


@NOTICES.case("con tu conclusión")
def conclusion_follows(case: Case, tabla: Any, sigue_repartida: Any) -> None:
    case.expect(
        isinstance(sigue_repartida, bool),
        f"sigue_repartida es {kind(sigue_repartida)}: escribe True o False",
    )
    case.expect(
        sigue_repartida,
        "dices que no se repartía, pero en tu tabla fallaron compras: ¿de dónde salió esa dirección?",
    )


# SD-4a · an instance that tells how it is

HEALTH_APP = Exercise("SD-4a", writes="envios_con_salud", deadline=12)
_MAKES = "¿qué hace tu función cada vez que la llaman?"
_MAKES_LATE = "¿sirves la aplicación dentro de tu función? Basta con crearla y devolverla"


@HEALTH_APP.case("con una instancia en buen estado", raised=_MAKES, late=_MAKES_LATE)
def well_instance(case: Case, envios_con_salud: Any) -> None:
    expect_call(case, envios_con_salud, "envios_con_salud(name)")
    service = case.enter(running(flask_app(case, envios_con_salud, "envios-prueba")))
    health = get(case, service, "/health").status_code
    case.expect(health == 200, f"GET /health contestó {health} con la instancia bien: ¿existe la ruta?")
    stock = get(case, service, "/stock/42")
    case.expect(
        stock.ok, f"GET /stock/42 contestó {stock.status_code}: la salud se añade, lo demás sigue igual"
    )
    name = (json_object(stock) or {}).get("instancia")
    case.expect(
        name == "envios-prueba",
        f"/stock/42 dijo instancia={name!r} y se llama envios-prueba: ¿con qué nombre creas la aplicación?",
    )


@HEALTH_APP.case("con una instancia averiada", raised=_MAKES, late=_MAKES_LATE)
def broken_instance(case: Case, envios_con_salud: Any) -> None:
    app = flask_app(case, envios_con_salud, "envios-prueba")
    service = case.enter(running(app))
    app.config["AVERIADA"] = True
    broken = get(case, service, "/health").status_code
    case.expect(
        broken != 200,
        "con AVERIADA activada, /health sigue contestando 200: ¿cuándo miras app.config, al crear o al contestar?",
    )
    case.expect(
        broken == 503, f"con AVERIADA activada, /health contestó {broken}: se pide 503, «ahora no puedo»"
    )
    stock = get(case, service, "/stock/42").status_code
    case.expect(
        stock == 200,
        f"con AVERIADA activada, GET /stock/42 contestó {stock}: contesta como antes. ¿A qué rutas afecta tu código?",
    )
    app.config["AVERIADA"] = False
    repaired = get(case, service, "/health").status_code
    case.expect(repaired == 200, f"reparada, /health contestó {repaired}: ¿puede volver a estar bien?")


# SD-4b · who is well

HEALTHY = Exercise("SD-4b", writes="sanas", deadline=12)


@HEALTHY.case(
    "con todas las direcciones sanas", raised="¿qué hace sanas con una instancia que contesta bien?"
)
def all_well(case: Case, sanas: Any) -> None:
    expect_call(case, sanas, "sanas(urls)")
    # The first is the last to answer, so that an order of arrival is not the one asked for.
    services = [case.enter(running(_with_health(200, lambda: time.sleep(_UNHURRIED))))]
    services += [case.enter(running(_with_health(200))) for _ in range(2)]
    urls = [each.url for each in services]
    found = _urls(case, sanas(list(urls)), urls)
    asked = {request.path for each in services for request in each.journal.requests}
    case.expect(
        asked <= {"/health"}, f"a las instancias les llegó {', '.join(sorted(asked))}: se pregunta en /health"
    )
    case.expect(asked, "a las tres instancias no les llegó ninguna petición: ¿a qué dirección llamas?")
    case.expect(
        sorted(found) == sorted(urls),
        f"las tres contestan 200, una de ellas tras {_UNHURRIED:g} s, y sanas devolvió {len(found)}: ¿cuál falta o sobra?",
    )
    case.expect(found == urls, "están las tres, pero en otro orden: ¿qué pasaría con los turnos?")


@HEALTHY.case("con la lista vacía", raised="¿sirve tu código para cero direcciones?")
def nobody_to_ask(case: Case, sanas: Any) -> None:
    case.expect(not _urls(case, sanas([]), []), "con la lista vacía no devolvió una lista vacía")


@HEALTHY.case("con una instancia muerta en la lista", raised="¿qué debe pasar con las demás?")
def one_dead(case: Case, sanas: Any) -> None:
    urls = [case.enter(running(_with_health(200))).url for _ in range(2)]
    given = [urls[0], _DEAD, urls[1]]
    found = _urls(case, sanas(list(given)), given)
    case.expect(_DEAD not in found, "sanas devolvió una dirección en la que no escucha nadie")
    case.expect(
        found == urls,
        f"con una muerta entre dos sanas devolvió {len(found)}: ¿se perdió alguna que sí contesta?",
    )


@HEALTHY.case(
    "con instancias que contestan, pero no 200",
    raised="un 503 también es una respuesta: ¿qué hace tu código con ella?",
)
def wrong_status(case: Case, sanas: Any) -> None:
    well = case.enter(running(_with_health(200))).url
    others = {status: case.enter(running(_with_health(status))).url for status in (503, 500, 404)}
    given = [*others.values(), well]
    found = _urls(case, sanas(list(given)), given)
    for status, url in others.items():
        case.expect(url not in found, f"una instancia contestó {status} en /health y sanas la dio por buena")
    case.expect(found == [well], "la que contestó 200 no está en el resultado")


@HEALTHY.case(
    "con una instancia que acepta la conexión y tarda en contestar",
    raised="¿qué lanza requests cuando se agota el tiempo?",
    late=_LIMIT,
)
def one_is_slow(case: Case, sanas: Any) -> None:
    over, answered = threading.Event(), threading.Event()

    def slowly() -> None:
        over.wait(_SLOW)
        answered.set()

    slow = case.enter(running(_with_health(200, slowly))).url
    case.cleanup(over.set)
    well = [case.enter(running(_with_health(200))).url for _ in range(2)]
    given = [well[0], slow, well[1]]
    found = _urls(case, sanas(list(given)), given)
    waited = answered.is_set()
    case.expect(
        slow not in found,
        f"una instancia tardó {_SLOW:g} s en contestar; sanas los esperó y la dio por buena: {_LIMIT}",
    )
    case.expect(
        not waited,
        f"una instancia tardó {_SLOW:g} s en contestar y sanas esperó hasta el final para descartarla: {_LIMIT}",
    )
    case.expect(
        found == well, f"por culpa de la lenta, sanas devolvió {len(found)} de las dos que están bien"
    )


# SD-4c · a registry that notices

WATCH = Exercise("SD-4c", writes="vigilar", deadline=12)
_LOOKS_AT_END = "¿mira tu bucle si fin está activado?"
_ENDED = "vigilar terminó sin que nadie activara fin: ¿quién revisa a partir de entonces?"
# Seconds between two rounds that are too many, of one that is asked for, and rounds a second that no loop with
# a pause makes: what is far from the limit is told wrong, on a busy machine too.
_PAUSE = 3.0
_BUSY = 200


@WATCH.case("cuando vigilar tiene que quitar una muerta", late=_LOOKS_AT_END)
def watch_removes_the_dead(case: Case, vigilar: Any) -> None:
    expect_call(case, vigilar, "vigilar(registro, fin)")
    well = [case.enter(running(_with_health(200))).url for _ in range(2)]
    registry = Registro([well[0], _DEAD, well[1]])
    watch = case.enter(_Watch.over(vigilar, registry))
    # Who has read the list so often and removed nobody will not do it any more.
    gone = eventually(
        lambda: _DEAD not in registry.now() or watch.ended or registry.removed or registry.reads > 25, 8
    )
    gone = gone and eventually(lambda: _DEAD not in registry.now() or watch.ended, 1)
    _expect_no_error(case, watch)
    if lost := set(well) & registry.removed:
        again = eventually(lambda: registry.registered & lost, 1)
        case.fail(
            "vigilar quitó una dirección sana, aunque luego la volvió a registrar: en ese momento un cliente no la encuentra"
            if again
            else "vigilar quitó una dirección sana: ¿qué condición decide a quién quitas?"
        )
    case.expect(
        not watch.ended or _DEAD not in registry.now(),
        "vigilar terminó sin que nadie activara fin, y la muerta sigue en el registro",
    )
    case.expect(
        gone or not registry.reads,
        f"vigilar leyó el registro {registry.reads} veces y la muerta sigue en él: ¿a quién le pides que la quite?",
    )
    case.expect(
        gone, "a los 8 segundos vigilar no había leído el registro ni una vez: ¿a qué espera tu bucle?"
    )
    case.expect(registry.now() == well, "después de vigilar no quedan las dos sanas, en su orden")


@WATCH.case("si otra muere más tarde", late=_LOOKS_AT_END)
def watch_goes_on(case: Case, vigilar: Any) -> None:
    first, second = (case.enter(running(_with_health(200))) for _ in range(2))
    registry = Registro([first.url, second.url])
    watch = case.enter(_Watch.over(vigilar, registry))
    eventually(lambda: _answered(first) and _answered(second), 3)
    second.kill()
    gone = eventually(lambda: second.url not in registry.now() or watch.ended, 6)
    _expect_no_error(case, watch)
    case.expect(
        second.url not in registry.now() or not watch.ended,
        "una instancia murió después de la primera revisión y sigue en el registro: ¿revisas una sola vez?",
    )
    case.expect(
        gone,
        "6 segundos después de morir, una instancia seguía en el registro: ¿cada cuánto revisas, y qué lista?",
    )
    registry.join(_DEAD)
    case.expect(
        eventually(lambda: _DEAD not in registry.now(), 6),
        "se registró una dirección muerta con vigilar en marcha y ahí sigue: ¿cuándo lee tu bucle la lista?",
    )
    case.expect(registry.now() == [first.url], "la que sigue viva ya no está en el registro")


@WATCH.case("si otros hilos registran y quitan mientras revisas", late=_LOOKS_AT_END)
def watch_is_not_alone(case: Case, vigilar: Any) -> None:
    newcomer, leaver = (case.enter(running(_with_health(200))).url for _ in range(2))
    registry = Registro([])

    def meanwhile() -> None:
        registry.join(newcomer)
        registry.leave(leaver)

    # One comes and one goes exactly while this one is being asked for its health.
    first = case.enter(running(_with_health(200, meanwhile)))
    for url in (first.url, leaver, _DEAD):
        registry.join(url)
    watch = case.enter(_Watch.over(vigilar, registry))
    eventually(lambda: _DEAD not in registry.now() or watch.ended, 6)
    # It may be about to remove more: let it come to the end of its round.
    watch.finish.set()
    eventually(lambda: watch.ended, 2)
    _expect_no_error(case, watch)
    case.expect(
        newcomer not in registry.removed and newcomer in registry.now(),
        "una instancia se registró mientras revisabas y la perdiste: ¿qué lista decide a quién quitas?",
    )
    case.expect(
        leaver not in registry.registered,
        "otro hilo quitó una dirección sana mientras revisabas y tú la volviste a registrar: "
        "¿a quién le toca registrar?",
    )


@WATCH.case("con el paso del tiempo", late=_LOOKS_AT_END)
def watch_keeps_its_pace(case: Case, vigilar: Any) -> None:
    rounds: list[float] = []
    well = case.enter(running(_with_health(200, lambda: rounds.append(time.monotonic()))))
    registry = Registro([well.url])
    watch = case.enter(_Watch.over(vigilar, registry))
    began = time.monotonic()
    eventually(lambda: len(rounds) > 2 or watch.ended, 8)
    seconds = time.monotonic() - began
    _expect_no_error(case, watch)
    case.expect(not watch.ended, _ENDED)
    wanted = "se pide revisar al menos una vez por segundo"
    # What it asks of `fin.wait` is known at once; another pause shows in the time that passes.
    asked = max((watch.finish.longest.get(reader, 0) for reader in tuple(registry.readers)), default=0)
    case.expect(asked <= _PAUSE, f"entre una revisión y la siguiente esperas {asked:g} s: {wanted}")
    times = "vez" if len(rounds) == 1 else "veces"
    case.expect(
        len(rounds) > 1, f"en {seconds:.0f} s vigilar preguntó a la instancia {len(rounds)} {times}: {wanted}"
    )
    gaps = [after - before for before, after in itertools.pairwise(rounds)]
    case.expect(min(gaps) <= _PAUSE, f"entre una revisión y la siguiente pasaron {min(gaps):.0f} s: {wanted}")


@WATCH.case("con un registro vacío", late=_LOOKS_AT_END)
def watch_rests(case: Case, vigilar: Any) -> None:
    registry = Registro([])
    watch = case.enter(_Watch.over(vigilar, registry))
    eventually(lambda: registry.reads or watch.ended, 4)
    before, began = registry.reads, time.monotonic()
    eventually(lambda: watch.ended, 0.5)
    per_second = (registry.reads - before) / (time.monotonic() - began)
    _expect_no_error(case, watch)
    case.expect(not watch.ended, _ENDED)
    case.expect(
        per_second <= _BUSY,
        f"vigilar leyó el registro {per_second:.0f} veces por segundo: ¿qué pausa hace tu bucle entre dos revisiones?",
    )


@WATCH.case("al activar fin", late=_LOOKS_AT_END)
def watch_ends(case: Case, vigilar: Any) -> None:
    registry = Registro([case.enter(running(_with_health(200))).url])
    watch = case.enter(_Watch.over(vigilar, registry))
    eventually(lambda: registry.reads > 1 or watch.ended, 4)
    _expect_no_error(case, watch)
    case.expect(not watch.ended, _ENDED)
    watch.finish.set()
    case.expect(
        eventually(lambda: watch.ended, 5), "fin está activado y vigilar sigue: ¿cuándo lo mira tu bucle?"
    )


class _Over(SystemExit):
    """Ends a `vigilar` that goes on when its case is over; `except Exception` does not catch it."""


# A learner meets the names of these two, and of Reloj below, in the errors of Python: no underscore.


class Registro:
    """What the exercise promises of a registry, and a record of what `vigilar` did to it."""

    def __init__(self, urls: list[str]) -> None:
        self._lock = threading.Lock()
        self._urls = list(urls)
        self._over = False
        self.removed: set[str] = set()
        self.registered: set[str] = set()
        self.readers: set[int] = set()
        self.reads = 0

    def todas(self) -> list[str]:
        self._go_on()
        self.readers.add(threading.get_ident())
        self.reads += 1
        return self.now()

    def registrar(self, url: str) -> None:
        self._go_on()
        if not isinstance(url, str):
            raise TypeError(f"registrar recibió {kind(url)}, y registra una dirección")
        if self.join(url):
            self.registered.add(url)

    def quitar(self, url: str) -> None:
        self._go_on()
        if not isinstance(url, str):
            raise TypeError(f"quitar recibió {kind(url)}, y quita una dirección")
        with self._lock:
            if url in self._urls:
                self._urls.remove(url)
                self.removed.add(url)

    def join(self, url: str) -> bool:
        """Register it as another thread would; whether it was not there."""
        with self._lock:
            new = url not in self._urls
            if new:
                self._urls.append(url)
            return new

    def leave(self, url: str) -> None:
        """Remove it as another thread would."""
        with self._lock:
            if url in self._urls:
                self._urls.remove(url)

    def now(self) -> list[str]:
        """What stands in it, for the case's own eyes."""
        with self._lock:
            return list(self._urls)

    def close(self) -> None:
        self._over = True

    def _go_on(self) -> None:
        if self._over:
            raise _Over


class Event(threading.Event):
    """An event whose waits are short, so that nobody waits for a check, and which knows what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.longest: dict[int, float] = {}

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        thread = threading.get_ident()
        self.longest[thread] = max(timeout, self.longest.get(thread, 0))
        return super().wait(min(timeout, 0.2))


class _Watch:
    """The learner's `vigilar` in a thread, as it is meant to run."""

    def __init__(self, vigilar: Callable[[Any, threading.Event], object], registry: Registro) -> None:
        self.registry = registry
        self.finish = Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(vigilar, registry), name="vigilar", daemon=True
        )
        self._thread.start()

    def _run(self, vigilar: Callable[[Any, threading.Event], object], registry: Registro) -> None:
        try:
            vigilar(registry, self.finish)
        except BaseException as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @classmethod
    @contextmanager
    def over(cls, vigilar: Any, registry: Registro) -> Iterator[_Watch]:
        watch = cls(vigilar, registry)
        try:
            yield watch
        finally:
            watch.finish.set()
            registry.close()
            watch._thread.join(2)


def _expect_no_error(case: Case, watch: _Watch) -> None:
    error = watch.error
    if isinstance(error, AttributeError):
        for used, other in ((watch.registry, watch.finish), (watch.finish, watch.registry)):
            case.expect(
                error.obj is not used or not hasattr(other, str(error.name)),
                "vigilar recibe primero el registro y después fin: ¿en qué orden están tus parámetros?",
            )
        if error.obj is watch.registry:
            case.fail(
                f"vigilar lanzó {described(error)}: del registro solo se promete todas, registrar y quitar"
            )
    if error is not None:
        case.fail(f"vigilar lanzó {described(error)} y dejó de vigilar: ¿quién revisa a partir de entonces?")


def _with_health(status: int, on_call: Callable[[], object] | None = None) -> Callable[[str], Flask]:
    def make(name: str) -> Flask:
        app = Flask(name)

        @app.get("/health")
        def health() -> tuple[str, int]:
            if on_call is not None:
                on_call()
            return "", status

        return app

    return make


def _answered(service: Service) -> bool:
    return any(request.status is not None for request in service.journal.requests)


def _urls(case: Case, found: Any, given: list[str]) -> list[str]:
    """What `sanas` returned, if it is a list of addresses that it was given."""
    case.expect(found is not None, "sanas no devolvió nada: ¿falta el return?")
    case.expect(
        isinstance(found, list | tuple), f"sanas devolvió {kind(found)}: se pide una lista de direcciones"
    )
    strange = next((item for item in found if item not in given), None)
    case.expect(
        strange is None,
        f"en el resultado de sanas hay {kind(strange)} que no es ninguna de las direcciones recibidas",
    )
    return list(found)


# SD-5 · leases

LEASES = Exercise("SD-5", writes="Arriendos")


class Reloj:
    """A clock that a case winds by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@LEASES.case("recién registradas", raised="¿qué guarda tu clase de cada dirección, y cómo lees el reloj?")
def registered(case: Case, leases_class: Any) -> None:
    methods = ("registrar(url)", "renovar(url)", "vivas()")
    expect_class(case, leases_class, "Arriendos(ttl, reloj)", methods, 'labkit.check("SD-5", Arriendos)')
    clock = Reloj()
    leases, others = leases_class(30, clock), leases_class(30, clock)
    expect_methods(case, leases, methods)
    names = ["b", "a", "c"]
    for url in names:
        leases.registrar(url)
    alive = _alive(case, leases)
    case.expect(
        sorted(alive, key=str) == sorted(names),
        f"se registraron b, a y c, y vivas() devolvió {alive}: se piden esas tres direcciones",
    )
    case.expect(alive == names, f"se registraron b, a y c, y vivas() devolvió {alive}: se pide ese orden")
    case.expect(
        not _alive(case, others),
        "se registraron en un objeto y salen también en otro: dos Arriendos distintos comparten sus direcciones",
    )


@LEASES.case("cuando pasa el tiempo", raised="¿cambias el diccionario mientras lo recorres?")
def expires(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(30, clock)
    leases.registrar("a")
    clock.now += 10
    leases.registrar("b")
    clock.now += 19
    case.expect(_alive(case, leases) == ["a", "b"], "a los 29 segundos de 30 ya faltaba alguna")
    clock.now += 1
    at_the_end = _alive(case, leases)
    clock.now += 1
    after = _alive(case, leases)
    case.expect(
        "a" not in after,
        "a los 31 segundos de 30 «a» seguía viva: ¿qué reloj miras, y cuándo lo miras?",
    )
    case.expect(
        "a" not in at_the_end, "a los 30 segundos justos «a» seguía viva: ¿qué pasa en el segundo exacto?"
    )
    case.expect(
        at_the_end == after == ["b"], "al caducar «a» se perdió también «b», que tenía 10 segundos más"
    )
    clock.now += 9
    case.expect(_alive(case, leases) == [], "a los 30 segundos de registrarse, «b» seguía viva")


@LEASES.case("al renovar a tiempo", raised="¿qué hace renovar con una dirección que está?")
def renews(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(30, clock)
    leases.registrar("a")
    leases.registrar("b")
    clock.now += 20
    renewed = leases.renovar("a")
    case.expect(renewed is True, f"renovar devolvió {renewed!r} con un arriendo en vigor: se pide True")
    alive = _alive(case, leases)
    case.expect(
        alive == ["a", "b"],
        f"se registraron a y b, renovó a, y vivas() devolvió {alive}: se pide el orden de registro",
    )
    clock.now += 29
    case.expect(
        _alive(case, leases) == ["a"],
        "«a» renovó en el segundo 20 y en el 49 ya no estaba, o seguía «b», que no renovó: "
        "¿desde cuándo cuenta el arriendo nuevo, y de quién es?",
    )
    clock.now += 1
    case.expect(
        _alive(case, leases) == [],
        "renovó en el segundo 20 y en el 50 seguía viva: ¿desde cuándo cuenta el arriendo nuevo?",
    )


@LEASES.case("al renovar tarde", raised="¿qué hace renovar con una dirección que ya no está?")
def renews_late(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(30, clock)
    unknown = leases.renovar("nadie")
    case.expect(_alive(case, leases) == [], "renovar una dirección desconocida la registró")
    case.expect(unknown is False, f"renovar una dirección desconocida devolvió {unknown!r}: se pide False")
    leases.registrar("a")
    clock.now += 31
    late = leases.renovar("a")
    case.expect(
        _alive(case, leases) == [],
        "el arriendo había caducado y renovar lo revivió: quien calló tiene que registrarse otra vez",
    )
    case.expect(late is False, f"renovar un arriendo caducado devolvió {late!r}: se pide False")
    leases.registrar("a")
    case.expect(_alive(case, leases) == ["a"], "tras caducar se registró de nuevo y no está viva")


@LEASES.case("en el segundo exacto en que caduca", raised="¿qué hace renovar en ese segundo?")
def renews_at_the_end(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(30, clock)
    leases.registrar("a")
    clock.now += 30
    late = leases.renovar("a")
    case.expect(
        late is False and _alive(case, leases) == [],
        "en el segundo 30 de 30 ya no está, así que tampoco se puede renovar",
    )


@LEASES.case("al registrar otra vez antes de caducar", raised="¿qué hace registrar con una que ya está?")
def registers_again(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(30, clock)
    leases.registrar("a")
    clock.now += 20
    leases.registrar("a")
    case.expect(_alive(case, leases) == ["a"], f"«a» se registró dos veces y vivas() da {leases.vivas()}")
    clock.now += 20
    case.expect(
        _alive(case, leases) == ["a"],
        "se registró en el segundo 0 y otra vez en el 20, y en el 40 ya no estaba: ¿desde cuándo cuenta?",
    )
    clock.now += 10
    case.expect(
        _alive(case, leases) == [], "se registró por última vez en el segundo 20 y en el 50 seguía viva"
    )


@LEASES.case("al leer muchas veces", raised="¿cambia algo vivas()?")
def reading_changes_nothing(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(30, clock)
    leases.registrar("a")
    for _ in range(29):
        leases.vivas()
        clock.now += 1
    case.expect(_alive(case, leases) == ["a"], "leer a menudo hizo caducar el arriendo")
    clock.now += 1
    case.expect(_alive(case, leases) == [], "leer a menudo renovó el arriendo: mirar no es latir")


@LEASES.case("con otro ttl", raised="¿usas el ttl que te dieron?")
def another_ttl(case: Case, leases_class: Any) -> None:
    clock = Reloj()
    leases = leases_class(5, clock)
    leases.registrar("a")
    clock.now += 4
    case.expect(
        leases.renovar("a") is True and _alive(case, leases) == ["a"],
        "con ttl=5, a los 4 segundos ya no estaba",
    )
    clock.now += 6
    case.expect(
        _alive(case, leases) == [], "con ttl=5, 6 segundos después de renovar seguía viva: ¿qué ttl usas?"
    )


def _alive(case: Case, leases: Any) -> list[Any]:
    alive = leases.vivas()
    case.expect(alive is not None, "vivas() no devolvió nada: ¿falta el return?")
    case.expect(
        isinstance(alive, list | tuple),
        f"vivas() devolvió {kind(alive)}: se pide una lista, en orden de registro",
    )
    return list(alive)


# SD-6 · a client that survives

CLIENT = Exercise("SD-6", writes="Cliente", deadline=12)


@CLIENT.case("con todo en marcha", raised="¿qué devuelve el registro, y qué pides a la instancia?")
def all_running(case: Case, client_class: Any) -> None:
    expect_class(case, client_class, "Cliente(registro)", ("pedir(ruta)",), 'labkit.check("SD-6", Cliente)')
    instances = _instances(case, 3)
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    expect_methods(case, client, ("pedir(ruta)",))
    before = len(registry.journal.requests)
    turns = []
    for _ in range(12):
        answer = client.pedir("/stock/42")
        case.expect(answer is not None, "pedir no devolvió nada: ¿falta el return?")
        case.expect(
            hasattr(answer, "status_code"), f"pedir devolvió {kind(answer)}: se pide la respuesta de requests"
        )
        paths = {request.path for each in instances for request in each.journal.requests}
        case.expect(paths == {"/stock/42"}, f"se pidió /stock/42 y a las instancias llegó {sorted(paths)}")
        turns.append(answer.json().get("instancia"))
    asked = len(registry.journal.requests) - before
    case.expect(
        asked >= 12, f"consultaste al registro en {asked} de 12 llamadas: ¿cómo te enteras de los cambios?"
    )
    case.expect(asked == 12, f"en 12 llamadas preguntaste {asked} veces al registro: una por llamada basta")
    counts = sorted(Counter(turns).values())
    case.expect(
        counts == [4, 4, 4], f"doce llamadas se repartieron {counts} entre tres instancias: ¿a quién le toca?"
    )
    case.expect(
        turns == turns[:3] * 4,
        "a cada una le tocaron cuatro de doce, pero no por turnos: ¿a quién le toca después de la última?",
    )


@CLIENT.case("si la lista del registro cambia", raised="¿qué pasa cuando la lista es más corta que antes?")
def list_changes(case: Case, client_class: Any) -> None:
    *old, new = _instances(case, 4)
    urls = [each.url for each in old]
    registry = case.enter(_served_registry(urls))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    client.pedir("/stock/1")
    urls[:] = [new.url]
    for _ in range(2):
        client.pedir("/stock/1")
    got = len(new.journal.requests)
    case.expect(
        got == 2,
        f"el registro dio otra lista y la instancia nueva recibió {got} de 2 llamadas: ¿qué haces con la lista vieja?",
    )


@CLIENT.case("si muere el registro", raised="¿qué lista te queda cuando el registro no contesta?")
def registry_dies(case: Case, client_class: Any) -> None:
    instances = _instances(case, 2)
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    registry.kill()
    for _ in range(3):
        _expect_answer(case, client, "sin registro, pero con una lista buena")
    asked = sorted(len(each.journal.requests) for each in instances)
    case.expect(asked == [2, 2], f"sin registro, las llamadas se repartieron {asked}: los turnos siguen")


@CLIENT.case(
    "si el registro contesta con un error", raised="¿miras el código de la respuesta antes de leerla?"
)
def registry_errs(case: Case, client_class: Any) -> None:
    (instance,) = _instances(case, 1)
    urls: list[str] | None = [instance.url]
    state = {"urls": urls}
    registry = case.enter(running(lambda: _registry_app(lambda: state["urls"])))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    state["urls"] = None  # from now on a 500 with a JSON body
    _expect_answer(case, client, "el registro contestó 500, y antes dio una lista buena")


@CLIENT.case(
    "si muere una instancia", raised="¿cuántas instancias pruebas antes de rendirte, y qué queda por probar?"
)
def instance_dies(case: Case, client_class: Any) -> None:
    instances = _instances(case, 3)
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    instances[1].kill()
    for _ in range(3):
        _expect_answer(case, client, "con una muerta de tres")
    instances[0].kill()
    for _ in range(3):
        _expect_answer(case, client, "con dos muertas de tres")


@CLIENT.case("si una instancia contesta 500", raised="un 500 también es una respuesta: ¿qué haces con ella?")
def instance_errs(case: Case, client_class: Any) -> None:
    instances = [case.enter(running(_failing_instance)) for _ in range(2)]
    registry = case.enter(_served_registry([each.url for each in instances]))
    try:
        answer = client_class(registry.url).pedir("/stock/1")
    finally:
        asked = sum(len(each.journal.requests) for each in instances)
        if asked > 1:
            case.fail(
                f"una instancia contestó 500 y llamaste a {asked}: si ya hizo parte del trabajo, se haría dos veces"
            )
    case.expect(
        getattr(answer, "status_code", None) == 500,
        f"la instancia contestó 500 y pedir devolvió {kind(answer)}: se pide la respuesta tal como llegó",
    )


@CLIENT.case("si no contesta nadie", late="¿cuántas veces pruebas cada instancia?")
def nobody_answers(case: Case, client_class: Any) -> None:
    dead, mute = case.enter(running(_instance("muerta"))), case.enter(running(_hanging_up_instance))
    registry = case.enter(_served_registry([dead.url, mute.url]))
    client = client_class(registry.url)
    dead.kill()
    _expect_connection_error(case, client, "con una instancia muerta y otra que cuelga sin contestar")
    asked = len(mute.journal.requests)
    case.expect(
        asked == 1, f"a la misma instancia la llamaste {asked} veces en un solo pedir: cada una, una vez"
    )


@CLIENT.case(
    "sin registro y sin lista",
    raised="¿a quién llamas al crear el Cliente? Se pregunta al pedir",
    late="¿esperas a alguien que no está?",
)
def never_a_registry(case: Case, client_class: Any) -> None:
    _expect_connection_error(case, client_class(_DEAD), "sin registro desde el principio")


@CLIENT.case("con un registro que no conoce a nadie", late="¿das vueltas a una lista vacía?")
def empty_list(case: Case, client_class: Any) -> None:
    registry = case.enter(_served_registry([]))
    _expect_connection_error(case, client_class(registry.url), "con la lista vacía")


@CLIENT.case(
    "si vuelven todas, sin registro", raised="¿qué guardas en la última lista buena, y qué le quitas?"
)
def all_come_back(case: Case, client_class: Any) -> None:
    instances = _instances(case, 2)
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    registry.kill()
    for each in instances:
        each.kill()
    for _ in range(2):
        _expect_connection_error(case, client, "sin registro y con todas las instancias muertas")
    for each in instances:
        each.restart()
    before = [len(each.journal.requests) for each in instances]
    for _ in range(2):
        _expect_answer(case, client, "sin registro, con todas muertas un rato y vivas de nuevo en su puerto")
    asked = [len(each.journal.requests) - old for each, old in zip(instances, before, strict=True)]
    case.expect(
        asked == [1, 1],
        f"todas volvieron a su puerto y dos llamadas se repartieron {asked}: ¿qué le quitas a la última lista buena?",
    )


# Those that take their time come last: who has another mistake hears of it at once.


@CLIENT.case(
    "si el registro acepta la conexión y no contesta",
    raised="¿qué lanza requests cuando se agota el tiempo?",
    late="¿cuánto esperas al registro?",
)
def registry_hangs(case: Case, client_class: Any) -> None:
    (instance,) = _instances(case, 1)
    registry = case.enter(_served_registry([instance.url]))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    registry.pause()
    _expect_answer(case, client, "con un registro que no contesta y una lista buena")


@CLIENT.case(
    "si una instancia acepta la conexión y tarda en contestar",
    raised="¿qué lanza requests cuando se agota el tiempo?",
    late="¿cuánto esperas a una instancia antes de probar otra?",
)
def instance_is_slow(case: Case, client_class: Any) -> None:
    over = threading.Event()
    slow = case.enter(running(_instance("lenta", lambda: over.wait(_SLOW))))
    case.cleanup(over.set)
    well = case.enter(running(_instance("rápida")))
    registry = case.enter(_served_registry([slow.url, well.url]))
    client = client_class(registry.url)
    for _ in range(2):
        answer = _expect_answer(case, client, "con una instancia lenta y otra sana")
        case.expect(
            answer.json().get("instancia") == "rápida",
            f"una instancia tardó {_SLOW:g} s y esperaste su respuesta: {_LIMIT}",
        )


def _expect_answer(case: Case, client: Any, situation: str) -> Any:
    """Call `pedir`; what it raises is the answer's and ends the case with that case's own hint."""
    answer = client.pedir("/stock/1")
    case.expect(
        getattr(answer, "status_code", None) == 200,
        f"{situation}, pedir devolvió {kind(answer)}: quedaba una instancia que contesta",
    )
    return answer


def _expect_connection_error(case: Case, client: Any, situation: str) -> None:
    try:
        answer = client.pedir("/stock/1")
    except (ConnectionError, requests.ConnectionError):
        return
    except Exception as error:
        case.fail(
            f"{situation}, pedir lanzó {type(error).__name__}: se pide ConnectionError, que quien llama sabe tratar"
        )
    case.fail(f"{situation}, pedir devolvió {kind(answer)}: se pide ConnectionError")


def _instances(case: Case, count: int) -> list[Service]:
    return [case.enter(running(_instance(f"envios-{number + 1}"))) for number in range(count)]


def _instance(name: str, on_call: Callable[[], object] | None = None) -> Flask:
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn: str) -> dict[str, str]:
        if on_call is not None:
            on_call()
        return {"instancia": name}

    return app


def _failing_instance(name: str) -> Flask:
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn: str) -> tuple[str, int]:
        return "avería", 500

    return app


def _hanging_up_instance(name: str) -> Flask:
    """One that takes each request, which its journal counts, and hangs up without a word."""
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn: str) -> str:
        sockets.cut(request.environ["werkzeug.socket"])
        return ""

    return app


def _served_registry(urls: list[str]) -> Any:
    return running(lambda: _registry_app(lambda: urls), "registro")


def _registry_app(urls: Callable[[], list[str] | None]) -> Flask:
    """`GET /instancias/<service>`: {"urls": […]}, or a 500 with a JSON body when there is no list."""
    app = Flask("registro")

    @app.get("/instancias/<service>")
    def instances(service: str) -> Any:
        found = urls()
        return (jsonify(error="avería"), 500) if found is None else jsonify(urls=found)

    return app


EXERCISES = (THIRD, NOTICES, HEALTH_APP, HEALTHY, WATCH, LEASES, CLIENT)
