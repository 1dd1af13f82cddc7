"""SD-4c: a registry that notices, and removes those that are not well."""

from __future__ import annotations

import itertools
import time

from labkit.course.lessons.service_discovery.street import DEAD
from labkit.course.lessons.service_discovery.watch import Watch
from labkit.exercises.exercise import Exercise

_MOST = 1.4  # seconds between two rounds, where one a second is asked for
_BUSY = 200  # rounds a second that no loop with a pause makes

WATCH = Exercise("SD-4c", writes="vigilar", call="vigilar(registro, fin)", scene=Watch, deadline=12)


@WATCH.case("cuando hay una muerta y una que contesta 503")
def removes_the_ill(watch: Watch) -> None:
    first, last = (watch.instance(f"envios-{n}").url for n in (1, 2))
    ill = watch.instance("averiada", 503)
    registry = watch.over(first, DEAD, ill.url, last)
    watch.until(
        lambda: DEAD not in registry.urls,
        "a los 6 segundos la muerta sigue en el registro: ¿a quién le pides que la quite, y cuándo?",
    )
    watch.until(lambda: ill.url not in registry.urls, "la que contesta 503 sigue en el registro: ¿está sana?")
    watch.expect(
        not registry.gone & {first, last},
        "vigilar quitó una dirección sana, aunque fuera por un momento: ¿qué condición decide a quién quitas?",
    )
    watch.equal(registry.urls, [first, last], "después de vigilar no quedan las dos sanas, en su orden")


@WATCH.case("si más tarde muere una, llega otra y vuelve la primera")
def goes_on(watch: Watch) -> None:
    rounds: list[float] = []
    stays = watch.instance("fija", before=lambda: rounds.append(0)).url
    goes = watch.instance("viene y va")
    registry = watch.over(stays, goes.url)
    watch.until(lambda: len(rounds) > 1, "a los 6 segundos vigilar no había hecho dos revisiones: ¿a qué espera tu bucle?")
    goes.kill()
    watch.until(
        lambda: goes.url not in registry.urls,
        "una instancia murió después de la primera revisión y 6 segundos después sigue en el registro: ¿qué lista revisas?",
    )
    registry.registrar(DEAD)
    watch.until(
        lambda: DEAD not in registry.urls,
        "se registró una muerta con vigilar en marcha y ahí sigue: ¿cuándo lee tu bucle la lista?",
    )
    goes.restart()
    registry.registrar(goes.url)
    seen = len(rounds)
    watch.until(lambda: len(rounds) > seen + 2, "vigilar dejó de revisar")
    watch.expect(
        goes.url in registry.urls, "una instancia murió, volvió y se registró otra vez, y la quitaste: ¿qué recuerdas de antes?"
    )
    watch.expect(stays in registry.urls, "la que sigue viva ya no está en el registro")


@WATCH.case("si otros hilos registran y quitan mientras revisas")
def is_not_alone(watch: Watch) -> None:
    newcomer, leaver = watch.instance("nueva").url, watch.instance("se va").url

    held: list[bool] = []

    def meanwhile() -> None:
        held.append(watch.registro.held(0.5))
        watch.registro.registrar(newcomer)
        watch.registro.quitar(leaver)

    # One comes and one goes exactly while this one is being asked for its health.
    first = watch.instance("primera", before=meanwhile).url
    registry = watch.over(first, leaver, DEAD)
    watch.until(lambda: DEAD not in registry.urls, "la muerta sigue en el registro")
    watch.finish.set()
    watch.eventually(watch.future.done)  # it may be about to change more: let it come to the end of its round
    watch.expect(
        not any(held),
        "mientras una instancia contestaba, otro hilo no pudo usar el registro: ¿cuánto tiempo tienes el candado?",
    )
    watch.expect(
        newcomer in registry.urls, "una instancia se registró mientras revisabas y la perdiste: ¿qué lista decide a quién quitas?"
    )
    watch.expect(
        leaver not in registry.urls,
        "otro hilo quitó una dirección sana mientras revisabas y tú la volviste a registrar: ¿a quién le toca?",
    )


@WATCH.case("con el paso del tiempo")
def keeps_its_pace(watch: Watch) -> None:
    rounds: list[float] = []
    registry = watch.over(watch.instance("sana", before=lambda: rounds.append(time.monotonic())).url)
    wanted = "se pide revisar al menos una vez por segundo"
    watch.until(lambda: len(rounds) > 5, f"en 8 segundos vigilar hizo {len(rounds)} revisiones: {wanted}", 8)
    asked, gap = watch.finish.longest, min(after - before for before, after in itertools.pairwise(rounds))
    watch.expect(asked <= 1 and gap <= _MOST, f"entre una revisión y la siguiente esperas {max(asked, gap):.1f} s: {wanted}")
    registry.urls = []
    before, began = registry.reads, time.monotonic()
    watch.never(lambda: registry.reads - before > 100)
    often = (registry.reads - before) / (time.monotonic() - began)
    watch.expect(
        often <= _BUSY, f"con el registro vacío, vigilar lo leyó {often:.0f} veces por segundo: ¿qué pausa hace tu bucle?"
    )
    watch.expect_running()
    watch.finish.set()
    watch.expect(watch.eventually(watch.future.done), "fin está activado y vigilar sigue: ¿cuándo lo mira tu bucle?")
