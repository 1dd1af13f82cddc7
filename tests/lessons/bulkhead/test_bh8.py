"""BH-8: measure and adapt."""

from answers import Master

BH8 = Master("BH-8")
RIGHT = {
    "the worst so far": """
        class Vigilante:
            def __init__(self, bulkhead, objetivo, minimo, maximo, carga, reloj):
                self.b, self.objetivo, self.entre, self.carga, self.reloj = bulkhead, objetivo, (minimo, maximo), carga, reloj
                self.peor, self.candado = None, threading.Lock()
            def llamar(self, funcion, *args):
                with self.b:
                    antes = self.reloj()
                    try:
                        return funcion(*args)
                    finally:
                        with self.candado:
                            self.peor = max(self.peor or 0, self.reloj() - antes)
            def ajustar(self):
                with self.candado:
                    peor, self.peor = self.peor, None
                nuevo = self.b.limit
                if self.carga() >= 0.9 or (peor is not None and peor > self.objetivo):
                    nuevo = nuevo // 2
                elif peor is not None:
                    nuevo += 1
                self.b.limit = sorted((self.entre[0], nuevo, self.entre[1]))[1]
                return self.b.limit
        """
}
_ANY = "any(segundos > self.objetivo for segundos in medidas)"
WRONG = {
    "the goal included": ("segundos > self", "segundos >= self", "tarda, 0.5"),
    "the sum": (_ANY, "sum(medidas) > self.objetivo", "vigilante.ajustar()"),
    "the last": (_ANY, "(medidas and medidas[-1] > self.objetivo)", "vigilante.ajustar()"),
    "the mean": (_ANY, "(medidas and sum(medidas) / len(medidas) > self.objetivo)", "vigilante.ajustar()"),
    "never forgets": ("medidas, self.medidas = self.medidas, []", "medidas = self.medidas", "¿Qué regla toca"),
    "no load": ("self.carga() >= 0.9 or ", "", "carga_de(0.9)"),
    "0.9 left out": ("self.carga() >= 0.9", "self.carga() > 0.9", "carga_de(0.9)"),
    "halves and adds": ("elif medidas:", "if medidas:", "¿Qué regla toca, cuántas veces se aplica"),
    "halves for each": (
        "            limite //= 2",
        "            limite //= 2 ** max(1, sum(s > self.objetivo for s in medidas))",
        "¿Qué regla toca",
    ),
    "rounded": ("limite //= 2", "limite = round(limite / 2)", "se esperaba 3"),
    "grows unmeasured": ("elif medidas:", "else:", "se esperaba 5"),
    "no minimum": ("max(self.minimo, min(limite, self.maximo))", "max(1, min(limite, self.maximo))", "se esperaba 3"),
    "no maximum": ("max(self.minimo, min(limite, self.maximo))", "max(self.minimo, limite)", "se esperaba 6"),
    "a limit of its own": ("self.bulkhead.limit = max", "self.limite = max", ""),
    "failures unmeasured": (
        "try:\n                return funcion(*args)\n            finally:\n                self.medidas",
        "if True:\n                valor = funcion(*args)\n                self.medidas",
        "tarda, 0.1) → None",
    ),
    "swallows": (
        "            finally:\n",
        "            except Exception:\n                pass\n            finally:\n",
        "no lanzó nada",
    ),
    "one start for all": ("empieza = self.reloj()", "self.empieza = self.reloj()", ""),
    "measures the wait": (
        "return self.bulkhead.call(medida)",
        "empieza = self.reloj()\n        try:\n            return self.bulkhead.call(funcion, *args)\n        finally:\n            self.medidas.append(self.reloj() - empieza)",
        "¿qué mides?",
    ),
    "no arguments": ("return funcion(*args)", "return funcion(args[0])", "'a', 'b'"),
    "no bulkhead": ("return self.bulkhead.call(medida)", "return medida()", "¿pasa por bulkhead?"),
    "no return": ("return self.bulkhead.limit", "pass", "¿Falta un return?"),
}
WRONG["one start for all"] = (
    BH8.source.replace("empieza = self.reloj()", "self.empieza = self.reloj()").replace("- empieza", "- self.empieza"),
    "con_otra_dentro",
)
test_right, test_wrong = BH8.tests(RIGHT, WRONG)
