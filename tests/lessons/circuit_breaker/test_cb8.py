"""CB-8: the audit of two libraries by the learner's own experiments."""

import functools

from answers import Master

from labkit.course.lessons.circuit_breaker import bench

# What a library does in a given experiment, which waits for a second, is measured once: it is not what is judged here.
bench.GIVEN.update({name: functools.cache(experiment) for name, experiment in bench.GIVEN.items()})

CB8 = Master(
    "CB-8",
    same={
        "(fallar(cb, 2), fallar(cb, 1, tarjeta_caducada), fallar(cb, 1)) → (fallar(cb, 2), fallar(cb, 2, tarjeta_caducada), fallar(cb, 1))": "two ignored errors tell as much",
        "(fallar(cb, 2), fallar(cb, 1, tarjeta_caducada), fallar(cb, 1)) → (fallar(cb, 2), fallar(cb, 1, tarjeta_caducada), fallar(cb, 2))": "it opens at the first of the two",
        "cb(lambda: fallar(cb, 3))() → cb(lambda: fallar(cb, 4))()": "it opens at the third",
        "nuevo(umbral=-3) → nuevo(umbral=-4)": "as bad",
    },
)
RIGHT = {
    "with the lesson's tools alone": CB8.changed(
        "cb(lambda: fallar(cb, 3))()\n    return not llega(cb)",
        'cb(lambda: [intentar(cb(mal)) for _ in range(5)])()\n    return intentar(cb(bien)) != "cobrado"',
    ),
    "by the error's name": CB8.changed(
        "try:\n        nuevo(umbral=-3)\n    except Exception:\n        return True\n    return False",
        "return isinstance(intentar(nuevo, -3), str)",
    ),
    "names without accents": CB8.changed('"tardío": tardio', '"tardio": tardio'),
}
WRONG = {
    "always": (
        "return not llega(cb)\n\ndef ignorada",
        "return True\n\ndef ignorada",
        "tardio, con un circuito que no lo cumple, devolvió True",
    ),
    "the other way round": (
        "return not llega(cb)\n\ndef ignorada",
        "return llega(cb)\n\ndef ignorada",
        "que cumple los seis, devolvió False",
    ),
    "two are not three": (
        "fallar(cb, 1, tarjeta_caducada), fallar(cb, 1)",
        "fallar(cb, 1, tarjeta_caducada)",
        "ignorada, con un circuito que cumple los seis, devolvió False: ¿cuántos fallos hay",
    ),
    "open before the slow call": (
        "cb(lambda: fallar(cb, 3))()",
        "fallar(cb, 3), intentar(cb(bien))",
        "¿cuándo se abre tu circuito",
    ),
    "the slow call fails": (
        "cb(lambda: fallar(cb, 3))()",
        "intentar(cb(lambda: (fallar(cb, 3), mal())))",
        "cómo acaba la llamada",
    ),
    "another parameter": ("nuevo(umbral=-3)", "nuevo(espera=-3)", "¿qué umbral le das"),
    "no exception": ("except Exception:\n        return True", "except KeyError:\n        return True", "tu código lanzó"),
    "none returned": ("return True\n    return False", "return True", "entrada(nuevo) devolvió None"),
    "the table flipped": (
        "cumple(bench.CIRCUITS[nombre]) for nombre",
        "not cumple(bench.CIRCUITS[nombre]) for nombre",
        "no sale lo que dice tu tabla",
    ),
    "labkit's everywhere": (
        "cumple(bench.CIRCUITS[nombre]) for nombre",
        "cumple(bench.CIRCUITS['labkit']) for nombre",
        "¿Con qué fábrica",
    ),
    "experiments in the table": ("cumple(bench.CIRCUITS[nombre]) for nombre", "cumple for nombre", "se pide True o False"),
    "five rows": ('"tardío": tardio, ', "", "en tabla_auditoria falta: tardío"),
    "all of them": ("if not any(valores.values())", "if True", "alguna cumple"),
    "none of them": ("if not any(valores.values())", "if False", "falta en ninguna_cumple"),
    "not one of the six": ("ninguna_cumple = [fila for", "ninguna_cumple = ['hilos'] + [fila for", "no es uno de los seis"),
    "a number": ("ninguna_cumple = [fila for", "ninguna_cumple = 2 and 2 or [fila for", "ninguna_cumple es un número"),
}
test_right, test_wrong = CB8.tests(RIGHT, WRONG)
