"""SD-6: a client that survives."""

from answers import Master

SD6 = Master(
    "SD-6",
    same={
        "self.turno += 1 → self.turno -= 1": "turns, the other way round",
        "self.turno = 0 → self.turno = 1": "who is first is nobody's business",
        "url = self.urls[(self.turno + paso) % len(self.urls)] → url = self.urls[(self.turno - paso) % len(self.urls)]": "all are tried, in another order",
    },
)
RIGHT = {
    "cycle and a session": """
        class Cliente:
            def __init__(self, registro):
                self.registro, self.sesion, self.urls, self.n = registro, requests.Session(), [], 0
            def _lista(self):
                try:
                    r = self.sesion.get(f"{self.registro}/instancias/envios", timeout=1)
                    if r.status_code == 200:
                        self.urls = r.json()["urls"]
                except requests.RequestException:
                    pass
                return list(self.urls)
            def pedir(self, ruta):
                urls = self._lista()
                if not urls:
                    raise ConnectionError("sin lista")
                inicio = self.n % len(urls)
                self.n += 1
                for url in urls[inicio:] + urls[:inicio]:
                    try:
                        return self.sesion.get(f"{url}{ruta}", timeout=1)
                    except requests.RequestException:
                        pass
                raise requests.ConnectionError("nadie")
        """,
    "rotates a list of its own": """
        class Cliente:
            def __init__(self, registro):
                self.registro, self.turnos = registro, []
            def pedir(self, ruta):
                try:
                    r = requests.get(self.registro + "/instancias/envios", timeout=1)
                    r.raise_for_status()
                    nuevas = r.json()["urls"]
                    self.turnos = [u for u in self.turnos if u in nuevas] + [u for u in nuevas if u not in self.turnos]
                except requests.RequestException:
                    pass
                for _ in range(len(self.turnos)):
                    url = self.turnos.pop(0)
                    self.turnos.append(url)
                    try:
                        return requests.get(url + ruta, timeout=1)
                    except requests.RequestException:
                        continue
                raise ConnectionError
        """,
}
_INSTANCE = "requests.get(url + ruta, timeout=1)"
_LIST = '"{self.registro}/instancias/envios", timeout=1'
WRONG = {
    "always the first": ("self.turno += 1", "pass", "se repartieron [12]"),
    "no status": ("respuesta.raise_for_status()", "pass", "lanzó KeyError"),
    "a list for ever": (
        "        try:\n            respuesta",
        "        try:\n            if self.urls: raise requests.ConnectionError\n            respuesta",
        "preguntaste [1] veces",
    ),
    "asks twice": (
        "respuesta.raise_for_status()",
        "respuesta.raise_for_status(); requests.get(respuesta.url)",
        "24] veces al registro",
    ),
    "another list": ("/instancias/envios", "/buscar/envios", "¿en qué ruta contesta el registro"),
    "posts": (_INSTANCE, _INSTANCE.replace("get", "post"), "la respuesta es 405"),
    "Python's own": (
        "except requests.RequestException:\n                c",
        "except ConnectionError:\n                c",
        "lanzó requests.C",
    ),
    "no path": (_INSTANCE, 'requests.get(url + "/stock/42", timeout=1)', "se pidieron /stock/0 a /stock/11"),
    "no last list": (
        "except requests.RequestException:\n            pass",
        "except requests.RequestException:\n            self.urls = []",
        "",
    ),
    "registry without try": (
        "except requests.RequestException:\n            pass",
        "except ZeroDivisionError:\n            pass",
        "tu código lanzó",
    ),
    "gives up": (
        "except requests.RequestException:\n                continue",
        "except requests.RequestException:\n                break",
        "",
    ),
    "two tries": ("range(len(self.urls))", "range(min(2, len(self.urls)))", "ConnectionError"),
    "twice each": ("range(len(self.urls))", "range(2 * len(self.urls))", "cada una, una vez"),
    "forgets the dead": (
        "                continue",
        "                self.urls = [u for u in self.urls if u != url]\n                break",
        "",
    ),
    "another on an error": (
        f"return {_INSTANCE}",
        f"r = {_INSTANCE}\n                r.raise_for_status()\n                return r",
        "un error también es una respuesta",
    ),
    "another on a 4xx": (
        f"return {_INSTANCE}",
        f"r = {_INSTANCE}\n                if 400 <= r.status_code < 500: raise requests.HTTPError\n                return r",
        "un error también es una respuesta",
    ),
    "the last error": (
        'raise ConnectionError("ninguna instancia contesta")',
        "raise requests.ReadTimeout",
        "se pide ConnectionError",
    ),
    "nothing": ('raise ConnectionError("ninguna instancia contesta")', "return None", "se pide ConnectionError"),
    "no limit": (_INSTANCE, "requests.get(url + ruta)", "¿lleva esa petición un tiempo límite"),
    "2 s": (_INSTANCE, _INSTANCE.replace("1)", "2)"), "¿lleva esa petición un tiempo límite"),
    "half a second": (_INSTANCE, _INSTANCE.replace("1)", "0.5)"), "no la esperaste"),
    "registry: no limit": (_LIST, _LIST.replace(", timeout=1", ""), "el registro tardó 1.4 s"),
    "registry: half a second": (_LIST, _LIST.replace("=1", "=0.5"), "el registro tardó 0.7 s"),
    "a text": (f"return {_INSTANCE}", f"return {_INSTANCE}.text", "se pide la respuesta de requests"),
}
test_right, test_wrong = SD6.tests(RIGHT, WRONG)
