"""RX-6: the deadline of a purchase, held against right and wrong answers."""

from answers import Master

RX6 = Master("RX-6")

RIGHT = {
    "labkit's own deadline": """
        from labkit.patterns.reactive import deadline, remaining

        async def comprar(plazo, inventario, pagos, envios):
            async with deadline(plazo):
                primero = await inventario(remaining())
                async with asyncio.TaskGroup() as grupo:
                    otros = [grupo.create_task(cada_uno(remaining())) for cada_uno in (pagos, envios)]
                return dict(zip(("inventario", "pagos", "envios"), (primero, *(o.result() for o in otros))))
        """,
    "wait_for, gather, and cancelled by hand": """
        async def comprar(plazo, inventario, pagos, envios):
            reloj = asyncio.get_running_loop().time
            final = reloj() + plazo

            async def todo():
                hay = await inventario(final - reloj())
                tareas = [asyncio.create_task(f(final - reloj())) for f in (pagos, envios)]
                try:
                    cobro, paquete = await asyncio.gather(*tareas)
                finally:
                    for tarea in tareas:
                        tarea.cancel()
                    await asyncio.gather(*tareas, return_exceptions=True)
                return {"inventario": hay, "pagos": cobro, "envios": paquete}

            return await asyncio.wait_for(todo(), plazo)
        """,
}

_PAGOS, _ENVIOS = "pagos(final - bucle.time())", "envios(final - bucle.time())"
_GROUP = """        async with asyncio.TaskGroup() as grupo:
            cobro = grupo.create_task(pagos(final - bucle.time()))
            paquete = grupo.create_task(envios(final - bucle.time()))
"""
WRONG = {
    "the whole time to each": (_PAGOS, "pagos(plazo)", "a pagos le dijiste que quedaban 10 s"),
    "the time that has passed": (_ENVIOS, "envios(bucle.time())", "a envios le dijiste"),
    "the hour of the end": ("inventario(plazo)", "inventario(final + 5)", "a inventario le dijiste"),
    "no deadline": ("async with asyncio.timeout_at(final):", "if True:", "se pide TimeoutError"),
    "a deadline for each": (
        """
        async def comprar(plazo, inventario, pagos, envios):
            hay = await asyncio.wait_for(inventario(plazo), plazo)
            async with asyncio.timeout(plazo), asyncio.TaskGroup() as grupo:
                cobro = grupo.create_task(pagos(plazo - 1))
                paquete = grupo.create_task(envios(plazo - 1))
            return {"inventario": hay, "pagos": cobro.result(), "envios": paquete.result()}
        """,
        "con plazo=1.5",
    ),
    "one after the other": (
        _GROUP,
        f"        cobro = asyncio.ensure_future({_PAGOS})\n        await cobro\n"
        f"        paquete = asyncio.ensure_future({_ENVIOS})\n        await paquete\n",
        "¿van pagos y envios a la vez?",
    ),
    "all three at once": (
        """
        async def comprar(plazo, inventario, pagos, envios):
            async with asyncio.timeout(plazo), asyncio.TaskGroup() as grupo:
                tres = [grupo.create_task(f(plazo)) for f in (inventario, pagos, envios)]
            return dict(zip(("inventario", "pagos", "envios"), (t.result() for t in tres)))
        """,
        "antes de que inventario contestara",
    ),
    "gather leaves the sister": (
        _GROUP,
        f"        cobro, paquete = map(asyncio.ensure_future, ({_PAGOS}, {_ENVIOS}))\n"
        "        await asyncio.gather(cobro, paquete)\n",
        "seguía en marcha",
    ),
    "cancels and does not wait": (
        _GROUP,
        f"        cobro, paquete = map(asyncio.ensure_future, ({_PAGOS}, {_ENVIOS}))\n"
        "        try:\n            await asyncio.gather(cobro, paquete)\n"
        "        finally:\n            cobro.cancel(), paquete.cancel()\n",
        "¿quién las cancela, y quién espera a que acaben?",
    ),
    "waits for the sister": (
        _GROUP,
        f"        cobro, paquete = map(asyncio.ensure_future, ({_PAGOS}, {_ENVIOS}))\n"
        "        await asyncio.gather(cobro, paquete, return_exceptions=True)\n",
        "aún esperó",
    ),
    "shielded": (_ENVIOS, f"asyncio.shield({_ENVIOS})", "seguía en marcha"),
    "no result": ('"pagos": cobro.result(), ', "", "se esperaba"),
    "tasks for results": ("cobro.result()", "cobro", "se esperaba"),
    "None when it is late": (
        """
        async def comprar(plazo, inventario, pagos, envios):
            bucle = asyncio.get_running_loop()
            final = bucle.time() + plazo
            try:
                async with asyncio.timeout_at(final):
                    hay = await inventario(plazo)
                    async with asyncio.TaskGroup() as grupo:
                        cobro = grupo.create_task(pagos(final - bucle.time()))
                        paquete = grupo.create_task(envios(final - bucle.time()))
            except TimeoutError:
                return None
            return {"inventario": hay, "pagos": cobro.result(), "envios": paquete.result()}
        """,
        "salió None: se pide TimeoutError",
    ),
    "ignores a failed inventory": (
        "        hay = await inventario(plazo)\n",
        "        try:\n            hay = await inventario(plazo)\n        except ConnectionError:\n            hay = None\n",
        "si inventario falla",
    ),
    "swallows the cancellation": (
        "        hay = await inventario(plazo)\n",
        "        try:\n            hay = await inventario(plazo)\n"
        "        except asyncio.CancelledError:\n            hay = None\n",
        "inventario",
    ),
    "counts by another clock": ("bucle.time()", "time.monotonic()", "a pagos le dijiste"),
}

test_right, test_wrong = RX6.tests(RIGHT, WRONG)
