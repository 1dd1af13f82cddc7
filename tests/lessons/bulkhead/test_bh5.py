"""BH-5: a table of threads, and how many are enough."""

from answers import Master

BH5 = Master("BH-5")
_FULL = "(1, 2, 4, 8, 24)"
RIGHT = {"more rows": BH5.changed(_FULL, "(1, 2, 3, 4, 8, 16, 24)")}
WRONG = {
    "a list": ("tabla = {", "tabla = []\n_ = {", "tabla es una lista"),
    "one missing": (_FULL, "(1, 2, 4, 8)", "en tabla falta: 24"),
    "uncalled": ("medir(hilos)", "medir", "es una función"),
    "numbers": ("medir(hilos)", "medir(hilos)['rondas']", "guarda su resultado entero"),
    "keys as text": ("{hilos: medir(hilos)", "{str(hilos): medir(hilos)", "en tabla falta"),
    "all with four": ("medir(hilos)", "medir(4)", "¿qué mediste en esa fila?"),
    "other tasks": ("medir(hilos)", "medir(hilos, cobros=12)", "¿qué mediste en esa fila?"),
    "too few": ("bastan = 4", "bastan = 2", "¿de verdad no se acaba antes con más?"),
    "too many": ("bastan = 4", "bastan = 8", "pero también con menos"),
    "a text": ("bastan = 4", "bastan = '4'", "bastan es un texto"),
    "none": ("bastan = 4", "bastan = 0", "de 1 en adelante"),
}
test_right, test_wrong = BH5.tests(RIGHT, WRONG)
