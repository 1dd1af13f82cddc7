"""RX-4: retries with full jitter, held against right and wrong answers."""

from answers import Master

RX4 = Master(
    "RX-4", same={"for fallos in range(1, intentos + 1): → for fallos in range(1, intentos + 2):": "nobody goes round again"}
)

RIGHT = {
    "a while, its own random": """
        async def reintentar(llamar, intentos, base, tope):
            dado, maximo = random.Random(), base
            while True:
                try:
                    return await llamar()
                except OSError:
                    intentos -= 1
                    if intentos == 0:
                        raise
                    await asyncio.sleep(dado.random() * min(maximo, tope))
                    maximo *= 2
        """,
    "recursive": """
        async def reintentar(llamar, intentos, base, tope):
            try:
                return await llamar()
            except OSError:
                if intentos == 1:
                    raise
            await asyncio.sleep(random.uniform(0, min(base, tope)))
            return await reintentar(llamar, intentos - 1, 2 * base, tope)
        """,
    "keeps the error": """
        async def reintentar(llamar, intentos, base, tope):
            ultimo = None
            for n in range(intentos):
                if ultimo is not None:
                    await asyncio.sleep(min(tope, base * 2 ** (n - 1)) * random.random())
                try:
                    return await llamar()
                except (ConnectionError, TimeoutError, OSError) as error:
                    ultimo = error
            raise ultimo
        """,
}

_PAUSE = "random.uniform(0, min(tope, base * 2 ** (fallos - 1)))"
WRONG = {
    "no chance": (_PAUSE, "min(tope, base * 2 ** (fallos - 1))", "¿son todas igual de probables?"),
    "half jitter": ("random.uniform(0, ", "random.uniform(0.5 * base, ", "¿son todas igual de probables?"),
    "equal jitter": (_PAUSE, "min(tope, base * 2 ** (fallos - 1)) * (1 + random.random()) / 2", "¿son todas igual de probables?"),
    "jitter on top": (_PAUSE, "min(tope, base * 2 ** (fallos - 1)) + random.uniform(0, base)", "¿cuál es el máximo ahí?"),
    "no cap": ("min(tope, base * 2 ** (fallos - 1))", "base * 2 ** (fallos - 1)", "tras el fallo 5"),
    "doubles from the first": ("2 ** (fallos - 1)", "2 ** fallos", "tras el fallo 1"),
    "does not double": ("base * 2 ** (fallos - 1)", "base", "tras el fallo 2"),
    "seconds, not base": ("base * 2 ** (fallos - 1)", "0 * base", "no pasó tiempo en el bucle"),
    "one draw for the whole": (
        """
        async def reintentar(llamar, intentos, base, tope):
            suerte = random.random()
            for fallos in range(1, intentos + 1):
                try:
                    return await llamar()
                except OSError:
                    if fallos == intentos:
                        raise
                await asyncio.sleep(suerte * min(tope, base * 2 ** (fallos - 1)))
        """,
        "¿cuándo sacas el número al azar?",
    ),
    "always the same chance": ("    for fallos", "    random.seed(1)\n    for fallos", "¿son todas igual de probables?"),
    "blocks the loop": ("await asyncio.sleep(", "time.sleep(0.001 * ", "¿con qué esperas?"),
    "whole seconds": (_PAUSE, "random.randint(0, int(min(tope, base)))", "¿Y cuánto?"),
    "no pause": (f"await asyncio.sleep({_PAUSE})", "pass", "¿con qué esperas?"),
    "anything is repeated": ("except OSError", "except Exception", "con un ValueError hizo 2 llamadas"),
    "only the network": ("except OSError", "except ConnectionError", "tras un TimeoutError no volvió a llamar"),
    "a cancellation is repeated": ("except OSError", "except (OSError, asyncio.CancelledError)", "la cancelaron y"),
    "never raises": ("fallos == intentos", "fallos > intentos", "con intentos=1"),
    "one less": ("fallos == intentos", "fallos >= max(1, intentos - 1)", "con intentos=2 y 1 de fallo"),
    "None at the end": ("                raise", "                return None", "¿qué sale cuando falla el último?"),
    "an error of its own": (
        "                raise",
        "                raise RuntimeError('no hubo manera')",
        "se pide la excepción del último intento",
    ),
    "the first error": (
        """
        async def reintentar(llamar, intentos, base, tope):
            primero = None
            for fallos in range(1, intentos + 1):
                try:
                    return await llamar()
                except OSError as error:
                    primero = primero or error
                    if fallos == intentos:
                        raise primero
                await asyncio.sleep(random.uniform(0, min(tope, base * 2 ** (fallos - 1))))
        """,
        "se pide la excepción del último intento",
    ),
    "sleeps before it gives up": (
        """
        async def reintentar(llamar, intentos, base, tope):
            for fallos in range(1, intentos + 1):
                try:
                    return await llamar()
                except OSError as error:
                    ultimo = error
                await asyncio.sleep(random.uniform(0, min(tope, base * 2 ** (fallos - 1))))
            raise ultimo
        """,
        "esperó después del último fallo",
    ),
    "no result": ("return await llamar()", "await llamar()", "devolvió"),
    "repeats what is empty": (
        "return await llamar()",
        "if valor := await llamar():\n                return valor",
        "la llamada devolvió 0",
    ),
    "for ever": ("fallos == intentos", "False", "con intentos=1"),
}

test_right, test_wrong = RX4.tests(RIGHT, WRONG)
