"""RX-7b: Server-Sent Events by hand, held against right and wrong answers."""

from answers import Master

RX7B = Master("RX-7b")

RIGHT = {
    "one at a time, with a function for the text": """
        def crear_en_vivo(emisora):
            rutas = web.RouteTableDef()

            def texto(numero, dato):
                lineas = [f"id:{numero}", *(f"data:{linea}" for linea in dato.split("\\n")), "", ""]
                return "\\n".join(lineas).encode()

            @rutas.get("/precios")
            async def precios(request):
                try:
                    ultimo = int(request.headers["Last-Event-ID"])
                except (KeyError, ValueError):
                    ultimo = 0
                respuesta = web.StreamResponse()
                respuesta.content_type = "text/event-stream"
                respuesta.charset = "utf-8"
                await respuesta.prepare(request)
                while True:
                    nuevas = emisora.desde(ultimo)
                    if not nuevas:
                        await asyncio.sleep(0.02)
                        continue
                    ultimo, dato = nuevas[0]
                    await respuesta.write(texto(ultimo, dato))

            app = web.Application()
            app.add_routes(rutas)
            return app
        """,
    "all that is held, then a pause": """
        def crear_en_vivo(emisora):
            async def atender(request):
                respuesta = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
                await respuesta.prepare(request)
                visto = request.headers.get("Last-Event-ID", "0")
                visto = int(visto) if visto.isdigit() else 0
                while not request.transport.is_closing():
                    for visto, dato in emisora.desde(visto):
                        dato = dato.replace("\\n", "\\ndata: ")
                        await respuesta.write(f"data: {dato}\\nid: {visto}\\n\\n".encode())
                    await asyncio.sleep(0.05)
                return respuesta

            app = web.Application()
            app.router.add_get("/precios", atender)
            return app
        """,
}

_WRITE = 'await respuesta.write(f"id: {visto}\\n{lineas}\\n".encode())'
WRONG = {
    "another type": ("text/event-stream", "text/plain", "no es text/event-stream"),
    "no number": ('f"id: {visto}\\n{lineas}\\n"', 'f"{lineas}\\n"', "se esperaba [('1'"),
    "no empty line": ("{lineas}\\n", "{lineas}", "¿Lleva cada uno su data y su línea vacía?"),
    "the same again and again": (
        "while True:\n            for visto, dato in emisora.desde(visto)[:1]",
        "desde = visto\n        while await asyncio.sleep(0.05, True):\n            for visto, dato in emisora.desde(desde)",
        "¿qué había leído ya?",
    ),
    "one line of data": ('"".join(f"data: {linea}\\n" for linea in dato.split("\\n"))', 'f"data: {dato}\\n"', "12 €"),
    "splitlines": ('dato.split("\\n")', "dato.splitlines()", "de 3 sucesos llegaron completos 2"),
    "deaf to Last-Event-ID": ("int(texto) if texto.isdecimal() else 0", "0", "con Last-Event-ID: 3"),
    "trusts Last-Event-ID": ("int(texto) if texto.isdecimal() else 0", "int(texto or 0)", "se acabó"),
    "only what is new": (
        "int(texto) if texto.isdecimal() else 0",
        "int(texto) if texto.isdecimal() else emisora.last",
        "de 3 sucesos llegaron completos 0",
    ),
    "one position for all": ("visto", "en_vivo.visto", "¿De qué lector es la posición que guardas?"),
    "ends": ("while True:", "for _ in range(3):", "la respuesta se acabó"),
    "looks once a second": ("asyncio.sleep(0.05)", "asyncio.sleep(0.9)", "de 2 sucesos llegaron completos 1"),
    "never pauses": ("asyncio.sleep(0.05)", "asyncio.sleep(0)", "miró la emisora"),
    "blocks the loop": ("await asyncio.sleep(0.05)", "time.sleep(0.05)", "¿Qué espera tu ruta?"),
    "piles up for the stuck": (
        _WRITE,
        'asyncio.ensure_future(respuesta.write(f"id: {visto}\\n{lineas}\\n".encode()))\n                await asyncio.sleep(0)',
        "",  # at the stuck reader, or, where that one came late on a busy machine, when a reader leaves
    ),
    "goes on for those who left": (
        _WRITE,
        "try:\n                    " + _WRITE + "\n                except ConnectionError:\n                    pass",
        "su manejador sigue mirando",
    ),
    "another route": ('app.router.add_get("/precios", en_vivo)', 'app.router.add_get("/", en_vivo)', "contestó 404"),
    "no application": ("    return app\n", "    return en_vivo\n", "se pide la aplicación de aiohttp"),
}

test_right, test_wrong = RX7B.tests(RIGHT, WRONG)
