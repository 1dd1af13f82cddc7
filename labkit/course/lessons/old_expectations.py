"""What the cases of several lessons ask of an answer that makes a service, and how they say what they saw.

A learner cannot look into the journal of a service that a case started, so the hints quote it.
"""

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Callable
from typing import Any

import requests
from flask import Flask

from labkit.entries import Line
from labkit.exercises.exercise import Case
from labkit.service import Group, Service

# Seconds for the cases' own calls: a machine may be busy, and only an answer that hangs takes so long.
TIMEOUT = 6.0


def expect_call(case: Case, thing: Any, call: str) -> None:
    """Fail unless the answer can be called as the statement says, e.g. `sanas(urls)`."""
    name, _, rest = call.partition("(")
    case.expect(callable(thing), f"{name} es {kind(thing)}: se pide algo que se pueda llamar así: {call}")
    if not _takes(thing, rest):
        own = "su __init__, además de self" if isinstance(thing, type) else "su firma"
        case.fail(f"lo que escribiste no se puede llamar así: {call}. ¿Qué parámetros tiene {own}?")


def expect_class(case: Case, thing: Any, call: str, methods: tuple[str, ...], check: str) -> None:
    """Fail unless it is called as the statement says, and is not an object made of it already."""
    made = not isinstance(thing, type) and any(hasattr(type(thing), _name(each)) for each in methods)
    case.expect(not made, f"pasa la clase, sin crearla: {check}")
    expect_call(case, thing, call)


def expect_methods(case: Case, thing: Any, calls: tuple[str, ...]) -> None:
    """Fail unless an object of the learner's class has these methods, e.g. `registrar(url)`."""
    missing = [_name(call) for call in calls if not hasattr(thing, _name(call))]
    case.expect(not missing, f"a tu clase le falta: {', '.join(missing)}")
    for call in calls:
        name, _, rest = call.partition("(")
        method = getattr(thing, name)
        case.expect(callable(method), f"{name} es {kind(method)}: se pide un método que se llame así: {call}")
        case.expect(
            _takes(method, rest),
            f"el método {name} no se puede llamar así: {call}. ¿Qué parámetros lleva su firma, y cuál es el primero?",
        )


def _name(call: str) -> str:
    return call.partition("(")[0]


def _takes(thing: Any, arguments: str) -> bool:
    """Whether it can be called with the arguments that end a call's text, e.g. `ttl, reloj)`."""
    given = arguments.rstrip(")")
    try:
        inspect.signature(thing).bind(*(given.split(", ") if given else ()))
    except TypeError:
        return False
    except ValueError:
        # A method without self has no signature. Nor has what is written in C: nobody knows its parameters.
        return not inspect.ismethod(thing)
    return True


def flask_app(case: Case, make: Callable[[str], Any], name: str) -> Flask:
    """Call the answer with an instance's name and return the Flask application that it makes.

    Called here and not by the service that will run it: a factory that hangs is then stopped at the deadline.
    """
    app = make(name)
    case.expect(app is not None, "tu función no devolvió nada: ¿falta el return?")
    if isinstance(app, Service | Group):
        case.cleanup(app.stop, 0)
        case.fail(
            "tu función devolvió un servicio ya en marcha: se pide la aplicación; de servirla se ocupa quien llama"
        )
    case.expect(
        isinstance(app, Flask), f"tu función devolvió {kind(app)}: se pide la aplicación Flask entera"
    )
    return app  # type: ignore[no-any-return]


def get(case: Case, service: Service, path: str) -> requests.Response:
    """GET it; the case fails when no answer comes, or a 500 that an exception caused."""
    try:
        answer = requests.get(f"{service.url}{path}", timeout=TIMEOUT)
    except requests.Timeout:
        case.fail(f"GET {path} no contestó en {TIMEOUT:g} s: ¿qué espera tu ruta?")
    except requests.RequestException as error:
        case.fail(f"GET {path} acabó en {type(error).__name__}: ¿sigue en marcha el servicio?")
    raised = _raised(service)
    case.expect(
        answer.status_code != 500 or not raised,
        f"GET {path} contestó 500, porque tu ruta lanzó {raised}. ¿Qué recibe y qué devuelve?",
    )
    return answer


def _raised(service: Service) -> str:
    """What a handler raised last, as a traceback ends: `KeyError: 'no-existe'`."""
    details = [entry.detail for entry in service.journal if isinstance(entry, Line) and entry.detail]
    return textwrap.shorten(details[-1].strip().splitlines()[-1], 120, placeholder="…") if details else ""


def json_object(answer: requests.Response) -> dict[str, Any] | None:
    """The JSON object in an answer's body; None when there is none."""
    try:
        data = answer.json()
    except requests.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


_KINDS: dict[type, str] = {
    str: "un texto",
    bytes: "un texto en bytes",
    list: "una lista",
    tuple: "una tupla",
    dict: "un diccionario",
    set: "un conjunto",
    bool: "un valor True o False",
    int: "un número",
    float: "un número",
    type(None): "None",
    type: "una clase",
    types.FunctionType: "una función",
    types.MethodType: "un método sin llamar",
    types.GeneratorType: "un generador",
    types.CoroutineType: "una corrutina sin esperar",
    Service: "un servicio",
    Group: "un grupo de servicios",
}


def kind(thing: object) -> str:
    """What a thing is, in a learner's words: `una lista`."""
    return _KINDS.get(type(thing), f"un {type(thing).__name__}")


def described(error: BaseException) -> str:
    """An error's name and its text, also when its `__str__` is broken."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return (
        f"{type(error).__name__} ({textwrap.shorten(text, 120, placeholder='…')})"
        if text
        else type(error).__name__
    )
