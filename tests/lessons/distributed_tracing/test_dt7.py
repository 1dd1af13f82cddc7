"""DT-7: a service that fails by a seed, held against right and wrong answers."""

from answers import Master

DT7 = Master(
    "DT-7",
    same={
        "if dado.random() < probabilidad: → if dado.random() <= probabilidad:": "no draw is exactly that",
        "return jsonify(responde=nombre) → return jsonify() (2)": "what /salud says is free",
        "return (jsonify(error='hoy no'), 503) → return (jsonify(), 503)": "what a failure says is free",
    },
)

RIGHT = {
    "a generator of statuses": """
        def crear_fragil(nombre, probabilidad, semilla):
            azar = random.Random(semilla)
            tiradas = iter(azar.random, None)
            app = Flask(__name__)
            app.add_url_rule("/salud", "salud", lambda: ("", 200))
            app.add_url_rule("/", "raiz", lambda: (
                {"responde": nombre} if next(tiradas) >= probabilidad else ({"error": nombre}, 503)))
            return app
        """
}

WRONG = {
    "everybody's dice": ("random.Random(semilla)", "random", "fallan en peticiones distintas"),
    "everybody's dice, seeded": ("random.Random(semilla)", "random\n    random.seed(semilla)", "preguntadas por turnos"),
    "no seed": ("random.Random(semilla)", "random.Random()", "fallan en peticiones distintas"),
    "another seed": ("random.Random(semilla)", "random.Random(semilla + 1)", "¿una tirada por petición"),
    "the other way round": ("< probabilidad", "> probabilidad", "con probabilidad 0 hubo {503}"),
    "the good ones by the dice": ("dado.random() < probabilidad", "dado.random() > 1 - probabilidad", "«menor que»"),
    "two draws": ("if dado.random() <", "dado.random()\n        if dado.random() <", "¿una tirada por petición"),
    "once for all": (
        "def atender():\n        if dado.random() < probabilidad",
        "def atender(falla=dado.random() < probabilidad):\n        if falla",
        "¿una tirada por petición",
    ),
    "a new generator each time": ("if dado.random()", "if random.Random(semilla).random()", "¿una tirada"),
    "another status": ("503", "500", "con probabilidad 1 hubo {500}: se pide siempre 503"),
    "not found": ('@app.get("/")', '@app.get("/raiz")', "GET / contestó 404"),
    "raises": ('return jsonify(error="hoy no"), 503', 'raise RuntimeError("hoy no")', "lanzó RuntimeError (hoy no)"),
    "another body": (
        "return jsonify(responde=nombre)",
        "return jsonify(ok=True)",
        "el cuerpo del 200, leído como JSON, es {'ok': True}: ¿es {'responde': nombre}?",
    ),
    "always the same name": ("jsonify(responde=nombre)", 'jsonify(responde="pagos")', "creado con el nombre «envios»"),
    "a text": ("return jsonify(responde=nombre)", "return nombre", "leído como JSON, es None"),
    "a text for a seed": ("Random(semilla)", "Random(str(semilla))", "de random.Random(semilla)"),
    "no health": ('@app.get("/salud")', '@app.get("/vida")', "GET /salud contestó 404"),
    "health draws": ("def salud():\n", "def salud():\n        dado.random()\n", "¿quién las gasta?"),
    "health fails too": (
        "def salud():\n",
        "def salud():\n        if dado.random() < probabilidad:\n            return '', 503\n",
        "se pide siempre 200",
    ),
    "nothing is returned": ("    return app\n", "", "¿falta el return?"),
}

test_right, test_wrong = DT7.tests(RIGHT, WRONG)
