"""EG-10a: a limit in every window, held against right and wrong answers."""

from answers import Master

EG10A = Master("EG-10a")

RIGHT = {
    "a deque, the last times only": """
        from collections import defaultdict, deque

        class Limite:
            def __init__(self, maximo, segundos, reloj):
                self.segundos, self.reloj, self.cerrojo = segundos, reloj, threading.Lock()
                self.ultimas = defaultdict(lambda: deque(maxlen=maximo))
                self.maximo = maximo

            def permitir(self, cliente):
                with self.cerrojo:
                    ahora, ultimas = self.reloj(), self.ultimas[cliente]
                    if len(ultimas) == self.maximo and ultimas[0] + self.segundos > ahora:
                        return ultimas[0] + self.segundos - ahora
                    ultimas.append(ahora)
                    return 0.0
        """
}

WRONG = {
    "by windows of the clock": ("ahora - t < self.segundos", "ahora // self.segundos == t // self.segundos", "ventana"),
    "a window that begins with the first": ("[t for t in self.pasaron.get(cliente, []) if ahora - t < self.segundos]", "self.pasaron.get(cliente, [])\n            recientes = recientes if recientes and ahora - recientes[0] < self.segundos else []", "¿Cuántas pasaron en la última ventana?"),
    "whole seconds": ("ahora = self.reloj()", "ahora = round(self.reloj())", "se esperaba"),
    "one account for all": ("self.pasaron.get(cliente, [])", "sum(self.pasaron.values(), [])", "¿Tiene cada cliente su cuenta?"),
    "one more": ("len(recientes) >= self.maximo", "len(recientes) > self.maximo", "¿Cuántas pasaron en la última ventana?"),
    "a moment too long": ("ahora - t < self.segundos", "ahora - t <= self.segundos", "se esperaba"),
    "the refused count": ("                return recientes[0] +", "                recientes.append(ahora)\n                return recientes[0] +", "se esperaba"),
    "a bool": ("return 0", "return True", "Se pide cuántos segundos faltan."),
    "the whole window": ("return recientes[0] + self.segundos - ahora", "return self.segundos", "¿Cuánto falta"),
    "since the last": ("return recientes[0]", "return recientes[-1]", "¿Cuánto falta"),
    "nothing is noted": ("recientes.append(ahora)\n", "pass\n", "¿Cuántas pasaron"),
    "its own clock": ("self.reloj()", "time.monotonic()", "se esperaba"),
    "without a lock": ("with self.candado:", "if True:", "¿Qué pasa entre contar y anotar?"),
    "no return": ("            return 0", "            pass", "¿Falta un return?"),
}  # fmt: skip

test_right, test_wrong = EG10A.tests(RIGHT, WRONG)
