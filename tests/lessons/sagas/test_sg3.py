"""SG-3: undone in reverse, held against right and wrong answers."""

from answers import Master

SG3 = Master("SG-3")

RIGHT = {
    "goes back by recursion": """
        def ejecutar(pasos):
            if not pasos:
                return "hecho", []
            (nombre, hacer, deshacer), resto = pasos[0], pasos[1:]
            try:
                hacer()
            except Refused:
                return "deshecho", []
            except Exception:
                return "deshecho", [deshaz(nombre, deshacer)]
            final, nombres = ejecutar(resto)
            return (final, nombres) if final == "hecho" else (final, [*nombres, deshaz(nombre, deshacer)])

        def deshaz(nombre, deshacer):
            try:
                deshacer()
            except Exception:
                return deshaz(nombre, deshacer)
            return nombre
        """,
    "one list, one flag": """
        def ejecutar(pasos):
            hechos, mal = [], False
            for paso in pasos:
                try:
                    paso[1]()
                    hechos.insert(0, paso)
                except Exception as error:
                    mal = True
                    if not isinstance(error, Refused):
                        hechos.insert(0, paso)
                    break
            if not mal:
                return ["hecho", ()]
            for nombre, _, deshacer in hechos:
                listo = False
                while not listo:
                    try:
                        deshacer()
                        listo = True
                    except Exception:
                        pass
            return ["deshecho", tuple(nombre for nombre, *_ in hechos)]
        """,
}

WRONG = {
    "in order": ("reversed(por_deshacer):\n        insistir", "por_deshacer:\n        insistir", "qué se deshace primero"),
    "names in order": ("nombre for nombre, _ in reversed(por_deshacer)", "nombre for nombre, _ in por_deshacer", "se esperaba"),
    "the refused step too": ("por_deshacer.pop()", "pass", "¿Qué estaba hecho"),
    "an unknown step is not undone": (
        "except Exception:\n        pass",
        "except Exception:\n        por_deshacer.pop()",
        "nadie lo sabe",
    ),
    "noted after": (
        "por_deshacer.append((nombre, deshacer))\n            hacer()",
        "hacer()\n            por_deshacer.append((nombre, deshacer))",
        "¿quién captura el «no»?",
    ),
    "only a no counts": ("except Exception:\n        pass", "except KeyError:\n        pass", "¿qué excepciones capturas?"),
    "only the silences that one knows": (
        "except Exception:\n        pass",
        "except (ConnectionError, TimeoutError):\n        pass",
        "¿qué excepciones capturas?",
    ),
    "asks again after a silence": (
        "            hacer()\n",
        "            try:\n                hacer()\n            except TimeoutError:\n                hacer()\n",
        "nadie lo sabe",
    ),
    "a compensation that says no is left": (
        "except Exception:\n            continue",
        "except Refused:\n            return\n        except Exception:\n            continue",
        "¿Hasta cuándo se repite",
    ),
    "a compensation once": ("while True:", "for _ in range(1):", "¿Hasta cuándo se repite"),
    "a compensation twice": ("while True:", "for _ in range(2):", "¿Hasta cuándo se repite"),
    "a compensation's failure comes out": ("insistir(deshacer)", "deshacer()", "falla la propia compensación"),
    "a wrong value is a no": ("except Refused:", "except (Refused, ValueError):", "¿Se hizo ese paso, o nadie lo sabe?"),
    "captures an interruption": ("except Exception:\n        pass", "except:\n        pass", "¿qué capturas de más?"),
    "nothing comes back": ('return "hecho", []', "return None", "se esperaba"),
    "goes on after a no": (
        "except Refused:\n        por_deshacer.pop()",
        "except Refused:\n        por_deshacer.pop()\n        [hacer() for _, hacer, _ in pasos[-1:]]",
        "¿quién captura el «no»?",
    ),
    "a text": ('ejecutar = "hecho"', "se pide algo que se pueda llamar"),
    "no parameter": ("def ejecutar(pasos)", "def ejecutar()", "no se puede llamar así"),
}

test_right, test_wrong = SG3.tests(RIGHT, WRONG)
