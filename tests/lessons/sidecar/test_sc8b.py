"""SC-8b: the recovery, held against right and wrong answers."""

from answers import Master

SC8B = Master("SC-8b")

RIGHT = {
    "a loop of range": """
        def recuperar(pedir, metodo, intentos):
            if metodo in ("POST", "PATCH"):
                return pedir()
            ultimo = None
            for _ in range(intentos):
                try:
                    ultimo = pedir()
                except ConnectionError as error:
                    ultimo = error
                    continue
                if ultimo not in {502, 503, 504}:
                    break
            if isinstance(ultimo, ConnectionError):
                raise ultimo
            return ultimo
        """,
    "calls itself": """
        def recuperar(pedir, metodo, intentos):
            ultima = intentos == 1 or metodo not in {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
            try:
                estado = pedir()
            except ConnectionError:
                if ultima:
                    raise
                return recuperar(pedir, metodo, intentos - 1)
            if ultima or estado not in (502, 503, 504):
                return estado
            return recuperar(pedir, metodo, intentos - 1)
        """,
}

WRONG = {
    "repeats a POST": ('"DELETE"}', '"DELETE", "POST"}', "¿Qué pasa si la primera sí llegó, y era un cobro?"),
    "repeats a PATCH": ('"DELETE"}', '"DELETE", "PATCH"}', "¿Qué pasa si la primera sí llegó, y era un cobro?"),
    "only GET": ('{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}', '{"GET"}', "Ha preguntado de menos"),
    "repeats a 500": ("(502, 503, 504)", "(500, 502, 503, 504)", "Ha preguntado de más"),
    "repeats what is not there": ("(502, 503, 504)", "(404, 502, 503, 504)", "Ha preguntado de más"),
    "not a 504": ("(502, 503, 504)", "(502, 503)", "Ha preguntado de menos"),
    "one more": ("quedan = intentos", "quedan = 1 + intentos", "Ha preguntado de más"),
    "any error": ("except ConnectionError", "except Exception", "un error que no es de conexión"),
    "no error": ("except ConnectionError", "except KeyError", "Ha preguntado de menos"),
    "swallows the last": ("                raise\n", "                return 502\n", "¿Qué recibe quien llamó"),
    "nothing": ("return estado", "return", "¿Qué recibe quien llamó"),
    "no function": ("recuperar = 503", "se pide"),
}

test_right, test_wrong = SC8B.tests(RIGHT, WRONG)
