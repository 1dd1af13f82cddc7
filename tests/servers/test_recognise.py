"""labkit/servers/__init__.py: what was given, told apart without calling it."""

from __future__ import annotations

import functools
from typing import Any

import flask
import pytest
from aiohttp import web
from support import name_of
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Request, Response

from labkit.errors import NotAnApp
from labkit.journal import Journal
from labkit.servers import recognise


def wsgi(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b""]


def wsgi_with_option(environ: Any, start_response: Any, exc_info: Any = None) -> Any:
    return wsgi(environ, start_response)


def wsgi_of_any(*args: Any) -> Any:
    return wsgi(*args)


class Callable_:
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return wsgi(environ, start_response)

    def method(self, environ: Any, start_response: Any) -> Any:
        return wsgi(environ, start_response)


class Iterated:
    """The form of PEP 3333: the class is the application, its instance the answer."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        start_response("200 OK", [])

    def __iter__(self) -> Any:
        yield b""


@Request.application
def of_werkzeug(request: Request) -> Response:
    return Response("hola")


@pytest.mark.parametrize(
    "app",
    [
        flask.Flask("x"),
        flask.Flask("x").wsgi_app,
        ProxyFix(flask.Flask("x").wsgi_app),
        wsgi,
        wsgi_with_option,
        wsgi_of_any,
        Callable_(),
        Callable_().method,
        Iterated,
        functools.partial(wsgi_with_option, exc_info=None),
        of_werkzeug,
        Response("hola"),
        lambda environ, start_response: wsgi(environ, start_response),
    ],
    ids=lambda app: getattr(app, "__name__", type(app).__name__),
)
def test_flask_and_every_form_of_a_wsgi_app(app: Any) -> None:
    recipe = recognise(app)
    assert (recipe.kind, recipe.is_factory, recipe.can_repeat) == ("wsgi", False, True)
    assert recipe.make("x", Journal()) is app
    assert recipe.can_repeat


def test_an_aiohttp_app_serves_once() -> None:
    app = web.Application()
    recipe = recognise(app)
    assert (recipe.kind, recipe.is_factory, recipe.can_repeat) == ("aiohttp", False, True)
    assert recipe.make("x", Journal()) is app
    assert not recipe.can_repeat


def test_a_coroutine_function_may_be_called_again_and_a_coroutine_may_not() -> None:
    async def crear() -> web.Application:
        return web.Application()

    recipe = recognise(crear)
    assert (recipe.kind, recipe.is_factory, recipe.can_repeat) == ("aiohttp", True, True)
    recipe.make("x", Journal()).close()
    assert recipe.can_repeat
    coroutine = crear()
    recipe = recognise(coroutine)
    assert (recipe.kind, recipe.is_factory, recipe.can_repeat) == ("aiohttp", False, True)
    assert recipe.make("x", Journal()) is coroutine
    assert not recipe.can_repeat
    coroutine.close()


class Shop:
    def __init__(self, name: str = "nadie") -> None:
        self.name = name

    def crear(self, instance: str) -> flask.Flask:
        return flask.Flask(instance)

    @staticmethod
    def crear_fija() -> flask.Flask:
        return flask.Flask("fija")


@pytest.mark.parametrize(
    ("factory", "made"),
    [
        (lambda: flask.Flask("sin"), "sin"),
        (lambda instance: flask.Flask(instance), "inventario-1"),
        (lambda name="otro": flask.Flask(name), "inventario-1"),
        (lambda nombre="otro": flask.Flask(nombre), "inventario-1"),
        (lambda port=5000: flask.Flask(f"p{port}"), "p5000"),
        (lambda instance, port=5000: flask.Flask(instance), "inventario-1"),
        (lambda *, debug=False: flask.Flask("clave"), "clave"),
        (Shop().crear, "inventario-1"),
        (Shop.crear_fija, "fija"),
        (functools.partial(flask.Flask, "parcial"), "parcial"),
        (flask.Flask, "inventario-1"),
    ],
)
def test_a_factory_gets_the_name_if_it_takes_one_argument_or_names_it_so(factory: Any, made: str) -> None:
    recipe = recognise(factory)
    assert recipe.is_factory
    assert recipe.kind is None
    assert recipe.make("inventario-1", Journal()).name == made
    assert recipe.kind == "wsgi"
    assert recipe.can_repeat


def test_a_factory_of_aiohttp_apps_says_its_kind_when_it_was_called() -> None:
    recipe = recognise(lambda: web.Application())
    first = recipe.make("x", Journal())
    assert recipe.kind == "aiohttp"
    assert recipe.make("x", Journal()) is not first


@pytest.mark.parametrize(
    "thing",
    [
        lambda a, b, c: None,
        lambda a, b, c, d: None,
        lambda *, needed: None,
        type,
        dict,
        ...,
        NotImplemented,
        web,
        {"app": 1},
    ],
    ids=name_of,
)
def test_anything_else_is_refused_without_being_called(thing: Any) -> None:
    with pytest.raises(NotAnApp, match="Se acepta: una aplicación Flask"):
        recognise(thing)


def test_what_a_factory_prints_goes_to_the_journal(capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal()

    def crear() -> Any:
        print("preparando")
        raise KeyError("clave")

    with pytest.raises(KeyError, match="clave"):
        recognise(crear).make("x", journal)
    assert journal.lines == ["preparando"]
    assert capsys.readouterr().out == ""
