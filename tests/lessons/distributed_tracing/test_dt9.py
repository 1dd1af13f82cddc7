"""DT-9: the chain of one id, held against right and wrong answers."""

from answers import Master

DT9 = Master(
    "DT-9",
    same={
        "for linea in ruta.read_text(encoding='utf-8').splitlines(): → for linea in ruta.read_text().splitlines():": (
            "UTF-8 is the system's own encoding where the tests run"
        )
    },
)

RIGHT = {
    "a generator and a helper": """
        def leer(linea):
            try:
                return json.loads(linea)
            except json.JSONDecodeError:
                return None

        def cadena(ruta, id):
            with open(ruta, encoding="utf8") as archivo:
                leidas = map(leer, archivo)
                suyas = [e for e in leidas if isinstance(e, dict) and {"id", "t"} <= e.keys() and e["id"] == id]
            suyas.sort(key=lambda e: e["t"])
            return suyas
        """,
    "bytes": """
        def cadena(ruta, id):
            pares = []
            for n, linea in enumerate(ruta.read_bytes().split(b"\\n")):
                try:
                    entrada = json.loads(linea)
                    if entrada["id"] == id:
                        pares.append((entrada["t"], n, entrada))
                except (ValueError, TypeError, KeyError):
                    pass
            return [entrada for *_, entrada in sorted(pares)]
        """,
}

WRONG = {
    "not sorted": ('return sorted(entradas, key=lambda entrada: entrada["t"])', "return entradas", "¿De qué id, y en qué orden?"),
    "sorted as text": ('key=lambda entrada: entrada["t"]', 'key=lambda entrada: str(entrada["t"])', "en qué orden?"),
    "backwards": ('entrada["t"])\n', 'entrada["t"], reverse=True)\n', "en qué orden?"),
    "ties by name": (
        'key=lambda entrada: entrada["t"]',
        'key=lambda entrada: (entrada["t"], entrada.get("suceso", ""))',
        "¿Están todas, y en el orden del archivo?",
    ),
    "ties backwards": (
        'sorted(entradas, key=lambda entrada: entrada["t"])',
        'sorted(entradas[::-1], key=lambda entrada: entrada["t"])',
        "¿Están todas, y en el orden del archivo?",
    ),
    "ties by service": (
        'key=lambda entrada: entrada["t"]',
        'key=lambda entrada: (entrada["t"], entrada.get("servicio", ""))',
        "¿Están todas",
    ),
    "no twins": ("entradas.append(entrada)", "entrada in entradas or entradas.append(entrada)", "¿Están todas"),
    "as texts": ('entrada.get("id") == id', 'str(entrada.get("id")) == id', "¿Cambias de tipo el id?"),
    "another file": ("for linea in ruta", "for linea in Path(__import__('os').devnull)", "¿qué archivo lees"),
    "a piece of the line": ('entrada.get("id") == id', "id in linea", "¿Comparas el id?"),
    "begins like it": ('entrada.get("id") == id', 'str(entrada.get("id")).startswith(id)', "¿Comparas el id?"),
    "without regard to capitals": ('entrada.get("id") == id', 'str(entrada.get("id")).lower() == id.lower()', "¿Comparas el id?"),
    "everybody's": (' and entrada.get("id") == id', "", "¿De qué id"),
    "stops at the first that is none": ("            continue\n", "            break\n", "con ruido en medio"),
    "trusts the file": ("except ValueError", "except KeyError", "¿y si la línea la escribió otro"),
    "an id is enough": ('"t" in entrada and ', "", "¿es un objeto, y tiene id y t?"),
    "a t is enough": ('entrada.get("id") == id', 'entrada["id"] == id', "¿es un objeto, y tiene id y t?"),
    "any JSON": ("isinstance(entrada, dict) and ", "", "¿es un objeto"),
    "lines and no entries": ("entradas.append(entrada)", "entradas.append(linea)", "lanzó"),
    "a piece of the entry": (
        "entradas.append(entrada)",
        'entradas.append({k: entrada[k] for k in ("t", "suceso") if k in entrada})',
        "el diccionario entero",
    ),
    "the system's encoding": ('encoding="utf-8"', 'encoding="latin-1"', "¿en qué codificación lees?"),
    "nothing for nobody": (
        "    return sorted(",
        "    if not entradas:\n        return None\n    return sorted(",
        "devolvió None: se pide una lista",
    ),
    "an iterator": (
        'return sorted(entradas, key=lambda entrada: entrada["t"])',
        "return iter(sorted(entradas, key=lambda e: e['t']))",
        "se pide una lista",
    ),
}

test_right, test_wrong = DT9.tests(RIGHT, WRONG)
