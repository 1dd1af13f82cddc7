"""EG-9: served, diverted or shed, held against right and wrong answers."""

from answers import Master

EG9 = Master("EG-9")

RIGHT = {
    "counts who is inside": """
        class Compuerta:
            def __init__(self, sitios, reserva):
                self.sitios, self.reserva = sitios, reserva
                self.dentro, self.descartadas, self.cerrojo = Counter(), 0, threading.RLock()

            def entrar(self, prioridad):
                with self.cerrojo:
                    guarda = prioridad == "baja"
                    if self.dentro["principal"] + guarda < self.sitios:
                        donde = "principal"
                    elif self.dentro["reserva"] < self.reserva:
                        donde = "reserva"
                    else:
                        self.descartadas += 1
                        return "descartada"
                    self.dentro[donde] += 1
                    return donde

            def salir(self, donde):
                with self.cerrojo:
                    self.dentro[donde] -= 1
        """
}

WRONG = {
    "no place is kept": ("1 if prioridad == \"alta\" else 2", "1", "con ella dentro"),
    "two are kept": ("else 2", "else 3", "¿Cuántas plazas principales quedan libres"),
    "high ones are kept back": ("1 if prioridad", "2 if prioridad", "se esperaba 'principal'"),
    "no reserve": (", \"reserva\": 1}", "}", "¿Cuántas plazas tiene la reserva"),
    "a place is kept in the reserve too": ("\"reserva\": 1}", "\"reserva\": 1 if prioridad == \"alta\" else 2}", "¿Cuántas plazas tiene la reserva"),
    "nothing is taken": ("self.libres[donde] -= 1", "pass", "se esperaba"),
    "nothing comes back": ("self.libres[donde] += 1", "pass", "¿Qué plaza volvió?"),
    "the other one comes back": ("self.libres[donde] += 1", "self.libres['principal'] += 1", "¿Qué plaza volvió?"),
    "does not count": ("self.descartadas += 1", "pass", "¿Qué cuenta descartadas"),
    "counts all": ("            hacen_falta =", "            self.descartadas += 1\n            hacen_falta =", "descartadas vale"),
    "enters without a lock": ("with self.candado:\n            hacen", "if True:\n            hacen", "¿Qué pasa entre mirar y ocupar?"),
    "leaves without a lock": ("with self.candado:\n            self.libres", "if True:\n            self.libres", "¿Se pierde una plaza"),
    "True": ("return donde", "return True", "se esperaba 'principal'"),
}  # fmt: skip

test_right, test_wrong = EG9.tests(RIGHT, WRONG)
