"""ES-3: the store with an expected version, held against right and wrong answers."""

from answers import Master

ES3 = Master("ES-3")

RIGHT = {
    "a lock for each stream, made under another": """
        class Almacen:
            def __init__(self):
                self.todos, self.candado = {}, threading.Lock()

            def _flujo(self, flujo):
                with self.candado:
                    return self.todos.setdefault(flujo, ([], threading.Lock()))

            def leer(self, flujo):
                hechos, candado = self._flujo(flujo)
                with candado:
                    return hechos[:]

            def anexar(self, flujo, nuevos, version):
                hechos, candado = self._flujo(flujo)
                with candado:
                    if len(hechos) != version:
                        raise VersionConflict(flujo, version, len(hechos))
                    hechos.extend(nuevos)
                    return len(hechos)
        """,
    "one list of pairs": """
        class Almacen:
            def __init__(self):
                self._hechos, self._candado = [], threading.RLock()

            def leer(self, flujo):
                with self._candado:
                    return [hecho for otro, hecho in self._hechos if otro == flujo]

            def anexar(self, flujo, nuevos, version):
                with self._candado:
                    actual = len(self.leer(flujo))
                    if actual == version:
                        self._hechos += [(flujo, hecho) for hecho in nuevos]
                        return actual + len(nuevos)
                raise VersionConflict(stream=flujo, expected=version, actual=actual)
        """,
    "tuples that are replaced": """
        class Almacen:
            def __init__(self):
                self.candado, self.flujos = threading.Lock(), {}

            def leer(self, flujo):
                return self.flujos.get(flujo, ())

            def anexar(self, flujo, nuevos, version):
                self.candado.acquire()
                try:
                    actual = self.leer(flujo)
                    if version != len(actual):
                        raise VersionConflict(flujo, version, len(actual))
                    self.flujos[flujo] = (*actual, *nuevos)
                    return len(self.flujos[flujo])
                finally:
                    self.candado.release()
        """.replace("return self.flujos.get(flujo, ())", "return list(self.flujos.get(flujo, ()))").replace(
        "actual = self.leer(flujo)", "actual = self.flujos.get(flujo, ())"
    ),
}

WRONG = {
    "no lock": ("with self.candado:", "if True:", "¿Qué pasa entre comprobar la versión"),
    "no check": ("if version != actual:", "if False:", "¿Con qué compara tu almacén"),
    "older is a conflict, newer is not": ("version != actual", "version < actual", "¿Con qué compara"),
    "newer is a conflict, older is not": ("version != actual", "version > actual", "¿Con qué compara"),
    "another error": ("raise VersionConflict(flujo, version, actual)", "raise ValueError(flujo)", "VersionConflict"),
    "returns None": ("raise VersionConflict(flujo, version, actual)", "return None", "no lanzó nada"),
    "the versions are told in another order": (
        "VersionConflict(flujo, version, actual)",
        "VersionConflict(flujo, actual, version)",
        "¿en qué orden van?",
    ),
    "its own list is given away": ("return list(self.flujos[flujo])", "return self.flujos[flujo]", "¿De quién es la lista"),
    "keeps the caller's list": (
        "self.flujos[flujo] += nuevos",
        "self.flujos[flujo] = self.flujos[flujo] + nuevos if actual else nuevos",
        "¿De quién es la lista",
    ),
    "replaces": ("self.flujos[flujo] += nuevos", "self.flujos[flujo] = list(nuevos)", "¿"),
    "appends the list": ("self.flujos[flujo] += nuevos", "self.flujos[flujo].append(nuevos)", "¿"),
    "before the others": (
        "self.flujos[flujo] += nuevos",
        "self.flujos[flujo] = nuevos + self.flujos[flujo]",
        "¿Qué hechos son de ese flujo, y en qué orden?",
    ),
    "the version before": ("return actual + len(nuevos)", "return actual", "se esperaba 1"),
    "no version": ("return actual + len(nuevos)", "pass", "¿Falta un return?"),
    "one by one, seen half-way": (
        "self.flujos[flujo] += nuevos",
        "for uno in nuevos: self.flujos[flujo].append(uno)",
        "¿Puede alguien leer medio anexo?",
    ),
    "one stream for all": ("flujo]", "'todos']", "¿Cuántos hechos tiene ese flujo"),
    "shared by every store": (
        "def __init__(self):\n        self.flujos, self.candado = defaultdict(list), threading.Lock()",
        "flujos, candado = defaultdict(list), threading.Lock()",
        "¿",
    ),
    "an object": ("Almacen = type('A', (), {'leer': lambda self, flujo: [], 'anexar': 1})()", "pasa la clase"),
    "the exception is returned": ("raise VersionConflict", "return VersionConflict", "¿se devuelve o se lanza?"),
    "a conflict of nothing": ("raise VersionConflict(flujo, version, actual)", "raise VersionConflict", "qué tres datos"),
    "an append that is refused is kept": (
        "    if version != actual:\n                raise VersionConflict(flujo, version, actual)\n            self.flujos[flujo] += nuevos",
        "    self.flujos[flujo] += nuevos\n            if version != actual:\n"
        "                raise VersionConflict(flujo, version, actual)",
        "Antes se rechazó un anexo: ¿qué guardó?",
    ),
    "an unknown stream": ("return list(self.flujos[flujo])", "return list(dict(self.flujos)[flujo])", "un flujo desconocido"),
    "the lock twice": (
        "actual = len(self.flujos[flujo])",
        "while self.candado.locked(): time.sleep(0.01)\n            actual = len(self.flujos[flujo])",
        "¿quién tiene el candado",
    ),
    "counted when others may have appended": (
        "return actual + len(nuevos)",
        "pass\n        return len(self.flujos[flujo])",
        "¿es la de tu anexo o también la de otro?",
    ),
    "a missing method": ("def leer(", "def ver(", "a tu clase le falta: leer"),
}

test_right, test_wrong = ES3.tests(RIGHT, WRONG)
