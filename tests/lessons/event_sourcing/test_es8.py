"""ES-8: the streams in parallel, held against right and wrong answers."""

from answers import Master

ES8 = Master("ES-8")

RIGHT = {
    "shared out by the name": """
        def repartir(hechos, hilos, procesar):
            from zlib import crc32
            partes, errores = [[] for _ in range(hilos)], {}
            for hecho in hechos:
                partes[crc32(hecho.stream.encode()) % hilos].append(hecho)

            def trabajar(parte):
                for hecho in parte:
                    if hecho.stream not in errores:
                        try:
                            procesar(hecho)
                        except Exception as error:
                            errores[hecho.stream] = error

            trabajadores = [threading.Thread(target=trabajar, args=(parte,)) for parte in partes]
            for trabajador in trabajadores:
                trabajador.start()
            for trabajador in trabajadores:
                trabajador.join()
            return errores
        """,
    "a queue of streams": """
        def repartir(hechos, hilos, procesar):
            import queue
            flujos, cola, errores = {}, queue.Queue(), {}
            for hecho in hechos:
                flujos.setdefault(hecho.stream, []).append(hecho)
            for flujo in flujos:
                cola.put(flujo)

            def trabajar():
                while True:
                    try:
                        flujo = cola.get_nowait()
                    except queue.Empty:
                        return
                    for hecho in flujos[flujo]:
                        try:
                            procesar(hecho)
                        except BaseException as error:
                            errores[flujo] = error
                            break

            grupo = [threading.Thread(target=trabajar) for _ in range(hilos)]
            [hilo.start() for hilo in grupo]
            [hilo.join() for hilo in grupo]
            return errores
        """,
    "round by round": """
        def repartir(hechos, hilos, procesar):
            quedan, errores = list(hechos), {}
            with ThreadPoolExecutor(hilos) as grupo:
                while quedan:
                    ronda, resto = {}, []
                    for hecho in quedan:
                        if hecho.stream in ronda:
                            resto.append(hecho)
                        else:
                            ronda[hecho.stream] = grupo.submit(procesar, hecho)
                    for flujo, futuro in ronda.items():
                        if futuro.exception():
                            errores[flujo] = futuro.exception()
                    quedan = [hecho for hecho in resto if hecho.stream not in errores]
            return errores
        """,
}

_ONE_BY_ONE = """
    errores = {}
    def uno(hecho):
        try:
            if hecho.stream not in errores:
                procesar(hecho)
        except Exception as error:
            errores[hecho.stream] = error
"""
WRONG = {
    "one thread after the other": ("max_workers=hilos", "max_workers=1", "nunca hubo dos hechos a la vez"),
    "a thread for each stream": ("max_workers=hilos", "max_workers=len(flujos) or 1", "a la vez"),
    "one too many": ("max_workers=hilos", "max_workers=hilos + 1", "a la vez"),
    "facts shared out, not streams": (
        f"def repartir(hechos, hilos, procesar):{_ONE_BY_ONE}    with ThreadPoolExecutor(hilos) as grupo:\n"
        "        list(grupo.map(uno, hechos))\n    return errores",
        "¿Qué hechos van juntos, y en qué orden?",
    ),
    "a lock for each stream, facts shared out": (
        f"def repartir(hechos, hilos, procesar):{_ONE_BY_ONE}    candados = defaultdict(threading.Lock)\n"
        "    def en_su_turno(hecho):\n        with candados[hecho.stream]:\n            uno(hecho)\n"
        "    with ThreadPoolExecutor(hilos) as grupo:\n        list(grupo.map(en_su_turno, hechos))\n    return errores",
        "¿",
    ),
    "one too few": ("max_workers=hilos", "max_workers=max(1, hilos - 1)", "¿cuántos hilos ocupa un flujo?"),
    "a failure stops its part": (
        """
        def repartir(hechos, hilos, procesar):
            errores = {}
            def trabajar(parte):
                for hecho in hechos:
                    if partition_of(hecho.stream, hilos) == parte:
                        try:
                            procesar(hecho)
                        except Exception as error:
                            errores[hecho.stream] = error
                            break
            with ThreadPoolExecutor(hilos) as grupo:
                list(grupo.map(trabajar, range(hilos)))
            return errores
        """,
        "¿Qué flujos siguen cuando otro falla?",
    ),
    "no threads": (
        f"def repartir(hechos, hilos, procesar):{_ONE_BY_ONE}    for hecho in hechos:\n        uno(hecho)\n    return errores",
        "nunca hubo dos hechos a la vez",
    ),
    "backwards": ("in flujos[flujo]:", "in flujos[flujo][::-1]:", "¿Qué hechos van juntos, y en qué orden?"),
    "goes on after a failure": (
        "            for hecho in flujos[flujo]:\n                procesar(hecho)\n        except Exception as error:\n            return error",
        "            fallo = None\n            for hecho in flujos[flujo]:\n                try:\n                    procesar(hecho)\n"
        "                except Exception as error:\n                    fallo = error\n            return fallo\n        except ZeroDivisionError:\n            pass",
        "¿qué pasa con los siguientes de su flujo?",
    ),
    "a failure stops all": (
        "except Exception as error:\n            return error",
        "except ZeroDivisionError:\n            pass",
        "¿quién recoge",
    ),
    "tells nobody": ("return error", "return None", "fallaron «libro-3» y «libro-8»"),
    "tells every stream": ("if error}", "}", "no falló ninguno y devolvió"),
    "tells their names": ("return {flujo: error for", "return {flujo: str(error) for", "fallaron «libro-3»"),
    "nothing": ("return {flujo: error for flujo, error in errores.items() if error}", "pass", "devolvió None"),
    "does not wait": (
        "def repartir(hechos, hilos, procesar):\n    for hecho in hechos:\n"
        "        threading.Timer(0.3, procesar, (hecho,)).start()\n    return {}",
        "¿espera a que terminen?",
    ),
}

test_right, test_wrong = ES8.tests(RIGHT, WRONG)
