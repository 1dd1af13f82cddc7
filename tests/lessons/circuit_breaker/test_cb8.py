"""CB-8: the audit of two libraries by the learner's own experiments."""

from answers import Master

CB8 = Master(
    "CB-8",
    same={
        "(fallar(cb, 2), fallar(cb, 1, ValueError), fallar(cb, 1)) → (fallar(cb, 2), fallar(cb, 2, ValueError), fallar(cb, 1))": "two ignored errors tell as much",
        "(fallar(cb, 2), fallar(cb, 1, ValueError), fallar(cb, 1)) → (fallar(cb, 2), fallar(cb, 1, ValueError), fallar(cb, 2))": "it opens at the first of the two",
        "cb(lambda: fallar(cb, 3))() → cb(lambda: fallar(cb, 4))()": "it opens at the third",
        "nuevo(umbral=-3) → nuevo(umbral=-4)": "as bad",
    },
)
RIGHT = {
    "with a thread": CB8.changed(
        "cb(lambda: fallar(cb, 3))()",
        "dentro, sal = threading.Event(), threading.Event()\n"
        "    with ThreadPoolExecutor(1) as hilos:\n"
        "        lenta = hilos.submit(cb(lambda: (dentro.set(), sal.wait(5))))\n"
        "        dentro.wait(5)\n"
        "        hilos.submit(fallar, cb, 3) if False else sal.set()\n"
        "        lenta.result()\n"
        "    cb = nuevo()\n"
        "    cb(lambda: fallar(cb, 3))()",
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
    "two are not three": ("fallar(cb, 1, ValueError), fallar(cb, 1)", "fallar(cb, 1, ValueError)", "ignorada"),
    "no exception": ("except Exception:\n        return True", "except KeyError:\n        return True", "tu código lanzó"),
    "none returned": ("return True\n    return False", "return True", "entrada(nuevo) devolvió None"),
    "the table flipped": ("cumple(nuevo) for nombre", "not cumple(nuevo) for nombre", "no sale lo que dice tu tabla"),
    "labkit's everywhere": ("cumple(nuevo) for nombre", "cumple(nuevo_labkit) for nombre", "¿Con qué fábrica"),
    "experiments in the table": ("cumple(nuevo) for nombre", "cumple for nombre", "se pide True o False"),
    "five rows": ('"tardío": tardio, ', "", "en tabla_auditoria falta: tardío"),
    "all of them": ("if not any(valores.values())", "if True", "alguna cumple"),
    "none of them": ("if not any(valores.values())", "if False", "falta en ninguna_cumple"),
    "not one of the six": ("ninguna_cumple = [fila for", "ninguna_cumple = ['hilos'] + [fila for", "no es uno de los seis"),
    "a number": ("ninguna_cumple = [fila for", "ninguna_cumple = 2 and 2 or [fila for", "ninguna_cumple es un número"),
}
test_right, test_wrong = CB8.tests(RIGHT, WRONG)
