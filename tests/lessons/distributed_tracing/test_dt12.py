"""DT-12: traceparent by hand, held against right and wrong answers."""

from answers import Master

DT12 = Master("DT-12")

RIGHT = {
    "space around it is nobody's": """
        def continuar(cabecera, azar):
            forma = r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
            partes = re.fullmatch(forma, (cabecera or "").strip())
            if not partes or (partes[1] == "00" and partes[4]):
                return "-".join(["00", azar(16), azar(8), "01"])
            return "-".join(["00", partes[2], azar(8), "01" if partes[3][1] in "13579bdf" else "00"])
        """,
    "by pieces": """
        HEX = set("0123456789abcdef")

        def parte(texto, largo):
            return len(texto) == largo and set(texto) <= HEX

        def continuar(cabecera, azar):
            traza, banderas = azar(16), 1
            version, *resto = (cabecera or "").split("-")
            if len(resto) >= 3 and parte(version, 2) and version != "ff":
                t, p, b = resto[:3]
                todo = parte(t, 32) and parte(p, 16) and parte(b, 2) and set(t) != {"0"} and set(p) != {"0"}
                if todo and (version != "00" or len(resto) == 3):
                    traza, banderas = t, int(b, 16) % 2
            return f"00-{traza}-{azar(8)}-0{banderas}"
        """,
    "by numbers": """
        def continuar(cabecera, azar):
            nuevo = f"00-{azar(16)}-{azar(8)}-01"
            c = cabecera if isinstance(cabecera, str) else ""
            forma = "".join("x" if letra in "0123456789abcdef" else letra for letra in c[:55])
            if forma != f"xx-{'x' * 32}-{'x' * 16}-xx" or c[:2] == "ff" or (c[:2] == "00" and len(c) > 55):
                return nuevo
            if c[55:56] not in ("", "-") or int(c[3:35], 16) == 0 or int(c[36:52], 16) == 0:
                return nuevo
            return "00-" + c[3:35] + "-" + azar(8) + ("-01" if int(c[53:55], 16) & 1 else "-00")
        """,
}

_PATTERN = '"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"'
WRONG = {
    "split": (
        """
        def continuar(cabecera, azar):
            _, traza, _, banderas = cabecera.split("-")
            return f"00-{traza}-{azar(8)}-{banderas}"
        """,
        "¿Qué bits de las banderas se conservan?",
    ),
    "raises at nothing": ('cabecera or ""', "cabecera", "¿Puede tumbar una cabecera lo que observa?"),
    "passes it on": ("{azar(8)}-{int", "{padre}-{int", "¿Es nuevo el tramo que sale?"),
    "always recorded": ("{int(banderas, 16) & 1:02x}", "01", "¿Qué dice el último bit"),
    "flags as they came": ("{int(banderas, 16) & 1:02x}", "{banderas}", "¿Qué bits de las banderas se conservan?"),
    "compares with 01": ("int(banderas, 16) & 1", "(banderas == '01')", "¿Qué dice el último bit"),
    "flags in decimal": ("int(banderas, 16)", "int(banderas)", "¿Puede tumbar una cabecera"),
    "the version that came": ('f"00-{traza}', 'f"{version}-{traza}', "¿Qué versión se escribe?"),
    "a forbidden version": ('version != "ff" and ', "", "¿Qué regla del enunciado incumple esa cabecera?"),
    "only version 00": ('version != "ff"', 'version == "00"', "Esa cabecera vale: ¿dónde se pierde su traza?"),
    "zeroes in the trace": ('traza.strip("0") and ', "", "¿Qué regla del enunciado"),
    "zeroes in the span": (' and padre.strip("0")', "", "¿Qué regla del enunciado"),
    "more after version 00": ("not sobra and ", "", "¿Qué regla del enunciado"),
    "a dash after version 00": ("resto is not None", "len(resto or '') > 1", "¿Qué regla del enunciado"),
    "no more after any": ("(-.*)?", "()", "Esa cabecera vale"),
    "always a new trace": ("    if hallada:\n", "    if hallada is azar:\n", "Esa cabecera vale"),
    "anything after the flags": ("(-.*)?", "(.*)", "¿"),
    "capitals": (_PATTERN + ', cabecera or ""', _PATTERN + ', (cabecera or "").lower()', "¿Qué regla del enunciado"),
    "a match of the beginning": ("re.fullmatch", "re.match", "¿Qué regla del enunciado"),
    "a new one not recorded": ('{azar(8)}-01"', '{azar(8)}-00"', "¿Qué dice el último bit"),
    "a short trace": ("azar(16)", "azar(8)", "¿Cuántos octetos tiene cada parte?"),
    "a long span": ("-{azar(8)}-01", "-{azar(16)}-01", "¿Cuántos octetos tiene cada parte?"),
    "none for the invalid": ('    return f"00-{azar(16)}-{azar(8)}-01"\n', "", "¿Falta un return?"),
}

test_right, test_wrong = DT12.tests(RIGHT, WRONG)
