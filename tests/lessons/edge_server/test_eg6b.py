"""EG-6b: verifying a token with two keys, held against right and wrong answers."""

from answers import Master

EG6B = Master("EG-6b", run=("token-a-mano", "eg-6b-claves"))

RIGHT = {
    "by hand": """
        def verificar(token):
            try:
                cabecera, datos, firma = token.split(".")
                secreto, algoritmo = CLAVES[abrir(cabecera)["kid"]]
                if abrir(cabecera)["alg"] != algoritmo:
                    return None
                resumen = {"HS256": "sha256", "HS512": "sha512"}[algoritmo]
                hecha = b64(hmac.digest(secreto, f"{cabecera}.{datos}".encode(), resumen))
                datos = abrir(datos)
                bien = (datos["iss"], datos["aud"]) == ("tienda", "libreria") and datos["exp"] > time.time()
                return datos["sub"] if bien and hmac.compare_digest(firma, hecha) else None
            except (ValueError, KeyError, TypeError):
                return None
        """,
    "everything is caught": """
        def verificar(token):
            try:
                secreto, algoritmo = CLAVES[jwt.get_unverified_header(token)["kid"]]
                datos = jwt.decode(token, secreto, algoritmo, audience="libreria", issuer="tienda")
                return datos["sub"] if "exp" in datos else None
            except Exception:
                return None
        """,
}

WRONG = {
    "without looking": ("verificar = lambda token: abrir(token.split('.')[1])['sub']", "pasó"),
    "any audience": ('audience="libreria"', 'audience=["libreria", "banco"]', "para otro destinatario pasó"),
    "any issuer": (', issuer="tienda"', "", "de otro emisor pasó"),
    "exp is not required": (', "exp"]', "]", "sin exp pasó"),
    "sub is not required": ('"sub", ', "", "KeyError"),
    "both algorithms": ("[algoritmo]", '["HS256", "HS512"]', "que no es el algoritmo de su clave, pasó"),
    "as the token says": (
        "[algoritmo]",
        "[jwt.get_unverified_header(token)['alg']]",
        "verificar no lanza nunca",  # PyJWT's InvalidKeyError is no InvalidTokenError
    ),
    "one key": ("= CLAVES[kid]", "= CLAVES['2025']", "firmado con la clave 2024"),
    "an unknown kid raises": ("if kid not in CLAVES", "if False", "KeyError"),
    "an unknown kid is the new one": (
        "            return None\n        secreto, algoritmo",
        "            kid = '2025'\n        secreto, algoritmo",
        "pasó",
    ),
    "ten minutes of leeway": ('issuer="tienda"', 'issuer="tienda", leeway=600', "caducado pasó"),
    "returns the claims": ('return datos["sub"]', "return datos", "de un token bueno de «ana»"),
    "raises": (
        "except jwt.InvalidTokenError",
        "except jwt.ExpiredSignatureError",
        "con un token firmado con una clave que no es nuestra, tu código lanzó",
    ),
    "no return": ('return datos["sub"]', 'datos["sub"]', "devolvió None"),
}

test_right, test_wrong = EG6B.tests(RIGHT, WRONG)
