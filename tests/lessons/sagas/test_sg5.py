"""SG-5: a saga that survives its process, held against right and wrong answers."""

from answers import Master

SG5 = Master("SG-5")

RIGHT = {
    "intentions, and a last line that decides": """
        def seguir(bitacora, pasos):
            lineas = bitacora.lineas()
            if "fin hecho" in lineas or "fin deshecho" in lineas:
                return lineas[-1].split()[1]
            if "vuelta" not in lineas:
                hechos = {linea[6:] for linea in lineas if linea.startswith("hecho ")}
                for nombre, hacer, _ in pasos:
                    if nombre in hechos:
                        continue
                    bitacora.anotar(f"voy {nombre}")
                    try:
                        hacer()
                    except Exception:
                        bitacora.anotar("vuelta")
                        break
                    bitacora.anotar(f"hecho {nombre}")
                else:
                    bitacora.anotar("fin hecho")
                    return "hecho"
            empezados = {linea[4:] for linea in bitacora.lineas() if linea.startswith("voy ")}
            for nombre, _, deshacer in pasos[::-1]:
                if nombre in empezados and f"deshecho {nombre}" not in bitacora.lineas():
                    while True:
                        try:
                            deshacer()
                            break
                        except Exception:
                            pass
                    bitacora.anotar(f"deshecho {nombre}")
            bitacora.anotar("fin deshecho")
            return "deshecho"
        """,
    "the least that is enough": """
        def seguir(bitacora, pasos):
            lineas = bitacora.lineas()
            if "fin" in lineas:
                return "deshecho" if "atras" in lineas else "hecho"
            if "atras" not in lineas:
                try:
                    for _, hacer, _ in pasos:
                        hacer()
                except Exception:
                    bitacora.anotar("atras")
            if "atras" in bitacora.lineas():
                for _, _, deshacer in reversed(pasos):
                    insistir(deshacer)
            bitacora.anotar("fin")
            return "deshecho" if "atras" in bitacora.lineas() else "hecho"
        """,
}

WRONG = {
    "the decision is not noted": ('bitacora.anotar("atras")', "pass", "al repetir llamó a un servicio"),
    "noted before it is done": (
        'hacer()\n                    bitacora.anotar(f"hecho {nombre}")',
        'bitacora.anotar(f"hecho {nombre}")\n                    hacer()',
        "¿Qué falta?",
    ),
    "undone is noted before": (
        'insistir(deshacer)\n            bitacora.anotar(f"deshecho {nombre}")',
        'bitacora.anotar(f"deshecho {nombre}")\n            insistir(deshacer)',
        "¿Qué falta?",
    ),
    "a dead one answers": (
        "except Exception:\n",
        "except BaseException as error:\n            if not isinstance(error, Exception):\n                return 'deshecho'\n",
        "había muerto y tu función siguió",
    ),
    "done is not noted, nor asked again": ('if f"hecho {nombre}" not in lineas:', "if not lineas:", "¿Qué falta?"),
    "undone is not noted": ('bitacora.anotar(f"deshecho {nombre}")', "pass", "al repetir llamó a un servicio"),
    "forward": ("reversed(pasos)", "pasos", "¿En qué orden se deshace?"),
    "only what is noted as done": (
        'if f"deshecho {nombre}" not in lineas:',
        'if f"deshecho {nombre}" not in lineas and f"hecho {nombre}" in bitacora.lineas():',
        "¿Qué falta?",
    ),
    "a memory of its own": (
        "lineas = bitacora.lineas()",
        "lineas = seguir.__dict__.setdefault('lineas', [])\n    bitacora.anotar = lineas.append",
        "",
    ),
    "another answer": ('return "hecho"', 'return "completado"', "devolvió 'completado'"),
    "a compensation once": ("insistir(deshacer)", "deshacer()", "¿qué debe pasar con esa excepción?"),
    "no parameters": ("def seguir(bitacora, pasos)", "def seguir(pasos)", "no se puede llamar así"),
}

test_right, test_wrong = SG5.tests(RIGHT, WRONG)
