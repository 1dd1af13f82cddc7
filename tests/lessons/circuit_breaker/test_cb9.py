"""CB-9: when a window opens a circuit."""

from answers import Master

CB9 = Master("CB-9")
RIGHT = {"in another order": CB9.source.replace('{"mmm": None, "mmbb": 4,', '{"mmbb": 4, "mmm": None,')}
WRONG = {
    "too early": ('"mmm": None', '"mmm": 2', "¿Con cuántas llamadas empieza a decidir?"),
    "never": ('"mmbb": 4', '"mmbb": None', "dices que no se abre"),
    "a quarter": ('"mbbb": None', '"mbbb": 4', "Las cuatro últimas eran «mbbb»"),
    "one late": ('"bbbmm": 5', '"bbbmm": 6', "¿es ahí"),
    "in a row": ('"bmbbbmbm": 8', '"bmbbbmbm": 6', "Las cuatro últimas eran «bbbm»"),
    "a list": ("abre = {", "abre = [4] or {", "abre es una lista"),
    "a text": ('"mmbb": 4', '"mmbb": "4"', "escribe un número o None"),
    "one missing": ('"mmm": None, ', "", "en abre falta: mmm"),
}
test_right, test_wrong = CB9.tests(RIGHT, WRONG)
