"""CB-5: a service that recovers, and a breaker that notices."""

from answers import Master

CB5A = Master("CB-5a")
RIGHT_A = {
    "an iterator": """
        def servicio_que_se_recupera(fallos):
            turnos = iter([True] * fallos)
            candado = threading.Lock()
            def servicio():
                with candado:
                    mal = next(turnos, False)
                if mal:
                    raise ConnectionRefusedError("todavía no")
                return "cobrado"
            return servicio
        """,
    "an object that is called": """
        class servicio_que_se_recupera:
            def __init__(self, fallos):
                self.permisos = threading.Semaphore(fallos)
            def __call__(self):
                if self.permisos.acquire(blocking=False):
                    raise ConnectionError
                return "cobrado"
        """,
    "a list that shrinks": """
        def servicio_que_se_recupera(fallos):
            quedan = [1] * fallos
            def servicio():
                try:
                    quedan.pop()
                except IndexError:
                    return "cobrado"
                raise ConnectionError
            return servicio
        """,
}
WRONG_A = {
    "no lock": ("with candado:", "if True:", "Uno detrás de otro no sale así"),
    "compares after the lock": (
        "falla = quedan > 0\n            quedan -= falla",
        "quedan -= 1\n        falla = quedan >= 0",
        "no sale así",
    ),
    "one too many": ("quedan > 0", "quedan >= 0", "¿Cuándo deja de fallar"),
    "never fails": ("quedan > 0", "False", "se esperaba ConnectionError"),
    "always three": ("threading.Lock(), fallos", "threading.Lock(), 3", "servicio_que_se_recupera(0)"),
    "no raise": (
        "raise ConnectionError",
        "return ConnectionError",
        "se esperaba ConnectionError. Devolvió una excepción: ¿se devuelve o se lanza?",
    ),
    "of requests": ("raise ConnectionError", "raise requests.ConnectionError", "Es el error de requests"),
    "another error": ("raise ConnectionError", "raise RuntimeError", "¿Qué error se pide?"),
    "calls it itself": ("return servicio\n", "return servicio()\n", ""),
    "a coroutine": ("def servicio_que", "async def servicio_que", "es una corrutina"),
    "no return": ("return servicio\n", "pass\n", "¿falta el return?"),
    "another word": ('"cobrado"', '"bien"', "se esperaba 'cobrado'"),
    "shared": (
        "candado, quedan = threading.Lock(), fallos\n\n    def servicio():\n        nonlocal quedan",
        "candado = threading.Lock()\n    global quedan\n    quedan = globals().setdefault('quedan', fallos)\n\n    def servicio():\n        global quedan",
        "",
    ),
}
test_right_a, test_wrong_a = CB5A.tests(RIGHT_A, WRONG_A)

CB5B = Master(
    "CB-5b",
    same={
        "breaker = CircuitBreaker('pagos', fail_threshold=3, reset_timeout=10, clock=reloj) → breaker = CircuitBreaker('pagos', reset_timeout=10, clock=reloj)": "three is the default",
        "breaker = CircuitBreaker('pagos', fail_threshold=3, reset_timeout=10, clock=reloj) → breaker = CircuitBreaker('pagos', fail_threshold=3, clock=reloj)": "ten is the default",
        "reloj.advance(10) → reloj.advance(11)": "a second more than the wait is as good",
    },
)
RIGHT_B = {
    "a listener": """
        def historia(fallos):
            reloj, estados = labkit.ManualClock(), ["closed"]
            breaker = CircuitBreaker(fail_threshold=3, reset_timeout=10, clock=reloj)
            breaker.add_listener(lambda s: estados.append(s.state) if hasattr(s, "previous") else None)
            servicio, bien = servicio_que_se_recupera(fallos), False
            while not bien:
                try:
                    bien = breaker.call(servicio) == "cobrado"
                except (ConnectionError, CircuitOpenError):
                    pass
                reloj.advance(10)
            return tuple(estados)
        """
}
WRONG_B = {
    "another threshold": ("fail_threshold=3", "fail_threshold=5", "¿Cuántas llamadas fallan ahí, con qué umbral"),
    "another wait": ("reset_timeout=10", "reset_timeout=30", "¿Cuánto espera"),
    "half the time": ("reloj.advance(10)", "reloj.advance(5)", "¿Cuánto espera"),
    "no clock": (", clock=reloj", "", "¿adelantas el reloj después de cada llamada, y es el reloj de tu circuito?"),
    "the changes": ("[cambio.state for cambio in breaker.changes]", "breaker.changes", "no el cambio entero"),
    "only the last": ("for cambio in breaker.changes]", "for cambio in breaker.changes[-1:]]", ""),
    "without the first": ("for cambio in breaker.changes]", "for cambio in breaker.changes[1:]]", "¿Con qué estado empieza"),
    "a formula": (
        "def historia(fallos):\n    return ['closed'] + ['open', 'half-open'] * max(0, fallos - 2) + ['closed'] * (fallos > 2)",
        "no creó ningún CircuitBreaker",
    ),
    "seen between calls": (
        """
        def historia(fallos):
            reloj, servicio, estados = labkit.ManualClock(), servicio_que_se_recupera(fallos), ["closed"]
            breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10, clock=reloj)
            while intentar(breaker.call, servicio) != "cobrado":
                if breaker.state != estados[-1]:
                    estados.append(breaker.state)
                reloj.advance(10)
            return estados + [breaker.state] * (breaker.state != estados[-1])
        """,
        "Semiabierto dura lo que dura la prueba",
    ),
    "CB-5a not done": ("servicio_que_se_recupera(fallos)", "None", "¿"),
    "raises": ("intentar(breaker.call, servicio)", "breaker.call(servicio)", "¿Qué haces con lo que lanza una llamada?"),
}
test_right_b, test_wrong_b = CB5B.tests(RIGHT_B, WRONG_B)
