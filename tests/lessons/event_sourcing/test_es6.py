"""ES-6: the table of snapshots, held against right and wrong answers."""

from answers import Master

ES6 = Master("ES-6")

RIGHT = {
    "a row more": """
        tabla = {cada: medir(cada) for cada in (None, 10, 50, 75, 100, 200, 500)}
        elegido = 100
        """,
    "one by one": """
        tabla = {}
        for cada in (500, 200, 100, 50, 10, None):
            tabla[cada] = medir(cada)
        cumplen = [cada for cada, fila in tabla.items() if fila["la peor"] <= 100]
        elegido = min(cumplen, key=lambda cada: tabla[cada]["fotos"])
        """,
}

WRONG = {
    "no row without snapshots": ("(None, 10, 50, 100, 200, 500)", "(10, 50, 100, 200, 500)", "en tabla falta: None"),
    "a number for a row": ("medir(cada) for", "medir(cada)['fotos'] for", "no es lo que devuelve medir(cada)"),
    "not called": ("medir(cada) for", "medir for", "es una función"),
    "the same row for all": ("medir(cada) for", "medir(100) for", "¿qué mediste en esa fila?"),
    "shorter": ("medir(cada) for", "medir(cada, 50) for", "¿qué mediste en esa fila?"),
    "made up": ("medir(cada) for", "{'releídos': 0, 'la peor': 0, 'fotos': 0} for", "al medirlo otra vez sale"),
    "too seldom": ("elegido = 100", "elegido = 200", "¿cuál es el máximo?"),
    "too often": ("elegido = 100", "elegido = 10", "¿hay otro que cumpla con menos?"),
    "a little too often": ("elegido = 100", "elegido = 50", "¿hay otro que cumpla con menos?"),
    "another number": ("elegido = 100", "elegido = 99", "usa uno de los números"),
    "a list": ("tabla = [medir(None)]\nelegido = 100", "usa un diccionario"),
}

test_right, test_wrong = ES6.tests(RIGHT, WRONG)
