"""BH-9: a bulkhead and a breaker for each name."""

from answers import Master

BH9 = Master(
    "BH-9",
    same={
        "return (breaker, Bulkhead(permisos, name=nombre)) → return (breaker, Bulkhead(permisos))": "the name is for who reads the error"
    },
)
RIGHT = {
    "a lock and decorators": """
        def crear_proteccion(permisos, fallos, espera, reloj):
            candado, todo = threading.Lock(), {}
            def llamar(nombre, funcion):
                with candado:
                    if nombre not in todo:
                        corta = CircuitBreaker(nombre, fail_threshold=fallos, reset_timeout=espera, clock=reloj, ignore=(BulkheadFullError,))
                        todo[nombre] = (corta, Bulkhead(permisos))
                    corta, sitio = todo[nombre]
                def dentro():
                    with sitio:
                        return funcion()
                return corta.call(dentro)
            return llamar
        """
}
_IF = "if nombre not in protecciones:\n            protecciones.setdefault(nombre, nueva(nombre))\n"
WRONG = {
    "full is a failure": (", ignore=BulkheadFullError", "", "¿Qué cuenta como fallo"),
    "the bulkhead outside": (
        "breaker.call(compartimento.call, funcion)",
        "compartimento.call(breaker.call, funcion)",
        "¿cuál de los dos va por fuera?",
    ),
    "one for all names": (
        "protecciones.setdefault(nombre, nueva(nombre))",
        "protecciones.setdefault(nombre, next(iter(protecciones.values()), None) or nueva(nombre))",
        "¿qué comparten?",
    ),
    "new each time": (
        "if nombre not in protecciones:\n            protecciones.setdefault(nombre, nueva(nombre))",
        "protecciones[nombre] = nueva(nombre)",
        "",
    ),
    "made twice": (
        "protecciones.setdefault(nombre, nueva(nombre))",
        "protecciones[nombre] = nueva(nombre)",
        "que dos hilos estrenan a la vez",
    ),
    "other failures": ("fail_threshold=fallos", "fail_threshold=3", ""),
    "one too many": ("fail_threshold=fallos", "fail_threshold=fallos + 1", "con cuántos fallos se abre"),
    "another wait": ("reset_timeout=espera", "reset_timeout=25", "pasan(7)"),
    "the wall clock": (", clock=reloj", "", "¿Cuánto dura la espera"),
    "one permit": ("Bulkhead(permisos", "Bulkhead(1", "con cuántos permisos"),
    "ignores all": ("ignore=BulkheadFullError", "ignore=Exception", "con cuántos fallos se abre"),
    "ignores lookups": ("ignore=BulkheadFullError", "ignore=(BulkheadFullError, LookupError)", "vacio"),
    "no bulkhead": ("breaker.call(compartimento.call, funcion)", "breaker.call(funcion)", "¿Es el mismo compartimento"),
    "no breaker": ("breaker.call(compartimento.call, funcion)", "compartimento.call(funcion)", "CircuitOpenError"),
    "no result": ("return breaker.call", "breaker.call", "¿Falta un return?"),
    "returns none": ("return llamar\n", "pass\n", "¿Falta el return?"),
}
WRONG["a lock that lets itself in"] = (
    RIGHT["a lock and decorators"]
    .replace("threading.Lock()", "threading.RLock()")
    .replace(
        "                return corta.call(dentro)",
        "                with candado:\n                    return corta.call(dentro)",
    ),
    "¿qué candado la detiene?",
)
WRONG["one bulkhead for all names"] = (
    BH9.source.replace("protecciones = {}", "protecciones, uno = {}, Bulkhead(permisos)").replace(
        "Bulkhead(permisos, name=nombre)", "uno"
    ),
    "¿qué comparten?",
)
test_right, test_wrong = BH9.tests(RIGHT, WRONG)
