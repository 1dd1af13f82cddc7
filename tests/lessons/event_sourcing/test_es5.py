"""ES-5: the view that stands a cut, held against right and wrong answers."""

from answers import Master

ES5 = Master("ES-5")

RIGHT = {
    "counts first, writes once": """
        def poner_al_dia(conexion, hechos):
            cursor = conexion.cursor()
            marcador = cursor.execute("select posicion from marcador").fetchone()[0]
            ventas, nuevos = Counter(), 0
            for hecho in hechos:
                if hecho.position <= marcador:
                    continue
                nuevos += 1
                ultimo = hecho.position
                if hecho.type == "Vendido":
                    ventas[hecho.stream] += hecho.data["unidades"]
            if not nuevos:
                return 0
            try:
                for libro, unidades in ventas.items():
                    cursor.execute("insert or ignore into ventas values (?, 0)", (libro,))
                    cursor.execute("update ventas set unidades = unidades + ? where libro = ?", (unidades, libro))
                cursor.execute("update marcador set posicion = ?", (ultimo,))
                conexion.commit()
            except BaseException:
                conexion.rollback()
                raise
            return nuevos
        """,
    "a transaction for each fact": """
        def poner_al_dia(conexion, hechos):
            contados = 0
            for hecho in hechos:
                with conexion:
                    (posicion,) = conexion.execute("select max(posicion) from marcador").fetchone()
                    if hecho.position <= posicion:
                        continue
                    conexion.execute("delete from marcador")
                    conexion.execute("insert into marcador values (?)", (hecho.position,))
                    if hecho.type == "Vendido":
                        fila = conexion.execute("select unidades from ventas where libro = ?", (hecho.stream,)).fetchone()
                        total = (fila[0] if fila else 0) + hecho.data["unidades"]
                        conexion.execute("insert or replace into ventas values (?, ?)", (hecho.stream, total))
                contados += 1
            return contados
        """,
    "begin and commit by hand": """
        def poner_al_dia(conexion, hechos):
            conexion.execute("begin immediate")
            hasta = conexion.execute("select posicion from marcador").fetchone()[0]
            nuevos = [h for h in hechos if h.position > hasta]
            conexion.executemany(
                "insert into ventas values (?, ?) on conflict do update set unidades = unidades + excluded.unidades",
                [(h.stream, h.data["unidades"]) for h in nuevos if h.type == "Vendido"],
            )
            conexion.execute("update marcador set posicion = max(posicion, ?)", (max([h.position for h in nuevos], default=0),))
            conexion.execute("commit")
            return len(nuevos)
        """,
}

_MARK = 'conexion.execute("update marcador set posicion = ?", (hecho.position,))'
WRONG = {
    "no commit": ("with conexion:", "if True:", "¿Qué cuenta cada hecho, y se guardó (commit)?"),
    "the mark is saved before": (
        'if hecho.type == "Vendido":',
        f'{_MARK}; conexion.commit()\n            if hecho.type == "Vendido":',
        "¿qué se guardó sin lo otro?",
    ),
    "the sales are saved before": (_MARK, f"conexion.commit(); {_MARK}", "¿qué se guardó sin lo otro?"),
    "the mark is saved at the end alone": (
        _MARK + "\n",
        "conexion.commit()\n    conexion.execute('update marcador set posicion = ?', (hechos[-1].position if nuevos else 0,))"
        "\n    conexion.commit()\n",
        "¿",
    ),
    "no mark": (_MARK, "pass", "marcador dice 0"),
    "everything is new": ("hecho.position > posicion", "True", "¿Cuáles son nuevos?"),
    "the last one again": ("hecho.position > posicion", "hecho.position >= posicion", "¿Cuáles son nuevos?"),
    "only sales move the mark": ("            " + _MARK, "                " + _MARK, "marcador dice 4"),
    "counts sales, not units": ('hecho.data["unidades"])', "1)", "¿Qué cuenta cada hecho"),
    "returns come in": ('hecho.type == "Vendido"', 'hecho.type != "Recibido"', "¿Qué cuenta cada hecho"),
    "replaces": ("unidades + excluded.unidades", "excluded.unidades", "¿Qué cuenta cada hecho"),
    "tells all that were given": ("len(nuevos)", "len(hechos)", "¿Cuáles son nuevos?"),
    "tells nothing": ("return len(nuevos)", "pass", "devolvió None"),
    "a row for each fact": ("update marcador set posicion = ?", "insert into marcador values (?)", "marcador tiene"),
    "closes": ("return len(nuevos)", "conexion.close()\n    return len(nuevos)", "tu función cerró la conexión"),
    "no row to add to": (
        "def poner_al_dia(conexion, hechos):\n    with conexion:\n        for h in hechos:\n"
        "            conexion.execute('update ventas set unidades = unidades + 1 where libro = ?', (h.stream,))\n"
        "            conexion.execute('update marcador set posicion = ?', (h.position,))\n    return len(hechos)",
        "¿Tiene ya ventas una fila de cada libro?",
    ),
    "keeps what it had when it fails": (
        "def poner_al_dia(conexion, hechos):\n    n, hasta = 0, conexion.execute('select posicion from marcador').fetchone()[0]\n"
        "    try:\n        for h in hechos:\n            if h.position > hasta:\n                n += 1\n"
        "                conexion.execute('update marcador set posicion = ?', (h.position,))\n"
        "                if h.type == 'Vendido':\n"
        "                    conexion.execute('insert or ignore into ventas values (?, 0)', (h.stream,))\n"
        "                    conexion.execute('update ventas set unidades = unidades + ? where libro = ?',"
        " (h.data['unidades'], h.stream))\n"
        "    finally:\n        conexion.commit()\n    return n",
        "¿qué se guardó sin lo otro?",
    ),
    "keeps its own mark": ("def poner_al_dia(conexion, hechos):\n    return len(hechos)", "marcador dice 0"),
}

test_right, test_wrong = ES5.tests(RIGHT, WRONG)
