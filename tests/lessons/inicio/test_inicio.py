"""The exercise of 00_inicio: what learners write wrong and right, and what tries to break out."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import pytest
from answers import assert_pending, assert_right, assert_wrong
from flask import Blueprint, Flask, Response, abort, current_app, jsonify, make_response
from flask.views import MethodView

import labkit
from labkit.course.lessons.inicio import old as inicio

LIBROS = {"42": "Rayuela", "43": "Pedro Páramo"}


def flask_with(view):
    """`catalogo_de` whose route `/libros/<isbn>` is `view(isbn, name)`."""

    def catalogo_de(name):
        app = Flask(name)
        app.get("/libros/<isbn>")(lambda isbn: view(isbn, name))
        return app

    return catalogo_de


def right_view(isbn, name):
    if isbn not in LIBROS:
        return {"error": "no está"}, 404
    return {"titulo": LIBROS[isbn], "instancia": name}


# Wrong


def without_return(name):
    app = Flask(name)
    app.get("/libros/<isbn>")(lambda isbn: right_view(isbn, name))


def the_view_instead_of_the_app(name):
    app = Flask(name)

    @app.get("/libros/<isbn>")
    def libro(isbn):
        return right_view(isbn, name)

    return libro


def app_and_name(name):
    return flask_with(right_view)(name), name


def the_class(name):
    return Flask


def without_route(name):
    return Flask(name)


def fixed_route(name):
    app = Flask(name)
    app.get("/libros/isbn")(lambda: right_view("42", name))
    return app


def only_post(name):
    app = Flask(name)
    app.post("/libros/<isbn>")(lambda isbn: right_view(isbn, name))
    return app


def isbn_is_a_number(name):
    app = Flask(name)
    app.get("/libros/<int:isbn>")(lambda isbn: right_view(isbn, name))
    return app


def forgot_the_parameter(name):
    app = Flask(name)

    @app.get("/libros/<isbn>")
    def libro():
        return right_view("42", name)

    return app


def wrong_argument(name):
    return Flask(name, ruta="/libros/<isbn>")


def other_name(isbn, name):
    return right_view(isbn, "catalogo")


def abort_404(isbn, name):
    if isbn not in LIBROS:
        abort(404)
    return right_view(isbn, name)


shared_app = Flask("compartida")


def one_app_for_all(name):
    shared_app.get("/libros/<isbn>")(lambda isbn: right_view(isbn, name))
    return shared_app


def the_first_app_again():
    made = {}

    def catalogo_de(name):
        return made.setdefault("app", flask_with(right_view)(name))

    return catalogo_de


def name_in_a_global(name):
    global last_name
    last_name = name
    return flask_with(lambda isbn, _name: right_view(isbn, last_name))(name)


def served_with(title_key="titulo", instance_key="instancia"):
    return flask_with(
        lambda isbn, name: (
            {title_key: LIBROS[isbn], instance_key: name} if isbn in LIBROS else ({"error": ""}, 404)
        )
    )


WRONG = {
    "no return": (without_return, "¿falta el return?"),
    "returns the view": (the_view_instead_of_the_app, "devolvió una función"),
    "returns a tuple": (app_and_name, "devolvió una tupla"),
    "returns the class": (the_class, "devolvió una clase"),
    "returns text": (lambda name: f"app {name}", "devolvió un texto"),
    "raises": (wrong_argument, "tu código lanzó TypeError"),
    "no route": (without_route, "contestó 404, y ese libro está en LIBROS: ¿existe la ruta"),
    "a route without a variable": (fixed_route, "¿existe la ruta"),
    "POST": (only_post, "contestó 405"),
    "<int:isbn>": (isbn_is_a_number, "qué tipo tiene el isbn"),
    "int(isbn)": (flask_with(lambda isbn, name: {"titulo": LIBROS[int(isbn)]}), "tu ruta lanzó KeyError: 42"),
    "the view takes nothing": (forgot_the_parameter, "tu ruta lanzó TypeError"),
    "plain text": (flask_with(lambda isbn, name: LIBROS[isbn]), "no contestó un objeto JSON"),
    "str(dict)": (flask_with(lambda isbn, name: str({"titulo": LIBROS[isbn]})), "no contestó un objeto JSON"),
    "a list": (flask_with(lambda isbn, name: [LIBROS[isbn], name]), "no contestó un objeto JSON"),
    "no instance": (flask_with(lambda isbn, name: {"titulo": LIBROS[isbn]}), "falta instancia"),
    "título with an accent": (served_with(title_key="título"), "falta titulo"),
    "always the same title": (
        flask_with(lambda isbn, name: {"titulo": "Rayuela", "instancia": name}),
        "el título del 43 fue 'Rayuela'",
    ),
    "the isbn for a title": (
        flask_with(lambda isbn, name: {"titulo": isbn, "instancia": name}),
        "el título del 42 fue '42'",
    ),
    "no check": (
        flask_with(lambda isbn, name: {"titulo": LIBROS[isbn], "instancia": name}),
        "tu ruta lanzó KeyError: 'no-existe'",
    ),
    "error with 200": (
        flask_with(
            lambda isbn, name: right_view(isbn, name) if isbn in LIBROS else {"error": "no", "codigo": 404}
        ),
        "GET /libros/no-existe, un ISBN desconocido, contestó 200: quien llama mira el código",
    ),
    "400": (
        flask_with(lambda isbn, name: right_view(isbn, name) if isbn in LIBROS else ({"error": "no"}, 400)),
        "contestó 400",
    ),
    "title null and 200": (
        flask_with(lambda isbn, name: {"titulo": LIBROS.get(isbn), "instancia": name}),
        "contestó 200",
    ),
    "abort(404)": (flask_with(abort_404), "¿quién escribió esa respuesta"),
    "404 as text": (
        flask_with(lambda isbn, name: right_view(isbn, name) if isbn in LIBROS else ("no está", 404)),
        "GET /libros/no-existe contestó 404 sin un objeto JSON que tenga «error»",
    ),
    "fixed instance": (flask_with(other_name), "¿de dónde saca cada una su nombre?"),
    "name in a global": (name_in_a_global, "dicen ser ['prueba-2', 'prueba-2']"),
    "the same app each time": (the_first_app_again(), "dicen ser ['prueba-1', 'prueba-1']"),
}


@pytest.mark.parametrize(("answer", "hint"), WRONG.values(), ids=WRONG)
def test_wrong(answer, hint):
    assert_wrong("IN-1", answer, hint_contains=hint)


def test_one_app_for_all_instances_is_told_apart_from_a_wrong_return():
    verdict = assert_wrong(
        "IN-1", one_app_for_all, hint_contains="¿se puede llamar a tu función más de una vez?"
    )
    assert "AssertionError" in verdict.hint


def test_a_service_instead_of_an_app_is_told_and_stopped():
    def catalogo_de(name):
        return labkit.serve(flask_with(right_view)(name), name="catalogo-servido")

    assert_wrong("IN-1", catalogo_de, hint_contains="un servicio ya en marcha")
    assert not labkit.services()["catalogo-servido"].running


# Right


def with_jsonify_and_get(name):
    app = Flask("catalogo")

    @app.route("/libros/<string:isbn>", methods=["GET", "POST"])
    def libro(isbn):
        titulo = LIBROS.get(isbn)
        if titulo is None:
            response = jsonify(error="no está")
            response.status_code = 404
            return response
        return jsonify(titulo=titulo, instancia=name, precio=10)

    return app


def with_try(name):
    app = Flask(name)

    @app.get("/libros/<isbn>")
    def libro(isbn):
        try:
            return {"titulo": LIBROS[isbn], "instancia": current_app.name}
        except KeyError as error:
            return make_response({"error": str(error)}, 404)

    return app


def with_an_error_handler(name):
    app = Flask(name)
    app.register_error_handler(404, lambda error: ({"error": error.description}, 404))

    @app.get("/libros/<isbn>/")
    def libro(isbn):
        return {"titulo": LIBROS[isbn], "instancia": name} if isbn in LIBROS else abort(404)

    return app


@dataclass
class Libro:
    titulo: str
    instancia: str


def with_blueprint_and_dataclass(name):
    libros = Blueprint("libros", __name__, url_prefix="/libros")

    @libros.get("/<isbn>")
    def libro(isbn):
        if isbn in LIBROS:
            return jsonify(Libro(LIBROS[isbn], name))
        return Response(json.dumps({"error": "no"}), 404, mimetype="application/json")

    app = Flask(name)
    app.register_blueprint(libros)
    return app


def with_a_view_class(name):
    class Ver(MethodView):
        def get(self, isbn):
            return right_view(isbn, name)

    app = Flask(name)
    app.add_url_rule("/libros/<isbn>", view_func=Ver.as_view("ver"))
    return app


class Catalogo:
    """A class with `__call__`, and titles in a dictionary of its own."""

    def __call__(self, name):
        titulos = defaultdict(str, LIBROS)
        return flask_with(
            lambda isbn, _: (
                {"titulo": titulos[isbn], "instancia": name} if titulos[isbn] else ({"error": ""}, 404)
            )
        )(name)


RIGHT = [
    flask_with(right_view),
    with_jsonify_and_get,
    with_try,
    with_an_error_handler,
    with_blueprint_and_dataclass,
    with_a_view_class,
    Catalogo(),
]


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: getattr(answer, "__name__", "callable"))
def test_right(answer):
    assert_right("IN-1", answer)


def test_not_written_yet():
    def catalogo_de(name):
        # TU CÓDIGO AQUÍ
        ...

    assert_pending("IN-1", catalogo_de)


# Hostile: the check comes back, and leaves nothing


@pytest.fixture
def nothing_left():
    """No thread and no service more than before."""
    threads, services = set(threading.enumerate()), list(labkit.services())
    yield
    end = time.monotonic() + 5
    while (left := set(threading.enumerate()) - threads) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left
    assert list(labkit.services()) == services


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(inicio.CATALOGO, "deadline", 0.5)
    monkeypatch.setattr("labkit.exercises.expectations.TIMEOUT", 0.3)


def endless(name):
    while True:
        pass


class BrokenText(Exception):
    def __str__(self):
        raise RuntimeError("y esto tampoco")


def raises_broken_text(name):
    raise BrokenText


@pytest.mark.usefixtures("nothing_left")
def test_sys_exit():
    assert_wrong("IN-1", lambda name: sys.exit(), hint_contains="quiso cerrar el programa (SystemExit)")
    assert_wrong("IN-1", flask_with(lambda isbn, name: sys.exit(3)), hint_contains="lanzó SystemExit: 3")


@pytest.mark.usefixtures("nothing_left", "impatient")
def test_endless_loop():
    assert_wrong("IN-1", endless, hint_contains="no terminó en 0.5 s")


@pytest.mark.usefixtures("nothing_left", "impatient")
def test_waiting_long():
    gate = threading.Event()
    began = time.monotonic()
    try:
        assert_wrong("IN-1", lambda name: gate.wait(60), hint_contains="no terminó en 0.5 s")
        assert_wrong(
            "IN-1", flask_with(lambda isbn, name: gate.wait(60)), hint_contains="no contestó en 0.3 s"
        )
    finally:
        gate.set()
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("nothing_left")
def test_an_exception_whose_text_is_broken():
    assert_wrong("IN-1", raises_broken_text, hint_contains="BrokenText")
    assert_wrong(
        "IN-1", flask_with(lambda isbn, name: raises_broken_text(name)), hint_contains="tu ruta lanzó"
    )


@pytest.mark.usefixtures("nothing_left")
def test_prints_a_lot(capsys):
    def libro(isbn, name):
        print("mucho\n" * 5000)
        return right_view(isbn, name)

    assert_right("IN-1", flask_with(libro))
    assert "mucho" not in capsys.readouterr().out


def test_a_thread_of_the_answer_is_not_waited_for():
    gate = threading.Event()

    def catalogo_de(name):
        threading.Thread(target=gate.wait, args=(60,), daemon=True).start()
        return flask_with(right_view)(name)

    try:
        assert_right("IN-1", catalogo_de)
    finally:
        gate.set()
