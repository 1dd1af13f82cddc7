"""SD-5: leases."""

from answers import Master

SD5 = Master("SD-5")
RIGHT = {
    "two dictionaries": """
        class Arriendos:
            def __init__(self, ttl, reloj):
                self.duracion, self.ahora, self.desde = ttl, reloj, {}
            def registrar(self, url):
                self.desde[url] = self.ahora()
            def _limpiar(self):
                self.desde = {u: t for u, t in self.desde.items() if self.ahora() - t < self.duracion}
            def renovar(self, url):
                self._limpiar()
                if url in self.desde:
                    self.registrar(url)
                    return True
                return False
            def vivas(self):
                self._limpiar()
                return tuple(self.desde)
        """,
    "the last registered comes last": SD5.changed(
        "def registrar(self, url):\n        ", "def registrar(self, url):\n        self.vence.pop(url, None)\n        "
    ),
}
WRONG = {
    "its end included": ("ahora < fin", "ahora <= fin", "se esperaba False. ¿Estaba"),
    "revives": ("if url not in self.vivas()", "if url not in self.vence", "renovar('a') → True: se esperaba False. ¿Estaba"),
    "registers the unknown": ("return False\n", "pass\n", "¿Estaba, y su arriendo seguía en vigor?"),
    "renews nothing": ("return False\n        self.vence[url] = self.reloj() + self.ttl", "return False", "renovar('a')"),
    "adds up": (
        "return False\n        self.vence[url] = self.reloj() + self.ttl",
        "return False\n        self.vence[url] += self.ttl",
        "renovar('a')",
    ),
    "no second registration": (
        "def registrar(self, url):\n        ",
        "def registrar(self, url):\n        if url in self.vivas(): return\n        ",
        "¿desde cuándo lo cuentas",
    ),
    "thirty": ("self.reloj() + self.ttl\n\n", "self.reloj() + 30\n\n", "¿Usas el ttl que te dieron?"),
    "the clock not called": ("ahora = self.reloj()", "ahora = self.reloj", "lanzó TypeError"),
    "the wall clock": ("ahora = self.reloj()", "import time; ahora = time.time()", "se esperaba"),
    "a dict": (
        "[url for url, fin in self.vence.items() if ahora < fin]",
        "{url: fin for url, fin in self.vence.items() if ahora < fin}",
        "se esperaba []. Devolvió un diccionario",
    ),
    "reading renews": (
        "ahora = self.reloj()",
        "ahora = self.reloj()\n        self.vence = {u: ahora + self.ttl for u, f in self.vence.items() if ahora < f}",
        "",
    ),
    "shared": ("self.vence = {}", "self.vence = globals().setdefault('todos', {})", "renovar"),
    "no return": ("return [url for", "[url for", "NoneType"),
}
test_right, test_wrong = SD5.tests(RIGHT, WRONG)
