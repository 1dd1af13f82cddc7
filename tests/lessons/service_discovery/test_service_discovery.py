"""The exercises of 01_service_discovery, held against what learners write wrong and what they write right.

The functions at the top are those that the notebook gives the learner.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
import pytest
import requests
from aiohttp import web
from answers import assert_pending, assert_right, assert_wrong
from flask import Flask, abort, current_app, jsonify, request
from support import name_of

import labkit
from labkit.course.lessons.service_discovery import old as service_discovery
from labkit.exercises.check import UnknownExercise, check

direcciones: dict[str, list[str]] = {}
registro = None
envios = None


def registro_ingenuo(name):
    app = Flask(name)

    @app.post("/registro/<servicio>")
    def registrar(servicio):
        fila = direcciones.setdefault(servicio, [])
        if request.json["url"] not in fila:
            fila.append(request.json["url"])
        return jsonify(instancias=len(fila))

    @app.get("/buscar/<servicio>")
    def buscar(servicio):
        fila = direcciones.get(servicio)
        if not fila:
            return jsonify(error="no hay instancias"), 404
        url = fila.pop(0)
        fila.append(url)
        return jsonify(url=url)

    return app


def servicio_envios(name):
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn):
        return jsonify(instancia=name)

    return app


def pedir(url):
    try:
        return requests.get(f"{url}/stock/42", timeout=2).json()["instancia"]
    except requests.RequestException:
        return "sin respuesta"


def registrar(servicio, url):
    return requests.post(f"{registro.url}/registro/{servicio}", json={"url": url}).json()


def buscar(servicio):
    respuesta = requests.get(f"{registro.url}/buscar/{servicio}")
    return respuesta.json().get("url") if respuesta.ok else f"error {respuesta.status_code}"


def medir():
    urls = [buscar("envios") for _ in range(12)]
    return {
        "direcciones": len(set(urls)),
        "sin respuesta": sum(pedir(url) == "sin respuesta" for url in urls),
    }


@pytest.fixture
def prepared():
    """The cell that prepares the exercises: an empty registry, and two instances that stand in it."""
    global registro, envios
    direcciones.clear()
    registro = labkit.serve(registro_ingenuo, name="registro-ejercicios")
    envios = labkit.serve(servicio_envios, name="envios", replicas=2)
    for url in envios.urls:
        registrar("envios", url)
    yield
    labkit.stop_all(grace=0)


EXERCISES = (
    service_discovery.HEALTH_APP,
    service_discovery.HEALTHY,
    service_discovery.WATCH,
    service_discovery.LEASES,
    service_discovery.CLIENT,
)

LIMIT = 1  # seconds that an answer waits for an instance, as the statements ask


@pytest.fixture
def quick(monkeypatch):
    """Less waiting, on both sides, for answers that are told wrong anyway: right ones get the real times."""
    monkeypatch.setitem(globals(), "LIMIT", 0.5)
    monkeypatch.setattr(service_discovery, "_UNHURRIED", 0.1)
    monkeypatch.setattr(service_discovery, "_SLOW", 1.2)
    for exercise in EXERCISES:
        monkeypatch.setattr(exercise, "deadline", 5)
    patient = service_discovery.eventually
    monkeypatch.setattr(
        service_discovery, "eventually", lambda condition, timeout: patient(condition, min(timeout, 1))
    )


@pytest.fixture
def nothing_left():
    """No thread and no service more than before, once the answer has been let go."""

    def threads():  # `labkit.run` keeps one, for everybody
        return {thread for thread in threading.enumerate() if thread.name != "labkit-run"}

    before, services = threads(), list(labkit.services())
    yield
    end = time.monotonic() + 8
    while (left := threads() - before) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left
    assert list(labkit.services()) == services


def at_once(verify, answers):
    """Verify answers that mostly wait, eight at a time; the first that is not as it should be is raised."""
    with ThreadPoolExecutor(8) as pool:
        for verified in [pool.submit(verify, *answer) for answer in answers]:
            verified.result()


def table(cases):
    return pytest.mark.parametrize(("answer", "hint"), cases.values(), ids=cases)


class BrokenText(Exception):
    def __str__(self):
        raise RuntimeError("y esto tampoco")


# SD-2


def tercera_nueva(name="envios-tercera"):
    tercera = labkit.serve(servicio_envios, name=name)
    registrar("envios", tercera.url)
    return tercera


def treinta():
    return Counter(buscar("envios") for _ in range(30))


def third_not_registered():
    return labkit.serve(servicio_envios, name="envios-tercera"), treinta()


def third_measured_too_early():
    tercera = labkit.serve(servicio_envios, name="envios-tercera")
    reparto = treinta()
    registrar("envios", tercera.url)
    return tercera, reparto


def third_registered_by_host_and_port():
    tercera = labkit.serve(servicio_envios, name="envios-tercera")
    registrar("envios", f"{tercera.host}:{tercera.port}")
    return tercera, treinta()


def third_registered_under_another_service():
    tercera = labkit.serve(servicio_envios, name="envios-tercera")
    registrar("envios-tercera", tercera.url)
    return tercera, treinta()


def third_registered_with_its_path():
    tercera = labkit.serve(servicio_envios, name="envios-tercera")
    registrar("envios", f"{tercera.url}/stock/42")
    return tercera, treinta()


def third_registered_twice():
    tercera = tercera_nueva()
    registrar("envios", tercera.url + "/")
    return tercera, treinta()


def third_takes_the_name_of_all():
    return tercera_nueva("envios"), treinta()


def third_is_one_of_the_two():
    registrar("envios", envios[0].url)
    return envios[0], treinta()


def third_has_a_name_of_its_own():
    return tercera_nueva("envios-3"), treinta()


def third_is_a_group():
    grupo = labkit.serve(servicio_envios, name="envios-tercera", replicas=1)
    registrar("envios", grupo[0].url)
    return grupo, treinta()


def third_is_an_app():
    return servicio_envios("envios-tercera"), treinta()


def third_is_its_address():
    return tercera_nueva().url, treinta()


def third_is_stopped():
    tercera = tercera_nueva()
    reparto = treinta()
    tercera.stop()
    return tercera, reparto


def third_serves_something_else():
    tercera = labkit.serve(Flask("otra"), name="envios-tercera")
    registrar("envios", tercera.url)
    return tercera, treinta()


def counts_who_answered():
    return tercera_nueva(), Counter(pedir(buscar("envios")) for _ in range(30))


def keeps_the_list():
    return tercera_nueva(), [buscar("envios") for _ in range(30)]


def counts_twelve():
    return tercera_nueva(), Counter(buscar("envios") for _ in range(12))


def looks_up_twice_a_turn():
    tercera, reparto = tercera_nueva(), {}
    for _ in range(30):
        reparto[buscar("envios")] = reparto.get(buscar("envios"), 0) + 1
    return tercera, reparto


def gives_shares():
    tercera = tercera_nueva()
    return tercera, {url: times / 30 for url, times in treinta().items()}


def asks_in_threads_and_counts_too_much():
    tercera = tercera_nueva()
    return tercera, Counter({tercera.url: 20, **dict.fromkeys(envios.urls, 5)})


def keys_are_numbers():
    return tercera_nueva(), dict(enumerate([10, 10, 10]))


SD_2_WRONG = {
    "not registered": (third_not_registered, "ninguna es la de tercera (http://127.0.0.1:"),
    "measured too early": (third_measured_too_early, "¿mediste antes de registrarla?"),
    "host:port": (third_registered_by_host_and_port, "con su dirección completa"),
    "another service": (third_registered_under_another_service, "ninguna es la de tercera"),
    "with a path": (third_registered_with_its_path, "con su dirección completa"),
    "twice": (third_registered_twice, "reparte 4 direcciones"),
    "the name of all": (
        third_takes_the_name_of_all,
        "se llama envios y se pide envios-tercera: servir con un nombre que ya existe sustituye",
    ),
    "one of the two": (third_is_one_of_the_two, "se llama envios-1"),
    "a new name": (third_has_a_name_of_its_own, "se llama envios-3 y se pide envios-tercera"),
    "a group": (third_is_a_group, "tercera es un grupo"),
    "an app": (third_is_an_app, "tercera es un Flask"),
    "an address": (third_is_its_address, "tercera es un texto"),
    "stopped": (third_is_stopped, "el estado de tercera es «detenido»"),
    "another app": (third_serves_something_else, "¿sirve la misma aplicación?"),
    "who answered": (counts_who_answered, "no quién contestó"),
    "a list": (keeps_the_list, "reparto es una lista"),
    "twelve": (counts_twelve, "suma 12 y se piden 30"),
    "twice a turn": (looks_up_twice_a_turn, "¿cuántas veces llamas a buscar en cada vuelta?"),
    "shares": (gives_shares, "no son números enteros"),
    "uneven": (asks_in_threads_and_counts_too_much, "las veces fueron [5, 5, 20]"),
    "numbered": (keys_are_numbers, "las claves de reparto no son direcciones, como 0"),
}


@table(SD_2_WRONG)
def test_sd_2_wrong(prepared, answer, hint):
    tercera, reparto = answer()
    assert_wrong("SD-2", registro, tercera, reparto, hint_contains=hint)


def a_loop_and_a_dict():
    tercera, reparto = tercera_nueva(), {}
    for _ in range(30):
        url = buscar("envios")
        reparto[url] = reparto.get(url, 0) + 1
    return tercera, reparto


def an_app_on_a_port_of_its_own():
    tercera = labkit.serve(servicio_envios("envios-tercera"), name="envios-tercera")
    requests.post(f"{registro.url}/registro/envios", json={"url": f"http://127.0.0.1:{tercera.port}"})
    urls = [buscar("envios") for _ in range(30)]
    return tercera, {url: urls.count(url) for url in urls}


def an_aiohttp_instance_asked_in_threads():
    def app(name):
        app = web.Application()

        async def stock(request):
            return web.json_response({"instancia": name})

        app.router.add_get("/stock/{isbn}", stock)
        return app

    tercera = labkit.serve(app, name="envios-tercera")
    registrar("envios", tercera.url)
    candado = threading.Lock()  # the naive registry loses its place without one

    def una(_):
        with candado:
            return buscar("envios")

    with ThreadPoolExecutor(4) as hilos:
        return tercera, Counter(hilos.map(una, range(30)))


def run_twice():
    tercera_nueva()
    return tercera_nueva(), treinta()


SD_2_RIGHT = [
    lambda: (tercera_nueva(), treinta()),
    a_loop_and_a_dict,
    an_app_on_a_port_of_its_own,
    an_aiohttp_instance_asked_in_threads,
    run_twice,
]


@pytest.mark.parametrize("answer", SD_2_RIGHT)
def test_sd_2_right(prepared, answer):
    tercera, reparto = answer()
    fila = list(direcciones["envios"])
    assert_right("SD-2", registro, tercera, reparto)
    assert direcciones["envios"] == fila  # the turns go on where they were


def test_sd_2_pending(prepared):
    def said(*things):
        return assert_pending("SD-2", registro, *things).text

    assert said(..., ...) == "SD-2 pendiente · escribe tercera y reparto y vuelve a ejecutar"
    assert said(tercera_nueva(), ...) == "SD-2 pendiente · escribe reparto y vuelve a ejecutar"
    assert said(..., treinta()) == "SD-2 pendiente · escribe tercera y vuelve a ejecutar"


def test_sd_2_without_its_registry(prepared):
    tercera, reparto = tercera_nueva(), treinta()
    registro.stop()
    assert_wrong(
        "SD-2", registro, tercera, reparto, hint_contains="el registro no contesta: ejecuta otra vez"
    )


def test_sd_2_after_the_preparation_was_run_again(prepared):
    tercera, reparto = tercera_nueva(), treinta()
    direcciones.clear()
    assert_wrong("SD-2", registro, tercera, reparto, hint_contains="contestó 404 al buscar envios")


# SD-3


def three_moments(stop=lambda: envios[0].stop(), again=lambda: envios[0].restart()):
    tabla = {"todas vivas": medir()}
    stop()
    tabla["una detenida"] = medir()
    again()
    tabla["otra vez viva"] = medir()
    return tabla


def measured():
    """The usual table, for mistakes that are made after measuring."""
    rows = ((2, 0), (2, 6), (2, 0))
    moments = ("todas vivas", "una detenida", "otra vez viva")
    return {
        moment: {"direcciones": known, "sin respuesta": failed}
        for moment, (known, failed) in zip(moments, rows, strict=True)
    }


def test_the_usual_table_is_what_measuring_gives(prepared):
    assert three_moments() == measured()


def all_measured_at_once():
    tabla = {"todas vivas": medir(), "una detenida": medir(), "otra vez viva": medir()}
    envios[0].stop()
    envios[0].restart()
    return tabla, True


def stopped_before_the_first():
    envios[0].stop()
    return three_moments(), True


def not_started_again():
    return three_moments(again=lambda: None), True


def started_after_measuring():
    tabla = three_moments(again=lambda: None)
    envios[0].restart()
    return tabla, True


def all_stopped():
    return three_moments(envios.stop, envios.restart), True


def removed_from_the_registry_too():
    def stop():
        envios[0].stop()
        direcciones["envios"] = [envios[1].url, "http://127.0.0.1:9", "http://127.0.0.1:8"]

    def again():
        envios[0].restart()
        direcciones["envios"] = envios.urls

    return three_moments(stop, again), True


def another_one_stopped():
    otra = labkit.serve(servicio_envios, name="otra")
    return three_moments(otra.stop, otra.restart), True


def started_on_another_port():
    def again():
        nueva = labkit.serve(servicio_envios, name="envios-nueva")
        registrar("envios", nueva.url)

    return three_moments(again=again), True


def numbers_alone():
    return {moment: row["sin respuesta"] for moment, row in measured().items()}, True


def keys_in_capitals():
    return {moment.capitalize(): row for moment, row in measured().items()}, True


def uncalled():
    return dict.fromkeys(("todas vivas", "una detenida", "otra vez viva"), medir), True


def written_as_text():
    return {
        moment: {key: str(value) for key, value in row.items()} for moment, row in measured().items()
    }, True


def only_two_moments():
    tabla = measured()
    del tabla["otra vez viva"]
    return tabla, True


SD_3_WRONG = {
    "all at once": (all_measured_at_once, "¿mediste después de detenerla"),
    "stopped first": (stopped_before_the_first, "con todas vivas quedaron 6 compras"),
    "not started again": (not_started_again, "al final quedaron 6 compras"),
    "started too late": (started_after_measuring, "al final quedaron 6 compras"),
    "all stopped": (all_stopped, "se esperaban entre 5 y 7 compras sin respuesta de 12, y fueron 12"),
    "touched the registry": (removed_from_the_registry_too, "¿cuántas detuviste?"),
    "another one": (another_one_stopped, "no falló ninguna compra"),
    "another port": (started_on_another_port, "¿arrancaste la instancia en su puerto"),
    "numbers": (numbers_alone, "guarda su resultado entero"),
    "capitals": (keys_in_capitals, "en tabla falta: todas vivas, una detenida, otra vez viva"),
    "uncalled": (uncalled, "«todas vivas» es una función"),
    "text": (written_as_text, "guarda su resultado entero"),
    "two moments": (only_two_moments, "en tabla falta: otra vez viva"),
    "a list": (lambda: (list(measured().values()), True), "tabla es una lista"),
    "concludes no": (lambda: (measured(), False), "¿de dónde salió esa dirección?"),
    "concludes in text": (lambda: (measured(), "sí"), "sigue_repartida es un texto"),
    "concludes in numbers": (lambda: (measured(), 1), "sigue_repartida es un número"),
    "one address": (
        lambda: ({moment: {"direcciones": 1, "sin respuesta": 0} for moment in measured()}, True),
        "se repartió 1 dirección",
    ),
}


@table(SD_3_WRONG)
def test_sd_3_wrong(prepared, answer, hint):
    assert_wrong("SD-3", *answer(), hint_contains=hint)


def with_a_third_and_kill():
    tercera_nueva()
    return three_moments(envios[1].kill, envios[1].restart), True


def concluded_by_looking():
    tabla = three_moments(again=lambda: labkit.serve(servicio_envios, name="envios", replicas=2))
    return tabla, tabla["una detenida"]["direcciones"] == tabla["todas vivas"]["direcciones"]


def in_another_order_with_more_columns():
    tabla = OrderedDict(reversed(three_moments().items()))
    for row in tabla.values():
        row["compras"] = 12
    return tabla, envios[0].url in direcciones["envios"]


SD_3_RIGHT = [
    lambda: (three_moments(), True),
    with_a_third_and_kill,
    concluded_by_looking,
    in_another_order_with_more_columns,
]


@pytest.mark.parametrize("answer", SD_3_RIGHT)
def test_sd_3_right(prepared, answer):
    assert_right("SD-3", *answer())


def test_sd_3_pending(prepared):
    def said(*things):
        return assert_pending("SD-3", *things).text

    assert said(..., ...) == "SD-3 pendiente · escribe tabla y sigue_repartida y vuelve a ejecutar"
    unmeasured = {"todas vivas": {}, "una detenida": ...}
    assert said(unmeasured, True) == "SD-3 pendiente · escribe tabla y vuelve a ejecutar"
    assert said(measured(), ...) == "SD-3 pendiente · escribe sigue_repartida y vuelve a ejecutar"


@pytest.mark.parametrize("things", [(), (..., 1), ([], 1), (1, 2, 3, 4)])
def test_how_sd_2_is_called_is_told(things):
    number = "sobran" if len(things) > 3 else "faltan"
    assert_wrong(
        "SD-2",
        *things,
        hint_contains=f'{number} argumentos: labkit.check("SD-2", registro, tercera, reparto)',
    )


@pytest.mark.parametrize("things", [(), (None,), ("SD-1",)])
def test_sd_1_is_a_question(things):
    with pytest.raises(UnknownExercise, match="SD-1 es una pregunta: contéstala en su celda") as caught:
        check("SD-1", *things)
    assert "ningún" not in str(caught.value)


def test_who_asks_for_sd_4_hears_of_its_pieces():
    with pytest.raises(UnknownExercise, match=r"¿Querías decir SD-4a, SD-4b, SD-4c\?"):
        check("SD-4", sanas)


def test_sd_2_with_another_registry():
    assert_wrong("SD-2", None, 1, 2, hint_contains="tercera es un número")
    with labkit.serve(servicio_envios, name="envios-tercera") as tercera:
        assert_wrong("SD-2", None, tercera, {}, hint_contains="registro es None: ejecuta otra vez")


# SD-4a


def envios_con_salud(name):
    app = servicio_envios(name)

    @app.get("/health")
    def salud():
        if app.config.get("AVERIADA"):
            return "averiada", 503
        return "bien"

    return app


def sanas(urls):
    def sana(url):
        try:
            return requests.get(f"{url}/health", timeout=LIMIT).status_code == 200
        except requests.RequestException:
            return False

    return [url for url in urls if sana(url)]


def vigilar(registro, fin):
    while not fin.wait(timeout=0.05):
        conocidas = registro.todas()
        vivas = sanas(conocidas)
        for url in conocidas:
            if url not in vivas:
                registro.quitar(url)


def with_health(view, make=servicio_envios):
    def envios_con_salud(name):
        app = make(name)
        app.get("/health")(lambda: view(app))
        return app

    return envios_con_salud


def health_without_return(name):
    with_health(lambda app: "bien")(name)


def health_at_creation(name):
    app = servicio_envios(name)
    averiada = app.config.get("AVERIADA")
    app.get("/health")(lambda: ("averiada", 503) if averiada else "bien")
    return app


def health_for_ever(app):
    if app.config.get("AVERIADA"):
        app.rota = True
    return ("averiada", 503) if hasattr(app, "rota") else "bien"


def everything_breaks(name):
    app = Flask(name)

    @app.get("/stock/<isbn>")
    def stock(isbn):
        return ("averiada", 503) if app.config.get("AVERIADA") else {"instancia": name}

    app.get("/health")(lambda: stock("1"))
    return app


def health_served(name):
    return labkit.serve(with_health(lambda app: "bien")(name), name="envios-servido")


HEALTH_APP_WRONG = {
    "no return": (health_without_return, "¿falta el return?"),
    "no route": (servicio_envios, "GET /health contestó 404"),
    "another path": (
        lambda name: (app := servicio_envios(name)).get("/salud")(lambda: "bien") and app,
        "GET /health contestó 404",
    ),
    "config without default": (
        with_health(lambda app: ("", 503) if app.config["AVERIADA"] else "bien"),
        "lanzó KeyError: 'AVERIADA'",
    ),
    "a new app": (with_health(lambda app: "bien", Flask), "GET /stock/42 contestó 404"),
    "another name": (
        with_health(lambda app: "bien", lambda name: servicio_envios("envios")),
        "/stock/42 dijo instancia='envios'",
    ),
    "always well": (with_health(lambda app: "bien"), "/health sigue contestando 200"),
    "text alone": (
        with_health(lambda app: "503" if app.config.get("AVERIADA") else "200"),
        "/health sigue contestando 200",
    ),
    "at creation": (health_at_creation, "¿cuándo miras app.config"),
    "500": (
        with_health(lambda app: abort(500) if app.config.get("AVERIADA") else "bien"),
        "/health contestó 500: se pide 503",
    ),
    "for ever": (with_health(health_for_ever), "reparada, /health contestó 503"),
    "everything breaks": (everything_breaks, "con AVERIADA activada, GET /stock/42 contestó 503"),
    "returns the view": (lambda name: lambda: "bien", "devolvió una función"),
    "raises": (lambda name: servicio_envios(), "tu código lanzó TypeError"),
}


@table(HEALTH_APP_WRONG)
def test_sd_4a_wrong(quick, answer, hint):
    assert_wrong("SD-4a", answer, hint_contains=hint)


def test_sd_4a_that_is_served_already():
    assert_wrong("SD-4a", health_served, hint_contains="un servicio ya en marcha")
    assert not labkit.services()["envios-servido"].running


# SD-4b


def contesta(url, **options):
    try:
        return requests.get(f"{url}/health", **(options or {"timeout": LIMIT})).status_code == 200
    except requests.RequestException:
        return False


def sanas_without_try(urls):
    return [url for url in urls if requests.get(f"{url}/health", timeout=LIMIT).status_code == 200]


def sanas_gives_up(urls):
    try:
        return sanas_without_try(urls)
    except requests.RequestException:
        return []


def sanas_stops_at_the_first(urls):
    found = []
    for url in urls:
        if not contesta(url):
            break
        found.append(url)
    return found


def sanas_returns_inside_the_loop(urls):
    found = []
    for url in urls:
        if contesta(url):
            found.append(url)
        return found
    return found


def sanas_any_answer(urls):
    found = []
    for url in urls:
        try:
            requests.get(f"{url}/health", timeout=LIMIT)
            found.append(url)
        except requests.RequestException:
            pass
    return found


def sanas_server_errors_only(urls):
    def sana(url):
        try:
            return requests.get(f"{url}/health", timeout=LIMIT).status_code < 500
        except requests.RequestException:
            return False

    return [url for url in urls if sana(url)]


def sanas_raise_for_status(urls):
    found = []
    for url in urls:
        try:
            requests.get(f"{url}/health", timeout=LIMIT).raise_for_status()
            found.append(url)
        except (requests.ConnectionError, requests.Timeout):
            pass
    return found


def sanas_only_connection_errors(urls):
    found = []
    for url in urls:
        try:
            if requests.get(f"{url}/health", timeout=LIMIT).ok:
                found.append(url)
        except requests.ConnectionError:
            pass
    return found


def sanas_without_timeout(urls):
    return [url for url in urls if contesta(url, timeout=None)]


def sanas_with_a_long_timeout(urls):
    return [url for url in urls if contesta(url, timeout=5)]


def sanas_with_a_short_timeout(urls):
    return [url for url in urls if contesta(url, timeout=0.05)]


def sanas_measures_afterwards(urls):
    def sana(url):
        try:
            respuesta = requests.get(f"{url}/health")
        except requests.RequestException:
            return False
        return respuesta.ok and respuesta.elapsed.total_seconds() < 1

    return [url for url in urls if sana(url)]


def sanas_in_order_of_arrival(urls):
    with ThreadPoolExecutor() as hilos:
        futuros = {hilos.submit(contesta, url): url for url in urls}
        return [futuros[futuro] for futuro in as_completed(futuros) if futuro.result()]


def sanas_with_no_threads(urls):
    with ThreadPoolExecutor(max_workers=len(urls)) as hilos:
        return [url for url, bien in zip(urls, hilos.map(contesta, urls), strict=True) if bien]


def sanas_another_path(urls):
    return [url for url in urls if pedir(url) != "sin respuesta"]


def sanas_glues_badly(urls):
    return [url for url in urls if contesta(url + "x")]


SANAS_WRONG = {
    "no return": (lambda urls: print(end=""), "sanas no devolvió nada"),
    "booleans": (lambda urls: [contesta(url) for url in urls], "hay un valor True o False que no es ninguna"),
    "answers": (
        lambda urls: [requests.get(f"{url}/health", timeout=LIMIT) for url in urls],
        "hay un Response que no es ninguna",
    ),
    "a set": (lambda urls: {url for url in urls if contesta(url)}, "sanas devolvió un conjunto"),
    "a dict": (lambda urls: {url: contesta(url) for url in urls}, "sanas devolvió un diccionario"),
    "a generator": (lambda urls: (url for url in urls if contesta(url)), "sanas devolvió un generador"),
    "how many": (lambda urls: sum(map(contesta, urls)), "sanas devolvió un número"),
    "all": (lambda urls: list(urls), "no les llegó ninguna petición"),
    "another path": (sanas_another_path, "les llegó /stock/42: se pregunta en /health"),
    "a bad address": (sanas_glues_badly, "no les llegó ninguna petición"),
    "the sick ones": (lambda urls: [url for url in urls if not contesta(url)], "sanas devolvió 0"),
    "return in the loop": (sanas_returns_inside_the_loop, "sanas devolvió 1"),
    "too short a limit": (sanas_with_a_short_timeout, "una de ellas tras 0.1 s, y sanas devolvió 2"),
    "order of arrival": (sanas_in_order_of_arrival, "en otro orden"),
    "sorted backwards": (lambda urls: sorted(sanas(urls), key=urls.index, reverse=True), "en otro orden"),
    "no workers": (sanas_with_no_threads, "con la lista vacía, tu código lanzó ValueError"),
    "no try": (sanas_without_try, "lanzó ConnectionError"),
    "gives up": (sanas_gives_up, "con una muerta entre dos sanas devolvió 0"),
    "stops": (sanas_stops_at_the_first, "con una muerta entre dos sanas devolvió 1"),
    "any answer": (sanas_any_answer, "contestó 503 en /health y sanas la dio por buena"),
    "under 500": (sanas_server_errors_only, "contestó 404 en /health y sanas la dio por buena"),
    "raise_for_status": (sanas_raise_for_status, "lanzó HTTPError"),
    "no Timeout": (sanas_only_connection_errors, "¿qué lanza requests cuando se agota el tiempo?"),
}


SANAS_WAITS = {
    "no limit": (sanas_without_timeout, "la dio por buena: ¿lleva tu petición un tiempo límite"),
    "too long a limit": (sanas_with_a_long_timeout, "un tiempo límite, y de cuántos segundos?"),
    "measured afterwards": (
        sanas_measures_afterwards,
        "esperó hasta el final para descartarla: ¿lleva tu petición un tiempo límite",
    ),
}


@table(SANAS_WRONG)
def test_sd_4b_wrong(quick, answer, hint):
    assert_wrong("SD-4b", answer, hint_contains=hint)


def test_sd_4b_waits(quick):
    def verify(answer, hint):
        assert_wrong("SD-4b", answer, hint_contains=hint)

    at_once(verify, SANAS_WAITS.values())


# SD-4c


def watch_once(registro, fin):
    vivas = sanas(registro.todas())
    for url in registro.todas():
        if url not in vivas:
            registro.quitar(url)


def watch_for_ever(registro, fin):
    while True:
        for url in registro.todas():
            if not contesta(url):
                registro.quitar(url)
        time.sleep(0.05)


def watch_while_not_event(registro, fin):
    while not fin:
        watch_once(registro, fin)


def watch_waits_for_the_end(registro, fin):
    fin.wait()
    watch_once(registro, fin)


def watch_sleeps_first(registro, fin):
    while not fin.is_set():
        time.sleep(2.5)
        watch_once(registro, fin)


def watch_empties_and_fills(registro, fin):
    while not fin.wait(0.05):
        vivas = sanas(registro.todas())
        for url in registro.todas():
            registro.quitar(url)
        for url in vivas:
            registro.registrar(url)


def watch_reads_twice(registro, fin):
    while not fin.wait(0.05):
        watch_once(registro, fin)


def watch_removes_the_well(registro, fin):
    while not fin.wait(0.05):
        for url in sanas(registro.todas()):
            registro.quitar(url)


def watch_changes_its_copy(registro, fin):
    while not fin.wait(0.05):
        todas = registro.todas()
        for url in list(todas):
            if not contesta(url):
                todas.remove(url)


def watch_reads_the_list_once(registro, fin):
    urls = registro.todas()
    while not fin.wait(0.05):
        for url in urls:
            if not contesta(url):
                registro.quitar(url)


def watch_remembers_the_well(registro, fin):
    buenas = set()
    while not fin.wait(0.05):
        for url in registro.todas():
            if url in buenas:
                continue
            if contesta(url):
                buenas.add(url)
            else:
                registro.quitar(url)


def watch_looks_inside(registro, fin):
    while not fin.wait(0.05):
        for url in list(registro.urls):
            if not contesta(url):
                registro.urls.remove(url)


def watch_deletes(registro, fin):
    while not fin.wait(0.05):
        registro.quitar([url for url in registro.todas() if not contesta(url)])


def watch_until_all_are_well(registro, fin):
    while len(sanas(registro.todas())) < len(registro.todas()):
        watch_once(registro, fin)


def watch_in_a_thread_of_its_own(registro, fin):
    threading.Thread(target=vigilar, args=(registro, fin), daemon=True).start()


async def watch_async(registro, fin):
    vigilar(registro, fin)


def watch_ends_the_program(registro, fin):
    watch_once(registro, fin)
    sys.exit()


def watch_swapped(fin, registro):
    while not fin.is_set():
        watch_once(registro, fin)


def watch_meets_none(registro, fin):
    None.todas()


def watch_registers_the_well(registro, fin):
    while not fin.wait(0.05):
        conocidas = registro.todas()
        vivas = sanas(conocidas)
        for url in conocidas:
            if url in vivas:
                registro.registrar(url)
            else:
                registro.quitar(url)


def watch_every(seconds):
    def vigilar(registro, fin):
        while True:
            conocidas = registro.todas()
            vivas = sanas_in_threads(conocidas)
            for url in conocidas:
                if url not in vivas:
                    registro.quitar(url)
            if fin.wait(seconds):
                return

    return vigilar


def watch_without_pause(registro, fin):
    while not fin.is_set():
        for url in registro.todas():
            if not contesta(url):
                registro.quitar(url)


def watch_raises_broken_text(registro, fin):
    raise BrokenText


VIGILAR_WRONG = {
    "once": (watch_once, "¿revisas una sola vez?"),
    "while not fin": (watch_while_not_event, "terminó sin que nadie activara fin, y la muerta sigue"),
    "empties and fills": (watch_empties_and_fills, "una dirección sana, aunque luego la volvió a registrar"),
    "reads twice": (watch_reads_twice, "¿qué lista decide a quién quitas?"),
    "looks inside": (watch_looks_inside, "solo se promete todas, registrar y quitar"),
    "swapped": (watch_swapped, "primero el registro y después fin"),
    "swapped, asks first": (
        lambda fin, registro: vigilar(registro, fin),
        "¿en qué orden están tus parámetros?",
    ),
    "swapped, reads first": (lambda fin, registro: registro.todas(), "¿en qué orden están tus parámetros?"),
    "another's mistake": (
        watch_meets_none,
        "lanzó AttributeError ('NoneType' object has no attribute 'todas')",
    ),
    "registers the well": (watch_registers_the_well, "otro hilo quitó una dirección sana mientras revisabas"),
    "no pause": (watch_without_pause, "¿qué pausa hace tu bucle entre dos revisiones?"),
    "hardly a pause": (watch_every(0.0001), "¿qué pausa hace tu bucle entre dos revisiones?"),
    "removes a list": (watch_deletes, "vigilar lanzó TypeError"),
    "until all are well": (watch_until_all_are_well, "¿revisas una sola vez?"),
    "a thread of its own": (watch_in_a_thread_of_its_own, "vigilar terminó sin que nadie activara fin"),
    "sys.exit": (watch_ends_the_program, "vigilar lanzó SystemExit"),
    "a broken text": (watch_raises_broken_text, "vigilar lanzó BrokenText"),
}


@table(VIGILAR_WRONG)
def test_sd_4c_wrong(nothing_left, quick, answer, hint):
    assert_wrong("SD-4c", answer, hint_contains=hint)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_sd_4c_that_nobody_awaits(nothing_left, quick):
    assert_wrong("SD-4c", watch_async, hint_contains="vigilar terminó sin que nadie")


VIGILAR_SLOW = {
    "removes the well": (
        watch_removes_the_well,
        "vigilar quitó una dirección sana: ¿qué condición decide a quién quitas?",
    ),
    "its own copy": (watch_changes_its_copy, "¿a quién le pides que la quite?"),
    "reads the list once": (watch_reads_the_list_once, "¿cuándo lee tu bucle la lista?"),
    "30 seconds": (watch_every(30), "entre una revisión y la siguiente esperas 30 s"),
    "5 seconds": (watch_every(5), "entre una revisión y la siguiente esperas 5 s"),
    "for ever": (watch_for_ever, "fin está activado y vigilar sigue"),
    "waits for the end": (watch_waits_for_the_end, "no había leído el registro ni una vez"),
    "sleeps first": (watch_sleeps_first, "no había leído el registro ni una vez"),
    "remembers the well": (watch_remembers_the_well, "¿cada cuánto revisas, y qué lista?"),
}


def test_sd_4c_slow(nothing_left, quick):
    def verify(answer, hint):
        assert_wrong("SD-4c", answer, hint_contains=hint)

    at_once(verify, VIGILAR_SLOW.values())


def test_sd_4c_sleeps_too_long(nothing_left, monkeypatch):
    paced = [
        case for case in service_discovery.WATCH.cases if case.function.__name__ == "watch_keeps_its_pace"
    ]
    monkeypatch.setattr(service_discovery.WATCH, "cases", paced)
    monkeypatch.setattr(service_discovery, "_PAUSE", 0.5)

    def vigilar(registro, fin):
        while not fin.is_set():
            watch_once(registro, fin)
            time.sleep(0.9)

    assert_wrong("SD-4c", vigilar, hint_contains="entre una revisión y la siguiente pasaron 1 s: se pide")


def test_sd_4c_asks_hardly_ever(nothing_left, quick, monkeypatch):
    paced = [
        case for case in service_discovery.WATCH.cases if case.function.__name__ == "watch_keeps_its_pace"
    ]
    monkeypatch.setattr(service_discovery.WATCH, "cases", paced)

    def vigilar(registro, fin):
        watch_once(registro, fin)
        fin.wait()

    assert_wrong("SD-4c", vigilar, hint_contains="en 1 s vigilar preguntó a la instancia 1 vez:")


# SD-4: right, and not yet written


def health_by_current_app(name):
    app = servicio_envios(name)
    app.config["AVERIADA"] = False

    @app.route("/health")
    def health():
        if current_app.config["AVERIADA"]:
            abort(503)
        return jsonify(estado="bien")

    return app


def health_by_before_request(name):
    app = Flask(name)
    app.add_url_rule("/stock/<isbn>", view_func=lambda isbn: {"instancia": app.name}, endpoint="stock")
    app.add_url_rule(
        "/health",
        view_func=lambda: (
            {"sana": not app.config.get("AVERIADA")},
            503 if app.config.get("AVERIADA") else 200,
        ),
    )
    return app


def sanas_in_threads(urls):
    with ThreadPoolExecutor(max_workers=8) as hilos:
        return [url for url, bien in zip(urls, hilos.map(contesta, urls), strict=True) if bien]


def sanas_as_completed(urls):
    bien = {}
    with ThreadPoolExecutor() as hilos:
        futuros = {hilos.submit(contesta, url): url for url in urls}
        for futuro in as_completed(futuros):
            bien[futuros[futuro]] = futuro.result()
    return list(filter(bien.get, urls))


def sanas_by_session(urls):
    found = []
    with requests.Session() as sesion:
        for url in urls:
            try:
                respuesta = sesion.get(url + "/health", timeout=(LIMIT, LIMIT))
                respuesta.raise_for_status()
            except requests.exceptions.RequestException:
                continue
            found.append(url)
    return found


def sanas_by_aiohttp(urls):
    async def sana(sesion, url):
        try:
            async with sesion.get(f"{url}/health") as respuesta:
                return respuesta.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def todas():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT)) as sesion:
            return await asyncio.gather(*(sana(sesion, url) for url in urls))

    return list(itertools.compress(urls, labkit.run(todas())))


def watch_by_the_second(registro, fin):
    while True:
        conocidas = registro.todas()
        for url in set(conocidas) - set(sanas_in_threads(conocidas)):
            registro.quitar(url)
        if fin.wait(1):
            return


def watch_by_the_clock(registro, fin):
    while not fin.is_set():
        for url in registro.todas():
            if not contesta(url):
                registro.quitar(url)
        time.sleep(1)


def watch_with_sleep(registro, fin):
    while not fin.is_set():
        for url in registro.todas():
            if not contesta(url):
                registro.quitar(url)
        time.sleep(0.3)


def watch_with_a_helper_thread(registro, fin):
    def revisar():
        while not fin.is_set():
            for url in [url for url in registro.todas() if url not in sanas([url])]:
                registro.quitar(url)
            fin.wait(0.1)

    hilo = threading.Thread(target=revisar)
    hilo.start()
    hilo.join()


def watch_while_another_thread_waits(registro, fin):
    hilo = threading.Thread(target=vigilar, args=(registro, fin))
    hilo.start()
    while not fin.wait(60):
        pass
    hilo.join()


# Those that wait longest come first, so that nobody waits for the last.
SD_4_RIGHT = [
    *(
        ("SD-4c", answer)
        for answer in (
            watch_by_the_clock,
            watch_with_sleep,
            watch_by_the_second,
            watch_with_a_helper_thread,
            watch_while_another_thread_waits,
            vigilar,
        )
    ),
    *(
        ("SD-4b", answer)
        for answer in (sanas, sanas_in_threads, sanas_as_completed, sanas_by_session, sanas_by_aiohttp)
    ),
    *(("SD-4a", answer) for answer in (envios_con_salud, health_by_current_app, health_by_before_request)),
]


def test_sd_4_right(nothing_left):
    at_once(assert_right, SD_4_RIGHT)


def test_sd_4_pending():
    def envios_con_salud_stub(name):
        # TU CÓDIGO AQUÍ
        ...

    def sanas_stub(urls):
        # TU CÓDIGO AQUÍ
        ...

    def vigilar_stub(registro, fin):
        # TU CÓDIGO AQUÍ
        ...

    assert "escribe envios_con_salud y" in assert_pending("SD-4a", envios_con_salud_stub).text
    assert "escribe sanas y" in assert_pending("SD-4b", sanas_stub).text
    assert "escribe vigilar y" in assert_pending("SD-4c", vigilar_stub).text


# SD-5


class Arriendos:
    def __init__(self, ttl, reloj):
        self.ttl, self.reloj = ttl, reloj
        self.vence = {}

    def registrar(self, url):
        self.vence[url] = self.reloj() + self.ttl

    def renovar(self, url):
        if url not in self.vivas():
            return False
        self.vence[url] = self.reloj() + self.ttl
        return True

    def vivas(self):
        ahora = self.reloj()
        return [url for url, fin in self.vence.items() if ahora < fin]


def leases_with(**methods):
    """Arriendos with some methods written otherwise."""
    return type("Arriendos", (Arriendos,), methods)


def register_sets(value):
    return lambda self, url: self.vence.update({url: value(self, url)})


def renew_sets(value, result=True):
    def renovar(self, url):
        if url not in self.vivas():
            return False
        self.vence[url] = value(self, url)
        return result

    return renovar


def renew_any(self, url):
    self.registrar(url)
    return True


def renew_known(self, url):
    if url in self.vence:
        self.registrar(url)
        return True
    return False


def renew_at_the_limit(self, url):
    if self.reloj() <= self.vence.get(url, 0):
        self.registrar(url)
        return True
    return False


def renew_without_looking(self, url):
    if self.reloj() < self.vence[url]:
        self.registrar(url)
        return True
    return False


def renew_moves_to_the_end(self, url):
    if url not in self.vivas():
        return False
    del self.vence[url]
    self.registrar(url)
    return True


def renew_says_false_and_revives(self, url):
    viva = url in self.vivas()
    self.registrar(url)
    return viva


def renew_all(self, url):
    if url not in self.vivas():
        return False
    for cada in self.vence:
        self.registrar(cada)
    return True


def delete_while_reading(self):
    for url in self.vence:
        if self.vence[url] <= self.reloj():
            del self.vence[url]
    return list(self.vence)


def renew_all_by_reading(self):
    vivas = Arriendos.vivas(self)
    for url in vivas:
        self.registrar(url)
    return vivas


def forget_all_with_one(self):
    if any(fin <= self.reloj() for fin in self.vence.values()):
        self.vence.clear()
    return list(self.vence)


class ReadsTheClockOnce(Arriendos):
    def __init__(self, ttl, reloj):
        super().__init__(ttl, reloj)
        self.ahora = reloj()

    def vivas(self):
        return [url for url, fin in self.vence.items() if self.ahora < fin]


class SharedByAll(Arriendos):
    vence: dict = {}  # noqa: RUF012 - that is the mistake

    def __init__(self, ttl, reloj):
        self.ttl, self.reloj = ttl, reloj


class ByTheClockOnTheWall(Arriendos):
    def __init__(self, ttl, reloj):
        super().__init__(ttl, time.monotonic)


class AlwaysThirty(Arriendos):
    def __init__(self, ttl, reloj):
        super().__init__(30, reloj)


class WithoutArguments:
    def __init__(self):
        self.vence = {}

    def registrar(self, url):
        self.vence[url] = time.time()


def list_with_duplicates():
    class Duplicates(Arriendos):
        def __init__(self, ttl, reloj):
            super().__init__(ttl, reloj)
            self.filas = []

        def registrar(self, url):
            self.filas.append((url, self.reloj() + self.ttl))

        def renovar(self, url):
            if url not in self.vivas():
                return False
            self.filas = [(u, self.reloj() + self.ttl if u == url else fin) for u, fin in self.filas]
            return True

        def vivas(self):
            return [url for url, fin in self.filas if self.reloj() < fin]

    return Duplicates


class AsAGenerator(Arriendos):
    def vivas(self):
        for url, fin in self.vence.items():
            if self.reloj() < fin:
                yield url


SD_5_WRONG = {
    "no return": (leases_with(vivas=lambda self: print(end="")), "vivas() no devolvió nada"),
    "clock not called": (
        leases_with(registrar=register_sets(lambda self, url: self.reloj + self.ttl)),
        "for +: 'Reloj' and 'int'): ¿qué guarda tu clase de cada dirección, y cómo lees el reloj?",
    ),
    "a set": (leases_with(vivas=lambda self: set(Arriendos.vivas(self))), "vivas() devolvió un conjunto"),
    "how many": (leases_with(vivas=lambda self: len(self.vence)), "vivas() devolvió un número"),
    "a dict": (
        leases_with(vivas=lambda self: dict.fromkeys(Arriendos.vivas(self))),
        "vivas() devolvió un diccionario: se pide una lista",
    ),
    "a generator": (AsAGenerator, "vivas() devolvió un generador: se pide una lista"),
    "no self": (leases_with(registrar=lambda url: url), "registrar no se puede llamar así: registrar(url)"),
    "no self in vivas": (
        leases_with(vivas=lambda: ["a"]),
        "¿Qué parámetros lleva su firma, y cuál es el primero?",
    ),
    "no self in __init__": (leases_with(__init__=lambda ttl, reloj: None), "su __init__, además de self"),
    "a property": (
        leases_with(vivas=property(Arriendos.vivas)),
        "se pide un método que se llame así: vivas()",
    ),
    "no method": (
        type("Arriendos", (), {"__init__": Arriendos.__init__}),
        "le falta: registrar, renovar, vivas",
    ),
    "the object": (
        Arriendos(30, time.monotonic),
        'pasa la clase, sin crearla: labkit.check("SD-5", Arriendos)',
    ),
    "pairs": (leases_with(vivas=lambda self: list(self.vence.items())), "vivas() devolvió [('b', 130.0)"),
    "sorted": (leases_with(vivas=lambda self: sorted(Arriendos.vivas(self))), "se pide ese orden"),
    "shared": (SharedByAll, "comparten sus direcciones"),
    "other arguments": (WithoutArguments, "no se puede llamar así: Arriendos(ttl, reloj)"),
    "never expires": (leases_with(vivas=lambda self: list(self.vence)), "a los 31 segundos de 30"),
    "the clock read once": (ReadsTheClockOnce, "¿qué reloj miras, y cuándo lo miras?"),
    "another clock": (ByTheClockOnTheWall, "¿qué reloj miras, y cuándo lo miras?"),
    "<=": (
        leases_with(vivas=lambda self: [url for url, fin in self.vence.items() if self.reloj() <= fin]),
        "¿qué pasa en el segundo exacto?",
    ),
    "forgets the ttl": (
        leases_with(registrar=register_sets(lambda self, url: self.reloj())),
        "se registraron b, a y c, y vivas() devolvió []",
    ),
    "deletes while reading": (leases_with(vivas=delete_while_reading), "¿cambias el diccionario"),
    "forgets all": (leases_with(vivas=forget_all_with_one), "se perdió también «b»"),
    "renew says nothing": (
        leases_with(renovar=renew_sets(lambda self, url: self.reloj() + self.ttl, None)),
        "renovar devolvió None con un arriendo en vigor",
    ),
    "renew adds": (
        leases_with(renovar=renew_sets(lambda self, url: self.vence[url] + self.ttl)),
        "en el 50 seguía viva",
    ),
    "renew does nothing": (
        leases_with(renovar=renew_sets(lambda self, url: self.vence[url])),
        "en el 49 ya no estaba",
    ),
    "renew all": (leases_with(renovar=renew_all), "o seguía «b», que no renovó"),
    "renew moves": (leases_with(renovar=renew_moves_to_the_end), "se pide el orden de registro"),
    "renew any": (leases_with(renovar=renew_any), "renovar una dirección desconocida la registró"),
    "renew without looking": (
        leases_with(renovar=renew_without_looking),
        "al renovar tarde, tu código lanzó KeyError",
    ),
    "renew revives": (leases_with(renovar=renew_known), "renovar lo revivió"),
    "renew says False and revives": (
        leases_with(renovar=renew_says_false_and_revives),
        "renovar una dirección desconocida la registró",
    ),
    "None for unknown": (
        leases_with(renovar=lambda self, url: Arriendos.renovar(self, url) or None),
        "renovar una dirección desconocida devolvió None",
    ),
    "renew at the limit": (leases_with(renovar=renew_at_the_limit), "en el segundo 30 de 30 ya no está"),
    "setdefault": (
        leases_with(registrar=lambda self, url: self.vence.setdefault(url, self.reloj() + self.ttl)),
        "se registró de nuevo y no está viva",
    ),
    "twice": (list_with_duplicates(), "«a» se registró dos veces"),
    "reading renews": (leases_with(vivas=renew_all_by_reading), "a los 31 segundos de 30"),
    "always 30": (AlwaysThirty, "¿qué ttl usas?"),
}


@table(SD_5_WRONG)
def test_sd_5_wrong(answer, hint):
    assert_wrong("SD-5", answer, hint_contains=hint)


class FromTheStart:
    """The second of registration instead of that of expiry, and those that expired are forgotten."""

    def __init__(self, ttl, reloj):
        self.duracion = ttl
        self.hora = reloj
        self.desde = OrderedDict()

    def _limpiar(self):
        for url in [url for url, desde in self.desde.items() if self.hora() - desde >= self.duracion]:
            self.desde.pop(url)

    def registrar(self, url):
        self._limpiar()
        self.desde[url] = self.hora()

    def renovar(self, url):
        self._limpiar()
        if url in self.desde:
            self.desde[url] = self.hora()
            return True
        return False

    def vivas(self):
        self._limpiar()
        return list(self.desde)


@dataclass
class AsADataclass:
    ttl: float
    reloj: object
    filas: deque = field(default_factory=deque)
    candado: threading.Lock = field(default_factory=threading.Lock)

    def registrar(self, url):
        with self.candado:
            for fila in self.filas:
                if fila.url == url:
                    fila.fin = self.reloj() + self.ttl
                    return
            self.filas.append(SimpleNamespace(url=url, fin=self.reloj() + self.ttl))

    def renovar(self, url):
        viva = url in self.vivas()
        if viva:
            self.registrar(url)
        return viva

    def vivas(self):
        with self.candado:
            return tuple(fila.url for fila in self.filas if fila.fin > self.reloj())


class MovedWhenRegisteredAgain(Arriendos):
    def registrar(self, url):
        self.vence.pop(url, None)
        self.vence[url] = self.reloj() + self.ttl


SD_5_RIGHT = [Arriendos, FromTheStart, AsADataclass, MovedWhenRegisteredAgain]


@pytest.mark.parametrize("answer", SD_5_RIGHT)
def test_sd_5_right(answer):
    assert_right("SD-5", answer)
    assert_right("SD-5", answer)  # nothing of the first time is in the way


def test_sd_5_pending():
    class Stub:
        def __init__(self, ttl, reloj):
            self.ttl, self.reloj = ttl, reloj
            self.vence = {}

        def registrar(self, url):
            # TU CÓDIGO AQUÍ
            ...

        def renovar(self, url):
            # TU CÓDIGO AQUÍ
            ...

        def vivas(self):
            # TU CÓDIGO AQUÍ
            ...

    verdict = assert_pending("SD-5", Stub)
    assert "Stub.registrar" in verdict.text


# SD-6


class Cliente:
    """The master's, in pieces that the wrong ones write otherwise."""

    def __init__(self, registro):
        self.registro = registro
        self.urls = []
        self.turno = 0

    def lista(self):
        try:
            respuesta = requests.get(f"{self.registro}/instancias/envios", timeout=LIMIT)
            respuesta.raise_for_status()
            return respuesta.json()["urls"]
        except requests.RequestException:
            return self.urls

    def llamar(self, url, ruta):
        return requests.get(url + ruta, timeout=LIMIT)

    def pedir(self, ruta):
        self.urls = self.lista()
        self.turno += 1
        for paso in range(len(self.urls)):
            try:
                return self.llamar(self.urls[(self.turno + paso) % len(self.urls)], ruta)
            except requests.RequestException:
                continue
        raise ConnectionError("ninguna instancia contesta")


def client_with(**methods):
    return type("Cliente", (Cliente,), methods)


def ask_registry(self, **options):
    return requests.get(f"{self.registro}/instancias/envios", **(options or {"timeout": LIMIT}))


def list_once(self):
    return self.urls or Cliente.lista(self)


def list_twice(self):
    Cliente.lista(self)
    return Cliente.lista(self)


def list_without_try(self):
    return ask_registry(self).json()["urls"]


def list_forgotten(self):
    try:
        return ask_registry(self).json()["urls"]
    except requests.RequestException:
        return []


def list_without_status(self):
    try:
        return ask_registry(self).json()["urls"]
    except requests.RequestException:
        return self.urls


def list_get_urls(self):
    try:
        return ask_registry(self).json().get("urls", [])
    except requests.RequestException:
        return self.urls


def list_without_timeout(self):
    try:
        return ask_registry(self, timeout=None).json()["urls"]
    except (requests.RequestException, KeyError):
        return self.urls


def list_no_timeout_caught(self):
    try:
        respuesta = ask_registry(self)
        return respuesta.json()["urls"] if respuesta.ok else self.urls
    except requests.ConnectionError:
        return self.urls


def list_grows(self):
    return self.urls + [url for url in Cliente.lista(self) if url not in self.urls]


def list_naive(self):
    return requests.get(f"{self.registro}/buscar/envios", timeout=LIMIT).json()["url"]


def first_only(self, ruta):
    self.urls = self.lista()
    for url in self.urls:
        try:
            return self.llamar(url, ruta)
        except requests.RequestException:
            continue
    raise ConnectionError


def at_random(self, ruta):
    self.urls = self.lista()
    for url in random.Random(self.turno).sample(self.urls, len(self.urls)):
        self.turno += 1
        try:
            return self.llamar(url, ruta)
        except requests.RequestException:
            continue
    raise ConnectionError


def there_and_back(self, ruta):
    self.urls = self.lista()
    orden = self.urls + self.urls[::-1]
    if not orden:
        raise ConnectionError
    self.turno += 1
    return self.llamar(orden[(self.turno - 1) % len(orden)], ruta)


def index_runs_out(self, ruta):
    self.urls = self.lista()
    url = self.urls[self.turno]
    self.turno = (self.turno + 1) % len(self.urls)
    return self.llamar(url, ruta)


def one_attempt(self, ruta):
    self.urls = self.lista()
    if not self.urls:
        raise ConnectionError
    self.turno += 1
    return self.llamar(self.urls[self.turno % len(self.urls)], ruta)


def two_attempts(self, ruta):
    self.urls = self.lista()
    if not self.urls:
        raise ConnectionError
    self.turno += 1
    try:
        return self.llamar(self.urls[self.turno % len(self.urls)], ruta)
    except requests.RequestException:
        return self.llamar(self.urls[(self.turno + 1) % len(self.urls)], ruta)


def three_rounds(self, ruta):
    for _ in range(3):
        try:
            return Cliente.pedir(self, ruta)
        except ConnectionError:
            continue
    raise ConnectionError


def for_ever(self, ruta):
    while True:
        try:
            return Cliente.pedir(self, ruta)
        except ConnectionError:
            time.sleep(0.01)


def none_at_last(self, ruta):
    try:
        return Cliente.pedir(self, ruta)
    except ConnectionError:
        return None


def runtime_error_at_last(self, ruta):
    try:
        return Cliente.pedir(self, ruta)
    except ConnectionError as error:
        raise RuntimeError("nadie") from error


def divides_by_zero(self, ruta):
    self.urls = self.lista()
    self.turno = (self.turno + 1) % len(self.urls)
    return Cliente.pedir(self, ruta)


def divides_by_zero_without_asking_twice(self, ruta):
    self.urls = self.lista()
    self.turno += 1
    inicio = self.turno % len(self.urls)
    for url in self.urls[inicio:] + self.urls[:inicio]:
        try:
            return self.llamar(url, ruta)
        except requests.RequestException:
            continue
    raise ConnectionError


def errors_are_failures(self, url, ruta):
    respuesta = requests.get(url + ruta, timeout=LIMIT)
    respuesta.raise_for_status()
    return respuesta


def errors_are_raised(self, ruta):
    respuesta = Cliente.pedir(self, ruta)
    respuesta.raise_for_status()
    return respuesta


def no_timeout_caught(self, ruta):
    self.urls = self.lista()
    self.turno += 1
    for paso in range(len(self.urls)):
        try:
            return self.llamar(self.urls[(self.turno + paso) % len(self.urls)], ruta)
        except requests.ConnectionError:
            continue
    raise ConnectionError


def forgets_the_dead(self, ruta):
    self.urls = self.lista()
    self.turno += 1
    inicio = self.turno % len(self.urls) if self.urls else 0
    for url in self.urls[inicio:] + self.urls[:inicio]:
        try:
            return self.llamar(url, ruta)
        except requests.RequestException:
            self.urls.remove(url)
    raise ConnectionError


class AsksAtCreation(Cliente):
    def __init__(self, registro):
        super().__init__(registro)
        self.urls = list_without_try(self)


class AsksOnlyAtCreation(Cliente):
    def __init__(self, registro):
        super().__init__(registro)
        self.urls = Cliente.lista(self)

    def lista(self):
        return self.urls


SD_6_WRONG = {
    "no return": (
        client_with(pedir=lambda self, ruta: print(Cliente.pedir(self, ruta))),
        "pedir no devolvió nada",
    ),
    "json": (
        client_with(pedir=lambda self, ruta: Cliente.pedir(self, ruta).json()),
        "pedir devolvió un diccionario",
    ),
    "text": (
        client_with(pedir=lambda self, ruta: Cliente.pedir(self, ruta).text),
        "pedir devolvió un texto",
    ),
    "its own path": (
        client_with(llamar=lambda self, url, ruta: requests.get(f"{url}/stock/1", timeout=LIMIT)),
        "a las instancias llegó ['/stock/1']",
    ),
    "asks the naive registry": (client_with(lista=list_naive), "¿qué devuelve el registro"),
    "asks once": (client_with(lista=list_once), "en 1 de 12 llamadas"),
    "asks at creation only": (AsksOnlyAtCreation, "en 0 de 12 llamadas"),
    "asks twice": (client_with(lista=list_twice), "preguntaste 24 veces"),
    "always the first": (client_with(pedir=first_only), "se repartieron [12]"),
    "at random": (client_with(pedir=at_random), "entre tres instancias"),
    "there and back": (client_with(pedir=there_and_back), "pero no por turnos"),
    "the index runs out": (client_with(pedir=index_runs_out), "más corta que antes"),
    "the list grows": (client_with(lista=list_grows), "¿qué haces con la lista vieja?"),
    "no try": (client_with(lista=list_without_try), "¿qué lista te queda"),
    "list forgotten": (client_with(lista=list_forgotten), "¿qué lista te queda"),
    "no status": (client_with(lista=list_without_status), "¿miras el código de la respuesta"),
    "get urls": (client_with(lista=list_get_urls), "¿miras el código de la respuesta"),
    "one attempt": (client_with(pedir=one_attempt), "¿cuántas instancias pruebas"),
    "two attempts": (client_with(pedir=two_attempts), "¿cuántas instancias pruebas"),
    "a 500 is a failure": (client_with(llamar=errors_are_failures), "llamaste a 2"),
    "a 500 is raised": (client_with(pedir=errors_are_raised), "un 500 también es una respuesta"),
    "three rounds": (client_with(pedir=three_rounds), "la llamaste 3 veces"),
    "None at last": (client_with(pedir=none_at_last), "devolvió None: se pide ConnectionError"),
    "RuntimeError at last": (client_with(pedir=runtime_error_at_last), "lanzó RuntimeError"),
    "asks at creation": (AsksAtCreation, "¿a quién llamas al crear el Cliente?"),
    "forgets the dead": (client_with(pedir=forgets_the_dead), "y qué le quitas?"),
    "the object": (
        Cliente("http://127.0.0.1:9"),
        'pasa la clase, sin crearla: labkit.check("SD-6", Cliente)',
    ),
    "no self": (client_with(pedir=lambda ruta: ruta), "pedir no se puede llamar así: pedir(ruta)"),
    "divides by zero": (
        client_with(pedir=divides_by_zero_without_asking_twice),
        "sin registro desde el principio, pedir lanzó ZeroDivisionError",
    ),
}


@table(SD_6_WRONG)
def test_sd_6_wrong(quick, answer, hint):
    assert_wrong("SD-6", answer, hint_contains=hint)


SD_6_WAITS = {
    "registry's Timeout": (client_with(lista=list_no_timeout_caught), "cuando se agota el tiempo"),
    "no limit": (
        client_with(llamar=lambda self, url, ruta: requests.get(url + ruta)),
        "s y esperaste su respuesta: ¿lleva tu petición un tiempo límite, y de cuántos segundos?",
    ),
    "too long a limit": (
        client_with(llamar=lambda self, url, ruta: requests.get(url + ruta, timeout=10)),
        "s y esperaste su respuesta: ¿lleva tu petición un tiempo límite, y de cuántos segundos?",
    ),
    "instance's Timeout": (client_with(pedir=no_timeout_caught), "cuando se agota el tiempo"),
    "registry without limit": (client_with(lista=list_without_timeout), "¿cuánto esperas al registro?"),
    "for ever": (client_with(pedir=for_ever), "¿cuántas veces pruebas cada instancia?"),
}


@table(SD_6_WAITS)
def test_sd_6_waits(nothing_left, quick, monkeypatch, answer, hint):
    monkeypatch.setattr(service_discovery.CLIENT, "deadline", 3)
    assert_wrong("SD-6", answer, hint_contains=hint)


class BySession:
    """A session, a counter that never ends, and a request to the registry at creation that may fail."""

    def __init__(self, registro):
        self.sesion = requests.Session()
        self.registro = registro
        self.turnos = itertools.count()
        self.buena = []
        self._actualizar()

    def _actualizar(self):
        try:
            respuesta = self.sesion.get(self.registro + "/instancias/envios", timeout=(0.5, LIMIT))
        except requests.RequestException:
            return
        if respuesta.status_code == 200:
            self.buena = respuesta.json()["urls"]

    def pedir(self, ruta):
        self._actualizar()
        if not self.buena:
            raise ConnectionError("no hay lista")
        inicio = next(self.turnos) % len(self.buena)
        for url in self.buena[inicio:] + self.buena[:inicio]:
            try:
                return self.sesion.get(f"{url}{ruta}", timeout=LIMIT)
            except (requests.ConnectionError, requests.Timeout) as error:
                ultimo = error
        raise ConnectionError(str(ultimo))


class ByDeque:
    """The queue of turns lives as long as the client, and follows the list."""

    def __init__(self, registro):
        self.registro, self.fila, self.candado = registro, deque(), threading.Lock()

    def pedir(self, ruta):
        try:
            respuesta = requests.get(f"{self.registro}/instancias/envios", timeout=LIMIT)
            urls = respuesta.json()["urls"] if respuesta.ok else list(self.fila)
        except requests.RequestException:
            urls = list(self.fila)
        with self.candado:
            quedan = [url for url in self.fila if url in urls]
            self.fila = deque(quedan + [url for url in urls if url not in quedan])
            candidatas = list(self.fila)
            self.fila.rotate(-1)
        for url in candidatas:
            try:
                return requests.get(url + ruta, timeout=LIMIT)
            except requests.RequestException:
                pass
        raise requests.ConnectionError("nadie")


class LeastRecentlyUsed:
    """Whoever has waited longest is next."""

    def __init__(self, registro):
        self.registro = registro
        self.ultima_vez = {}
        self.llamadas = 0

    def pedir(self, ruta):
        try:
            respuesta = requests.get(f"{self.registro}/instancias/envios", timeout=LIMIT)
            respuesta.raise_for_status()
            urls = respuesta.json()["urls"]
            self.ultima_vez = {url: self.ultima_vez.get(url, 0) for url in urls}
        except requests.exceptions.RequestException:
            pass
        for url in sorted(self.ultima_vez, key=self.ultima_vez.get):
            self.llamadas += 1
            self.ultima_vez[url] = self.llamadas
            try:
                return requests.request("GET", url + ruta, timeout=LIMIT)
            except requests.exceptions.RequestException:
                continue
        raise ConnectionError


class EmptyIsNotGood(Cliente):
    """A registry that knows nobody is one that has just started: the last list is better."""

    def lista(self):
        return super().lista() or self.urls


SD_6_RIGHT = [Cliente, EmptyIsNotGood, BySession, ByDeque, LeastRecentlyUsed]


# One after the other: an instance that died has left its port, which another check's may be given.
@pytest.mark.parametrize("answer", SD_6_RIGHT)
def test_sd_6_right(nothing_left, answer):
    assert_right("SD-6", answer)


def test_sd_6_pending():
    class Stub:
        def __init__(self, registro):
            self.registro = registro
            self.urls = []
            self.turno = 0

        def pedir(self, ruta):
            # TU CÓDIGO AQUÍ
            ...

    assert_pending("SD-6", Stub)


# Hostile: the check comes back, and leaves nothing


def exits(*_):
    sys.exit()


def raises_broken_text(*_):
    raise BrokenText


def endless(*_):
    while True:
        pass


HOSTILE = {"exits": (exits, "SystemExit"), "broken text": (raises_broken_text, "BrokenText")}


@table(HOSTILE)
def test_hostile(nothing_left, quick, answer, hint):
    assert_wrong("SD-4a", answer, hint_contains=hint)
    assert_wrong("SD-4b", answer, hint_contains=hint)
    assert_wrong("SD-5", answer, hint_contains=hint)
    assert_wrong("SD-5", leases_with(vivas=answer), hint_contains=hint)
    assert_wrong("SD-6", answer, hint_contains=hint)
    assert_wrong("SD-6", client_with(pedir=answer), hint_contains=hint)


@pytest.mark.parametrize(
    "thing", [5, "texto", [], {}, object(), Flask, threading, lambda a, b, c, d: a], ids=name_of
)
def test_things_of_another_kind_are_told_wrong(nothing_left, thing):
    for things in (
        ("SD-2", SimpleNamespace(url="http://127.0.0.1:9"), thing, thing),
        ("SD-3", thing, thing),
        ("SD-4a", thing),
        ("SD-4b", thing),
        ("SD-4c", thing),
        ("SD-5", thing),
        ("SD-6", thing),
    ):
        assert check(*things).state == "falla"


def test_endless_loops(nothing_left, quick, monkeypatch):
    for exercise in EXERCISES:
        monkeypatch.setattr(exercise, "deadline", 0.5)
    assert_wrong("SD-4a", endless, hint_contains="no terminó en 0.5 s")
    assert_wrong("SD-4b", endless, hint_contains="no terminó en 0.5 s")
    assert_wrong("SD-5", leases_with(vivas=endless), hint_contains="no terminó en 0.5 s")
    assert_wrong("SD-6", client_with(pedir=endless), hint_contains="no terminó en 0.5 s")


def test_waiting_long(nothing_left, quick, monkeypatch):
    monkeypatch.setattr(service_discovery.CLIENT, "deadline", 0.5)
    gate = threading.Event()

    def waits(*_):
        gate.wait(60)

    began = time.monotonic()
    try:
        assert_wrong("SD-4c", waits, hint_contains="no había leído el registro")
        assert_wrong("SD-6", client_with(pedir=waits), hint_contains="no terminó en 0.5 s")
    finally:
        gate.set()
    assert time.monotonic() - began < 40


def test_prints_a_lot_and_leaves_threads(quick):
    gate = threading.Event()

    class Noisy(Arriendos):
        def vivas(self):
            print("mucho\n" * 1000)
            threading.Thread(target=gate.wait, args=(60,), daemon=True).start()
            return super().vivas()

    services = list(labkit.services())
    try:
        assert_right("SD-5", Noisy)
    finally:
        gate.set()
    assert list(labkit.services()) == services
