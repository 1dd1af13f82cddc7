"""SG-6: the choreography, held against right and wrong answers."""

from answers import Master

SG6 = Master("SG-6")

RIGHT = {
    "a table": """
        TABLA = [("inventario", "PedidoCreado", "reservar", "LibroReservado", "LibroAgotado"),
                 ("pagos", "LibroReservado", "cobrar", "PagoCobrado", "PagoRechazado"),
                 ("envios", "PagoCobrado", "despachar", "PedidoEnviado", "EnvioRechazado"),
                 ("pagos", "EnvioRechazado", "devolver", "PagoDevuelto", None),
                 ("inventario", "PagoDevuelto", "liberar", "LibroLiberado", None),
                 ("inventario", "PagoRechazado", "liberar", "LibroLiberado", None)]

        def montar(participantes, trabajar):
            for name, oye, accion, bien, mal in TABLA:
                def reaccionar(conexion, evento, accion=accion, bien=bien, mal=mal):
                    try:
                        trabajar(conexion, accion, evento.stream)
                    except Refused:
                        return [Event(mal)]
                    return [Event(bien, {"pedido": evento.stream})]
                participantes[name].on(oye, reaccionar)
        """,
    "a class": """
        class Reaccion:
            def __init__(self, trabajar, accion, bien, mal=""):
                self.trabajar, self.accion, self.bien, self.mal = trabajar, accion, bien, mal

            def __call__(self, conexion, evento):
                cuenta = self.bien
                try:
                    self.trabajar(conexion, self.accion, evento.stream)
                except Refused:
                    cuenta = self.mal
                return Event(cuenta)

        def montar(participantes, trabajar):
            i, p, e = (participantes[n] for n in ("inventario", "pagos", "envios"))
            i.on("PedidoCreado", Reaccion(trabajar, "reservar", "LibroReservado", "LibroAgotado"))
            i.on("PagoDevuelto", Reaccion(trabajar, "liberar", "LibroLiberado"))
            i.on("PagoRechazado", Reaccion(trabajar, "liberar", "LibroLiberado"))
            p.on("LibroReservado", Reaccion(trabajar, "cobrar", "PagoCobrado", "PagoRechazado"))
            p.on("EnvioRechazado", Reaccion(trabajar, "devolver", "PagoDevuelto"))
            e.on("PagoCobrado", Reaccion(trabajar, "despachar", "PedidoEnviado", "EnvioRechazado"))
        """,
}

WRONG = {
    "no way back if declined": ('("PagoDevuelto", "PagoRechazado")', '("PagoDevuelto",)', "«cobrar» se niega"),
    "the money stays": ('pagos.on("EnvioRechazado"', 'pagos.on("EnvioPerdido"', "«despachar» se niega"),
    "the book goes before the money": (
        '("PagoDevuelto", "PagoRechazado")',
        '("EnvioRechazado", "PagoRechazado")',
        "los hechos fueron",
    ),
    "every failure is a no": ("except Refused:", "except Exception:", "¿Es eso un «no»?"),
    "a no comes out": (
        "except Refused:\n                return Event(mal)",
        "except KeyError:\n                pass",
        "lanzó una excepción",
    ),
    "tells nothing": ("return Event(bien)", "Event(bien)", "Ahí se paró: ¿quién oye PedidoCreado, y qué devuelve"),
    "a failure told as well": ("return Event(mal)", "pass", "los hechos fueron"),
    "the wrong event": ('"LibroAgotado"', '"LibroReservado"', "«reservar» se niega"),
    "works for another order": (
        "trabajar(conexion, accion, hecho.stream)",
        'trabajar(conexion, accion, "p-1")',
        "los hechos fueron",
    ),
    "the wrong work": ('baile("devolver"', 'baile("cobrar"', "«despachar» se niega"),
    "no work": ("trabajar(conexion, accion, hecho.stream)", "pass", "nadie se niega"),
    "works twice": (
        "trabajar(conexion, accion, hecho.stream)",
        "trabajar(conexion, accion, hecho.stream) or trabajar(conexion, accion, hecho.stream)",
        "el trabajo hecho fue",
    ),
    "another's work": ('envios.on("PagoCobrado"', 'pagos.on("PagoCobrado"', "¿A quién le toca cada acción"),
    "no connection": ("trabajar(conexion, accion", "trabajar(accion", "trabajar() missing 1"),
    "a text": ("montar = 'bien'", "se pide algo que se pueda llamar"),
}

test_right, test_wrong = SG6.tests(RIGHT, WRONG)
