"""ES-7: three shapes of a sale, held against right and wrong answers."""

from answers import Master

ES7 = Master("ES-7")

RIGHT = {
    "step by step": """
        def uno_a_dos(datos):
            return {**datos, "moneda": "EUR"}

        def dos_a_tres(datos):
            resto = {campo: valor for campo, valor in datos.items() if campo != "precio"}
            return {**resto, "centimos": round(datos["precio"] * 100)}

        PASOS = {1: uno_a_dos, 2: dos_a_tres}

        def actualizar(version, datos):
            if version > 3 or version < 1:
                raise ValueError("no la conozco")
            while version < 3:
                datos = PASOS[version](datos)
                version += 1
            return datos
        """,
    "with match and a copy": """
        def actualizar(version, datos):
            import copy, decimal
            nuevo = copy.deepcopy(datos)
            match version:
                case 3:
                    return nuevo
                case 1:
                    nuevo["moneda"] = "EUR"
                case 2:
                    pass
                case _:
                    raise ValueError
            nuevo["centimos"] = int((decimal.Decimal(str(nuevo.pop("precio"))) * 100).to_integral_value())
            return nuevo
        """,
}

WRONG = {
    "cuts off": ("round(100 * datos.pop", "int(100 * datos.pop", "¿cuánto vale 100 * 19.99, y cuál es el entero más cercano?"),
    "rounds up": ('round(100 * datos.pop("precio"))', "-int(-100 * datos.pop('precio') // 1)", "El precio era 1.1"),
    "a float": ('round(100 * datos.pop("precio"))', "round(100 * datos.pop('precio'), 0)", "¿es un entero?"),
    "the error is returned": ("raise ValueError", "return ValueError", "¿"),
    "changes what it was given": ("datos = dict(datos)", "pass", "¿Quién más tiene ese diccionario?"),
    "euros for all": ("if version == 1:", "if version < 3:", "qué moneda era"),
    "no currency": ('datos["moneda"] = "EUR"', "pass", "¿Qué pasos lleva"),
    "the price stays": ("datos.pop(", "datos.get(", "¿Qué pasos lleva"),
    "only the first shape": ("if version < 3:", "if version == 1:", "qué moneda era"),
    "the third again": ("if version < 3:", "if True:", "Lo que ya está en la forma 3"),
    "guesses": ("if version not in (1, 2, 3):", "if False:", "¿Se puede adivinar"),
    "guesses what is newer": ("version not in (1, 2, 3)", "version < 1", "¿Se puede adivinar"),
    "another error": ("raise ValueError", "raise KeyError", "se esperaba ValueError"),
    "drops the rest": (
        "return datos",
        "return {campo: datos[campo] for campo in ('libro', 'moneda', 'centimos')}",
        "¿Qué campos no cambian",
    ),
    "a text": ('round(100 * datos.pop("precio"))', "str(round(100 * datos.pop('precio')))", "¿Qué pasos lleva"),
    "a pair": ("return datos", "return 3, datos", "Devolvió una tupla"),
    "nothing": ("return datos", "pass", "¿Falta un return?"),
    "from first to third only": ("datos = dict(datos)\n    if version == 1:", "datos = dict(datos)\n    if version == 2:", "¿"),
}

test_right, test_wrong = ES7.tests(RIGHT, WRONG)
