"""EG-7: the access log, held against right and wrong answers."""

from answers import Master

EG7 = Master(
    "EG-7",
    same={
        "with candado, open(archivo, 'a', encoding='utf-8') as destino: → with candado, open(archivo, 'a') as destino:": 'all that is written is ASCII',
        "linea = json.dumps({'cuando': datetime.now(UTC).isoformat(timespec='milliseconds'), 'quien': request.remote_addr, 'metodo': request.method, 'ruta': request.path, 'estado': respuesta.status_code, 'ms': 1000 * (time.monotonic() - g.empezo)}) → linea = json.dumps({'cuando': datetime.now(UTC).isoformat(), 'quien': request.remote_addr, 'metodo': request.method, 'ruta': request.path, 'estado': respuesta.status_code, 'ms': 1000 * (time.monotonic() - g.empezo)})": 'the time may have microseconds too',
        "linea = json.dumps({'cuando': datetime.now(UTC).isoformat(timespec='milliseconds'), 'quien': request.remote_addr, 'metodo': request.method, 'ruta': request.path, 'estado': respuesta.status_code, 'ms': 1000 * (time.monotonic() - g.empezo)}) → linea = json.dumps({'cuando': datetime.now(UTC).isoformat(timespec='milliseconds'), 'quien': request.remote_addr, 'metodo': request.method, 'ruta': request.path, 'estado': respuesta.status_code, 'ms': 1001 * (time.monotonic() - g.empezo)})": 'one in a thousand is below what a time can be measured to',
    },
)  # fmt: skip

RIGHT = {
    "around the WSGI application": """
        def con_diario(app, archivo):
            dentro, candado = app.wsgi_app, threading.Lock()

            def fuera(environ, start_response):
                empezo, visto = time.perf_counter(), {}

                def anotar(estado, cabeceras, *mas):
                    visto["estado"] = int(estado.split()[0])
                    return start_response(estado, cabeceras, *mas)

                respuesta = dentro(environ, anotar)
                registro = {
                    "cuando": datetime.now(UTC).isoformat(), "quien": environ["REMOTE_ADDR"],
                    "metodo": environ["REQUEST_METHOD"], "ruta": environ["RAW_URI"].split("?")[0],
                    "estado": visto["estado"], "ms": round(1000 * (time.perf_counter() - empezo), 1),
                }
                with candado, Path(archivo).open("a") as f:
                    print(json.dumps(registro), file=f)
                return respuesta

            app.wsgi_app = fuera
            return app
        """,
    "with logging": """
        import logging

        def con_diario(app, archivo):
            registro = logging.Logger("accesos")
            registro.addHandler(logging.FileHandler(archivo))

            @app.before_request
            def antes():
                request.empezo = time.time()

            @app.after_request
            def despues(respuesta):
                registro.info(json.dumps(dict(
                    cuando=datetime.now(UTC).isoformat(), quien=request.remote_addr, metodo=request.method,
                    ruta=request.path, estado=respuesta.status_code, ms=(time.time() - request.empezo) * 1000)))
                return respuesta
            return app
        """,
}

WRONG = {
    "no newline": (" + \"\\n\"", "", "no termina con un salto"),
    "writes anew": ("open(archivo, \"a\"", "open(archivo, \"w\"", "hay 1 línea. ¿Dónde está la de /nada y /roto?"),
    "the query": ("request.path", "request.full_path", "detrás de «?»"),
    "not JSON": ("json.dumps({", "str({", "no es un objeto JSON"),
    "indented": ("        })\n", "        }, indent=1)\n", "¿cuántas deja cada petición?"),
    "local time": ("datetime.now(UTC)", "datetime.now()", "no dice que sea hora UTC"),
    "seconds since 1970": ("datetime.now(UTC).isoformat(timespec=\"milliseconds\")", "time.time()", "no es una hora ISO 8601"),
    "seconds": ("1000 * (time", "(time", "¿en qué unidad mides, y desde cuándo?"),
    "one start for all": ("g.empezo", "app.empezo", "¿de qué petición es el comienzo?"),
    "a text for a number": ("1000 * (time.monotonic() - g.empezo)", "f'{1000 * (time.monotonic() - g.empezo)}'", "y no un número"),
    "the status as a text": ("respuesta.status_code", "respuesta.status", "«estado» vale '200 OK'"),
    "only what went well": ("        linea = ", "        if respuesta.status_code >= 400: return respuesta\n        linea = ", "¿Dónde está la de /nada, /roto y /lento?"),
    "no method": ("\"metodo\": request.method,", "", "le falta metodo"),
    "the wrong address": ("request.remote_addr", "request.host", "«quien» vale"),
    "what a header says": ("request.remote_addr", "request.headers.get('X-Forwarded-For', request.remote_addr)", "«quien» vale '6.6.6.6'"),
    "one start for a path": ("g.empezo", "app.extensions[request.path]", "¿de qué petición es el comienzo?"),
    "one after the other": (
        "    candado = threading.Lock()", "    candado, uno, dentro = threading.Lock(), threading.Lock(), app.wsgi_app\n    def fuera(*partes):\n        with uno:\n            return dentro(*partes)\n    app.wsgi_app = fuera",
        "¿qué guarda tu candado?",
    ),
    "raises where there is no file": ("open(archivo, \"a\"", "open(archivo, \"r+\"", "FileNotFoundError"),
    "no answer": ("        return respuesta\n", "", "no cambia la respuesta"),
    "no application": ("return app", "pass", "¿falta un return?"),
}  # fmt: skip

test_right, test_wrong = EG7.tests(RIGHT, WRONG)
