"""CB-3: a table of thresholds, and what follows from it."""

from answers import Master

CB3 = Master(
    "CB-3",
    run=("cb-3-medir-umbral",),
    same={
        "tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 50)} → tabla_umbral = {n: medir_umbral(n) for n in (1, 3, 3, 5, 20, 50)}": "another choice of thresholds",
        "tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 50)} → tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 4, 5, 20, 50)}": "another choice of thresholds",
        "tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 50)} → tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 6, 20, 50)}": "another choice of thresholds",
        "tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 50)} → tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 21, 50)}": "another choice of thresholds",
        "tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 50)} → tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 51)}": "another choice of thresholds",
    },
)
_ROWS = "tabla_umbral = {n: medir_umbral(n) for n in (1, 2, 3, 5, 20, 50)}"
_SAID = 'al_subir = {"aperturas": "baja", "fallos": "sube", "rechazos": "baja"}'

RIGHT = {
    "four, in any order": f"tabla_umbral = {{n: medir_umbral(n) for n in (60, 10, 3, 1)}}\n{_SAID}",
    "capitals": f"{_ROWS}\nal_subir = {{'rechazos': 'Baja', 'fallos': ' SUBE ', 'aperturas': 'baja'}}",
}
WRONG = {
    "a list": (f"tabla_umbral = [medir_umbral(1)]\n{_SAID}", "tabla_umbral es una lista"),
    "without 1": ("(1, 2, 3", "(2, 3", "falta: 1"),
    "three": ("(1, 2, 3, 5, 20, 50)", "(1, 2, 50)", "tiene 3 umbrales"),
    "always opens": (", 20, 50)", ")", "con el mayor, 5, 9 veces"),
    "uncalled": ("{n: medir_umbral(n)", "{n: medir_umbral", "es una función"),
    "numbers alone": ("{n: medir_umbral(n)", "{n: n", "no es lo que devuelve medir_umbral"),
    "as text": (_ROWS, f"{_ROWS}\ntabla_umbral['4'] = medir_umbral(4)", "una clave de tabla_umbral es '4'"),
    "invented": (_ROWS, f"{_ROWS}\ntabla_umbral[3]['aperturas'] = 2", "en tabla_umbral[3] escribiste aperturas 2"),
    "rows swapped": (_ROWS, f"{_ROWS}\ntabla_umbral[2] = medir_umbral(3)", "¿qué mediste en esa fila?"),
    "with another season": (_ROWS, f"falla_en = [s % 7 == 0 for s in range(600)]\n{_ROWS}", "al medirlo otra vez"),
    "failures go down": ('"fallos": "sube"', '"fallos": "baja"', "«fallos» baja al subir el umbral"),
    "a word of its own": ('"fallos": "sube"', '"fallos": "mucho"', "vale 'mucho'"),
    "one forgotten": (', "rechazos": "baja"', "", "en al_subir falta «rechazos»"),
    "a text as conclusion": (_SAID, "al_subir = 'baja'", "al_subir es un texto"),
}
test_right, test_wrong = CB3.tests(RIGHT, WRONG)
