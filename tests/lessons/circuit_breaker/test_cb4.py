"""CB-4: a file that tells of every change of state."""

from answers import Master

CB4 = Master(
    "CB-4",
    same={
        "with open(ruta, 'a', encoding='utf-8') as archivo: → with open(ruta, 'a') as archivo:": "the same where the locale is UTF-8"
    },
)
RIGHT = {
    "logging": """
        def registrar_cambios(breaker, ruta):
            import logging
            registro = logging.Logger(breaker.name)
            registro.addHandler(logging.FileHandler(ruta, encoding="utf-8"))
            def oyente(suceso):
                if hasattr(suceso, "previous"):
                    registro.warning("%s: %s -> %s", suceso.machine, suceso.previous, suceso.state)
            breaker.add_listener(oyente)
        """,
    "JSON": """
        import json
        def registrar_cambios(breaker, ruta):
            def oyente(s):
                if type(s) is StateChange:
                    fila = {"t": s.t, "circuito": s.machine, "antes": s.previous, "ahora": s.state}
                    with ruta.open("a") as f:
                        f.write(json.dumps(fila) + "\\n")
            breaker.add_listener(oyente)
        """,
}
_WRITES = 'archivo.write(f"{suceso}\\n")'
WRONG = {
    "refusals too": ("if isinstance(suceso, StateChange):", "if True:", "¿qué sucesos anotas"),
    "overwrites": ('"a"', '"w"', "¿cómo abres el archivo?"),
    "no end of line": ('{suceso}\\n"', '{suceso}"', "¿"),
    "columns swapped": (
        _WRITES,
        'archivo.write(f"{suceso.machine} {suceso.state} {suceso.previous}\\n")',
        "¿cuál es el anterior",
    ),
    "no previous": (_WRITES, 'archivo.write(f"{suceso.machine} {suceso.state}\\n")', "se piden el nombre"),
    "no name": (_WRITES, 'archivo.write(f"{suceso.previous} {suceso.state}\\n")', "se piden el nombre"),
    "states of its own": (
        _WRITES,
        'archivo.write(f"{suceso.machine} {suceso.previous.upper()} {suceso.state.upper()}\\n")',
        "como los escribe el circuito",
    ),
    "in Spanish": ("{suceso}", "{suceso.machine} cerrado abierto", "el estado anterior y el nuevo, como los escribe el circuito"),
    "only the openings": (
        "isinstance(suceso, StateChange)",
        'isinstance(suceso, StateChange) and suceso.state == "open"',
        "«pagos» pasó de open a half-open y en su sitio está la línea",
    ),
    "twice": (
        "breaker.add_listener(anotar)",
        "breaker.add_listener(anotar)\n    breaker.add_listener(lambda s: anotar(s))",
        "sobra",
    ),
    "another file": ("open(ruta,", "open(str(ruta) + '.txt',", "¿cuándo llega al disco"),
    "one file for all": ("open(ruta,", "open(ruta.with_name('cambios.log'),", ""),
    "in memory": (
        'with open(ruta, "a", encoding="utf-8") as archivo:',
        "import io\n            with io.StringIO() as archivo:",
        "¿cuándo llega",
    ),
    "no listener": ("breaker.add_listener(anotar)", "pass", "¿cuándo llega al disco"),
    "raises": ("isinstance(suceso, StateChange)", "suceso.anterior", "tu oyente lanzó AttributeError"),
    "a coroutine": ("def registrar_cambios", "async def registrar_cambios", "es una corrutina"),
    "no parameters": ("(breaker, ruta)", "(breaker)", "¿Qué parámetros tiene"),
}
test_right, test_wrong = CB4.tests(RIGHT, WRONG)
