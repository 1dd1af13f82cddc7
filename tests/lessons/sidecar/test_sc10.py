"""SC-10: the cache, held against right and wrong answers."""

from answers import Master

SC10 = Master("SC-10")

RIGHT = {
    "one function for each rule": """
        class Cache:
            def __init__(self, preguntar, reloj):
                self._preguntar, self._reloj, self._de = preguntar, reloj, {}

            def _se_guarda(self, estado, cabeceras, usuario):
                dice = set(partes(cabeceras))
                ajena = usuario is not None and "public" not in dice
                dice &= {"no-store", "private"}
                return estado == 200 and dura(cabeceras) > 0 and not ajena and not dice

            def pedir(self, ruta, usuario=None):
                hay = self._de.get(ruta)
                sirve = hay is not None and (usuario is None or "public" in partes(hay[0]))
                if sirve and self._reloj() < hay[2] + dura(hay[0]):
                    return (200, hay[1])
                etag = hay[0].get("ETag") if sirve else None
                estado, cabeceras, texto = self._preguntar(ruta, usuario, etag)
                if estado == 304 and sirve:
                    self._de[ruta] = (hay[0], hay[1], self._reloj())
                    return (200, hay[1])
                if self._se_guarda(estado, cabeceras, usuario):
                    self._de[ruta] = (cabeceras, texto, self._reloj())
                elif usuario is None or "public" in partes(cabeceras):
                    self._de.pop(ruta, None)
                return (estado, texto)
        """
}

WRONG = {
    "for ever": ('< dura(guardada["cabeceras"])', "< 10**9", "¿Se podía guardar, y seguía fresca?"),
    "a second too long": ("< dura(guardada", "<= dura(guardada", "¿Se podía guardar, y seguía fresca?"),
    "never": ("self.guardadas[ruta] = {", "_ = {", "¿Hacía falta preguntar?"),
    "no-store is kept": (' and "no-store" not in dice', "", "¿Se podía guardar"),
    "private is kept": (' and "private" not in dice', "", "¿Se podía guardar"),
    "errors are kept": ("estado == 200 and ", "", "¿Se podía guardar, y seguía fresca?"),
    "of anybody": ('if usuario and "public" not in dice:\n            return estado, texto', "", "¿De quién es la respuesta"),
    "served to anybody": ('"public" not in partes(guardada["cabeceras"])', "False", "¿De quién es la respuesta"),
    "no etag": ('guardada["cabeceras"].get("ETag") if guardada else None', "None", "qué etiqueta"),
    "needs an etag": ('.get("ETag")', '["ETag"]', "¿Qué llega de preguntar"),
    "a 304 goes to the client": (
        'return 200, guardada["texto"]\n        dice',
        "return 304, texto\n        dice",
        "¿Qué recibe el cliente?",
    ),
    "a 304 freshens nothing": ('guardada["desde"] = self.reloj()', "pass", "¿Hacía falta preguntar?"),
    "keeps what is no longer so": ("self.guardadas.pop(ruta, None)", "pass", "qué etiqueta"),
    "the user is not told": ("self.preguntar(ruta, usuario, etag)", "self.preguntar(ruta, None, etag)", "¿Qué se le pregunta"),
    "one for all paths": ("self.guardadas.get(ruta)", 'self.guardadas.get("/libro")', "¿Se podía guardar, y seguía fresca?"),
    "no class": ("Cache = 3", "se pide una clase"),
}

test_right, test_wrong = SC10.tests(RIGHT, WRONG)
