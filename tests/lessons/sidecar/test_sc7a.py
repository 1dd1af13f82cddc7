"""SC-7a: the watch that tells of changes, held against right and wrong answers."""

from answers import Master

SC7A = Master("SC-7a")

RIGHT = {
    "counts down": """
        class Vigilante:
            def __init__(self, preguntar, avisar, fallos):
                self.p, self.a, self.limite = preguntar, avisar, fallos
                self.quedan, self.sano = fallos, True

            def _bien(self):
                try:
                    return self.p()
                except Exception:
                    return False

            def comprobar(self):
                antes = self.sano
                if self._bien():
                    self.quedan, self.sano = self.limite, True
                else:
                    self.quedan -= 1
                    if self.quedan <= 0:
                        self.sano = False
                if self.sano != antes:
                    self.a("sano" if self.sano else "caído")
        """
}

WRONG = {
    "an exception comes out": ("except Exception", "except KeyError", "¿Qué significa que preguntar lance"),
    "only a lost connection": ("except Exception", "except ConnectionError", "¿Qué significa que preguntar lance"),
    "only True is healthy": ("bool(self.preguntar())", "self.preguntar() is True", "se esperaba"),
    "the first failure counts": ("self.seguidos >= self.fallos", "self.seguidos >= 1", "¿Cuántos fallos van seguidos?"),
    "one too many": ("self.seguidos >= self.fallos", "self.seguidos > self.fallos", "¿Cuántos fallos van seguidos?"),
    "not in a row": ("0 if bien else", "self.seguidos if bien else", "¿Cuántos fallos van seguidos?"),
    "tells each time": (
        "elif self.sano and self.seguidos >= self.fallos",
        "elif self.seguidos >= self.fallos",
        "¿ha cambiado algo desde el último aviso?",
    ),
    "healthy each time": ("if bien and not self.sano", "if bien", "¿ha cambiado algo desde el último aviso?"),
    "never healthy again": ("if bien and not self.sano", "if False", "Falta el aviso de que ya está sano"),
    "says nothing of recovery": ('self.avisar("sano")', "pass", "Falta el aviso de que ya está sano"),
    "other words": ('self.avisar("caído")', 'self.avisar("caida")', "se esperaba (1, ['caído'])"),
    "begins down": ("self.sano, self.seguidos = True, 0", "self.sano, self.seguidos = False, 0", "¿Cuántos fallos van"),
    "asks twice": ("bool(self.preguntar())", "bool(self.preguntar() and self.preguntar())", "¿Cuántas veces se pregunta"),
    "no class": ("Vigilante = 3", "se pide una clase"),
}

test_right, test_wrong = SC7A.tests(RIGHT, WRONG)
