"""IN-1: a first service."""

from answers import Master

IN1 = Master(
    "IN-1",
    LIBROS={"42": "Rayuela", "43": "Pedro Páramo"},
    same={"LIBROS = {'42': 'Rayuela', '43': 'Pedro Páramo'} → pass": "the test gives it too"},
)
RIGHT = {
    "abort and jsonify": """
        from flask import jsonify, make_response
        def catalogo_de(name):
            app = Flask(__name__)
            @app.route("/libros/<isbn>")
            def ver(isbn):
                titulo = LIBROS.get(isbn)
                if titulo is None:
                    return make_response(jsonify(error="no está"), 404)
                return jsonify(titulo=titulo, instancia=name)
            return app
        """
}
WRONG = {
    "no return": ("return app\n", "pass\n", "¿falta el return?"),
    "another path": ('"/libros/<isbn>"', '"/libro/<isbn>"', "¿existe la ruta"),
    "a number": ('"/libros/<isbn>"', '"/libros/<int:isbn>"', "¿existe la ruta, y qué tipo tiene el isbn"),
    "a post": ("@app.get", "@app.post", "¿existe la ruta"),
    "no title": ('"titulo": LIBROS[isbn], ', "", "falta titulo"),
    "one title": ("LIBROS[isbn], ", '"Rayuela", ', "¿lo buscas en LIBROS?"),
    "no 404": ('"}, 404', '"}', "contestó 200"),
    "Flask's own": (
        'return {"error": f"no tenemos el libro {isbn}"}, 404',
        "from flask import abort\n            abort(404)",
        "¿quién escribió esa respuesta",
    ),
    "no words": ('f"no tenemos el libro {isbn}"', '""', "se pide un texto que lo explique"),
    "yes": ('f"no tenemos el libro {isbn}"', "True", "en «error» pusiste True"),
    "the first alone": ("if isbn not in LIBROS", "if isbn != next(iter(LIBROS))", "¿Los miras todos?"),
    "raises": ("if isbn not in LIBROS", "if False", "porque tu ruta lanzó KeyError"),
    "text": ('return {"titulo": LIBROS[isbn], "instancia": name}', "return LIBROS[isbn]", "no contestó un objeto JSON"),
    "one name": ('"instancia": name', '"instancia": "prueba-1"', "¿de dónde saca cada una su nombre?"),
    "served": ("return app\n", "return labkit.serve(app, name='servida')\n", "un servicio ya en marcha"),
    "the view": ("return app\n", "return libro\n", "devolvió una función"),
    "no parameter": ("def catalogo_de(name)", "def catalogo_de()", "¿Qué parámetros tiene"),
}
test_right, test_wrong = IN1.tests(RIGHT, WRONG)
