"""SC-9: the entrance, held against right and wrong answers."""

from answers import Master

SC9 = Master("SC-9")

RIGHT = {
    "a deque that turns": """
        from collections import deque

        class Entrada:
            def __init__(self, tokens, instancias, preguntar):
                self._quienes = {f"Bearer {token}": usuario for token, usuario in tokens.items()}
                self._cola, self._preguntar, self._cerrojo = deque(instancias), preguntar, threading.Lock()

            def _siguiente(self):
                with self._cerrojo:
                    self._cola.rotate(-1)
                    return self._cola[-1]

            def atender(self, cabeceras, ruta):
                usuario = self._quienes.get(cabeceras.get("Authorization"))
                if not usuario:
                    return [401, "no"]
                for _ in range(len(self._cola)):
                    try:
                        return self._preguntar(self._siguiente(), ruta, usuario)
                    except ConnectionError:
                        continue
                return (502, "no")
        """
}

_TURN = "with self.candado:\n                instancia"
WRONG = {
    "anybody": ('if esquema != "Bearer" or usuario is None', "if usuario is None and token", "¿Quién ha entrado"),
    "any scheme": ('esquema != "Bearer" or usuario is None', "usuario is None", "¿Quién ha entrado sin un token conocido?"),
    "a space too many": ("self.tokens.get(token)", "self.tokens.get(token.strip())", "¿Quién ha entrado sin"),
    "any exception is silence": (
        "except ConnectionError",
        "except Exception",
        "¿Qué excepción dice que una instancia no contesta?",
    ),
    "contains": ("self.tokens.get(token)", 'self.tokens.get(token.split(" ")[0])', "¿Quién ha entrado sin"),
    "needs the header": ('cabeceras.get("Authorization", "")', 'cabeceras["Authorization"]', "KeyError"),
    "403": ("return 401", "return 403", "¿Quién ha entrado"),
    "the token goes on": ("ruta, usuario)", "ruta, token)", "se le pregunta"),
    "always the first": ("self.turno += 1", "pass", "¿De quién era el turno"),
    "begins at the second": ("self.turno, self.candado = 0", "self.turno, self.candado = 1", "¿De quién era el turno"),
    "does not go on": ("except ConnectionError", "except KeyError", "¿Qué llega al cliente cuando algo falla detrás?"),
    "gives up": (
        "            except ConnectionError:\n                pass",
        "            except ConnectionError:\n                break",
        "¿Quedaba otra instancia",
    ),
    "503": ("return 502", "return 503", "¿Qué recibe el cliente?"),
    "no lock": (_TURN, _TURN.replace("with self.candado", "if True"), "Un hilo se paró a medio camino"),
    "only well": (
        "return self.preguntar(instancia, ruta, usuario)",
        "if (r := self.preguntar(instancia, ruta, usuario))[0] == 200: return r",
        "¿Cuántas veces se pregunta a cada una",
    ),
    "no class": ("Entrada = 3", "se pide una clase"),
}

test_right, test_wrong = SC9.tests(RIGHT, WRONG)
