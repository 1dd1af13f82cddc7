"""The exercises of 01_service_discovery."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from flask import Flask, jsonify

from labkit.course.exercise import Case, Exercise
from labkit.course.serving import running
from labkit.service import Service

_TIMEOUT = 3.0  # seconds for the cases' own calls
_DEAD = "http://127.0.0.1:9"  # the discard port, on which nothing listens

# SD-2 · a third instance

THIRD = Exercise("SD-2", writes="tercera y reparto")


@THIRD.case("con la instancia nueva")
def third_answers(case: Case, registro: Any, tercera: Any, reparto: Any) -> None:
    case.expect(
        isinstance(tercera, Service),
        f"tercera es {_kind(tercera)}: guarda en ella el servicio que devuelve labkit.serve",
    )
    case.expect(tercera.running, f"tercera está {tercera.state}: tiene que quedarse corriendo")
    answer = requests.get(f"{tercera.url}/stock/42", timeout=_TIMEOUT)
    case.expect(
        answer.ok, f"GET /stock/42 de tercera contestó {answer.status_code}: ¿sirve la misma aplicación?"
    )


@THIRD.case("al buscar en el registro")
def third_is_found(case: Case, registro: Any, tercera: Any, reparto: Any) -> None:
    found = Counter(_look_up(case, registro) for _ in range(12))
    case.expect(
        tercera.url in found,
        f"en 12 búsquedas salieron {len(found)} direcciones y ninguna es la de tercera: "
        "¿la apuntaste, con su dirección completa?",
    )
    case.expect(
        len(found) != 2,
        "el registro reparte dos direcciones, y una es la de tercera: ¿es tercera una instancia que ya estaba?",
    )
    case.expect(
        len(found) == 3,
        f"el registro reparte {len(found)} direcciones: tenían que ser tres, ¿qué apuntaste de más?",
    )


@THIRD.case("con el reparto que mediste")
def distribution_is_even(case: Case, registro: Any, tercera: Any, reparto: Any) -> None:
    case.expect(
        isinstance(reparto, Mapping),
        f"reparto es {_kind(reparto)}: usa un diccionario (o un Counter) de dirección a veces",
    )
    case.expect(
        all(isinstance(key, str) and key.startswith("http") for key in reparto),
        "las claves de reparto no son direcciones: cuenta lo que devuelve buscar, no quién contestó",
    )
    case.expect(
        tercera.url in reparto, "en reparto no sale la dirección de tercera: ¿mediste antes de apuntarla?"
    )
    total = sum(reparto.values())
    case.expect(total == 30, f"reparto suma {total} búsquedas: haz 30")
    counts = sorted(reparto.values())
    case.expect(
        counts[-1] - counts[0] <= 1,
        f"las veces fueron {counts}: los turnos reparten por igual. ¿Cuentas solo lo que sale de buscar?",
    )


def _look_up(case: Case, registro: Any) -> str:
    answer = requests.get(f"{registro.url}/buscar/envios", timeout=_TIMEOUT)
    case.expect(
        answer.ok,
        f"el registro contestó {answer.status_code} al buscar envios: ejecuta otra vez la celda que lo prepara",
    )
    return str(answer.json()["url"])


# SD-3 · does the registry notice?

NOTICES = Exercise("SD-3", writes="tabla y sigue_repartida")
_MOMENTS = ("todas vivas", "una detenida", "otra vez viva")
_MEASURES = {"direcciones", "sin respuesta"}
_PURCHASES = 12


@NOTICES.case("con la tabla")
def table_is_complete(case: Case, tabla: Any, sigue_repartida: Any) -> None:
    case.expect(
        isinstance(tabla, Mapping), f"tabla es {_kind(tabla)}: usa un diccionario con los tres momentos"
    )
    missing = [moment for moment in _MOMENTS if moment not in tabla]
    case.expect(not missing, f"en tabla falta: {', '.join(missing)}")
    for moment in _MOMENTS:
        row = tabla[moment]
        case.expect(
            isinstance(row, Mapping) and set(row) >= _MEASURES,
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
        stopped["sin respuesta"] > 0,
        "con una detenida no falló ninguna compra: ¿mediste después de detenerla, y estaba apuntada?",
    )
    case.expect(
        abs(stopped["sin respuesta"] - _PURCHASES / known) <= 1,
        f"con una detenida de {known} fallaron {stopped['sin respuesta']} de {_PURCHASES} compras: "
        "¿cuántas detuviste?",
    )
    case.expect(
        stopped["direcciones"] == known,
        f"antes se repartían {known} direcciones y con una detenida {stopped['direcciones']}: "
        "aquí el registro no debía cambiar, ¿qué más tocaste?",
    )
    case.expect(
        again["sin respuesta"] == 0,
        f"al final quedaron {again['sin respuesta']} compras sin respuesta: ¿levantaste la instancia en su puerto?",
    )


@NOTICES.case("con tu conclusión")
def conclusion_follows(case: Case, tabla: Any, sigue_repartida: Any) -> None:
    case.expect(
        isinstance(sigue_repartida, bool),
        f"sigue_repartida es {_kind(sigue_repartida)}: escribe True o False",
    )
    case.expect(
        sigue_repartida,
        "dices que no se repartía, pero en tu tabla fallaron compras: ¿quién les dio esa dirección?",
    )


# SD-4 · a registry that notices

HEALTH = Exercise("SD-4", writes="envios_con_salud, sanas y vigilar", deadline=12)
_HEALTH_NO_APP = "¿devuelve tu función la aplicación Flask?"


@HEALTH.case("con una instancia en buen estado", raised=_HEALTH_NO_APP)
def well_instance(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    service = case.enter(running(envios_con_salud, "envios-prueba"))
    health = requests.get(f"{service.url}/health", timeout=_TIMEOUT).status_code
    case.expect(health == 200, f"GET /health contestó {health} con la instancia bien: ¿existe la ruta?")
    stock = requests.get(f"{service.url}/stock/42", timeout=_TIMEOUT)
    case.expect(
        stock.ok, f"GET /stock/42 contestó {stock.status_code}: la salud se añade, lo demás sigue igual"
    )
    name = stock.json().get("instancia") if _is_json(stock) else None
    case.expect(
        name == "envios-prueba",
        f"/stock/42 dijo instancia={name!r} y se llama envios-prueba: ¿qué aplicación creas?",
    )


@HEALTH.case("con una instancia averiada", raised=_HEALTH_NO_APP)
def broken_instance(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    app = envios_con_salud("envios-prueba")
    service = case.enter(running(app))
    app.config["AVERIADA"] = True
    broken = requests.get(f"{service.url}/health", timeout=_TIMEOUT).status_code
    case.expect(
        broken != 200,
        "con AVERIADA activada /health sigue contestando 200: ¿cuándo miras app.config, al crear o al contestar?",
    )
    case.expect(
        broken == 503, f"con AVERIADA activada /health contestó {broken}: se pide 503, «ahora no puedo»"
    )
    app.config["AVERIADA"] = False
    repaired = requests.get(f"{service.url}/health", timeout=_TIMEOUT).status_code
    case.expect(repaired == 200, f"reparada, /health contestó {repaired}: ¿puede volver a estar bien?")


@HEALTH.case("con todas las direcciones sanas", raised="¿qué hace sanas con una instancia que contesta bien?")
def all_well(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    urls = [case.enter(running(_with_health(200))).url for _ in range(3)]
    found = _as_list(case, sanas(list(urls)))
    case.expect(
        sorted(found) == sorted(urls),
        f"las tres contestan 200 y sanas devolvió {len(found)}: ¿cuál falta o sobra?",
    )
    case.expect(found == urls, "están las tres, pero en otro orden: ¿qué pasaría con los turnos?")
    nobody = _as_list(case, sanas([]))
    case.expect(nobody == [], "con la lista vacía no devolvió una lista vacía")


@HEALTH.case("con una instancia muerta en la lista", raised="¿qué debe pasar con las demás?")
def one_dead(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    urls = [case.enter(running(_with_health(200))).url for _ in range(2)]
    found = _as_list(case, sanas([urls[0], _DEAD, urls[1]]))
    case.expect(_DEAD not in found, "sanas devolvió una dirección en la que no escucha nadie")
    case.expect(
        found == urls,
        f"con una muerta entre dos sanas devolvió {len(found)} direcciones: ¿se perdieron las que sí contestan?",
    )


@HEALTH.case("con instancias que contestan, pero no 200")
def wrong_status(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    well = case.enter(running(_with_health(200))).url
    others = {status: case.enter(running(_with_health(status))).url for status in (503, 500, 404)}
    found = _as_list(case, sanas([*others.values(), well]))
    for status, url in others.items():
        case.expect(url not in found, f"una instancia contestó {status} en /health y sanas la dio por buena")
    case.expect(found == [well], "la que contestó 200 no está en el resultado")


@HEALTH.case(
    "con una instancia que acepta la conexión y no contesta",
    raised="¿qué lanza requests cuando se agota el tiempo?",
    late="¿cuánto espera requests.get si nadie le pone un límite?",
)
def one_hangs(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    frozen = case.enter(running(_with_health(200)))
    well = case.enter(running(_with_health(200))).url
    frozen.pause()
    found = _as_list(case, sanas([frozen.url, well]))
    case.expect(frozen.url not in found, "sanas dio por buena a una instancia que no contesta")
    case.expect(found == [well], "por culpa de la que no contesta se perdió la sana")


@HEALTH.case(
    "cuando vigilar tiene que quitar una muerta",
    raised="¿qué usa vigilar del registro?",
    late="¿mira tu bucle si fin está activado?",
)
def watch_removes_the_dead(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    well = [case.enter(running(_with_health(200))).url for _ in range(2)]
    registry = _WatchedRegistry([well[0], _DEAD, well[1]])
    watch = case.enter(_Watch.over(vigilar, registry))
    gone = _eventually(lambda: _DEAD not in registry.todas() or watch.ended, 6)
    _expect_no_error(case, watch)
    case.expect(
        gone, "a los 6 segundos la dirección muerta seguía en el registro: ¿cada cuánto revisa vigilar?"
    )
    case.expect(
        not watch.ended or _DEAD not in registry.todas(),
        "vigilar terminó sin que nadie activara fin, y la muerta sigue en el registro",
    )
    case.expect(
        not set(well) & registry.ever_removed,
        "vigilar quitó una dirección sana, aunque luego la devolviera: en ese momento un cliente no la encuentra",
    )
    case.expect(registry.todas() == well, "después de vigilar no quedan las dos sanas, en su orden")


@HEALTH.case(
    "si otra muere más tarde",
    late="¿mira tu bucle si fin está activado?",
)
def watch_goes_on(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    first, second = (case.enter(running(_with_health(200))) for _ in range(2))
    registry = _WatchedRegistry([first.url, second.url])
    watch = case.enter(_Watch.over(vigilar, registry))
    _eventually(lambda: registry.reads > 0 or watch.ended, 3)
    second.kill()
    gone = _eventually(lambda: second.url not in registry.todas(), 6)
    _expect_no_error(case, watch)
    case.expect(
        gone,
        "una instancia murió después de la primera revisión y sigue en el registro: ¿revisas una sola vez?",
    )
    case.expect(registry.todas() == [first.url], "la que sigue viva ya no está en el registro")


@HEALTH.case("si otra se registra mientras revisas", late="¿mira tu bucle si fin está activado?")
def watch_keeps_newcomers(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    newcomer = case.enter(running(_with_health(200))).url
    registry = _WatchedRegistry([])
    # It registers exactly while this one is being asked for its health.
    first = case.enter(running(_with_health(200, on_call=lambda: registry.registrar(newcomer))))
    registry.registrar(first.url)
    registry.registrar(_DEAD)
    watch = case.enter(_Watch.over(vigilar, registry))
    _eventually(lambda: _DEAD not in registry.todas() or watch.ended, 6)
    _expect_no_error(case, watch)
    case.expect(
        newcomer not in registry.ever_removed and newcomer in registry.todas(),
        "una instancia se registró mientras revisabas y la perdiste: ¿qué lista decide a quién quitas?",
    )


@HEALTH.case("al activar fin", late="¿mira tu bucle si fin está activado?")
def watch_ends(case: Case, envios_con_salud: Any, sanas: Any, vigilar: Any) -> None:
    registry = _WatchedRegistry([case.enter(running(_with_health(200))).url])
    watch = case.enter(_Watch.over(vigilar, registry))
    case.expect(
        _eventually(lambda: registry.reads > 1 or watch.ended, 6),
        "en 6 segundos vigilar no miró el registro dos veces: ¿cada cuánto revisa?",
    )
    _expect_no_error(case, watch)
    case.expect(not watch.ended, "vigilar terminó sin que nadie activara fin")
    watch.finish.set()
    case.expect(
        _eventually(lambda: watch.ended, 4), "fin está activado y vigilar sigue: ¿cuándo lo mira tu bucle?"
    )


class _WatchedRegistry:
    """What the exercise promises of a registry, and a record of what was done to it."""

    def __init__(self, urls: list[str]) -> None:
        self._lock = threading.Lock()
        self._urls = list(urls)
        self.ever_removed: set[str] = set()
        self.reads = 0

    def todas(self) -> list[str]:
        with self._lock:
            self.reads += threading.current_thread().name == _Watch.NAME
            return list(self._urls)

    def registrar(self, url: str) -> None:
        with self._lock:
            if url not in self._urls:
                self._urls.append(url)

    def quitar(self, url: str) -> None:
        with self._lock:
            if url in self._urls:
                self._urls.remove(url)
                self.ever_removed.add(url)


class _Watch:
    """The learner's `vigilar` in a thread, as it is meant to run."""

    NAME = "vigilar"

    def __init__(self, vigilar: Callable[[Any, threading.Event], object], registry: _WatchedRegistry) -> None:
        self.finish = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(vigilar, registry), name=self.NAME, daemon=True
        )
        self._thread.start()

    def _run(self, vigilar: Callable[[Any, threading.Event], object], registry: _WatchedRegistry) -> None:
        try:
            vigilar(registry, self.finish)
        except BaseException as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @classmethod
    @contextmanager
    def over(cls, vigilar: Any, registry: _WatchedRegistry) -> Iterator[_Watch]:
        watch = cls(vigilar, registry)
        try:
            yield watch
        finally:
            watch.finish.set()
            watch._thread.join(2)


def _expect_no_error(case: Case, watch: _Watch) -> None:
    error = watch.error
    case.expect(
        error is None,
        f"vigilar lanzó {type(error).__name__} ({error}) y dejó de vigilar: ¿qué debía pasar?",
    )


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


def _as_list(case: Case, found: Any) -> list[str]:
    case.expect(found is not None, "sanas no devolvió nada: ¿falta el return?")
    case.expect(
        isinstance(found, list | tuple), f"sanas devolvió {_kind(found)}: se pide una lista de direcciones"
    )
    return list(found)


# SD-5 · leases

LEASES = Exercise("SD-5", writes="Arriendos")


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@LEASES.case("recién registradas", raised="¿qué guarda tu clase de cada dirección?")
def registered(case: Case, leases_class: Any) -> None:
    clock = _Clock()
    leases = leases_class(30, clock)
    for url in ("b", "a", "c"):
        leases.registrar(url)
    alive = leases.vivas()
    case.expect(alive is not None, "vivas() no devolvió nada: ¿falta el return?")
    case.expect(
        sorted(alive) == ["a", "b", "c"], f"se registraron b, a y c, y vivas() devolvió {list(alive)}"
    )
    case.expect(
        list(alive) == ["b", "a", "c"], f"vivas() devolvió {list(alive)}: se pide el orden de registro"
    )


@LEASES.case("cuando pasa el tiempo", raised="¿cambias el diccionario mientras lo recorres?")
def expires(case: Case, leases_class: Any) -> None:
    clock = _Clock()
    leases = leases_class(30, clock)
    leases.registrar("a")
    clock.now += 10
    leases.registrar("b")
    clock.now += 19
    case.expect(list(leases.vivas()) == ["a", "b"], "a los 29 segundos de 30 ya faltaba alguna")
    clock.now += 1
    case.expect(
        "a" in leases.vivas() or list(leases.vivas()) == ["b"], "al vencer una se perdió también la otra"
    )
    case.expect(
        "a" not in leases.vivas(),
        "a los 30 segundos justos «a» seguía viva: ¿miras el reloj que te dieron, y qué pasa en el segundo exacto?",
    )
    clock.now += 10
    case.expect(list(leases.vivas()) == [], "a los 30 segundos de registrarse «b» seguía viva")


@LEASES.case("al renovar a tiempo", raised="¿qué hace renovar con una dirección que está?")
def renews(case: Case, leases_class: Any) -> None:
    clock = _Clock()
    leases = leases_class(30, clock)
    leases.registrar("a")
    clock.now += 20
    renewed = leases.renovar("a")
    case.expect(renewed is True, f"renovar devolvió {renewed!r} con un arriendo en vigor: se pide True")
    clock.now += 29
    case.expect(
        list(leases.vivas()) == ["a"],
        "renovó en el segundo 20 y en el 49 ya no estaba: ¿desde cuándo cuenta el nuevo arriendo?",
    )
    clock.now += 1
    case.expect(
        list(leases.vivas()) == [],
        "renovó en el segundo 20 y en el 50 seguía viva: el arriendo nuevo se cuenta desde la renovación",
    )


@LEASES.case("al renovar tarde", raised="¿qué hace renovar con una dirección que ya no está?")
def renews_late(case: Case, leases_class: Any) -> None:
    clock = _Clock()
    leases = leases_class(30, clock)
    unknown = leases.renovar("nadie")
    case.expect(unknown is False, f"renovar una dirección desconocida devolvió {unknown!r}: se pide False")
    case.expect(list(leases.vivas()) == [], "renovar una dirección desconocida la registró")
    leases.registrar("a")
    clock.now += 31
    late = leases.renovar("a")
    case.expect(
        list(leases.vivas()) == [],
        "el arriendo había caducado y renovar lo revivió: quien calló tiene que registrarse otra vez",
    )
    case.expect(late is False, f"renovar un arriendo caducado devolvió {late!r}: se pide False")
    leases.registrar("a")
    case.expect(list(leases.vivas()) == ["a"], "tras caducar se registró de nuevo y no está viva")


@LEASES.case("en el segundo exacto en que vence")
def renews_at_the_end(case: Case, leases_class: Any) -> None:
    clock = _Clock()
    leases = leases_class(30, clock)
    leases.registrar("a")
    clock.now += 30
    late = leases.renovar("a")
    case.expect(
        late is False and list(leases.vivas()) == [],
        "en el segundo 30 de 30 ya no está, así que tampoco se puede renovar",
    )


@LEASES.case("al leer muchas veces", raised="¿cambia algo vivas()?")
def reading_changes_nothing(case: Case, leases_class: Any) -> None:
    clock = _Clock()
    leases, others = leases_class(30, clock), leases_class(5, clock)
    leases.registrar("a")
    for _ in range(29):
        leases.vivas()
        clock.now += 1
    case.expect(list(leases.vivas()) == ["a"], "leer a menudo hizo caducar el arriendo")
    clock.now += 1
    case.expect(list(leases.vivas()) == [], "leer a menudo renovó el arriendo: mirar no es latir")
    others.registrar("x")
    case.expect(list(leases.vivas()) == [], "dos Arriendos distintos comparten sus direcciones")
    clock.now += 6
    case.expect(
        list(others.vivas()) == [], "con ttl=5, a los 6 segundos seguía viva: ¿usas el ttl que te dieron?"
    )


# SD-6 · a client that survives

CLIENT = Exercise("SD-6", writes="Cliente", deadline=12)


@CLIENT.case("con todo en marcha", raised="¿qué devuelve el registro, y qué pides a la instancia?")
def all_running(case: Case, client_class: Any) -> None:
    instances = [case.enter(running(_instance)) for _ in range(3)]
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    for _ in range(6):
        answer = client.pedir("/stock/42")
        case.expect(answer is not None, "pedir no devolvió nada: ¿falta el return?")
        case.expect(
            getattr(answer, "status_code", None) == 200,
            f"pedir devolvió {answer!r}: se pide la respuesta de requests",
        )
    asked = [len(each.journal.requests) for each in instances]
    case.expect(
        asked == [2, 2, 2], f"seis llamadas se repartieron {asked} entre tres instancias: ¿a quién le toca?"
    )
    paths = {request.path for each in instances for request in each.journal.requests}
    case.expect(paths == {"/stock/42"}, f"se pidió /stock/42 y a las instancias llegó {sorted(paths)}")
    asked_registry = len(registry.journal.requests)
    case.expect(
        asked_registry == 6,
        f"en seis llamadas preguntaste {asked_registry} veces al registro: una por llamada",
    )


@CLIENT.case("si la lista del registro cambia", raised="¿qué pasa cuando la lista es más corta que antes?")
def list_changes(case: Case, client_class: Any) -> None:
    old, new = (case.enter(running(_instance)) for _ in range(2))
    urls = [old.url]
    registry = case.enter(_served_registry(urls))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    urls[:] = [new.url]
    for _ in range(2):
        client.pedir("/stock/1")
    case.expect(
        len(new.journal.requests) == 2,
        "el registro dio una lista nueva y seguiste llamando a la vieja: ¿cuándo preguntas?",
    )


@CLIENT.case("si muere el registro", raised="¿qué lista te queda cuando el registro no contesta?")
def registry_dies(case: Case, client_class: Any) -> None:
    instances = [case.enter(running(_instance)) for _ in range(2)]
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    registry.kill()
    for _ in range(3):
        client.pedir("/stock/1")
    asked = sorted(len(each.journal.requests) for each in instances)
    case.expect(asked == [2, 2], f"sin registro, las llamadas se repartieron {asked}: los turnos siguen")


@CLIENT.case(
    "si el registro contesta con un error", raised="¿miras el código de la respuesta antes de leerla?"
)
def registry_errs(case: Case, client_class: Any) -> None:
    instance = case.enter(running(_instance))
    urls: list[str] | None = [instance.url]
    state = {"urls": urls}
    registry = case.enter(running(lambda: _registry_app(lambda: state["urls"])))
    client = client_class(registry.url)
    client.pedir("/stock/1")
    state["urls"] = None  # from now on a 500 with a JSON body
    client.pedir("/stock/1")
    case.expect(
        len(instance.journal.requests) == 2,
        "el registro contestó 500 y perdiste la última lista buena",
    )


@CLIENT.case(
    "si muere una instancia", raised="¿cuántas instancias pruebas antes de rendirte, y qué queda por probar?"
)
def instance_dies(case: Case, client_class: Any) -> None:
    instances = [case.enter(running(_instance)) for _ in range(3)]
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    instances[1].kill()
    for _ in range(6):
        answer = client.pedir("/stock/1")
        case.expect(
            answer is not None and answer.ok, "con una muerta de tres, una llamada no obtuvo respuesta"
        )
    instances[0].kill()
    for _ in range(3):
        client.pedir("/stock/1")


@CLIENT.case(
    "si una instancia acepta y no contesta",
    raised="¿qué lanza requests cuando se agota el tiempo?",
    late="¿cuánto esperas a una instancia antes de probar otra?",
)
def instance_hangs(case: Case, client_class: Any) -> None:
    frozen, well = (case.enter(running(_instance)) for _ in range(2))
    registry = case.enter(_served_registry([frozen.url, well.url]))
    client = client_class(registry.url)
    frozen.pause()
    for _ in range(2):
        client.pedir("/stock/1")
    case.expect(len(well.journal.requests) == 2, "la instancia sana no recibió las dos llamadas")


@CLIENT.case("si una instancia contesta 500", raised="un 500 es una respuesta: devuélvela")
def instance_errs(case: Case, client_class: Any) -> None:
    instances = [case.enter(running(_failing_instance)) for _ in range(2)]
    registry = case.enter(_served_registry([each.url for each in instances]))
    answer = client_class(registry.url).pedir("/stock/1")
    asked = sum(len(each.journal.requests) for each in instances)
    case.expect(
        asked == 1,
        f"una instancia contestó 500 y llamaste a {asked}: si ya hizo parte del trabajo, se haría dos veces",
    )
    case.expect(
        getattr(answer, "status_code", None) == 500, f"la instancia contestó 500 y pedir devolvió {answer!r}"
    )


@CLIENT.case(
    "si no contesta nadie", late="¿cuántas veces pruebas cada instancia?", raised="se pide ConnectionError"
)
def nobody_answers(case: Case, client_class: Any) -> None:
    instances = [case.enter(running(_failing_instance)) for _ in range(2)]
    registry = case.enter(_served_registry([each.url for each in instances]))
    client = client_class(registry.url)
    for each in instances:
        each.kill()
    _expect_connection_error(case, client, "con las dos instancias muertas")


@CLIENT.case("sin registro y sin lista", late="¿esperas a alguien que no está?")
def never_a_registry(case: Case, client_class: Any) -> None:
    _expect_connection_error(case, client_class(_DEAD), "sin registro desde el principio")


@CLIENT.case("con un registro que no conoce a nadie", late="¿das vueltas a una lista vacía?")
def empty_list(case: Case, client_class: Any) -> None:
    registry = case.enter(_served_registry([]))
    _expect_connection_error(case, client_class(registry.url), "con la lista vacía")


def _expect_connection_error(case: Case, client: Any, situation: str) -> None:
    try:
        answer = client.pedir("/stock/1")
    except (ConnectionError, requests.ConnectionError):
        return
    except Exception as error:
        case.fail(
            f"{situation} lanzó {type(error).__name__}: se pide ConnectionError, que quien llama sabe tratar"
        )
    case.fail(f"{situation} devolvió {answer!r}: se pide ConnectionError")


def _instance(name: str) -> Flask:
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn: str) -> dict[str, str]:
        return {"instancia": name}

    return app


def _failing_instance(name: str) -> Flask:
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn: str) -> tuple[str, int]:
        return "avería", 500

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


# For all


def _kind(thing: object) -> str:
    names = {str: "un texto", list: "una lista", dict: "un diccionario", int: "un número"}
    return names.get(type(thing), f"un {type(thing).__name__}")


def _is_json(answer: requests.Response) -> bool:
    return "json" in answer.headers.get("Content-Type", "")


def _eventually(condition: Callable[[], object], timeout: float) -> bool:
    """Wait until the condition holds; False when `timeout` seconds pass first."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
