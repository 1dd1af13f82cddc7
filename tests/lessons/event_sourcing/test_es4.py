"""ES-4: the inventory of a moment, held against right and wrong answers."""

from answers import Master

ES4 = Master("ES-4")

RIGHT = {
    "with match, over those that count": """
        def inventario_en(hechos, momento):
            unidades = defaultdict(int)
            for hecho in (h for h in hechos if h.recorded_at <= momento):
                cuantas = hecho.data.get("unidades")
                match hecho.type:
                    case "Recibido" | "Devuelto":
                        unidades[hecho.stream] += cuantas
                    case "Vendido":
                        unidades[hecho.stream] -= cuantas
                    case "Recontado":
                        unidades[hecho.stream] = cuantas
            return unidades
        """,
    "with a table of functions": """
        EFECTO = {
            "Recibido": lambda antes, n: antes + n,
            "Devuelto": lambda antes, n: antes + n,
            "Vendido": lambda antes, n: antes - n,
            "Recontado": lambda antes, n: n,
        }

        def inventario_en(hechos, momento):
            resultado = {}
            for hecho in hechos:
                if hecho.recorded_at <= momento and hecho.type in EFECTO:
                    antes = resultado.setdefault(hecho.stream, 0)
                    resultado[hecho.stream] = EFECTO[hecho.type](antes, hecho.data["unidades"])
            return resultado
        """,
    "stream by stream": """
        def inventario_en(hechos, momento):
            def de(flujo):
                total = None
                for hecho in hechos:
                    if hecho.stream != flujo or hecho.recorded_at > momento:
                        continue
                    if hecho.type == "Recontado":
                        total = hecho.data["unidades"]
                    elif hecho.type in ("Recibido", "Devuelto", "Vendido"):
                        signo = -1 if hecho.type == "Vendido" else 1
                        total = (total or 0) + signo * hecho.data["unidades"]
                return total
            todos = {hecho.stream: de(hecho.stream) for hecho in hechos}
            return {flujo: total for flujo, total in todos.items() if total is not None}
        """,
}

WRONG = {
    "that moment does not count": (
        "hecho.recorded_at > momento",
        "hecho.recorded_at >= momento",
        "El que se anotó justo en ese momento, ¿cuenta?",
    ),
    "everything counts": ("hecho.recorded_at > momento", "False", "¿Qué había ocurrido ya en ese momento?"),
    "stops at the first that is later": ("continue", "break", "¿te paraste"),
    "sorted by the hour": (
        "for hecho in hechos:",
        "for hecho in sorted(hechos, key=lambda uno: uno.recorded_at):",
        "¿Qué orden manda",
    ),
    "a recount adds": (
        'elif hecho.type == "Recontado":\n            unidades[hecho.stream] = hecho',
        'elif hecho.type == "Recontado":\n            unidades[hecho.stream] = antes + hecho',
        "¿qué pasa con las de antes?",
    ),
    "no recount": ('"Recontado"', '"Recuento"', "¿qué pasa con las de antes?"),
    "a return sells": ('("Recibido", "Devuelto")', '("Recibido",)', "¿Qué hace cada tipo de hecho"),
    "a sale receives": ("antes - hecho", "antes + hecho", "¿Qué hace cada tipo de hecho"),
    "all that is unknown sells": (
        'elif hecho.type == "Vendido":',
        'elif hecho.type not in ("Recontado",):',
        "¿Qué haces con un tipo que no conoces? En otro_tipo: libro-1 Fotografiado a las 1",
    ),
    "never under nothing": ('antes - hecho.data["unidades"]', 'max(0, antes - hecho.data["unidades"])', "lo que nadie anotó"),
    "by the position": ("hecho.recorded_at >", "hecho.position >", "¿"),
    "every stream is told": (
        "antes = unidades.get(hecho.stream, 0)",
        "antes = unidades.setdefault(hecho.stream, 0)",
        "¿Qué había ocurrido ya en ese momento?",
    ),
    "no zeros": ("return unidades", "return {k: v for k, v in unidades.items() if v}", "Un libro con 0 unidades"),
    "one number": ("return unidades", "return sum(unidades.values())", "Devolvió un número"),
    "nothing": ("return unidades", "pass", "¿Falta un return?"),
    "all books together": ("unidades[hecho.stream]", "unidades['libro-1']", "¿Qué hace cada tipo de hecho, y con qué libro?"),
}

test_right, test_wrong = ES4.tests(RIGHT, WRONG)
