"""BH-7b: a flood."""

from answers import Master

BH7B = Master(
    "BH-7b",
    same={
        "time.sleep(0.01) → pass": "how long a task takes is the learner's",
        "terminadas.append(True) → terminadas.append(False)": "what is counted is how many",
    },
)
RIGHT_B = {
    "a counter": """
        def inundar(grupo):
            cuenta, candado = Counter(), threading.Lock()
            def tarea():
                time.sleep(0.001)
                with candado:
                    cuenta["terminadas"] += 1
            for _ in range(1000):
                cuenta["aceptadas" if grupo.entregar(tarea) else "rechazadas"] += 1
            grupo.cerrar()
            return cuenta
        """
}
WRONG_B = {
    "a hundred": ("range(1000)", "range(100)", "inundar entregó 100 tareas"),
    "not closed": ("grupo.cerrar()", "pass", "sin cerrar el grupo"),
    "invented": ('"aceptadas": grupo.aceptadas', '"aceptadas": 23', "¿Qué cuentas, y cuándo?"),
    "swapped": (
        '"aceptadas": grupo.aceptadas, "rechazadas": grupo.rechazadas',
        '"aceptadas": grupo.rechazadas, "rechazadas": grupo.aceptadas',
        "¿Qué cuentas",
    ),
    "ended not counted": ("terminadas.append(True)", "pass", "terminadas: 0"),
    "one missing": (', "terminadas": len(terminadas)', "", "falta: terminadas"),
    "a list": ("return {", "return [1] or {", "inundar devolvió una lista"),
    "no return": ("return {", "_ = {", "¿falta el return?"),
    "accepted taken for ended": ("len(terminadas)", "grupo.aceptadas", "terminadas: 40. ¿Qué cuentas"),
    "a list of them": ("len(terminadas)", "terminadas", "¿Qué cuentas"),
}
test_right_b, test_wrong_b = BH7B.tests(RIGHT_B, WRONG_B)
