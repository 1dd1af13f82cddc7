"""EG-6b: verifying a token, held against right and wrong answers."""

from answers import Master

EG6B = Master("EG-6b", run=("token-a-mano",))

RIGHT = {
    "by hand": """
        def verificar(token):
            try:
                cabecera, datos, firma = token.split(".")
                if abrir(cabecera)["alg"] != "HS256":
                    return None
                if not hmac.compare_digest(firma, firmar(f"{cabecera}.{datos}", SECRETO)):
                    return None
                datos = abrir(datos)
                bien = (datos["iss"], datos["aud"]) == ("tienda", "libreria") and datos["exp"] > time.time()
                return datos["sub"] if bien else None
            except (ValueError, KeyError, TypeError):
                return None
        """,
    "everything is caught": """
        def verificar(token):
            try:
                datos = jwt.decode(token, SECRETO, ["HS256"], audience="libreria", issuer="tienda")
                return datos["sub"] if "exp" in datos else None
            except Exception:
                return None
        """,
}

WRONG = {
    "without looking": ("verificar = lambda token: abrir(token.split('.')[1])['sub']", "pasó"),
    "any audience": ("audience=\"libreria\", issuer", "audience=[\"libreria\", \"banco\"], issuer", "para otro destinatario pasó"),
    "any issuer": ("issuer=\"tienda\",", "", "de otro emisor pasó"),
    "exp is not required": (", \"exp\"]", "]", "sin exp pasó"),
    "sub is not required": ("\"sub\", ", "", "KeyError"),
    "two algorithms": ("[\"HS256\"]", "[\"HS256\", \"HS512\"]", "HS512 pasó"),
    "ten minutes of leeway": ("issuer=\"tienda\",", "issuer=\"tienda\", leeway=600,", "caducado pasó"),
    "returns the claims": (")[\"sub\"]", ")", "de un token bueno de «ana»"),
    "raises": ("except jwt.InvalidTokenError", "except jwt.ExpiredSignatureError", "verificar no lanza nunca"),
    "no return": ("return jwt.decode", "jwt.decode", "devolvió None"),
    "another secret": ("SECRETO,", "b\"x\" * 32,", "de un token bueno"),
}  # fmt: skip

test_right, test_wrong = EG6B.tests(RIGHT, WRONG)
