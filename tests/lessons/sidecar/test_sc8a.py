"""SC-8a: the fault every so many requests, held against right and wrong answers."""

from answers import Master

SC8A = Master("SC-8a")

RIGHT = {
    "a counter of itertools under a lock": """
        class Averia:
            def __init__(self, cada):
                self._cada, self._restan, self.peticiones = cada, cada, 0
                self._cerrojo = threading.RLock()

            def toca(self):
                with self._cerrojo:
                    self.peticiones += 1
                    self._restan -= 1
                    if self._restan:
                        return False
                    self._restan = self._cada
                    return True
        """
}

WRONG = {
    "without a lock": ("with self.candado", "if True", "Un hilo se paró a medio camino"),
    "the first fails": ("self.peticiones % self.cada == 0", "self.peticiones % self.cada == 1", "¿Cuál es la primera"),
    "once": ("self.peticiones % self.cada == 0", "self.peticiones == self.cada", "¿Cuál es la primera"),
    "all after": ("self.peticiones % self.cada == 0", "self.peticiones >= self.cada", "¿Cuál es la primera"),
    "the failed one does not count": (
        "return self.peticiones % self.cada == 0",
        "toca = self.peticiones % self.cada == 0; self.peticiones -= toca; return toca",
        "¿Cuenta todas, también la que falla?",
    ),
    "a number": ("return self.peticiones % self.cada == 0", "return int(self.peticiones % self.cada == 0)", "Devolvió un número"),
    "reads outside": (
        "            self.peticiones += 1\n            return self.peticiones % self.cada == 0",
        "            self.peticiones += 1\n        return self.peticiones % self.cada == 0",
        "Un hilo se paró a medio camino",
    ),
    "no class": ("Averia = 3", "se pide una clase"),
}
test_right, test_wrong = SC8A.tests(RIGHT, WRONG)
