"""EG-6a: the token endpoint, held against right and wrong answers."""

from answers import Master

EG6A = Master(
    "EG-6a", run=("token-a-mano", "referencia"),
    same={
        "contenido = {'sub': usuario, 'iss': 'tienda', 'aud': 'libreria', 'exp': int(time.time()) + 900} → contenido = {'sub': usuario, 'iss': 'tienda', 'aud': 'libreria', 'exp': int(time.time()) + 901}": "a second more or less is a clock's tick",
    },
)  # fmt: skip

RIGHT = {
    "one way out, a dummy hash": """
        NADIE = generate_password_hash("x")

        def crear_taquilla(name):
            app = Flask(name)

            @app.route("/token", methods=["POST"])
            def entrar():
                try:
                    datos = json.loads(request.data)
                    usuario, clave = str(datos["usuario"]), datos["clave"]
                    bien = check_password_hash(HUELLAS.get(usuario, NADIE), clave) and usuario in HUELLAS
                except (ValueError, KeyError, TypeError, AttributeError):
                    bien = False
                if not bien:
                    return {"error": "no"}, 401
                ahora = time.time()
                datos = dict(sub=usuario, iss="tienda", aud="libreria", iat=ahora, exp=ahora + 900)
                return {"token": jwt.encode(datos, SECRETO)}
            return app
        """,
    "by hand": """
        def crear_taquilla(name):
            app = Flask(name)

            @app.post("/token")
            def entrar():
                datos = request.get_json(silent=True)
                if isinstance(datos, dict) and isinstance(datos.get("usuario"), str):
                    huella, clave = HUELLAS.get(datos["usuario"]), datos.get("clave")
                    if huella and isinstance(clave, str) and check_password_hash(huella, clave):
                        exp = time.time() + 900
                        return jsonify(token=hacer_token(
                            {"sub": datos["usuario"], "iss": "tienda", "aud": "libreria", "exp": exp}, SECRETO))
                return jsonify(error="no"), 401
            return app
        """,
}

WRONG = {
    "anybody": ("if not check_password_hash(HUELLAS[usuario], clave)", "if False", "con una clave equivocada se contestó 200"),
    "compares with the hash": (
        "not check_password_hash(HUELLAS[usuario], clave)", "HUELLAS[usuario] != clave", "qué comparas con la huella?",
    ),
    "any user's password": (
        "check_password_hash(HUELLAS[usuario], clave)",
        "any(check_password_hash(h, clave) for h in HUELLAS.values())",
        "la clave de Ana y el usuario «luis»",
    ),
    "says who exists": (
        "return jsonify(error=\"usuario o clave incorrectos\"), 401\n        contenido",
        "return jsonify(error=\"clave incorrecta\"), 401\n        contenido",
        "¿qué averigua así quien prueba?",
    ),
    "400 for what is missing": ("datos = datos if isinstance(datos, dict) else {}", "if not datos: return 'no', 400", "se pide 401"),
    "raises": ("isinstance(datos, dict)", "True", "se contestó 500: se pide 401"),
    "unknown raises": (" or usuario not in HUELLAS", "", "un usuario que no existe"),
    "a number raises": (" or not isinstance(clave, str)", "", "se contestó 500"),
    "another secret": ("SECRETO, \"HS256\"", "b'x' * 32, \"HS256\"", "InvalidSignatureError"),
    "another algorithm": ("\"HS256\"", "\"HS512\"", "HS256"),
    "the password inside": ("{\"sub\"", "{\"clave\": clave, \"sub\"", "lleva dentro la clave"),
    "no exp": (", \"exp\": int(time.time()) + 900", "", "no caducaría nunca"),
    "minutes": ("+ 900", "+ 900 * 60", "y no de 900"),
    "exp a duration": ("int(time.time()) + 900", "900", "y no de 900"),
    "always the same sub": ("\"sub\": usuario", "\"sub\": \"ana\"", "en el token de «marta», sub vale ana"),
    "a form": ("request.get_json(silent=True)", "dict(request.form)", "¿de dónde sacas la clave"),
    "Flask says 400": ("request.get_json(silent=True)", "request.get_json()", "¿Lo contestó tu ruta, o Flask por ella?"),
    "no sub": ("\"sub\": usuario, ", "", "sub vale None"),
    "another audience": ("\"aud\": \"libreria\"", "\"aud\": \"tienda\"", "aud vale tienda"),
    "no key token": ("jsonify(token=", "jsonify(jwt=", "no trae «token»"),
    "another route": ("/token", "/entrar", "se contestó 404: ¿qué ruta"),
    "for GET": ("@app.post(", "@app.get(", "se contestó 405: ¿qué método"),
    "raises for the right password": ("int(time.time()) + 900", "time.time() + '900'", "se contestó 500: tu ruta lanzó TypeError"),
    "one exp for all": (
        "    app = Flask(name)",
        "    app = Flask(name)\n    class time:\n        time = staticmethod(lambda ahora=globals()['time'].time(): ahora)",
        "¿cuándo se calcula exp?",
    ),
    "a number as a text": ("datos.get(\"usuario\"), datos.get(\"clave\")", "datos.get('usuario'), str(datos.get('clave'))", "como número se contestó 200"),
    "created": ("\"HS256\"))", "\"HS256\")), 201", "se contestó 201: se pide 200"),
    "no app": ("return app", "pass", "¿falta el return?"),
}  # fmt: skip

test_right, test_wrong = EG6A.tests(RIGHT, WRONG)
