"""EG-8b: a file replaced, held against right and wrong answers."""

from answers import Master

EG8B = Master(
    "EG-8b",
    same={
        "provisional.write_text(texto, encoding='utf-8') → provisional.write_text(texto)": 'json.dumps writes ASCII',
    },
)  # fmt: skip

RIGHT = {
    "cleans up behind itself": """
        def guardar(archivo, tabla):
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=Path(archivo).parent, delete=False) as f:
                provisional = f.name
                try:
                    json.dump(tabla, f)
                except Exception:
                    f.close()
                    os.unlink(provisional)
                    raise
            os.replace(provisional, archivo)
        """,
    "flushed and synced inside the with": """
        def guardar(archivo, tabla):
            texto = json.dumps(tabla)
            with open(f"{archivo}~", "w", encoding="utf-8") as f:
                f.write(texto)
                f.flush()
                os.fsync(f.fileno())
                os.replace(f.name, archivo)
        """,
    "Path.replace": """
        def guardar(archivo, tabla):
            datos = json.dumps(tabla, indent=2, ensure_ascii=False).encode()
            otro = Path(f"{archivo}.tmp")
            otro.write_bytes(datos)
            otro.replace(archivo)
        """,
}

WRONG = {
    "into the file": ("    os.replace(provisional, archivo)", "    Path(archivo).write_text(texto)\n    provisional.unlink()", "¿es otro archivo?"),
    "a copy": ("    os.replace(provisional, archivo)", "    import shutil\n    shutil.copy(provisional, archivo)\n    provisional.unlink()", "¿es otro archivo?"),
    "removes the old one first": ("    os.replace", "    Path(archivo).unlink(missing_ok=True)\n    os.replace", "¿qué encuentra quien lee entonces?"),
    "moves the old one away": ("    os.replace(provisional, archivo)", "    viejo = Path(f'{archivo}.viejo')\n    Path(archivo).exists() and os.rename(archivo, viejo)\n    provisional.rename(archivo)\n    viejo.unlink(missing_ok=True)", "el archivo antiguo se quitó antes"),
    "not closed yet": ("    provisional.write_text(texto, encoding=\"utf-8\")\n", "    destino = provisional.open(\"w\")\n    destino.write(texto)\n", "¿estaba ya escrito y cerrado?"),
    "elsewhere": ("    provisional = Path(archivo).with_suffix(\".nuevo\")\n    provisional.write_text(texto, encoding=\"utf-8\")\n    os.replace", "    with tempfile.TemporaryDirectory() as otra:\n        provisional = Path(otra) / 'x'\n        provisional.write_text(texto)\n        os.replace", "se escribió en otra carpeta"),
    "nothing is put in place": ("    os.replace(provisional, archivo)", "    pass", "en el archivo quedó nada"),
    "writes half": ("    texto = json.dumps(tabla)\n", "    texto = '{'\n    Path(archivo).with_suffix('.nuevo').write_text('{')\n    texto = json.dumps(tabla)\n", "sobra rutas.nuevo"),
    "swallows": ("    texto = json.dumps(tabla)", "    try:\n        texto = json.dumps(tabla)\n    except TypeError:\n        return", "guardar no lanzó nada"),
    "anything as a text": ("json.dumps(tabla)", "json.dumps(tabla, default=str)", "guardar no lanzó nada"),
    "empties it first": ("    texto = json", "    Path(archivo).write_text('')\n    texto = json", "¿es otro archivo?"),
    "JSON of JSON": ("json.dumps(tabla)", "json.dumps(json.dumps(tabla))", "en el archivo quedó un texto, "),
    "not JSON": ("json.dumps(tabla)", "str(tabla)", "no es JSON"),
}  # fmt: skip

test_right, test_wrong = EG8B.tests(RIGHT, WRONG)
