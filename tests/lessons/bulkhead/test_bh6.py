"""BH-6: no task brings the others down."""

from answers import Master

BH6 = Master("BH-6")
RIGHT = {
    "threads and a semaphore": """
        def ejecutar(tareas, hilos=3):
            resultados, turno = [None] * len(tareas), threading.Semaphore(hilos)
            def trabajar(indice, nombre, funcion):
                with turno:
                    try:
                        resultados[indice] = ("ok", funcion())
                    except BaseException as error:
                        logging.getLogger("tareas").exception("falló %s", nombre)
                        resultados[indice] = ("error", error)
            todos = [threading.Thread(target=trabajar, args=(i, *t)) for i, t in enumerate(tareas)]
            for hilo in todos:
                hilo.start()
            for hilo in todos:
                hilo.join()
            return resultados
        """,
    "futures": """
        def ejecutar(tareas, hilos=3):
            with ThreadPoolExecutor(hilos) as grupo:
                futuros = [(nombre, grupo.submit(funcion)) for nombre, funcion in tareas]
            resultados = []
            for nombre, futuro in futuros:
                error = futuro.exception()
                if error:
                    logging.getLogger("tareas").error("la tarea " + nombre.replace("%", "%%") + " %s", "falló", exc_info=error)
                resultados.append(("error", error) if error else ("ok", futuro.result()))
            return resultados
        """,
}
_POOL = "with ThreadPoolExecutor(max_workers=hilos) as trabajadores:\n        return list(trabajadores.map(intentar, tareas))"
WRONG = {
    "one by one": (_POOL, "return [intentar(tarea) for tarea in tareas]", "¿van de una en una?"),
    "no limit": ("max_workers=hilos", "max_workers=9", "¿dónde se usa hilos?"),
    "only Exception": ("except BaseException", "except Exception", "salió de ejecutar"),
    "Exception and SystemExit": ("except BaseException", "except (Exception, SystemExit)", "salió de ejecutar"),
    "no except": ("except BaseException", "except ZeroDivisionError", "¿qué debe pasar con las demás"),
    "as completed": (
        _POOL,
        "from concurrent.futures import as_completed\n    with ThreadPoolExecutor(hilos) as t:\n"
        "        return [f.result() for f in as_completed([t.submit(intentar, x) for x in tareas])]",
        "en ese orden",
    ),
    "by name": (
        _POOL,
        _POOL.replace("return list(", "r = dict(zip([n for n, _ in tareas], ").replace(
            "tareas)", "tareas)); return [r[n] for n, _ in tareas"
        ),
        "",
    ),
    "a second": (
        _POOL,
        "with ThreadPoolExecutor(hilos) as t:\n        return [f.result(timeout=0.1) for f in [t.submit(intentar, x) for x in tareas]]",
        "",
    ),
    "the text": ('return "error", error', 'return "error", str(error)', "se pide esa excepción"),
    "returned is raised": (
        'return "ok", funcion()',
        'valor = funcion()\n            return ("error" if isinstance(valor, Exception) else "ok"), valor',
        "¿lo lanzó alguien?",
    ),
    "no name": ('"la tarea %s ha fallado", nombre', '"una tarea ha fallado"', "¿cómo sabrá qué tarea fue?"),
    "the name as format": ('"la tarea %s ha fallado", nombre', "nombre, 1", "¿el nombre es el formato?"),
    "no trace": (", exc_info=error", "", "no trae la traza"),
    "a warning": ("registro.error", "registro.warning", "se pide ERROR"),
    "another log": ('getLogger("tareas")', 'getLogger("otro")', "¿A qué registro escribes"),
    "logs all": (
        "try:\n            return",
        "registro.error('empieza %s', nombre)\n        try:\n            return",
        "se pide uno por tarea",
    ),
    "twice": ('return "ok", funcion()', 'funcion()\n            return "ok", funcion()', "se ejecutó 2 veces"),
    "no return": ("return list(", "list(", "¿falta el return?"),
    "values alone": ('return "ok", funcion()', "return funcion()", "un resultado es"),
}
test_right, test_wrong = BH6.tests(RIGHT, {name: each for name, each in WRONG.items() if name != "by name"})
