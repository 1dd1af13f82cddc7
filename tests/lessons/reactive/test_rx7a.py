"""RX-7a: the sender that holds the last items, held against right and wrong answers."""

from answers import Master

RX7A = Master("RX-7a")

RIGHT = {
    "a deque": """
        from collections import deque

        class Emisora:
            def __init__(self, maximo):
                self.cola, self.numero = deque(maxlen=maximo), 0

            def publicar(self, dato):
                self.numero += 1
                self.cola.append((self.numero, dato))
                return self.numero

            def desde(self, numero):
                return [pareja for pareja in self.cola if pareja[0] > numero or numero > self.numero]
        """,
    "a dictionary by number": """
        class Emisora:
            def __init__(self, maximo):
                self.datos, self.ultimo, self.maximo = {}, 0, maximo

            def publicar(self, dato):
                self.ultimo += 1
                self.datos[self.ultimo] = dato
                if len(self.datos) > self.maximo:
                    del self.datos[min(self.datos)]
                return self.ultimo

            def desde(self, numero):
                numero = 0 if numero > self.ultimo else numero
                return [(n, d) for n, d in self.datos.items() if n > numero]
        """,
}

WRONG = {
    "holds everything": ("[-self.maximo:]", "", "siguen guardadas"),
    "holds one less": ("[-self.maximo:]", "[-self.maximo + 1:]", "siguen guardadas"),
    "including that one": ("suyo > numero", "suyo >= numero", "¿Cuáles se publicaron después"),
    "a number of another life": ("numero = 0", "pass", "¿Se ha publicado ya ese número?"),
    "the last number is of another life": ("numero > self.ultimo", "numero >= self.ultimo", "se esperaba"),
    "without numbers": ("[(suyo, dato) for suyo", "[dato for suyo", "se esperaba"),
    "numbers from zero": (
        "self.ultimo, self.guardado = maximo, 0, []",
        "self.ultimo, self.guardado = maximo, -1, []",
        "¿Por qué número va?",
    ),
    "returns nothing": ("return self.ultimo", "pass", "publicar"),
    "counts what is held": ("return self.ultimo", "return len(self.guardado)", "¿Por qué número va?"),
    "newest first": ("for suyo, dato in self.guardado", "for suyo, dato in reversed(self.guardado)", "se esperaba"),
    "no empty data": ("if suyo > numero]", "if suyo > numero and dato]", "tras publicar None"),
    "hands its own list out": (
        "return [(suyo, dato) for suyo, dato in self.guardado if suyo > numero]",
        "return self.guardado if numero == 0 else [p for p in self.guardado if p[0] > numero]",
        "quien vacía la lista",
    ),
    "keeps the old ones elsewhere": (
        "self.ultimo += 1",
        "self.ultimo += 1\n        self.todo = [*getattr(self, 'todo', []), dato]",
        "siguen en memoria",
    ),
}

test_right, test_wrong = RX7A.tests(RIGHT, WRONG)
