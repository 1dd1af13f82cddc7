"""SG-7: the outbox, held against right and wrong answers."""

from answers import Master

SG7 = Master("SG-7")

RIGHT = {
    "the connection as a context": """
        def aceptar_pedido(base, numero, mensaje):
            base.execute("BEGIN IMMEDIATE")
            with base:
                base.execute("INSERT INTO salida (mensaje) VALUES (?)", (mensaje,))
                base.execute("INSERT INTO pedidos (numero) VALUES (?)", (numero,))

        def repartir(base, enviar):
            enviados = 0
            while fila := base.execute("SELECT orden, mensaje FROM salida ORDER BY orden LIMIT 1").fetchone():
                enviar(fila[1])
                base.execute("DELETE FROM salida WHERE orden = ?", fila[:1])
                enviados += 1
            return enviados
        """,
    "a finally, and a transaction for each message": """
        def aceptar_pedido(base, numero, mensaje):
            base.execute("BEGIN")
            bien = False
            try:
                base.execute("INSERT INTO pedidos VALUES (?)", (numero,))
                base.execute("INSERT INTO salida (mensaje) VALUES (?)", (mensaje,))
                bien = True
            finally:
                base.execute("COMMIT" if bien else "ROLLBACK")

        def repartir(base, enviar):
            filas = list(base.execute("SELECT orden, mensaje FROM salida"))
            for orden, mensaje in sorted(filas):
                enviar(mensaje)
                base.execute("BEGIN")
                base.execute("DELETE FROM salida WHERE orden = ?", (orden,))
                base.execute("COMMIT")
            return len(filas)
        """,
}

WRONG = {
    "no transaction": (
        '    base.execute("BEGIN")\n    try:\n',
        "    try:\n        base.execute('SAVEPOINT s')\n        base.execute('RELEASE s')\n",
        "",
    ),
    "no rollback": ('base.execute("ROLLBACK")', "pass", "una transacción abierta"),
    "no commit": ('        base.execute("COMMIT")\n', "", "una transacción abierta"),
    "commits what failed": ('base.execute("ROLLBACK")', 'base.execute("COMMIT")', "¿Se escriben los dos en una transacción?"),
    "only an Exception": ("except BaseException:", "except Exception:", "una transacción abierta"),
    "swallows": ('"ROLLBACK")\n        raise', '"ROLLBACK")', "¿quién se entera"),
    "two transactions": (
        "(numero,))\n",
        '(numero,))\n        base.execute("COMMIT")\n        base.execute("BEGIN")\n',
        "¿Se escriben los dos en una transacción?",
    ),
    "deleted before": (
        'enviar(mensaje)\n        base.execute("DELETE FROM salida WHERE orden = ?", (orden,))',
        'base.execute("DELETE FROM salida WHERE orden = ?", (orden,))\n        enviar(mensaje)',
        "¿Cuándo se sabe",
    ),
    "all deleted at the end": (
        '        base.execute("DELETE FROM salida WHERE orden = ?", (orden,))\n',
        '    base.execute("DELETE FROM salida")\n',
        "¿Cuándo se sabe",
    ),
    "never deleted": ('base.execute("DELETE FROM salida WHERE orden = ?", (orden,))', "pass", "¿Qué se borra"),
    "the newest first": ("ORDER BY orden", "ORDER BY orden DESC", "¿en qué orden"),
    "by the alphabet": ("ORDER BY orden", "ORDER BY mensaje", "¿en qué orden"),
    "deleted by its text": ('WHERE orden = ?", (orden,)', 'WHERE mensaje = ?", (mensaje,)', "¿Qué los distingue?"),
    "goes on after a failure": (
        "enviar(mensaje)\n",
        "try:\n            enviar(mensaje)\n        except Exception:\n            continue\n",
        "¿quién se entera",
    ),
    "counts nothing": ("return len(pendientes)", "return None", "¿cuántos envió?"),
    "sends the row": ("enviar(mensaje)", "enviar((orden, mensaje))", "¿en qué orden, y qué recibe enviar?"),
    "sends at once": (
        '        base.execute("COMMIT")\n',
        '        base.execute("COMMIT")\n        base.execute("DELETE FROM salida")\n',
        "¿Se escriben los dos",
    ),
    "other parameters": ("def repartir(base, enviar)", "def repartir(enviar)", "no se puede llamar así"),
}

test_right, test_wrong = SG7.tests(RIGHT, WRONG)
