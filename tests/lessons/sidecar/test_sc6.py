"""SC-6: the log of answers, held against right and wrong answers."""

from answers import Master

SC6 = Master("SC-6")

RIGHT = {
    "without finally": """
        def con_log(pasar, apuntar, reloj):
            async def manejar(peticion):
                antes = reloj()

                def anota(estado):
                    tardo = reloj() - antes
                    apuntar(dict(metodo=peticion.method, ruta=peticion.path, estado=estado, segundos=tardo))

                try:
                    respuesta = await pasar(peticion)
                except asyncio.CancelledError:
                    anota(499)
                    raise
                except Exception:
                    anota(502)
                    raise
                anota(respuesta.status)
                return respuesta
            return manejar
        """,
    "an object that can be called": """
        class Registro:
            def __init__(self, pasar, apuntar, reloj):
                self.pasar, self.apuntar, self.reloj = pasar, apuntar, reloj

            async def __call__(self, peticion):
                apunte = {"metodo": peticion.method, "ruta": peticion.path, "estado": 502}
                apunte["segundos"] = -self.reloj()
                try:
                    respuesta = await self.pasar(peticion)
                    apunte["estado"] = respuesta.status
                    return respuesta
                except asyncio.CancelledError:
                    apunte["estado"] = 499
                    raise
                finally:
                    apunte["segundos"] += self.reloj()
                    self.apuntar(apunte)

        def con_log(pasar, apuntar, reloj):
            return Registro(pasar, apuntar, reloj)
        """,
}

WRONG = {
    "only what goes well": (
        "        except asyncio.CancelledError:\n            estado = 499\n            raise\n        finally:\n",
        "        except ZeroDivisionError:\n            raise\n        else:\n",
        "¿Se apunta también lo que acaba mal?",
    ),
    "the query too": ("peticion.path", "peticion.path_qs", "¿Qué puede llevar lo que va detrás de «?»?"),
    "always 200": ("estado = respuesta.status", "estado = 200", "¿Qué estado corresponde a ese final?"),
    "who leaves is a 502": ("estado = 499", "pass", "¿Qué estado corresponde a ese final?"),
    "an error is a 500": ("502", "500", "¿Qué estado corresponde a ese final?"),
    "swallows": ("            raise\n", "            pass\n", "¿Recibe el cliente lo mismo que sin registro?"),
    "no answer": ("return respuesta", "pass", "¿Recibe el cliente lo mismo que sin registro?"),
    "the clock read once": ("reloj() - empezo", "reloj()", "¿Cuándo miras el reloj, y cuántas veces?"),
    "milliseconds": ("reloj() - empezo", "1000 * (reloj() - empezo)", "¿Cuándo miras el reloj, y cuántas veces?"),
    "twice": ("tardo = reloj() - empezo", "tardo = reloj() - empezo; apuntar({})", "¿Cuántas veces se apunta"),
    "a tuple": (
        'apuntar({"metodo": peticion.method, "ruta": peticion.path, "estado": estado, "segundos": tardo})',
        "apuntar((peticion.method, peticion.path, estado, tardo))",
        "¿Es un diccionario cada apunte?",
    ),
    "a function that is not called": ("return manejar", "return manejar(None)", "se pide una función de corrutina"),
    "not awaited": ("await pasar(peticion)", "pasar(peticion)", "¿Recibe el cliente lo mismo"),
    "nothing": ("con_log = [1]", "se pide algo que se pueda llamar"),
    "two parameters": ("def con_log(pasar, apuntar): return pasar", "¿Qué parámetros tiene"),
}
test_right, test_wrong = SC6.tests(RIGHT, WRONG)
