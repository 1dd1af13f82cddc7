"""SC-7b: notices and the loop, held against right and wrong answers."""

from answers import Master

SC7B = Master(
    "SC-7b",
    same={
        "with open(ruta, 'a', encoding='utf-8') as archivo: → with open(ruta, 'a') as archivo:": (
            "UTF-8 is this system's own encoding"
        )
    },
)

RIGHT = {
    "pathlib, and a flag": """
        from pathlib import Path

        def crear_avisos(ruta):
            def avisar(texto):
                print("AVISO:", texto)
                with Path(ruta).open("a", encoding="utf8") as archivo:
                    print("AVISO:", texto, file=archivo)
            return avisar

        def vigilar(comprobar, cada, parar):
            while not parar.is_set():
                with suppress(Exception):
                    comprobar()
                parar.wait(timeout=cada)

        from contextlib import suppress
        """
}

WRONG = {
    "only the console": (
        '        with open(ruta, "a", encoding="utf-8") as archivo:\n            archivo.write(texto + "\\n")',
        "        pass",
        "el archivo tiene 1 línea",
    ),
    "only the file": ("print(texto)", "pass", "en la consola se leyó"),
    "writes over": ('"a"', '"w"', "¿cómo lo abres?"),
    "no line": ('texto + "\\n"', "texto", "¿una línea por aviso"),
    "an exception ends it": ("except Exception", "except KeyError", "comprobar lanza una excepción"),
    "sleeps": (
        "if parar.wait(cada):\n            return",
        "time.sleep(cada)\n        if parar.is_set():\n            return",
        "¿qué espera entre dos comprobaciones?",
    ),
    "waits first": ("while True:", "while not parar.wait(cada):", "no hubo ninguna al empezar"),
    "once": ("if parar.wait(cada):", "if parar.wait(cada) or True:", "no llegó"),
    "one function": ("crear_avisos = 3\nvigilar = print", "se pide"),
}

test_right, test_wrong = SC7B.tests(RIGHT, WRONG)
