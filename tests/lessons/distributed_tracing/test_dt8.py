"""DT-8: retries under one id, held against right and wrong answers."""

from answers import Master

DT8 = Master("DT-8")

RIGHT = {
    "calls itself": """
        def pedir_con_reintentos(url, id, intentos, anotar, n=1):
            try:
                estado = requests.get(url, timeout=1.0, headers={"x-correlation-id": id}).status_code
            except requests.exceptions.RequestException:
                estado = "sin respuesta"
            anotar(estado=estado, intento=n, id=id)
            acabado = estado != "sin respuesta" and estado < 500
            if acabado or n == intentos:
                return estado
            return pedir_con_reintentos(url, id, intentos, anotar, n + 1)
        """,
    "a session and a while": """
        def pedir_con_reintentos(url, id, intentos, anotar):
            hechos = 0
            with requests.Session() as sesion:
                sesion.headers["X-Correlation-ID"] = id
                while True:
                    hechos += 1
                    try:
                        estado = sesion.get(url, timeout=(1, 1)).status_code
                    except requests.RequestException:
                        estado = "sin respuesta"
                    anotar(id=id, intento=hechos, estado=estado)
                    if hechos >= intentos or isinstance(estado, int) and estado < 500:
                        return estado
        """,
}

_GET = 'requests.get(url, headers={"X-Correlation-ID": id}, timeout=1).status_code'
WRONG = {
    "no header": ('headers={"X-Correlation-ID": id}, ', "", "le llegó X-Correlation-ID"),
    "an id for each attempt": ('"X-Correlation-ID": id}', '"X-Correlation-ID": f"{id}-{intento}"}', "le llegó X-Correlation-ID"),
    "another id in the log": ("anotar(id=id", "anotar(id=uuid.uuid4().hex", "los identificadores anotados"),
    "one attempt": ("range(1, intentos + 1)", "range(1, 2)", "le llegaron 1 intentos"),
    "one more": ("range(1, intentos + 1)", "range(1, intentos + 2)", "le llegaron 4 intentos"),
    "one less": ("range(1, intentos + 1)", "range(1, max(2, intentos))", "le llegaron 2 intentos"),
    "from zero": ("intento=intento", "intento=intento - 1", "¿desde 1?"),
    "repeats a 404": ("estado < 500", "estado < 400", "con un 404"),
    "repeats the good": ("            break\n", "            pass\n", "con un 200"),
    "500 is no failure": ("estado < 500", "estado <= 500", "con 503, 500 y 200"),
    "notes once": (
        "        anotar(id=id, intento=intento, estado=estado)\n",
        "        if estado == 200 or intento == intentos:\n            anotar(id=id, intento=intento, estado=estado)\n",
        "los estados anotados son [200]",
    ),
    "notes at the end": (
        """
        def pedir_con_reintentos(url, id, intentos, anotar):
            estados = []
            while len(estados) < intentos and (not estados or estados[-1] == "sin respuesta" or estados[-1] >= 500):
                try:
                    estados.append(requests.get(url, headers={"X-Correlation-ID": id}, timeout=1).status_code)
                except requests.RequestException:
                    estados.append("sin respuesta")
            for n, estado in enumerate(estados, 1):
                anotar(id=id, intento=n, estado=estado)
            return estados[-1]
        """,
        "¿anotas antes del siguiente?",
    ),
    "nothing is returned": ("    return estado\n", "", "devolvió None"),
    "a text for a status": ("return estado", "return str(estado)", "devolvió '200'"),
    "returns the response": (_GET, _GET.removesuffix(".status_code"), "lanzó"),
    "no limit": (", timeout=1", "", "¿qué límite lleva cada intento?"),
    "a limit too short": ("timeout=1", "timeout=0.2", "se pide 1 s"),
    "a limit too long": ("timeout=1", "timeout=1.8", "se pide 1 s"),
    "only timeouts": ("requests.RequestException", "requests.Timeout", "¿qué excepción lanza requests?"),
    "only connections": ("requests.RequestException", "requests.ConnectionError", "servicio no contesta"),
    "another word": ('estado = "sin respuesta"', "estado = 0", "son [0]: se esperaban ['sin respuesta', 'sin respuesta']"),
    "gives up without an answer": (
        'if estado != "sin respuesta" and',
        'if estado == "sin respuesta" or',
        "sin nadie que escuche",
    ),
}

test_right, test_wrong = DT8.tests(RIGHT, WRONG)
