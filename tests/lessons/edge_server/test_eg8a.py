"""EG-8a: routes read again, held against right and wrong answers."""

from answers import Master

EG8A = Master(
    "EG-8a",
    same={
        "leida = json.loads(self.archivo.read_text(encoding='utf-8')) → leida = json.loads(self.archivo.read_text())": "the encoding is that of the tests' machines anyway",
        'return self.tabla[max(encajan, key=len)] if encajan else None → return self.tabla[max(encajan)] if encajan else None': 'of two prefixes of one path the longer one is also the greater text',
    },
)  # fmt: skip

RIGHT = {
    "only when the file is of another moment": """
        class Rutas:
            def __init__(self, archivo):
                self.archivo, self.tabla, self.vista = archivo, {}, None

            def destino(self, camino):
                try:
                    cuando = os.stat(self.archivo).st_mtime_ns
                    if cuando != self.vista:
                        with open(self.archivo, encoding="utf-8") as f:
                            nueva = json.load(f)
                        if type(nueva) is dict:
                            self.tabla = nueva
                        self.vista = cuando
                except (FileNotFoundError, json.JSONDecodeError):
                    pass
                while camino:
                    if camino in self.tabla:
                        return self.tabla[camino]
                    camino = camino.rpartition("/")[0]
                return None

        import os
        """,
    "read when it is made, too": """
        class Rutas:
            def __init__(self, archivo):
                self.archivo, self.tabla = Path(archivo), {}
                self.leer()

            def leer(self):
                try:
                    nueva = json.loads(self.archivo.read_bytes())
                    self.tabla = nueva if isinstance(nueva, dict) else self.tabla
                except Exception:
                    pass

            def destino(self, camino):
                self.leer()
                for prefijo in sorted(self.tabla, key=len, reverse=True):
                    if camino == prefijo or camino.startswith(prefijo + "/"):
                        return self.tabla[prefijo]
        """,
}

_READ = "            leida = json"
_UNLESS = """            vista, self.vista = getattr(self, "vista", 0), self.archivo.stat().{}
            if self.vista {} vista: raise OSError
            leida = json"""

WRONG = {
    "read once": (
        "        self.tabla = {}\n", "        self.tabla = json.loads(self.archivo.read_text()) if self.archivo.exists() else {}\n        self.archivo = Path('no')\n",
        "¿Cuándo lees el archivo",
    ),
    "withdrawn routes live on": ("self.tabla = leida", "self.tabla.update(leida)", "¿Qué queda de la tabla anterior?"),
    "an empty table is none": ("if isinstance(leida, dict)", "if isinstance(leida, dict) and leida", "¿Es `{}` un objeto JSON?"),
    "a change is another size": (_READ, _UNLESS.format("st_size", "=="), "y en qué notas que ha cambiado"),
    "a change is a later moment": (_READ, _UNLESS.format("st_mtime_ns", "<="), "y en qué notas que ha cambiado"),
    "a change is another second": (_READ, _UNLESS.format("st_mtime // 1", "=="), "y en qué notas que ha cambiado"),
    "the first prefix": ("self.tabla[max(encajan, key=len)]", "self.tabla[encajan[0]]", "cuál es el más largo"),
    "by letters": ("f\"{camino}/\".startswith(f\"{prefijo}/\")", "camino.startswith(prefijo)", "/librosviejos"),
    "the prefix itself does not fit": ("f\"{camino}/\"", "camino", "destino('/libros')"),
    "a half file raises": ("ValueError", "KeyError", "JSONDecodeError"),
    "no file raises": ("(OSError, ValueError)", "ValueError", "FileNotFoundError"),
    "a half file is no route": ("            pass", "            self.tabla = {}", "¿Qué"),
    "a list is taken": ("if isinstance(leida, dict)", "if leida", "se esperaba"),
    "raises for none": (" if encajan else None", "", "se esperaba None"),
    "the prefix": ("return self.tabla[max(encajan, key=len)]", "return max(encajan, key=len)", "se esperaba 'http://a'"),
}  # fmt: skip

test_right, test_wrong = EG8A.tests(RIGHT, WRONG)
