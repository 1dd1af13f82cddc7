"""DT-10: a time limit on each call, held against right and wrong answers."""

from answers import Master

_NOTES = "anotar(id=id, destino=nombre, estado=estados[nombre], ms={} * (time.monotonic() - inicio))"
DT10 = Master("DT-10", same={f"{_NOTES.format(1000)} → {_NOTES.format(1001)}": "a thousandth more cannot be measured"})

RIGHT = {
    "a helper, and perf_counter": """
        def crear_pedidos(urls, limite, anotar):
            app = Flask("compras")

            def llamar(id, nombre, pedido):
                antes = time.perf_counter()
                try:
                    with requests.Session() as sesion:
                        cabeceras = {"X-Correlation-ID": id}
                        estado = sesion.request("GET", urls[nombre] + f"/{pedido}", headers=cabeceras, timeout=limite)
                        estado = estado.status_code
                except (requests.ConnectionError, requests.Timeout):
                    estado = "sin respuesta"
                anotar(estado=estado, destino=nombre, id=id, ms=(time.perf_counter() - antes) * 1e3)
                return estado

            @app.route("/<int:pedido>")
            def comprar(pedido):
                id = request.headers.get("X-Correlation-ID", uuid.uuid4().hex)
                return {nombre: llamar(id, nombre, pedido) for nombre in urls}, 200

            return app
        """
}

_ID = 'request.headers.get("X-Correlation-ID") or uuid.uuid4().hex'
WRONG = {
    "no limit": (", timeout=limite", "", "¿quién pone el límite?"),
    "a short limit of its own": ("timeout=limite", "timeout=0.02", "¿qué límite lleva cada llamada?"),
    "a long limit of its own": ("timeout=limite", "timeout=1", "¿qué límite lleva cada llamada?"),
    "only refused": ("requests.RequestException", "requests.ConnectionError", "lanzó ReadTimeout"),
    "only hung": ("requests.RequestException", "requests.Timeout", "lanzó requests.ConnectionError"),
    "the first failure ends it": (
        '                estados[nombre] = "sin respuesta"\n',
        '                estados[nombre] = "sin respuesta"\n                break\n',
        "¿y los siguientes?",
    ),
    "a failure is a 502": (
        '                estados[nombre] = "sin respuesta"\n',
        "                return jsonify(estados), 502\n",
        "pase lo que pase debajo",
    ),
    "failures are not noted": (
        "            anotar(",
        '            estados[nombre] == "sin respuesta" or anotar(',
        "los estados anotados",
    ),
    "no id below": (', headers={"X-Correlation-ID": id}', "", "les llegó"),
    "an id of its own": (_ID, "uuid.uuid4().hex", "les llegó"),
    "no id when none comes": (" or uuid.uuid4().hex", "", "el identificador es None"),
    "an id a call": (
        'headers={"X-Correlation-ID": id}',
        'headers={"X-Correlation-ID": request.headers.get("X-Correlation-ID") or uuid.uuid4().hex}',
        "identificadores: ¿cuántos hacen falta?",
    ),
    "one id for all": ("or uuid.uuid4().hex", 'or "nuevo"', "el mismo identificador"),
    "another id in the log": ("anotar(id=id", "anotar(id=nombre", "se anotó"),
    "seconds": ("ms=1000 * (", "ms=1 * (", "¿son milisegundos"),
    "whole thousands": ("ms=1000 * (", "ms=100000 * (", "¿son milisegundos"),
    "the time since the request": (
        "            inicio = time.monotonic()\n",
        "            inicio = locals().get('inicio') or time.monotonic()\n",
        "¿son milisegundos, y desde cuándo los cuentas?",
    ),
    "another word": ('= "sin respuesta"', "= 504", "¿qué se contesta por él, 'sin respuesta'?"),
    "all at once": (
        """
        def crear_pedidos(urls, limite, anotar):
            app = Flask("pedidos")

            @app.get("/<int:pedido>")
            def atender(pedido):
                id = request.headers.get("X-Correlation-ID") or uuid.uuid4().hex

                def una(nombre):
                    time.sleep(0.1 * list(urls).index(nombre))  # only the hung one is overtaken
                    inicio = time.monotonic()
                    try:
                        url, cabeceras = f"{urls[nombre]}/{pedido}", {"X-Correlation-ID": id}
                        estado = requests.get(url, headers=cabeceras, timeout=limite).status_code
                    except requests.RequestException:
                        estado = "sin respuesta"
                    anotar(id=id, destino=nombre, estado=estado, ms=1000 * (time.monotonic() - inicio))
                    return nombre, estado

                with ThreadPoolExecutor(4) as grupo:
                    return dict(grupo.map(una, urls))

            return app
        """,
        "¿Se llama en el orden de urls?",
    ),
    "another path": ('f"{url}/{pedido}"', "url", "se llamó así"),
    "the wrong name": ("destino=nombre", "destino=url", "los destinos anotados"),
    "ok for all": ("respuesta.status_code", "200", "¿el estado de cada uno"),
    "nothing is returned": ("    return app\n", "", "¿falta el return?"),
}
test_right, test_wrong = DT10.tests(RIGHT, WRONG)
