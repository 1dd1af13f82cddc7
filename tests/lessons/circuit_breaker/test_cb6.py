"""CB-6: a table of waits under two loads, and what follows from it."""

from answers import Master

CB6 = Master(
    "CB-6",
    run=("cb-6-medir-espera",),
    same={"esperas = (1, 10, 20, 60) → esperas = (1, 10, 21, 60)": "a wait of one's own choice"},
)
_TABLE = 'for carga in ("alta", "baja")}'

RIGHT = {
    "with a wait of its own": CB6.changed("(1, 10, 20, 60)", "(1, 2.5, 10, 60)"),
    "capitals": CB6.changed('mejora = "le llegaron"', 'mejora = " Le llegaron"'),
}
WRONG = {
    "one load": (_TABLE, 'for carga in ("alta",)}', "falta la carga «baja»"),
    "without 60": ("(1, 10, 20, 60)", "(1, 10, 20)", "falta: 60"),
    "uncalled": ("medir_espera(s, carga) for", "medir_espera for", "es una función"),
    "loads swapped": ("medir_espera(s, carga)", "medir_espera(s, 'alta')", "¿qué mediste en esa fila?"),
    "other outages": ("esperas = ", "caidas = [(0, 60)]\nesperas = ", "al medirlo otra vez sale"),
    "the high one": ('le_da_igual = "baja"', 'le_da_igual = "alta"', "dices que a la carga alta le da igual"),
    "availability": ('mejora = "le llegaron"', 'mejora = "bien"', "dices que mejora «bien»"),
    "neither": ('mejora = "le llegaron"', "mejora = True", "mejora vale True"),
    "a list": ("tabla_espera = {", "tabla_espera = []\n_ = {", "tabla_espera es una lista"),
}
test_right, test_wrong = CB6.tests(RIGHT, WRONG)
