"""RX-5: the bounded pipeline, held against right and wrong answers."""

from answers import Master

RX5 = Master("RX-5")

RIGHT = {
    "two tasks and a mark in the queue": """
        async def tuberia(producir, consumir, maximo):
            cola = asyncio.Queue(maxsize=maximo)

            async def llenar():
                try:
                    async for cosa in producir():
                        await cola.put(("cosa", cosa))
                    await cola.put(("fin", None))
                except Exception as error:
                    await cola.put(("error", error))

            async def vaciar():
                while True:
                    clase, cosa = await cola.get()
                    if clase == "fin":
                        return
                    if clase == "error":
                        raise cosa
                    await consumir(cosa)

            tareas = [asyncio.create_task(llenar()), asyncio.create_task(vaciar())]
            try:
                await tareas[1]
            finally:
                for tarea in tareas:
                    tarea.cancel()
                await asyncio.gather(*tareas, return_exceptions=True)
        """,
    "a condition instead of a queue": """
        async def tuberia(producir, consumir, maximo):
            esperando, hay, acabado = [], asyncio.Condition(), []

            async def llenar():
                error = None
                try:
                    async for cosa in producir():
                        async with hay:
                            await hay.wait_for(lambda: len(esperando) < maximo)
                            esperando.append(cosa)
                            hay.notify_all()
                except Exception as fallo:
                    error = fallo
                async with hay:
                    acabado.append(error)
                    hay.notify_all()

            async with asyncio.TaskGroup() as grupo:
                grupo.create_task(llenar())
                while True:
                    async with hay:
                        await hay.wait_for(lambda: esperando or acabado)
                        if not esperando:
                            break
                        cosa = esperando.pop(0)
                        hay.notify_all()
                    await consumir(cosa)
            if acabado[0] is not None:
                raise acabado[0]
        """,
    "labkit's own buffer": """
        from labkit.patterns.reactive import Stream

        async def tuberia(producir, consumir, maximo):
            await Stream(producir).buffer(maximo).for_each(consumir)
        """,
}

_FILL = "        except Exception as error:\n            fallos.append(error)\n"
WRONG = {
    "no limit": ("asyncio.Queue(maximo)", "asyncio.Queue()", "¿quién frena al rápido?"),
    "always one": ("asyncio.Queue(maximo)", "asyncio.Queue(1)", "¿cuántas caben en medio?"),
    "one too many": ("asyncio.Queue(maximo)", "asyncio.Queue(maximo + 2)", "¿quién frena al rápido?"),
    "by halves": ("asyncio.Queue(maximo)", "asyncio.Queue(max(1, maximo // 2))", "¿cuántas caben en medio?"),
    "one after the other": (
        """
        async def tuberia(producir, consumir, maximo):
            async for cosa in producir():
                await consumir(cosa)
        """,
        "¿trabajan los dos lados a la vez?",
    ),
    "makes all first": (
        """
        async def tuberia(producir, consumir, maximo):
            cosas = [cosa async for cosa in producir()]
            for cosa in cosas:
                await consumir(cosa)
        """,
        "¿trabajan los dos lados a la vez?",
    ),
    "put_nowait": ("await cola.put(cosa)", "cola.put_nowait(cosa)", "QueueFull"),
    "drops what has no room": (
        "await cola.put(cosa)",
        "cola.full() or cola.put_nowait(cosa)\n                await asyncio.sleep(0)",
        "se consumió",
    ),
    "None is the end": ("object(), []", "None, []", "¿cómo sabes que es el final?"),
    "empty is the end": ("is not final", "", "se quedó esperando"),
    "no end": ("        await cola.put(final)", "        pass", "se quedó esperando"),
    "an error without end": (
        _FILL + "        await cola.put(final)",
        _FILL.replace("fallos.append(error)", "fallos.append(error)\n            return") + "        await cola.put(final)",
        "se quedó esperando",
    ),
    "the producer's error is lost": ("        raise fallos[0]", "        pass", "se pide la excepción de producir"),
    "the producer's error ends all": ("            fallos.append(error)", "            raise", "de las 3 que dio"),
    "the consumer's error is lost": (
        "            await consumir(cosa)",
        "            try:\n                await consumir(cosa)\n            except KeyError:\n                pass",
        "se pide la excepción de consumir",
    ),
    "the producer goes on": (
        "    async with asyncio.TaskGroup() as grupo:\n        grupo.create_task(llenar())",
        "    if True:\n        tarea = asyncio.create_task(llenar())",
        "¿quién detiene al otro lado?",
    ),
    "all at once": ("            await consumir(cosa)", "            grupo.create_task(consumir(cosa))", "se pide una cada vez"),
    "the last first": ("asyncio.Queue(maximo)", "asyncio.LifoQueue(maximo)", "se consumió"),
    "swallows the cancellation": (
        "            await consumir(cosa)",
        "            try:\n                await consumir(cosa)\n"
        "            except asyncio.CancelledError:\n                pass",
        "la cancelaron y",
    ),
}

test_right, test_wrong = RX5.tests(RIGHT, WRONG)
