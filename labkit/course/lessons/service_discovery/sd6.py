"""SD-6: a client that survives the registry's death and a dead instance."""

from __future__ import annotations

from functools import partial

from labkit.course.lessons.service_discovery.shop import Shop
from labkit.course.lessons.service_discovery.street import DEAD, asked, paths
from labkit.exercises.exercise import Exercise

CLIENT = Exercise("SD-6", writes="Cliente", call="Cliente(registro)", methods=("pedir(ruta)",), scene=Shop, deadline=15)


@CLIENT.case("con todo en marcha", raised="¿en qué ruta contesta el registro, qué devuelve, y qué pides a la instancia?")
def all_running(shop: Shop) -> None:
    shop.three()
    turns = [shop.ask("con todo en marcha", f"/stock/{n}").json()["instancia"] for n in range(12)]
    wanted = {f"/stock/{n}" for n in range(12)}
    shop.equal(paths(*shop.instances), wanted, "se pidieron /stock/0 a /stock/11 y a las instancias llegó {found}")
    shop.equal(asked(shop.listing), [12], "en 12 llamadas preguntaste {found} veces al registro: una por llamada")
    counts = [turns.count(name) for name in sorted(set(turns))]
    shop.equal(counts, [4, 4, 4], "doce llamadas se repartieron {found} entre tres instancias: ¿a quién le toca?")
    shop.expect(turns == turns[:3] * 4, "a cada una le tocaron cuatro de doce, pero no por turnos")


@CLIENT.case("si la lista cambia, y con dos clientes", raised="¿qué pasa cuando la lista es más corta que antes?")
def list_changes(shop: Shop) -> None:
    shop.three()
    shop.ask("con tres instancias"), shop.ask("con tres instancias")
    shop.urls[:] = [shop.instances[2].url]
    found = shop.new_calls(lambda: [shop.ask("con la lista nueva") for _ in range(2)])
    shop.equal(found, [0, 0, 2], "el registro dio otra lista y las llamadas se repartieron {found}: ¿cuál usas?")
    shop.client = shop.answer(DEAD)
    shop.expect_nobody("con un cliente nuevo y un registro que no contesta")


@CLIENT.case("si el registro muere o contesta con un error", raised="¿qué lista te queda cuando no hay lista?")
def registry_is_lost(shop: Shop) -> None:
    shop.three().ask("con el registro en marcha")
    shop.fails = True
    found = shop.new_calls(lambda: [shop.ask("con un registro que contesta 500 y antes dio una lista buena") for _ in range(3)])
    shop.equal(found, [1, 1, 1], "con un registro que contesta 500, tres llamadas se repartieron {found}: los turnos siguen")
    shop.listing.kill()
    found = shop.new_calls(lambda: [shop.ask("sin registro, pero con una lista buena") for _ in range(3)])
    shop.equal(found, [1, 1, 1], "sin registro, tres llamadas se repartieron {found}: los turnos siguen")


@CLIENT.case("si mueren instancias", raised="¿cuántas instancias pruebas antes de rendirte, y qué queda por probar?")
def instances_die(shop: Shop) -> None:
    shop.three()
    for number in (1, 0):
        shop.instances[number].kill()
        for _ in range(3):
            shop.ask("con instancias muertas y una viva")
    shop.listing.kill()
    shop.instances[2].kill()
    shop.expect_nobody("sin registro y con todas las instancias muertas")
    for each in shop.instances:
        each.restart()
    found = shop.new_calls(lambda: [shop.ask("con todas vivas de nuevo en su puerto") for _ in range(3)])
    shop.equal(found, [1, 1, 1], "todas volvieron y el reparto es {found}: ¿qué le quitas a la última lista?")


@CLIENT.case("si una instancia contesta con un error", raised="un error también es una respuesta: ¿qué haces con ella?")
def instance_errs(shop: Shop) -> None:
    for status in (500, 404):
        shop.open(*(shop.instance(f"envios-{n}", status) for n in (1, 2)))
        found = shop.new_calls(partial(shop.ask, f"con instancias que contestan {status}", status=status))
        shop.equal(sum(found), 1, f"una contestó {status} y llamaste a {{found}}: eso también es una respuesta")


@CLIENT.case("si no contesta nadie", late="¿cuántas veces pruebas cada instancia? ¿Das vueltas a una lista vacía?")
def nobody_answers(shop: Shop) -> None:
    shop.open(shop.mute(), shop.mute())
    found = shop.new_calls(lambda: shop.expect_nobody("con dos instancias que cuelgan sin contestar"))
    shop.equal(found, [1, 1], "en un solo pedir las llamaste {found} veces: cada una, una vez")
    shop.open()
    shop.expect_nobody("con la lista vacía")


_LIMIT = "¿lleva esa petición un tiempo límite, y de cuántos segundos?"


@CLIENT.case("si una instancia tarda en contestar", raised="¿qué lanza requests cuando se agota el tiempo?", late=_LIMIT)
def slow_instance(shop: Shop) -> None:
    well = shop.instance("rápida")

    def attempt(seconds: float, wanted: set[str]) -> str | None:
        shop.open(shop.slow(seconds).service, well)
        names = {shop.ask("con una lenta y otra sana").json()["instancia"] for _ in range(2)}
        said = "esperaste su respuesta" if "lenta" in names else "no la esperaste"
        return None if names == wanted else f"una instancia tardó {seconds:g} s y {said}: {_LIMIT}"

    shop.best_of_tries(lambda: attempt(0.7, {"lenta", "rápida"}))
    shop.best_of_tries(lambda: attempt(1.4, {"rápida"}))
    shop.open(shop.slow(1.4).service)
    shop.expect_nobody("con una sola instancia, que tarda más de un segundo")


@CLIENT.case("si el registro tarda en contestar", raised="¿qué lanza requests cuando se agota el tiempo?", late=_LIMIT)
def slow_registry(shop: Shop) -> None:
    old, new = shop.instance("de la lista vieja"), shop.instance("de la lista nueva")

    def attempt(seconds: float, wanted: str) -> str | None:
        shop.open(old).ask("con el registro en marcha")
        shop.delay, shop.urls[:] = seconds, [new.url]
        name = shop.ask("con un registro lento y una lista buena").json()["instancia"]
        return None if name == wanted else f"el registro tardó {seconds:g} s y llamaste a una {name}: {_LIMIT}"

    shop.best_of_tries(lambda: attempt(0.7, "de la lista nueva"))
    shop.best_of_tries(lambda: attempt(1.4, "de la lista vieja"))
