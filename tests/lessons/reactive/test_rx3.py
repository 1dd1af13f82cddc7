"""RX-3: the page that asks everybody at once, held against right and wrong answers."""

from answers import Master

RX3 = Master("RX-3")

RIGHT = {
    "a task group, each with its own try": """
        async def pagina(pedir, nombres):
            async def una(nombre):
                try:
                    return await pedir(nombre)
                except Exception:
                    return None

            async with asyncio.TaskGroup() as grupo:
                tareas = {nombre: grupo.create_task(una(nombre)) for nombre in nombres}
            return {nombre: tarea.result() for nombre, tarea in tareas.items()}
        """,
    "tasks, waited for and stopped by hand": """
        async def pagina(pedir, nombres):
            tareas = {nombre: asyncio.ensure_future(pedir(nombre)) for nombre in nombres}
            try:
                if tareas:
                    await asyncio.wait(tareas.values())
            finally:
                for tarea in tareas.values():
                    tarea.cancel()
                await asyncio.gather(*tareas.values(), return_exceptions=True)
            return {nombre: None if tarea.exception() else tarea.result() for nombre, tarea in tareas.items()}
        """,
    "gather of functions that do not fail": """
        async def pagina(pedir, nombres):
            async def una(nombre):
                try:
                    return nombre, await pedir(nombre)
                except Exception:
                    return nombre, None

            return dict(await asyncio.gather(*map(una, nombres)))
        """,
}

WRONG = {
    "one after the other": (
        """
        async def pagina(pedir, nombres):
            respuestas = {}
            for nombre in nombres:
                try:
                    respuestas[nombre] = await pedir(nombre)
                except Exception:
                    respuestas[nombre] = None
            return respuestas
        """,
        "tardó 6 s",
    ),
    "the error comes out": ("return_exceptions=True", "return_exceptions=False", "¿qué debe pasar con las demás"),
    "the error is the answer": ("isinstance(respuesta, Exception)", "False", "si catalogo lanza ConnectionError"),
    "only what fails by the network": ("isinstance(respuesta, Exception)", "isinstance(respuesta, OSError)", "lanza ValueError"),
    "empty is a failure": (
        "None if isinstance(respuesta, Exception) else respuesta",
        "None if isinstance(respuesta, Exception) else respuesta or None",
        "¿qué es un fallo?",
    ),
    "mixed up": ("zip(nombres, respuestas)", "zip(sorted(nombres, reverse=True), respuestas)", "se esperaba"),
    "alphabetical": ("zip(nombres, respuestas)", "reversed(list(zip(nombres, respuestas)))", "las claves salen"),
    "only the good ones": (
        "for name, respuesta in zip(nombres, respuestas)",
        "for name, respuesta in zip(nombres, respuestas) if not isinstance(respuesta, Exception)",
        "se esperaba",
    ),
    "asks twice": (
        "respuestas = await",
        "await asyncio.gather(*map(pedir, nombres), return_exceptions=True)\n    respuestas = await",
        "¿una vez a cada uno?",
    ),
    "lets them go on": (
        """
        async def pagina(pedir, nombres):
            tareas = {nombre: asyncio.create_task(pedir(nombre)) for nombre in nombres}
            respuestas = {}
            for nombre, tarea in tareas.items():
                try:
                    respuestas[nombre] = await tarea
                except Exception:
                    respuestas[nombre] = None
            return respuestas
        """,
        "¿quién las cancela?",
    ),
    "shielded": ("*(pedir(name)", "*(asyncio.shield(pedir(name))", "¿quién las cancela?"),
    "swallows the cancellation": (
        """
        async def pagina(pedir, nombres):
            try:
                respuestas = await asyncio.gather(*map(pedir, nombres), return_exceptions=True)
            except asyncio.CancelledError:
                return {}
            return {n: None if isinstance(r, Exception) else r for n, r in zip(nombres, respuestas)}
        """,
        "la cancelación no salió de ella",
    ),
    "does not wait": (
        """
        async def pagina(pedir, nombres):
            tareas = {nombre: asyncio.create_task(pedir(nombre)) for nombre in nombres}
            done, _ = await asyncio.wait(tareas.values(), timeout=2.5) if tareas else (set(), None)
            return {n: t.result() if t in done and not t.exception() else None for n, t in tareas.items()}
        """,
        "siguen en marcha",
    ),
    "a plain function": ("def pagina(pedir, nombres):\n    return {}", "se pide con async def"),
}

test_right, test_wrong = RX3.tests(RIGHT, WRONG)
