"""CB-7: the half-open state, held against right and wrong answers."""

from answers import Master

CB7 = Master(
    "CB-7",
    same={
        "raise CircuitOpenError('pagos', self.estado, 1) → raise CircuitOpenError('pagos', self.estado, 2)": (
            "the seconds of retry_after are given, and nobody asks for them"
        )
    },
)

RIGHT = {
    "counts who is inside, with a condition": """
        class Semiabierto:
            def __init__(self, permisos, exitos):
                self.condicion, self.estado = threading.Condition(), "half-open"
                self.limite, self.dentro, self.buenas, self.hacen_falta = permisos, 0, 0, exitos

            def permitir(self):
                with self.condicion:
                    if self.estado == "closed":
                        return True
                    if self.estado == "open" or self.dentro >= self.limite:
                        return False
                    self.dentro += 1
                    return True

            def registrar(self, resultado):
                with self.condicion:
                    if self.estado == "half-open":
                        self.dentro -= 1
                        if resultado == "mal":
                            self.estado = "open"
                        if resultado == "bien":
                            self.buenas += 1
                            if self.buenas == self.hacen_falta:
                                self.estado = "closed"

            def llamar(self, funcion):
                if not self.permitir():
                    raise CircuitOpenError("pagos", self.estado, 1)
                try:
                    valor = funcion()
                except BaseException as error:
                    malo = isinstance(error, Exception) and not isinstance(error, ValueError)
                    self.registrar("mal" if malo else "nada")
                    raise
                self.registrar("bien")
                return valor
        """
}

_TAKES = "with self.candado:\n            if self.estado =="
_REGISTERS = "with self.candado:\n            if self.estado !="
WRONG = {
    "one return frees all": (
        "self.permisos += 1",
        "self.permisos += 1 + (resultado == 'nada')",
        "registrar('nada'), permitir() → True, permitir() → True: se esperaba False. ¿Cuántos permisos",
    ),
    "no permit back": ("self.permisos += 1", "pass", "¿Quién devuelve el permiso?"),
    "takes without a lock": (_TAKES, _TAKES.replace("with self.candado", "if True"), "mirar si hay permiso y ocuparlo"),
    "registers without a lock": (
        _REGISTERS,
        _REGISTERS.replace("with self.candado", "if True"),
        "Un hilo se paró a medio camino",
    ),
    "calls inside the lock": (
        "valor = funcion()",
        "with self.candado:\n                valor = funcion()",
        "¿qué retiene la llamada",
    ),
    "a falsy result is a failure": (
        'resultado = "bien"',
        'resultado = "bien" if valor else "mal"',
        "llamar(no_encontrar) → 0; estado vale 'open': se esperaba 'closed'",
    ),
    "a ValueError is bad": ("except ValueError", "except KeyError", "llamar(equivocarse)"),
    "an interrupt is bad": ("except Exception", "except BaseException", "llamar(interrumpirse)"),
    "no result": ("return valor", "pass", "¿Falta un return?"),
    "a number for a bool": ("return True", "return 1", "se esperaba True. Devolvió un número."),
    "a late result decides": ('if self.estado != "half-open":\n                return', "", "¿Estaba ya decidido"),
    "registers twice": (
        "except ValueError:\n            raise",
        "except ValueError:\n            self.registrar('nada')\n            raise",
        "llamar(equivocarse)",
    ),
    "swallows": ("except ValueError:\n            raise", "except ValueError:\n            pass", "no lanzó nada"),
    "an object": ("Semiabierto = type('S', (), {'permitir': 1})()", "pasa la clase, sin crearla"),
    "no parameters": ("def __init__(self, permisos, exitos)", "def __init__(self, permisos=1)", "¿Qué parámetros tiene"),
}

test_right, test_wrong = CB7.tests(RIGHT, WRONG)
