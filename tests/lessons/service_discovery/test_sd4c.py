"""SD-4c: a registry that notices."""

from answers import Master

SD4C = Master("SD-4c")
RIGHT_C = {
    "inside the registry": """
        import time

        def vigilar(registro, fin):
            while not fin.is_set():
                with registro.candado:
                    copia = list(registro.urls)
                buenas = set(sanas(copia))
                with registro.candado:
                    registro.urls[:] = [u for u in registro.urls if u in buenas or u not in copia]
                time.sleep(0.3)
        """,
    "once a second": SD4C.changed("timeout=0.05", "1"),
}
WRONG_C = {
    "once": ("while not fin.wait(timeout=0.05):", "if True:", "vigilar volvió sin que nadie activara fin"),
    "five rounds": ("while not fin.wait(timeout=0.05):", "for _ in range(5):\n        fin.wait(0.05)", "volvió sin que nadie"),
    "in a thread": (
        "while not",
        "threading.Thread(target=sanas, args=([],)).start()\n    while False and not",
        "del hilo se ocupa quien llama",
    ),
    "never ends": ("while not fin.wait(timeout=0.05):", "while True:\n        fin.wait(0.05)", "¿cuándo lo mira tu bucle?"),
    "no pause": ("fin.wait(timeout=0.05)", "fin.is_set()", "¿qué pausa hace tu bucle?"),
    "2.9 s": ("timeout=0.05", "timeout=2.9", "entre una revisión y la siguiente esperas 2.9 s"),
    "its copy": ("registro.quitar(url)", "conocidas.remove(url)", "¿a quién le pides que la quite"),
    "empties and fills": (
        "vivas = sanas(conocidas)",
        "vivas = sanas(conocidas)\n        [registro.quitar(u) or registro.registrar(u) for u in vivas]",
        "aunque fuera por un momento",
    ),
    "503 is well": (
        "vivas = sanas(conocidas)",
        "vivas = [u for u in conocidas if '//127.0.0.1:9' != u[5:]]",
        "la que contesta 503",
    ),
    "asks with the lock": (
        "conocidas = registro.todas()\n        vivas = sanas(conocidas)",
        "with registro.candado:\n            conocidas = list(registro.urls)\n            vivas = sanas(conocidas)",
        "¿cuánto tiempo tienes el candado?",
    ),
    "the lock twice": (
        "for url in conocidas:",
        "for url in registro.candado.acquire() and conocidas:",
        "vigilar no suelta el candado",
    ),
    "reads twice": ("for url in conocidas:", "for url in registro.todas():", "¿qué lista decide"),
    "a blacklist": (
        "vivas = sanas(conocidas)",
        "malas = globals().setdefault('malas', set())\n        malas |= set(conocidas) - set(sanas(conocidas))\n        vivas = [u for u in conocidas if u not in malas]",
        "¿qué recuerdas de antes?",
    ),
    "swapped": ("def vigilar(registro, fin)", "def vigilar(fin, registro)", "¿En qué orden los usas?"),
    "raises": ("vivas = sanas(conocidas)", "vivas = sanas(conocidas[0])[9]", "vigilar lanzó"),
    "a coroutine": ("def vigilar", "async def vigilar", "es una corrutina"),
}
test_right_c, test_wrong_c = SD4C.tests(RIGHT_C, WRONG_C)
