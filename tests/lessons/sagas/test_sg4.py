"""SG-4: once under a key, held against right and wrong answers."""

from answers import Master

SG4 = Master("SG-4")

RIGHT = {
    "one dictionary of states": """
        class UnaVez:
            def __init__(self):
                self.claves, self.candado = {}, threading.Lock()

            def hacer(self, clave, trabajo):
                with self.candado:
                    estado, valor = self.claves.get(clave, ("nueva", None))
                    if estado == "cerrada":
                        raise Refused(clave)
                    if estado == "nueva":
                        valor = trabajo()
                        self.claves[clave] = ("hecha", valor)
                    return valor

            def deshacer(self, clave, trabajo):
                with self.candado:
                    estado, valor = self.claves.get(clave, ("nueva", None))
                    if estado == "cerrada":
                        return valor
                    if estado == "hecha":
                        trabajo()
                    self.claves[clave] = ("cerrada", estado == "hecha")
                    return estado == "hecha"
        """,
    "a lock for each key": """
        from collections import defaultdict

        class UnaVez:
            def __init__(self):
                self.uno, self.candados = threading.Lock(), {}
                self.respuestas, self.cerradas = {}, {}

            def de(self, clave):
                with self.uno:
                    return self.candados.setdefault(clave, threading.Lock())

            def hacer(self, clave, trabajo):
                with self.de(clave):
                    if clave in self.cerradas:
                        raise Refused("tarde")
                    try:
                        return self.respuestas[clave]
                    except KeyError:
                        pass
                    self.respuestas[clave] = respuesta = trabajo()
                    return respuesta

            def deshacer(self, clave, trabajo):
                with self.de(clave):
                    if clave in self.cerradas:
                        return self.cerradas[clave]
                    habia = clave in self.respuestas
                    if habia:
                        trabajo()
                    self.cerradas[clave] = habia
                    return habia
        """,
}

WRONG = {
    "works each time": ("if clave not in self.hecho:", "if True:", "¿Qué contesta la segunda vez"),
    "no answer the second time": (
        "self.hecho[clave] = trabajo()\n            return self.hecho[clave]",
        "self.hecho[clave] = trabajo()\n                return self.hecho[clave]",
        "¿Qué contesta la segunda vez",
    ),
    "late is done": ("raise Refused", "print", "después de su compensación"),
    "another error": ("raise Refused(", "raise KeyError(", "después de su compensación"),
    "nothing closes": (
        "self.deshecho[clave] = clave in self.hecho\n            return self.deshecho[clave]",
        "return clave in self.hecho\n            return True",
        "después de su compensación",
    ),
    "undoes what was never done": ("if clave in self.hecho:", "if True:", "¿Había algo que deshacer?"),
    "undoes each time": ("if clave not in self.deshecho:", "if True:", "¿Cuántas veces se deshace"),
    "True for nothing": ("self.deshecho[clave] = clave in self.hecho", "self.deshecho[clave] = True", "Había algo"),
    "a failure counts as done": (
        "self.hecho[clave] = trabajo()",
        "self.hecho[clave] = None\n                self.hecho[clave] = trabajo()",
        "si el trabajo no termina bien",
    ),
    "swallows": (
        "self.hecho[clave] = trabajo()",
        "from contextlib import suppress\n                self.hecho[clave] = None\n"
        "                with suppress(Exception):\n                    self.hecho[clave] = trabajo()",
        "no lanzó nada",
    ),
    "closed although the undoing failed": (
        "if clave in self.hecho:\n                    trabajo()",
        "self.deshecho[clave] = clave in self.hecho\n                if clave in self.hecho:\n                    trabajo()",
        "si el trabajo no termina bien",
    ),
    "None is nothing": ("if clave not in self.hecho:", "if self.hecho.get(clave) is None:", "no devolver nada"),
    "one memory for all objects": (
        "def __init__(self):\n",
        "hecho, deshecho, candado = {}, {}, threading.RLock()\n    def __init__(self):\n        return\n",
        "¿qué comparten dos?",
    ),
    "does without a lock": (
        "with self.candado:\n            if clave in self.deshecho:",
        "if True:\n            if clave in self.deshecho:",
        "mirar si está hecho y hacerlo",
    ),
    "undoes without a lock": (
        "with self.candado:\n            if clave not in self.deshecho:",
        "if True:\n            if clave not in self.deshecho:",
        "mirar si está deshecho",
    ),
    "no return": ("            return self.hecho[clave]\n", "", "¿falta un return?"),
    "the lock is kept by who fails": (
        "with self.candado:\n            if clave in self.deshecho:\n                raise",
        "self.candado.acquire()\n        if True:\n            if clave in self.deshecho:\n                raise",
        "¿quién suelta el candado",
    ),
    "a number": ("UnaVez = 3", "se pide una clase"),
}

test_right, test_wrong = SG4.tests(RIGHT, WRONG)
