"""EG-6c: the headers that pass, held against right and wrong answers."""

from answers import Master

EG6C = Master("EG-6c")

RIGHT = {
    "in one pass": """
        def abrir_paso(cabeceras, verificar):
            quedan, tokens = [], []
            for nombre, valor in cabeceras:
                clave = nombre.lower()
                if clave == "authorization":
                    tokens.append(valor)
                elif clave not in ("x-user", "x_user"):
                    quedan.append((nombre, valor))
            if len(tokens) == 1 and tokens[0].lower().startswith("bearer "):
                usuario = verificar(tokens[0].split(" ", 1)[1])
                if usuario:
                    quedan.append(("X-User", usuario))
                    return quedan
        """
}

WRONG = {
    "the first of two": ("if len(dados) != 1", "if not dados", "¿Cuál de los dos tokens vale?"),
    "capitals matter": ("nombre.lower() == \"authorization\"", "nombre == \"Authorization\"", "¿Distinguen mayúsculas"),
    "the scheme is not looked at": (" if esquema.lower() == \"bearer\" else None", "", "¿Con qué permiso pasa?"),
    "the scheme's capitals matter": ("esquema.lower() == \"bearer\"", "esquema == \"Bearer\"", "¿Distingue mayúsculas la palabra Bearer?"),
    "the token in lower case": ("verificar(token)", "verificar(token.lower())", "¿Con qué permiso pasa?"),
    "believes the client": ("quitar = {\"authorization\", \"x-user\"}", "quitar = {\"authorization\"}", "¿Quién ha escrito ese X-User"),
    "an underscore passes": (".replace(\"_\", \"-\")", "", "¿Quién ha escrito ese X-User"),
    "the token goes on": ("{\"authorization\", \"x-user\"}", "{\"x-user\"}", "se esperaba"),
    "at the beginning": ("[*quedan, (\"X-User\", usuario)]", "[(\"X-User\", usuario), *quedan]", "se esperaba"),
    "a dictionary": ("return [*quedan", "return [*dict(quedan).items()", "¿Qué debe quedar igual"),
    "drops too much": ("not in quitar]", "not in quitar and not par[0].lower().startswith('x-u')]", "¿Qué debe quedar igual"),
    "drops what begins so": ("not in quitar]", "not in quitar and not par[0].lower().startswith('x-user')]", "¿Qué debe quedar igual"),
    "drops all underscores": ("not in quitar]", "not in quitar and '_' not in par[0]]", "¿Qué debe quedar igual"),
    "drops repetitions": ("return [*quedan", "return [*dict.fromkeys(quedan)", "¿Qué debe quedar igual"),
    "does not look for a user": ("if usuario is None:\n        return None", "", "¿Con qué permiso pasa?"),
    "an empty list": ("    if len(dados) != 1:\n        return None", "    if len(dados) != 1:\n        return []", "se esperaba None"),
}  # fmt: skip

test_right, test_wrong = EG6C.tests(RIGHT, WRONG)
